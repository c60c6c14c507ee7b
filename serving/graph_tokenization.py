"""The tokenizer as TensorFlow operations, for models that take strings.

The ids are those of `modeling.wordpiece.WordPieceTokenizer`. tensorflow-text's own BERT tokenizers
give other ids for some 7,500 characters in lower-cased text and 270 in cased text (counted with the
released English vocabulary): they lower-case by compatibility folding ("ß" becomes "ss", "²" "2"),
put spaces in place of control characters, and follow another version of Unicode.

Here all that depends on Unicode is read from a table, and the table is measured from
`basic_tokenize` itself: what becomes of a character hardly depends on its neighbours, and the two
exceptions (the final sigma and the canonical order of combining marks) are computed. The words are
left to tensorflow-text's WordPiece, which is exact. So the ids are the same for every text, and
they do not depend on the Unicode version of the Python or tensorflow-text that runs the model.
"""

from __future__ import annotations

import functools
import sys
import unicodedata
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text

from common.errors import UserError
from modeling.tokenization import FullTokenizer
from modeling.wordpiece import basic_tokenize

# Code points whose rows of the table stand together; most pages are equal and stored once.
_PAGE = 256

# What stands in the table in place of a code point. Control characters never become part of a word.
_NOTHING, _ITSELF, _BARRIER = 0, 1, 2
# A slot of the table: the code point, and its canonical combining class in the bits above.
_CODE_BITS = 21
_CODE_MASK = (1 << _CODE_BITS) - 1

# How a character counts for a sigma beside it (Unicode, "Final_Sigma").
_OTHER, _CASED, _IGNORABLE = 0, 1, 2
_SIGMA, _FINAL_SIGMA = ord("Σ"), ord("ς")

# Texts in which nothing depends on the table, and their punctuation marks.
_PLAIN, _PUNCTUATION = r"[ -~\t\n\r]*", r"([!-/:-@\[-`{-~])"

_MAX_TOKEN_BYTES = 256  # Of tensorflow-text's WordPiece.


class _Rules(NamedTuple):
    """The arguments of `basic_tokenize`."""

    do_lower_case: bool
    strip_accents: bool
    tokenize_chinese_chars: bool

    @classmethod
    def of(cls, tokenizer: FullTokenizer) -> _Rules:
        strip_accents = tokenizer.settings.strip_accents
        return cls(
            tokenizer.do_lower_case,
            tokenizer.do_lower_case if strip_accents is None else strip_accents,
            tokenizer.settings.tokenize_chinese_chars,
        )

    def split(self, text: str) -> list[str]:
        return basic_tokenize(text, *self)


