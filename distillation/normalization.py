"""Texts reduced to letters and digits, for telling them apart and for counting their words.

Case and accents are dropped, as by the uncased models; the vowel signs of Devanagari, Thai and other
scripts belong to the letters. Where no spaces stand between words, in Chinese and Japanese, each
ideograph and kana is a word. ASCII goes through tables of bytes, and only the few other characters
are looked at one by one.
"""

from __future__ import annotations

import functools
import re
import unicodedata

import numpy as np

_LOWER = bytes(range(256)).lower()
# Of a folded text; there, all bytes beyond ASCII belong to letters and digits.
_IS_LETTER = np.array([byte > 127 or chr(byte).isalnum() for byte in range(256)])
_DELETED = bytes(set(np.flatnonzero(~_IS_LETTER).tolist()) - set(b"\t\n"))
# Stands for the apostrophe inside a word, while all others become spaces.
_APOSTROPHE = b"\x01"
_SPACES = bytes(set(np.flatnonzero(~_IS_LETTER).tolist()) - set(_APOSTROPHE))
_WORD_CHARACTERS = bytes.maketrans(_SPACES + _APOSTROPHE, b" " * len(_SPACES) + b"'")
# Ideographs with their iteration marks, kana of any width, and ideographs beyond the first plane.
_WORDS_BY_THEMSELVES = re.compile(
    "([\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003ffff])"
)
_SIGNS = ("Mc", "Mn")
# Marks that no reader sees: selectors of variants and the grapheme joiner.
_INVISIBLE = re.compile("[\u034f\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")


def spaced(text: str) -> str:
    """A text with spaces around each character that is a word, so that `split` finds all words."""
    return text if text.isascii() else " ".join(_WORDS_BY_THEMSELVES.split(text))


def normal_form(text: str) -> bytes:
    """The letters and digits of a text, by which two texts count as the same.

    Case, accents, compatibility forms (NFKD), punctuation and white space are dropped, vowel signs
    are not, so that "It's fine." equals the "it 's fine ." of tokenized data sets.

    Returns:
      UTF-8. Tabs and line feeds stay, so that many texts can be reduced in one call.
    """
    return _fold(text).translate(_LOWER, _DELETED)


def word_edges(text: str) -> tuple[np.ndarray, np.ndarray]:
    """First and last bytes of the words in `normal_form(text)`.

    Returns:
      Two bool arrays with one value for each byte of the normal form: whether it is the first, and
      whether it is the last, of a word, a run of letters and digits in the text.
    """
    characters = np.frombuffer(_fold(text, are_words_apart=True), np.uint8)
    is_letter = np.pad(_IS_LETTER[characters], 1)
    is_first = is_letter[1:-1] & ~is_letter[:-2]
    is_last = is_letter[1:-1] & ~is_letter[2:]
    is_kept = is_letter[1:-1] | (characters == ord("\t")) | (characters == ord("\n"))
    return is_first[is_kept], is_last[is_kept]


def words(text: str) -> list[bytes]:
    """The words of a text: runs of letters and digits, or ideographs, without case and accents.

    A contraction is two words, as in tokenized data sets, whether the text writes it apart or not:
    "don't" and "do n't" are `do`, `n't`; "it's" and "it 's" are `it`, `s`.

    Returns:
      UTF-8 words in their order.
    """
    lower = _fold(text.replace("\u2019", "'"), are_words_apart=True).translate(_LOWER)
    lower = lower.replace(b"n't", b" n" + _APOSTROPHE + b"t ")
    return lower.translate(_WORD_CHARACTERS).split()


def _fold(text: str, are_words_apart: bool = False) -> bytes:
    """UTF-8 in which ASCII is as it was; beyond it are letters and digits only, maybe `spaced`."""
    data = text.encode()
    if len(data) == len(text):
        return data
    places = np.flatnonzero(np.frombuffer(data, np.int8) < 0)
    gaps = np.flatnonzero(np.diff(places) > 1)
    starts = places[np.append(0, gaps + 1)].tolist()
    ends = (places[np.append(gaps, -1)] + 1).tolist()
    parts: list[bytes] = []
    end_before = 0
    for start, end in zip(starts, ends, strict=True):
        parts += data[end_before:start], _fold_characters(data[start:end], are_words_apart)
        end_before = end
    return b"".join([*parts, data[end_before:]])


@functools.lru_cache(maxsize=4096)
def _fold_characters(data: bytes, are_words_apart: bool) -> bytes:
    folded = unicodedata.normalize("NFKD", _INVISIBLE.sub("", data.decode())).casefold()
    letters = "".join(
        # Marks that do not combine are vowel signs and the like.
        character if character.isalnum() or unicodedata.category(character) in _SIGNS else " "
        for character in folded
        if not unicodedata.combining(character)
    )
    return (spaced(letters) if are_words_apart else letters).encode()
