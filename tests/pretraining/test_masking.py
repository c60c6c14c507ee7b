"""Masking of whole batches: shares over 100,000 tokens, and what must never happen."""

import random

import numpy as np
import pytest

from pretraining.masking import MaskingOptions, mask_tokens

VOCAB_SIZE, CLS, SEP, MASK = 1000, 2, 3, 4
# Ids from 700 on continue words.
IS_CONTINUATION = np.arange(VOCAB_SIZE) >= 700


def batch(num_rows, seq_length, seed=0, shortest=5):
    """Rows [CLS] A [SEP] B [SEP] of random tokens and lengths, and where their text is."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(5, VOCAB_SIZE, (num_rows, seq_length), dtype=np.int32)
    lengths = rng.integers(shortest, seq_length + 1, num_rows)
    splits = rng.integers(2, lengths - 2)
    positions = np.arange(seq_length)
    is_sep = (positions == splits[:, None]) | (positions == lengths[:, None] - 1)
    is_real = positions < lengths[:, None]
    ids[is_sep] = SEP
    ids[:, 0] = CLS
    ids[~is_real] = 0
    return ids, is_real & ~is_sep & (positions > 0), lengths


def options(prob=0.15, most=20, whole_words=False):
    return MaskingOptions(prob, most, MASK, VOCAB_SIZE, IS_CONTINUATION if whole_words else None)


@pytest.mark.parametrize("whole_words", [False, True])
def test_shares_over_many_tokens(whole_words):
    ids, is_text, lengths = batch(2000, 128, shortest=100)
    original = ids.copy()
    predictions = mask_tokens(
        ids, is_text, options(0.15, 30, whole_words), np.random.default_rng(1)
    )
    assert lengths.sum() > 200_000
    assert predictions.weights.sum() / lengths.sum() == pytest.approx(0.15, abs=0.01)
    rows, slots = np.nonzero(predictions.weights)
    new = ids[rows, predictions.positions[rows, slots]]
    old = predictions.ids[rows, slots]
    assert (new == MASK).mean() == pytest.approx(0.8, abs=0.01)
    assert (new == old).mean() == pytest.approx(0.1, abs=0.01)
    replaced = new[(new != MASK) & (new != old)]
    assert len(replaced) / len(new) == pytest.approx(0.1, abs=0.01)
    # Any entry of the vocabulary, special ones included, is as likely.
    assert replaced.mean() == pytest.approx(VOCAB_SIZE / 2, rel=0.05)
    assert replaced.min() < 5 and replaced.max() > VOCAB_SIZE - 6
    np.testing.assert_array_equal(original[rows, predictions.positions[rows, slots]], old)


@pytest.mark.parametrize("whole_words", [False, True])
@pytest.mark.parametrize(("prob", "most"), [(0.15, 20), (0.9, 20), (0.5, 125), (0.01, 1)])
def test_form_of_the_predictions(whole_words, prob, most):
    ids, is_text, lengths = batch(500, 128, seed=2)
    original = ids.copy()
    predictions = mask_tokens(ids, is_text, options(prob, most, whole_words), _rng())
    counts = predictions.weights.sum(axis=1).astype(int)
    budget = np.array([min(most, max(1, round(length * prob))) for length in lengths.tolist()])
    if whole_words:
        assert (counts <= budget).all()
    else:
        np.testing.assert_array_equal(counts, np.minimum(budget, lengths - 3))
    restored = ids.copy()
    for row, count in enumerate(counts):
        positions = predictions.positions[row, :count]
        assert (np.diff(positions) > 0).all()
        assert is_text[row, positions].all()
        assert not predictions.positions[row, count:].any()
        assert not predictions.ids[row, count:].any()
        assert set(predictions.weights[row, :count]) <= {1.0}
        restored[row, positions] = predictions.ids[row, :count]
    np.testing.assert_array_equal(restored, original)
    np.testing.assert_array_equal(ids[~is_text], original[~is_text])
    assert [values.dtype for values in predictions] == [np.int32, np.int32, np.float32]


def _rng():
    return np.random.default_rng(5)


def test_number_of_predictions_rounds_half_to_even():
    ids, is_text, lengths = batch(300, 24, seed=3)
    predictions = mask_tokens(ids, is_text, options(0.25, 20), _rng())
    counts = dict(zip(lengths.tolist(), predictions.weights.sum(axis=1).tolist(), strict=True))
    assert (counts[10], counts[14], counts[18], counts[5]) == (2, 4, 4, 1)


def test_all_positions_are_chosen_alike():
    num_rows = 20_000
    ids = np.full((num_rows, 20), 9, np.int32)
    is_text = np.ones((num_rows, 20), bool)
    is_text[:, [0, 10, 19]] = False
    predictions = mask_tokens(ids, is_text, options(0.25, 20), _rng())
    chosen = np.bincount(predictions.positions[predictions.weights > 0], minlength=20)
    assert not chosen[[0, 10, 19]].any()
    np.testing.assert_allclose(chosen[is_text[0]] / num_rows, 5 / 17, atol=0.015)


def words_of(ids, is_text):
    """Candidates of the original for one row: positions of each word."""
    words = []
    for position in np.flatnonzero(is_text).tolist():
        if words and IS_CONTINUATION[ids[position]]:
            words[-1].append(position)
        else:
            words.append([position])
    return words


def test_whole_words_are_masked_or_not_at_all():
    ids, is_text, lengths = batch(1000, 64, seed=4)
    original = ids.copy()
    predictions = mask_tokens(ids, is_text, options(0.15, 20, whole_words=True), _rng())
    num_chosen = num_skipped = 0
    for row in range(len(ids)):
        chosen = set(predictions.positions[row, predictions.weights[row] > 0].tolist())
        words = words_of(original[row], is_text[row])
        left = min(20, max(1, round(int(lengths[row]) * 0.15))) - len(chosen)
        for word in words:
            assert set(word) <= chosen or not chosen & set(word)
            if not set(word) <= chosen:
                # Nothing that would have fitted was left out.
                assert len(word) > left
                num_skipped += left > 0
        num_chosen += len(chosen)
    assert num_chosen > 3000 and num_skipped > 0


def test_whole_word_choice_has_the_distribution_of_the_original():
    """Share of words chosen, by their length, against a plain loop over shuffled words."""
    row, is_text, _ = batch(1, 64, seed=6, shortest=64)
    ids, is_text = np.repeat(row, 20_000, axis=0), np.repeat(is_text, 20_000, axis=0)
    words = words_of(row[0], is_text[0])
    assert {1, 2, 3} <= set(map(len, words))
    predictions = mask_tokens(ids, is_text, options(0.1, 20, whole_words=True), _rng())
    chosen = np.bincount(predictions.positions[predictions.weights > 0], minlength=64)
    rng = random.Random(1)
    expected = np.zeros(64)
    for _ in range(20_000):
        rng.shuffle(words)
        left = 6
        for word in words:
            if len(word) <= left:
                expected[word] += 1
                left -= len(word)
    np.testing.assert_allclose(chosen / 20_000, expected / 20_000, atol=0.015)


def test_continuations_without_a_word_before_them():
    ids = np.array([[CLS, 800, 10, SEP, 801, 11, 12, SEP]], np.int32)
    is_text = np.array([[0, 1, 1, 0, 1, 1, 1, 0]], bool)
    seen = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        predictions = mask_tokens(ids.copy(), is_text, options(0.3, 20, True), rng)
        seen.add(tuple(predictions.positions[predictions.weights > 0].tolist()))
    # Budget 2: the first piece is a word, the one behind [SEP] belongs to the word before it.
    assert seen == {(1, 5), (1, 6), (5, 6), (2, 4)}
