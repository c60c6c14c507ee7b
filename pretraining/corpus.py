"""Text files to an on-disk store of tokens, sentence by sentence and document by document.

Files are read in one of two formats:

    text          a line is a sentence (or a paragraph to be split), blank lines end documents
    transfer_set  a line is a document: a single text, which is split into sentences, or, in a
                  table (.tsv), a pair of texts, which are its two sentences

The store is two files: `tokens`, the ids of the whole corpus one after another, and `offsets`, the
int64 positions in it at which sentences begin, closed by the end of the last sentence. Only the
boundaries of documents are held in memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import weakref
from collections.abc import Generator, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from common.errors import UserError
from common.files import (
    COMPRESSIONS,
    LineBlock,
    decode_lines,
    file_size,
    open_binary,
    read_line_blocks,
)
from common.processes import ordered_map
from modeling.tokenization import FullTokenizer
from pretraining.sentences import split_sentences

TEXT, TRANSFER_SET = "text", "transfer_set"
_TABLES = tuple(".tsv" + compression for compression in COMPRESSIONS)

# A document is cut into units of about this many tokens, so that work on it needs bounded memory.
_UNIT_TOKENS = 1 << 18


@dataclasses.dataclass(frozen=True)
class TokenStore:
    """A tokenized corpus on disk.

    Attributes:
      folder: Holds the files `tokens` and `offsets`.
      typecode: NumPy type code of the ids, "H" or "I".
      documents: int64 [D + 1, 2], the first sentence and first token of each document; the last row
        is the end of the corpus.
      units: int64 [U + 1, 2], the same for units of work: documents, or parts of long ones.
    """

    folder: str
    typecode: str
    documents: np.ndarray
    units: np.ndarray

    @property
    def num_documents(self) -> int:
        return len(self.documents) - 1

    @property
    def num_sentences(self) -> int:
        return int(self.documents[-1, 0])

    @property
    def num_tokens(self) -> int:
        return int(self.documents[-1, 1])


class StoreReader:
    """Random access to the files of a `TokenStore`.

    Reads instead of mapping: pages of a mapped file would count as this process's memory.
    """

    def __init__(self, store: TokenStore):
        self._tokens = os.open(os.path.join(store.folder, "tokens"), os.O_RDONLY)
        self._offsets = os.open(os.path.join(store.folder, "offsets"), os.O_RDONLY)
        self._id_bytes = np.dtype(store.typecode).itemsize
        for file in (self._tokens, self._offsets):
            weakref.finalize(self, os.close, file)

    def packed_tokens(self, start: int, count: int) -> bytes:
        """`count` ids from position `start`, as bytes."""
        return os.pread(self._tokens, count * self._id_bytes, start * self._id_bytes)

    def packed_offsets(self, sentence: int, count: int) -> bytes:
        """int64 offsets of `count` sentences, fewer at the end of the corpus, as bytes."""
        return os.pread(self._offsets, count * 8, sentence * 8)


def build_token_store(
    input_files: Sequence[str],
    tokenizer: FullTokenizer,
    folder: str,
    do_sentence_split: bool,
    num_processes: int | None,
    input_format: str = TEXT,
) -> TokenStore:
    """Tokenizes text files.

    The ends of files end documents. The original joins the last document of a file to the first of
    the next, which makes text of two files "next sentences" of each other and the result depend on
    how a corpus is cut into files. Lines without any token are left out, and so are empty documents.

    Args:
      input_files: UTF-8 text, maybe compressed.
      tokenizer: Makes the ids.
      folder: Folder for the store.
      do_sentence_split: Whether lines of format `text` are paragraphs to be split into sentences.
      num_processes: Number of processes; the result does not depend on it.
      input_format: `text` or `transfer_set`.

    Raises:
      UserError: A file cannot be read, a row of a transfer set has more than two columns, or there
        are fewer than two documents.
    """
    args = tokenizer, do_sentence_split, input_format
    # Closed at once on an error, whose message would otherwise run into the progress bar.
    with contextlib.closing(_read_blocks(input_files)) as lines:
        blocks = ordered_map(BlockTokenizer, args, lines, num_processes)
        return store_tokens(blocks, folder, tokenizer.id_typecode, input_format, do_sentence_split)


def store_tokens(
    blocks: Iterable[TokenBlock],
    folder: str,
    typecode: str,
    input_format: str = TEXT,
    do_sentence_split: bool = False,
) -> TokenStore:
    """Writes the tokenized blocks of all files, in order, to a store.

    Args:
      blocks: Output of `BlockTokenizer` for each block.
      folder: Folder for the store.
      typecode: NumPy type code of the ids.
      input_format: `text` or `transfer_set`, for messages.
      do_sentence_split: Whether lines were split, for messages.

    Raises:
      UserError: There are fewer than two documents.
    """
    num_sentences = num_tokens = unit_start = 0
    document_ends: list[np.ndarray] = [np.zeros((1, 2), np.int64)]
    unit_ends: list[tuple[int, int]] = []
    with (
        open_binary(os.path.join(folder, "tokens"), "wb") as tokens_file,
        open_binary(os.path.join(folder, "offsets"), "wb") as offsets_file,
    ):
        offsets_file.write(bytes(8))
        for block in blocks:
            is_end = block.lengths == 0
            offsets = num_tokens + np.cumsum(block.lengths)
            sentences = num_sentences + np.cumsum(~is_end)
            tokens_file.write(block.tokens)
            offsets_file.write(offsets[~is_end].tobytes())
            num_tokens += int(block.lengths.sum())
            num_sentences += int((~is_end).sum())
            document_ends.append(np.stack([sentences[is_end], offsets[is_end]], axis=1))
            if is_end.any():
                unit_start = int(offsets[is_end][-1])
            if num_tokens - unit_start >= _UNIT_TOKENS:
                unit_ends.append((num_sentences, num_tokens))
                unit_start = num_tokens
    document_ends.append(np.array([(num_sentences, num_tokens)]))
    documents = _distinct_ends(document_ends)
    units = _distinct_ends([documents, *map(np.atleast_2d, unit_ends)]) if unit_ends else documents
    store = TokenStore(folder, typecode, documents, units)
    _check_documents(store, input_format, do_sentence_split)
    return store


def _distinct_ends(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Sorts ends of documents or units; those at the same place are of empty ones."""
    ends = np.concatenate(parts)
    _, first = np.unique(ends[:, 1], return_index=True)
    return ends[first]


