"""Vocabularies learned from text hold its words, and their size is what was asked for."""

from __future__ import annotations

import pytest

from common.errors import UserError
from modeling.wordpiece import SPECIAL_TOKENS
from pretraining.vocabulary_learning import MIN_WORD_COUNT, learn_vocabulary

SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
WORDS = [first + second for first in SYLLABLES for second in SYLLABLES[:20]]


def texts() -> list[str]:
    """As in language, few words are frequent and many are rare."""
    counts = [MIN_WORD_COUNT + 2000 // i for i in range(1, len(WORDS) + 1)]
    return [f"{word} The Café" for word, n in zip(WORDS, counts, strict=True) for _ in range(n)]


def test_frequent_words_and_pieces_of_the_rest() -> None:
    pieces = learn_vocabulary(texts(), 300)
    assert tuple(pieces[:5]) == tuple(SPECIAL_TOKENS)
    assert 285 <= len(pieces) <= 300 and len(set(pieces)) == len(pieces)
    assert {"the", "cafe"} <= set(pieces)
    assert any(piece.startswith("##") for piece in pieces)


def test_case_is_kept_where_it_counts() -> None:
    pieces = learn_vocabulary(texts(), 300, do_lower_case=False)
    assert {"The", "Café"} <= set(pieces)
    assert "the" not in pieces


def test_order_of_texts_does_not_matter() -> None:
    assert learn_vocabulary(texts(), 300) == learn_vocabulary(reversed(texts()), 300)


def test_too_little_text() -> None:
    with pytest.raises(UserError, match="No word occurs 5 times"):
        learn_vocabulary(["seen four times"] * (MIN_WORD_COUNT - 1), 200)