class GraphTokenizer:
    """`FullTokenizer.encode` for a batch, in a graph.

    Args:
      tokenizer: Its vocabulary, casing and settings are taken over.

    Raises:
      UserError: An entry of the vocabulary is too long for tensorflow-text.
    """

    def __init__(self, tokenizer: FullTokenizer):
        for line, token in enumerate(tokenizer.tokens, 1):
            if len(token.removeprefix("##").encode()) > _MAX_TOKEN_BYTES:
                raise UserError(
                    f"{tokenizer.vocab_file}, line {line}: an entry of {len(token.encode())} "
                    f"bytes; tensorflow-text takes up to {_MAX_TOKEN_BYTES}."
                )
        self.cls_id, self.sep_id = tokenizer.cls_id, tokenizer.sep_id
        self._rules = _Rules.of(tokenizer)
        self._max_chars_per_word = tokenizer.settings.max_chars_per_word
        self._unk_token = tokenizer.unk_token
        page_of_block, pages = _character_table(self._rules)
        self._page_of_block, self._pages = tf.constant(page_of_block), tf.constant(pages)
        self._wordpiece = tf_text.FastWordpieceTokenizer(
            # An id without a token gets one that no word is, because of the space in it.
            [token or f"no token {i}" for i, token in enumerate(tokenizer.tokens)],
            # Enough for every word that passes the test of its characters.
            max_bytes_per_word=4 * self._max_chars_per_word,
            unknown_token=self._unk_token,
            token_out_type=tf.int32,
            no_pretokenization=True,
        )

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """The ids of a batch of texts.

        Args:
          texts: string [batch_size]. Bytes that are not UTF-8 are ignored, as in the original.

        Returns:
          int32 [batch_size, (tokens)].
        """
        words = self.split(texts)
        too_long = tf.strings.length(words.values, unit="UTF8_CHAR") > self._max_chars_per_word
        words = words.with_values(tf.where(too_long, self._unk_token, words.values))
        return self._wordpiece.tokenize(words).merge_dims(1, 2)

    def split(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """The words and punctuation marks of a batch of texts (`basic_tokenize`).

        Args:
          texts: As in `tokenize`.

        Returns:
          string [batch_size, (words)].
        """
        # ASCII is split by simpler operations, which halves the latency of a short text in a small
        # model.
        is_plain = tf.reduce_all(tf.strings.regex_full_match(texts, _PLAIN))
        return tf.cond(
            is_plain, lambda: self._split_plain(texts), lambda: self._split_characters(texts)
        )

    def _split_plain(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """`split` for texts of printable ASCII and spaces."""
        if self._rules.do_lower_case:
            texts = tf.strings.lower(texts)
        return tf.strings.split(tf.strings.regex_replace(texts, _PUNCTUATION, r" \1 "))

    def _split_characters(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """`split` for texts of any characters."""
        # The space keeps the last character of a text apart from the next text.
        codes = tf.strings.unicode_decode(texts + " ", "UTF-8", errors="ignore")
        return tf.strings.split(tf.strings.unicode_encode(self._normalize(codes), "UTF-8"))

    def encode(
        self, texts_a: tf.Tensor, texts_b: tf.Tensor | None, max_seq_length: int
    ) -> dict[str, tf.Tensor]:
        """The model's input for texts or pairs, truncated as in the training records.

        Args:
          texts_a: string [batch_size].
          texts_b: string [batch_size] or None. A second text without tokens counts as none.
          max_seq_length: Longer rows are truncated, a pair by taking the last token off the longer
            text, off the second if both are equally long.

        Returns:
          `input_ids`, `input_mask` and `segment_ids`, int32 [batch_size, length of the longest
          row].
        """
        if texts_b is None:
            return self._encode_single(self.tokenize(texts_a), max_seq_length)
        ids_a, ids_b = self.tokenize(texts_a), self.tokenize(texts_b)
        length_a, length_b = ids_a.row_lengths(), ids_b.row_lengths()
        room = max_seq_length - 2 - tf.cast(length_b > 0, tf.int64)
        # Each text may have its half of the room and what the other one leaves.
        half_b = room // 2
        kept_a = tf.minimum(length_a, tf.maximum(room - half_b, room - length_b))
        kept_b = tf.minimum(length_b, tf.maximum(half_b, room - length_a))
        batch_size = ids_a.nrows()
        cls, sep = tf.fill([batch_size, 1], self.cls_id), tf.fill([batch_size, 1], self.sep_id)
        first = tf.concat([cls, _heads(ids_a, kept_a), sep], axis=1)
        # A second text of which nothing is left does not get a [SEP] either.
        sep_b = tf.RaggedTensor.from_tensor(sep, lengths=tf.minimum(kept_b, 1))
        second = tf.concat([_heads(ids_b, kept_b), sep_b], axis=1)
        both = tf.concat([first, second], axis=1)
        segments = tf.concat([tf.zeros_like(first), tf.ones_like(second)], axis=1)
        return {
            "input_ids": both.to_tensor(),
            "input_mask": tf.ones_like(both).to_tensor(),
            "segment_ids": segments.to_tensor(),
        }

    def _encode_single(self, ids: tf.RaggedTensor, max_seq_length: int) -> dict[str, tf.Tensor]:
        """`encode` without a second text, which takes few operations on dense rows."""
        room = max_seq_length - 2
        kept = tf.minimum(ids.row_lengths(), room)[:, tf.newaxis]
        rows = tf.pad(ids.to_tensor()[:, :room], [[0, 0], [1, 1]])
        position = tf.range(tf.shape(rows, tf.int64)[1])
        rows = tf.where(position == 0, self.cls_id, rows)
        rows = tf.where(position == kept + 1, self.sep_id, rows)
        return {
            "input_ids": rows,
            "input_mask": tf.cast(position < kept + 2, tf.int32),
            "segment_ids": tf.zeros_like(rows),
        }

    def _normalize(self, codes: tf.RaggedTensor) -> tf.RaggedTensor:
        """`basic_tokenize` up to the splitting at spaces.

        Args:
          codes: int32 [batch_size, (characters)], every row ends with a space.

        Returns:
          int32 [batch_size, (characters)].
        """
        code = codes.values
        page = tf.gather(self._page_of_block, code // _PAGE)
        row = tf.gather_nd(self._pages, tf.stack([page, code % _PAGE], axis=1))
        slots, context = row[:, :-1], row[:, -1]
        if self._rules.do_lower_case:
            is_final = _is_final_sigma(code, context)[:, tf.newaxis]
            slots = tf.where(is_final & (slots != _NOTHING), _FINAL_SIGMA, slots)
        slots = tf.where(
            slots & _CODE_MASK == _ITSELF, slots - _ITSELF + code[:, tf.newaxis], slots
        )
        splits = codes.row_splits * slots.shape[1]
        result = tf.RaggedTensor.from_row_splits(tf.reshape(slots, [-1]), splits)
        result = tf.ragged.boolean_mask(result, result != _NOTHING)
        if self._rules.strip_accents:
            result = result.with_values(_in_canonical_order(result.values))
            result = tf.ragged.boolean_mask(result, result != _BARRIER)
        return result


def _is_final_sigma(code: tf.Tensor, context: tf.Tensor) -> tf.Tensor:
    """Places where a capital sigma ends a word: after a cased character, before none.

    Args:
      code: int32 [characters].
      context: int32 [characters], `_CASED` and so on.

    Returns:
      bool [characters].
    """
    seen = tf.where(context != _IGNORABLE)
    cased = tf.gather_nd(context, seen) == _CASED
    after_cased = tf.concat([[False], cased], axis=0)[:-1]
    before_cased = tf.concat([cased, [False]], axis=0)[1:]
    ends_word = tf.scatter_nd(seen, after_cased & ~before_cased, tf.shape(code, tf.int64))
    return (code == _SIGMA) & ends_word


def _in_canonical_order(slots: tf.Tensor) -> tf.Tensor:
    """Sorts every run of combining marks by class, as normalization form D wants it.

    Args:
      slots: int32 [characters], code points with their classes.

    Returns:
      int32 [characters], code points alone.
    """
    marks = tf.where(slots > _CODE_MASK)
    values = tf.gather_nd(slots, marks)
    # Constant within a run of neighbours, and greater in the next one.
    run = marks[:, 0] - tf.range(tf.size(marks, tf.int64))
    order = tf.argsort(run * 256 + tf.cast(values // (1 << _CODE_BITS), tf.int64), stable=True)
    return tf.tensor_scatter_nd_update(slots, marks, tf.gather(values, order)) & _CODE_MASK


def _heads(rows: tf.RaggedTensor, lengths: tf.Tensor) -> tf.RaggedTensor:
    """The first `lengths[i]` elements of every row."""
    positions = tf.ragged.range(rows.row_lengths())
    return tf.ragged.boolean_mask(rows, positions < lengths[:, tf.newaxis])


@functools.cache
def _character_table(rules: _Rules) -> tuple[np.ndarray, np.ndarray]:
    """Replacement of every character, and its kind as a neighbour of a sigma.

    Returns:
      int32 [blocks], the page of each block of 256 code points, and int32 [pages, 256, slots + 1],
      where a row holds the code points that replace a character, and its context.
    """
    rows: dict[int, tuple[list[int], int]] = {}
    for first in range(0, sys.maxunicode + 1, _PAGE):
        chars = [chr(code) for code in range(first, first + _PAGE)]
        if not _are_plain(chars, rules):
            for char in chars:
                text = _replacement(char, rules)
                slots = [_slot(c, char, rules) for c in text]
                rows[ord(char)] = slots, _context(char, text)
    width = max(len(slots) for slots, _ in rows.values())
    table = np.full([sys.maxunicode + 1, width + 1], _NOTHING, np.int32)
    table[:, 0], table[:, width] = _ITSELF, _OTHER
    for code, (slots, context) in rows.items():
        table[code] = [*slots, *[_NOTHING] * (width - len(slots)), context]
    index: dict[bytes, int] = {}
    blocks = [table[first : first + _PAGE].tobytes() for first in range(0, len(table), _PAGE)]
    page_of_block = np.array([index.setdefault(block, len(index)) for block in blocks], np.int32)
    pages = np.frombuffer(b"".join(index), np.int32).reshape(-1, _PAGE, width + 1)
    return page_of_block, pages


def _are_plain(chars: list[str], rules: _Rules) -> bool:
    """Whether tokenization keeps all these characters as they are, in every context."""
    # Not assigned, or without a meaning of its own: most of all pages, and quickly told.
    if {*map(unicodedata.category, chars)} <= {"Cn", "Co", "Cs"}:
        return True
    text = "".join(chars)
    return (
        rules.split(text) == [text]
        and "ς" not in " ".join(f"α{char}Σ" for char in chars).lower()
        and not any(map(unicodedata.combining, chars))
    )


def _replacement(char: str, rules: _Rules) -> str:
    """Output of `basic_tokenize` for a character inside a word; a space ends the word."""
    text = " ".join(rules.split(f"a{char}b"))[1:-1]
    if text or not rules.strip_accents:
        return text
    # One that vanishes may still keep two marks apart that would change places without it.
    marks = "\u302e{}\u1b44"
    kept_apart = basic_tokenize(f"a{marks.format(char)}", True) == ["a" + marks.format("")]
    return chr(_BARRIER) if kept_apart else ""


def _slot(char: str, original: str, rules: _Rules) -> int:
    code = _ITSELF if char == original else ord(char)
    return code | (unicodedata.combining(char) << _CODE_BITS if rules.strip_accents else 0)


def _context(char: str, replacement: str) -> int:
    if f"{char}Σ".lower().endswith("ς"):
        return _CASED
    is_ignorable = not replacement or f"α{char}Σ".lower().endswith("ς")
    return _IGNORABLE if is_ignorable else _OTHER