class TokenBlock(NamedTuple):
    """The tokenized lines of a `LineBlock`.

    Attributes:
      tokens: Packed ids of all sentences.
      lengths: int64, the tokens of each sentence; a 0 ends a document.
    """

    tokens: bytes
    lengths: np.ndarray


class BlockTokenizer:
    """Worker that turns blocks of lines into tokens."""

    def __init__(self, tokenizer: FullTokenizer, do_sentence_split: bool, input_format: str = TEXT):
        self._encode = tokenizer.encode_packed
        self._id_bytes = np.dtype(tokenizer.id_typecode).itemsize
        self._is_transfer_set = input_format == TRANSFER_SET
        self._do_sentence_split = do_sentence_split or self._is_transfer_set

    def __call__(self, block: LineBlock) -> TokenBlock:
        packed: list[bytes] = []
        # A file that begins ends the document of the file before.
        lengths = [0] if block.first_line == 1 else []
        for number, line in enumerate(map(str.strip, decode_lines(block)), block.first_line):
            if not line or self._is_transfer_set:
                lengths.append(0)
            for sentence in self._sentences(line, block.path, number):
                if ids := self._encode(sentence):
                    packed.append(ids)
                    lengths.append(len(ids) // self._id_bytes)
        return TokenBlock(b"".join(packed), np.array(lengths, np.int64))

    def _sentences(self, line: str, path: str, number: int) -> list[str]:
        if self._is_transfer_set and "\t" in line and path.endswith(_TABLES):
            texts = line.split("\t")
            if len(texts) > 2:
                raise UserError(
                    f"{path}, line {number}: found {len(texts)} columns, but a row of a transfer "
                    "set is a text or a pair of texts; let create_transfer_set.py pick columns."
                )
            return texts
        return split_sentences(line) if self._do_sentence_split else [line]


def _read_blocks(input_files: Sequence[str]) -> Generator[LineBlock, None, None]:
    """All blocks of all files, behind a progress bar of the bytes read."""
    total = sum(map(file_size, input_files))
    with tqdm(total=total, desc="Tokenizing", unit="B", unit_scale=True, mininterval=1) as bar:
        for path in input_files:
            before = 0
            for block in read_line_blocks(path):
                yield block
                bar.update(block.consumed - before)
                before = block.consumed


def _check_documents(store: TokenStore, input_format: str, do_sentence_split: bool) -> None:
    logging.info(
        "Read %d documents, %d sentences, %d tokens.",
        store.num_documents,
        store.num_sentences,
        store.num_tokens,
    )
    if store.num_documents < 2:
        how = {
            TEXT: "put a blank line between documents (the end of a file ends a document, too)",
            TRANSFER_SET: "put each on a line",
        }
        raise UserError(
            f"The input files hold {store.num_documents} document(s), but next sentence prediction "
            f"needs at least two, to take a sentence from another one; {how[input_format]}."
        )
    num_short = int((np.diff(store.documents[:, 0]) == 1).sum())
    if num_short > store.num_documents / 2:
        advice = ""
        if input_format == TEXT:
            advice = (
                ": a document needs one sentence per line and blank lines only between documents"
            )
            if not do_sentence_split:
                advice += ". For one paragraph per line, add --do_sentence_split"
        logging.warning(
            "%d of %d documents have one sentence only, so most pairs can only be random%s.",
            num_short,
            store.num_documents,
            advice,
        )
