"""Builds transfer sets: texts without labels or duplicates, in random order, in nested sizes.

Two texts are duplicates if their `normal_form` is the same; the first one read is kept. The order
is that of a 64-bit hash of the normal form, keyed by the seed. So it is random, the same whatever
order the sources come in, and a smaller set is the beginning of a larger one. (Among 8 million
texts, the chance that any two share a hash by accident is 2 in a million.)

Memory does not grow with the number of texts: they go through temporary files, each of which holds
a range of the hashes and is sorted for itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from tqdm import tqdm

from common.block_file import BlockFile
from common.chunks import chunks
from common.errors import UserError
from data.texts import TextSource, first_text
from distillation.leaks import LeakIndex
from distillation.normalization import normal_form

# Texts are read in chunks of about this many characters.
_CHUNK_CHARACTERS = 1 << 20
# Temporary files; one at a time is held in memory. A power of two.
_NUM_PARTS = 128
_NUM_NAMED_LEAKS = 100


@dataclasses.dataclass
class SourceCounts:
    """Numbers of rows found in a source.

    Attributes:
      num_rows: Texts or pairs, except for blank lines.
      num_empty: Rows with an empty text, which are left out.
      num_leaking: Rows that hold a dev or test example.
    """

    num_rows: int = 0
    num_empty: int = 0
    num_leaking: int = 0


@dataclasses.dataclass
class LeakReport:
    """Dev and test examples in the transfer set.

    Attributes:
      num_texts: Texts that hold an example.
      num_examples: Examples that were found.
      first: (place of the text, name of the example) of the first leaks.
    """

    num_texts: int = 0
    num_examples: int = 0
    first: list[tuple[str, str]] = dataclasses.field(default_factory=list)


class ChunkLeaks(NamedTuple):
    """Leaks in a chunk of texts.

    Attributes:
      num_texts: Texts that hold an example.
      examples: Positions in the index of the examples that were found.
      first: As in `LeakReport`.
    """

    num_texts: int
    examples: list[int]
    first: list[tuple[str, str]]


class HashedTexts(NamedTuple):
    """Texts of one source.

    Attributes:
      source: Number of the source.
      hashes: Packed 64-bit hashes, little-endian.
      lines: The texts as UTF-8, separated by line feeds.
    """

    source: int
    hashes: bytes
    lines: bytes


class ShuffledTexts(Protocol):
    """Texts in random order, without duplicates.

    Attributes:
      num_added: Number of texts that were added, duplicates included.
    """

    num_added: int

    def shuffled(self) -> Iterator[tuple[np.ndarray, list[bytes]]]:
        """Yields (sources, int [N]; N lines) in the order of the hashes, each text once."""


class TextShuffler:
    """`ShuffledTexts` in flat memory.

    Attributes:
      num_added: Number of texts that were added so far, duplicates included.
    """

    def __init__(self, folder: str | None, random_seed: int):
        """Temporary files go to `folder`, by default where the system puts them."""
        self.num_added = 0
        self._random_seed = random_seed
        with contextlib.ExitStack() as stack:
            self._parts = [
                stack.enter_context(contextlib.closing(BlockFile(3, folder)))
                for _ in range(_NUM_PARTS)
            ]
            self.close = stack.pop_all().close

    def add(self, source: int, lines: Sequence[str], normal_forms: Sequence[bytes]) -> None:
        """Adds texts, each a line without its end, from the source of that number."""
        for part, texts in split_by_hash(source, lines, normal_forms, self._random_seed):
            self._parts[part].append(str(texts.source).encode(), texts.hashes, texts.lines)
        self.num_added += len(lines)

    def shuffled(self) -> Iterator[tuple[np.ndarray, list[bytes]]]:
        """See `ShuffledTexts`."""
        for part in self._parts:
            yield sort_by_hash(
                HashedTexts(int(source), hashes, lines) for source, hashes, lines in part
            )


def split_by_hash(
    source: int, lines: Sequence[str], normal_forms: Sequence[bytes], random_seed: int
) -> Iterator[tuple[int, HashedTexts]]:
    """Hashes texts and yields them in parts, each with its number: a range of the hashes.

    Args:
      source: Number of the source.
      lines: The texts, each a line without its end.
      normal_forms: Normal forms of the lines.
      random_seed: Key of the hashes.
    """
    key = str(random_seed).encode()
    # Texts without a letter or digit are told apart by all of their characters.
    digests = [
        hashlib.blake2b(
            normal if normal.strip() else line.encode(), digest_size=8, key=key
        ).digest()
        for line, normal in zip(lines, normal_forms, strict=True)
    ]
    hashes = np.frombuffer(b"".join(digests), "<u8")
    parts = (hashes >> np.uint64(64 - _NUM_PARTS.bit_length() + 1)).astype(np.intp)
    ends = np.cumsum(np.bincount(parts, minlength=_NUM_PARTS))
    for part, rows in enumerate(np.split(np.argsort(parts, kind="stable"), ends[:-1])):
        if len(rows):
            texts = "\n".join([lines[row] for row in rows.tolist()]).encode()
            yield part, HashedTexts(source, hashes[rows].tobytes(), texts)


def sort_by_hash(part: Iterable[HashedTexts]) -> tuple[np.ndarray, list[bytes]]:
    """Sorts one part; of texts with the same hash, the first is kept.

    Returns:
      Sources, int [N], and N lines, in the order of the hashes.
    """
    sources, hashes, lines = [np.zeros(0, np.intp)], [], []
    for texts in part:
        hashes.append(texts.hashes)
        sources.append(np.full(len(texts.hashes) // 8, texts.source))
        lines += texts.lines.split(b"\n")
    # The indices are those of first occurrences.
    _, rows = np.unique(np.frombuffer(b"".join(hashes), "<u8"), return_index=True)
    return np.concatenate(sources)[rows], [lines[row] for row in rows.tolist()]


def all_pairs(sources: Sequence[TextSource]) -> bool:
    """Whether the sources hold pairs; looks at the first text of each.

    Raises:
      UserError: Some hold single texts and some pairs, or one holds nothing.
    """
    first: tuple[str, bool] | None = None
    for source in sources:
        is_pair = first_text(source)[2] is not None
        if first is None:
            first = (source.name, is_pair)
        elif is_pair != first[1]:
            kinds = ("single texts", "pairs of texts")
            raise UserError(
                f"{source.name} holds {kinds[is_pair]}, but {first[0]} {kinds[not is_pair]}; a "
                "transfer set is all single texts or all pairs."
            )
    return first is not None and first[1]


def add_sources(
    sources: Sequence[TextSource],
    shuffler: TextShuffler,
    leak_index: LeakIndex,
    drop_leaks: bool,
) -> tuple[list[SourceCounts], LeakReport]:
    """Reads all sources into the shuffler.

    Args:
      sources: All of single texts or all of pairs.
      shuffler: Gets the texts.
      leak_index: The dev and test examples to look for.
      drop_leaks: Whether texts that hold one are left out.

    Returns:
      Counts for each source, and the leaks.

    Raises:
      UserError: Whatever reading the sources raises.
    """
    counts = [SourceCounts() for _ in sources]
    leaks: list[ChunkLeaks] = []
    with tqdm(desc="Reading", unit=" texts", unit_scale=True, mininterval=1) as progress:
        for number, (source, count) in enumerate(zip(sources, counts, strict=True)):
            # Closed at once on an error, whose message would run into the progress bar otherwise.
            with contextlib.closing(read_chunks(source, count)) as read:
                for places, lines in read:
                    progress.update(len(places))
                    lines, normal_forms, found = search_chunk(places, lines, leak_index, drop_leaks)
                    count.num_leaking += found.num_texts
                    if found.num_texts:
                        leaks.append(found)
                    shuffler.add(number, lines, normal_forms)
    return counts, leak_report(leaks)


def search_chunk(
    places: Sequence[str], lines: list[str], leak_index: LeakIndex, drop_leaks: bool
) -> tuple[list[str], list[bytes], ChunkLeaks]:
    """Reduces texts to their normal forms and looks for leaks.

    Args:
      places: File and line of each text.
      lines: The texts.
      leak_index: The dev and test examples to look for.
      drop_leaks: Whether texts that hold one are left out.

    Returns:
      The texts that are kept, their normal forms, and the leaks.
    """
    joined = "\n".join(lines)
    normal = normal_form(joined)
    normal_forms = normal.split(b"\n")
    leaks = leak_index.find(joined, normal)
    leaking = {leak.row for leak in leaks}
    found = ChunkLeaks(
        len(leaking),
        sorted({leak.example for leak in leaks}),
        [(places[leak.row], leak_index.names[leak.example]) for leak in leaks[:_NUM_NAMED_LEAKS]],
    )
    if leaking and drop_leaks:
        kept = [i for i in range(len(lines)) if i not in leaking]
        return [lines[i] for i in kept], [normal_forms[i] for i in kept], found
    return lines, normal_forms, found


def leak_report(leaks: Sequence[ChunkLeaks]) -> LeakReport:
    """Sums up the leaks of all chunks, in their order."""
    first = itertools.chain.from_iterable(chunk.first for chunk in leaks)
    return LeakReport(
        num_texts=sum(chunk.num_texts for chunk in leaks),
        num_examples=len(set(itertools.chain.from_iterable(chunk.examples for chunk in leaks))),
        first=list(itertools.islice(first, _NUM_NAMED_LEAKS)),
    )


def read_chunks(
    source: TextSource, count: SourceCounts
) -> Generator[tuple[list[str], list[str]], None, None]:
    """Yields (places, lines as they will be written) and counts what it reads."""
    rows = _lines(source, count)
    for chunk in chunks(rows, _CHUNK_CHARACTERS, lambda row: len(row[1])):
        yield [place for place, _ in chunk], [line for _, line in chunk]


def _lines(source: TextSource, count: SourceCounts) -> Iterator[tuple[str, str]]:
    """Place and text of each row.

    Tabs and line ends inside texts become spaces, and white space around them is dropped.
    """
    for place, text_a, text_b in source.read():
        count.num_rows += 1
        line = text_a.replace("\t", " ").replace("\n", " ").strip()
        if text_b is not None:
            second = text_b.replace("\t", " ").replace("\n", " ").strip()
            line = f"{line}\t{second}" if line and second else ""
        if not line:
            count.num_empty += 1
            continue
        yield place, line
