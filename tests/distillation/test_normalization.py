"""Texts reduced to letters and digits."""

from __future__ import annotations

import unicodedata

import pytest

from distillation.normalization import normal_form, spaced, word_edges, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's FINE, 100 %!", "itsfine100"),
        ("it 's fine , 100 % !", "itsfine100"),
        ("caf\u00e9 cafe\u0301 CAFE", "cafecafecafe"),
        ("\u2018curly\u2019 \u2014 dash\u2026", "curlydash"),
        ("Stra\u00dfe \ufb01ne \u00bd", "strassefine12"),
        ("\u0391\u03a3 \u03b1\u03c2", "\u03b1\u03c3\u03b1\u03c3"),
        ("\u4e2d\u6587\u3002", "\u4e2d\u6587"),
        ("snake_case", "snakecase"),
        # Vowel signs, spacing (Mc) or not (Mn); virama and tone marks go, as accents do.
        (
            "\u0926\u093f\u0928 \u0939\u093f\u0928\u094d\u0926\u0940",
            "\u0926\u093f\u0928\u0939\u093f\u0928\u0926\u0940",
        ),
        ("\u0e01\u0e34\u0e48\u0e19", "\u0e01\u0e34\u0e19"),
        # Selectors of variants and the grapheme joiner.
        ("\u2764\ufe0f a\u034fb \u845b\U000e0100", "ab\u845b"),
        ("a\tb c\nd", "a\tbc\nd"),
        ("\U0001f600 ... !", ""),
        ("", ""),
    ],
)
def test_normal_form(text: str, expected: str) -> None:
    assert normal_form(text) == expected.encode()


def test_many_texts_in_one_call() -> None:
    texts = ["\u00e9t\u00e9", "x", "", "\u201cA\u201d b\u00fc", "\u0130stanbul", "z\u4e2d"]
    assert normal_form("\n".join(texts)).split(b"\n") == [normal_form(text) for text in texts]


@pytest.mark.parametrize(
    "text", ["the film's end,\u2026 caf\u00e9\u2014bar\tnew\nline_x", "", "\u00e9", "a", "--", "\n"]
)
def test_word_edges(text: str) -> None:
    normal = normal_form(text)
    is_first, is_last = word_edges(text)
    assert len(is_first) == len(is_last) == len(normal)
    runs = []
    for start in is_first.nonzero()[0]:
        end = start + is_last[start:].argmax()
        runs.append(normal[start : end + 1].decode())
    spaced = "".join(c if c.isalnum() else " " for c in text.replace("\u00e9", "e"))
    assert runs == spaced.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't! It's John's.", "do n't it s john s"),
        ("do n't ! it 's John 's .", "do n't it s john s"),
        ("CAN\u2019T 'quoted' 90's rock'n'roll", "ca n't quoted 90 s rock n roll"),
        ("na\u00efve caf\u00e9-bar\u2014x_y 3.5", "naive cafe bar x y 3 5"),
        (
            "\u0939\u093f\u0928\u094d\u0926\u0940 \u092e\u0947\u0902",
            "\u0939\u093f\u0928\u0926\u0940 \u092e\u0947\u0902",
        ),
        (
            "\u4e2d\u6587\u3002\u304b\u306a\u30ab A\ud55c\uad6d",
            "\u4e2d \u6587 \u304b \u306a \u30ab a\ud55c\uad6d",
        ),
        (" \t\n", ""),
    ],
)
def test_words(text: str, expected: str) -> None:
    assert words(text) == unicodedata.normalize("NFKD", expected).encode().split()


def test_ideographs_and_kana_are_words() -> None:
    text = "ab\u4e2d\u6587 \u3002\u304b9\uff76"
    assert spaced(text).split() == ["ab", "\u4e2d", "\u6587", "\u3002", "\u304b", "9", "\uff76"]
    is_first, is_last = word_edges(text)
    assert is_first.tolist() == [1, 0, *[1, 0, 0] * 3, 1, *[1, 0, 0]]
    assert is_last.tolist() == [0, 1, *[0, 0, 1] * 3, 1, *[0, 0, 1]]
