"""Finds dev and test examples inside unlabelled text.

A teacher must not be asked about, nor a student trained on, the text its results are measured on.
A transfer text leaks an example if all texts of the example, one or two, are found in it: a text is
found if it equals the transfer text, or one of a pair, or if it has six words or more and stands in
it as a whole, like a sentence in a review. Texts are compared in `normal_form`, and each ideograph
and kana is a word.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data.texts import TextSource, first_text
from distillation.normalization import normal_form, spaced, word_edges

# Shorter sentences are phrases that anybody may write.
MIN_WORDS = 6
# Bytes of a text by which it is looked for; two (overlapping) 8-byte integers.
_LONGEST_WINDOW, _SHORTEST_WINDOW = 16, 8
_MULTIPLIERS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)
# Slots of the look-up table per text: one position in 64 finds a slot of another text.
_SLOTS_PER_TEXT = 64
# Positions that are hashed at a time, few enough to stay in the processor's cache.
_POSITIONS = 1 << 15


class Leak(NamedTuple):
    """A dev or test example inside a transfer text.

    Attributes:
      row: Position of the transfer text among those that were searched.
      example: Position of the example in the index.
    """

    row: int
    example: int


class LeakIndex:
    """Dev and test examples, ready to be looked for.

    Attributes:
      names: File, line and beginning of each example.
      num_examples: Source -> examples in it.
    """

    def __init__(self, sources: Sequence[TextSource]):
        """Reads the sources; UserError if one holds nothing, or cannot be read."""
        self.names: list[str] = []
        self.num_examples: dict[str, int] = {}
        self._texts_of: list[list[bytes]] = []
        self._examples_of: dict[bytes, list[int]] = collections.defaultdict(list)
        long_texts: set[bytes] = set()
        for source in sources:
            first_text(source)
            before = len(self.names)
            for place, *texts in source.read():
                long_texts.update(self._add(place, [text for text in texts if text is not None]))
            self.num_examples[source.name] = len(self.names) - before
        self._window = min([_LONGEST_WINDOW, *map(len, long_texts)])
        self._long_texts: dict[bytes, list[tuple[int, bytes]]] = collections.defaultdict(list)
        for text in sorted(long_texts):
            # Sentences begin alike more often than they go on alike.
            offset = (len(text) - self._window) // 2
            self._long_texts[text[offset : offset + self._window]].append((offset, text))
        bits = (max(1, len(self._long_texts)) * _SLOTS_PER_TEXT).bit_length()
        self._shift = np.uint64(64 - bits)
        self._is_taken = np.zeros(1 << bits, bool)
        for window in self._long_texts:
            self._is_taken[self._slots(window)] = True

    def _add(self, place: str, texts: Sequence[str]) -> list[bytes]:
        """Adds an example; returns those of its texts that are looked for inside others."""
        normals = [normal_form(text).translate(None, b"\t\n") for text in texts]
        # An example without a letter in it is never found.
        for normal in normals if all(normals) else ():
            self._examples_of[normal].append(len(self.names))
        self.names.append(f'{place} ("{texts[0]:.50}")')
        self._texts_of.append(normals)
        return [
            normal
            for text, normal in zip(texts, normals, strict=True)
            if all(normals) and _num_words(text) >= MIN_WORDS and len(normal) >= _SHORTEST_WINDOW
        ]

    def find(self, lines: str, normal: bytes) -> list[Leak]:
        """Searches transfer texts.

        Args:
          lines: Texts, one per line, or pairs with a tab between their texts.
          normal: `normal_form(lines)`.

        Returns:
          All leaks, in the order of the texts.
        """
        found: dict[int, set[bytes]] = collections.defaultdict(set)
        texts_per_row = 2 if b"\t" in normal else 1
        texts = normal.replace(b"\t", b"\n").split(b"\n")
        if equal := self._examples_of.keys() & set(texts):
            for i, text in enumerate(texts):
                if text in equal:
                    found[i // texts_per_row].add(text)
        if hits := self._find_long_texts(normal):
            line_ends = np.flatnonzero(np.frombuffer(normal, np.uint8) == ord("\n"))
            is_first, is_last = word_edges(lines)
            for start, text in hits:
                if is_first[start] and is_last[start + len(text) - 1]:
                    found[int(np.searchsorted(line_ends, start))].add(text)
        return sorted(
            {
                Leak(row, example)
                for row, found_texts in found.items()
                for text in found_texts
                for example in self._examples_of[text]
                if found_texts.issuperset(self._texts_of[example])
            }
        )

    def _find_long_texts(self, normal: bytes) -> list[tuple[int, bytes]]:
        """(start, text) of all texts that are looked for inside others."""
        hits = []
        for start in range(0, len(normal) if self._long_texts else 0, _POSITIONS):
            slots = self._slots(normal[start : start + _POSITIONS + self._window - 1])
            for position in (start + np.flatnonzero(self._is_taken[slots])).tolist():
                window = normal[position : position + self._window]
                for offset, text in self._long_texts.get(window, ()):
                    # A negative start counts from the end, where too few bytes are left to match.
                    if normal.startswith(text, position - offset):
                        hits.append((position - offset, text))
        return hits

    def _slots(self, data: bytes) -> np.ndarray:
        """The slot of the window at each position of `data`."""
        num_windows = max(0, len(data) - self._window + 1)
        if not num_windows:
            return np.zeros(0, np.uint64)
        # Unaligned 8-byte integers, one beginning at each byte.
        integers: np.ndarray = np.ndarray((len(data) - 7,), "<u8", data, strides=(1,))
        first, last = integers[:num_windows], integers[self._window - 8 :]
        return (first * _MULTIPLIERS[0] ^ last * _MULTIPLIERS[1]) >> self._shift


def _num_words(text: str) -> int:
    return sum(any(map(str.isalnum, word)) for word in spaced(text).split())
