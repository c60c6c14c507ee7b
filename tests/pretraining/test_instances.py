"""Packing sentences into pairs of segments: every invariant of the original algorithm."""

import itertools
import random

import numpy as np
import pytest

from modeling.tokenization import FullTokenizer
from pretraining.corpus import StoreReader, build_token_store
from pretraining.instances import make_pairs, pack_segments, truncate_pairs


def random_offsets(rng, num_sentences, longest=40):
    lengths = (rng.randint(1, longest) for _ in range(num_sentences))
    return list(itertools.accumulate(lengths, initial=1000))


@pytest.mark.parametrize("seed", range(20))
def test_packing_covers_a_document_exactly(seed):
    rng = random.Random(seed)
    offsets = random_offsets(rng, rng.randint(1, 60))
    target = rng.randint(2, 125)
    expected_start = offsets[0]
    for start, split, end in pack_segments(offsets, target, rng.random):
        assert start == expected_start
        assert start < split <= end
        assert {split, end} <= set(offsets)
        if end > split:
            # Gathering went on as long as it had to, and no longer.
            assert end - start >= target or end == offsets[-1]
            assert offsets[offsets.index(end) - 1] - start < target
        expected_start = end
    assert expected_start == offsets[-1]


def test_half_of_the_pairs_are_random_and_splits_are_uniform():
    rng = random.Random(1)
    offsets = list(range(0, 10 * 60_001, 10))
    pairs = pack_segments(offsets, 60, rng.random)
    # With sentences of equal length all gather six, and any of the five splits is as likely.
    share = sum(split == end for _, split, end in pairs) / len(pairs)
    assert share == pytest.approx(0.5, abs=0.02)
    for is_random in (True, False):
        sizes = [split - start for start, split, end in pairs if (split == end) == is_random]
        counts = np.bincount(sizes)[10:60:10] / len(sizes)
        np.testing.assert_allclose(counts, 0.2, atol=0.02)


def test_a_sentence_on_its_own_gets_a_random_second_segment():
    assert pack_segments([5, 9], 100, lambda: 0.99) == [(5, 9, 9)]
    assert pack_segments([0, 100, 200], 50, lambda: 0.99) == [(0, 100, 100), (100, 200, 200)]


def test_truncation_ends_at_the_lengths_of_the_original():
    sizes = np.arange(1, 40)
    for room in (2, 3, 20, 21):
        lengths_a, lengths_b = (grid.ravel() for grid in np.meshgrid(sizes, sizes))
        zeros = np.zeros_like(lengths_a)
        starts_a, kept_a, starts_b, kept_b = truncate_pairs(
            zeros, lengths_a, zeros, lengths_b, room, np.random.default_rng(0)
        )
        for i, (a, b) in enumerate(zip(lengths_a.tolist(), lengths_b.tolist(), strict=True)):
            while a + b > room:
                a, b = (a - 1, b) if a > b else (a, b - 1)
            assert (kept_a[i], kept_b[i]) == (a, b)
        assert (starts_a >= 0).all() and (starts_a + kept_a <= lengths_a).all()
        assert (starts_b >= 0).all() and (starts_b + kept_b <= lengths_b).all()


def test_truncation_takes_from_both_ends_alike():
    ones = np.ones(20_000, np.int64)
    starts, kept, _, _ = truncate_pairs(0 * ones, 101 * ones, 0 * ones, ones, 2, _rng())
    assert set(kept) == {1}
    assert starts.mean() == pytest.approx(50, abs=0.2)
    # A hundred independent coins, not one for all.
    assert starts.std() == pytest.approx(5, abs=0.2)


def _rng():
    return np.random.default_rng(7)


@pytest.fixture
def corpus(tmp_path):
    """A token store of 12 documents of 1 to 40 sentences, and the reader of it."""
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nw")
    rng = random.Random(3)
    documents = [
        "\n".join("w " * rng.randint(1, 30) for _ in range(num_sentences))
        for num_sentences in (1, 40, 2, 30, 5, 1, 20, 10, 8, 3, 40, 7)
    ]
    (tmp_path / "text").write_text("\n\n".join(documents))
    tokenizer = FullTokenizer(str(tmp_path / "vocab.txt"))
    store = build_token_store([str(tmp_path / "text")], tokenizer, str(tmp_path), False, 1)
    return store, StoreReader(store)


def test_pairs_fit_and_random_segments_come_from_other_documents(corpus):
    store, reader = corpus
    units = np.tile(np.arange(12), 200)
    pairs = make_pairs(store, reader, units, 64, 0.1, _rng())
    assert (pairs.lengths_a >= 1).all() and (pairs.lengths_b >= 1).all()
    assert (pairs.lengths_a + pairs.lengths_b <= 61).all()
    starts = store.documents[:, 1]
    document_a = np.searchsorted(starts, pairs.starts_a, side="right") - 1
    document_b = np.searchsorted(starts, pairs.starts_b, side="right") - 1
    for first, length, document in (
        (pairs.starts_a, pairs.lengths_a, document_a),
        (pairs.starts_b, pairs.lengths_b, document_b),
    ):
        assert (first + length <= starts[document + 1]).all()
    np.testing.assert_array_equal(pairs.is_random, document_a != document_b)
    # Each of the eleven others is as likely, however long it is.
    drawn = np.bincount(document_b[pairs.is_random & (document_a == 1)], minlength=12)
    share = np.delete(drawn, 1) / drawn.sum()
    np.testing.assert_allclose(share, 1 / 11, atol=0.03)
    assert drawn[1] == 0


def test_random_segments_begin_at_any_sentence(corpus):
    store, reader = corpus
    # Room enough that nothing is truncated, so that segments are whole sentences.
    pairs = make_pairs(store, reader, np.tile(np.arange(12), 300), 10_000, 0.0, _rng())
    offsets = np.frombuffer(reader.packed_offsets(0, store.num_sentences + 1), np.int64)
    assert set(pairs.starts_b[pairs.is_random]) == set(offsets[:-1])
    ends = pairs.starts_b + pairs.lengths_b
    assert set(ends[pairs.is_random]) == set(store.documents[1:, 1])


def test_random_segments_are_as_long_as_wanted_unless_their_document_ends(corpus):
    store, reader = corpus
    pairs = make_pairs(store, reader, np.tile(np.arange(12), 100), 100, 0.0, _rng())
    assert (pairs.lengths_a + pairs.lengths_b <= 97).all()
    is_short = pairs.is_random & (pairs.lengths_a + pairs.lengths_b < 97)
    assert 100 < is_short.sum() < pairs.is_random.sum() - 100
    assert set((pairs.starts_b + pairs.lengths_b)[is_short]) <= set(store.documents[:, 1])


def test_actual_next_segments_follow_at_once(corpus):
    store, reader = corpus
    pairs = make_pairs(store, reader, np.tile(np.arange(12), 100), 10_000, 0.0, _rng())
    actual = ~pairs.is_random
    assert actual.sum() > 300
    np.testing.assert_array_equal(
        (pairs.starts_a + pairs.lengths_a)[actual], pairs.starts_b[actual]
    )


def test_short_sequences(corpus):
    store, reader = corpus
    units = np.full(3000, 1)
    never = make_pairs(store, reader, units, 64, 0.0, _rng())
    always = make_pairs(store, reader, units, 64, 1.0, _rng())
    sometimes = make_pairs(store, reader, units, 64, 0.1, _rng())
    # Instances per document tell the targets apart: uniform in [2, 61] against 61.
    assert len(always) > 1.4 * len(never)
    expected = 0.9 * len(never) + 0.1 * len(always)
    assert len(sometimes) == pytest.approx(expected, rel=0.02)


def test_two_documents_are_enough(tmp_path, corpus):
    tokenizer = FullTokenizer(str(tmp_path / "vocab.txt"))
    (tmp_path / "two").write_text("w w\nw\n\nw\nw w w\n")
    store = build_token_store([str(tmp_path / "two")], tokenizer, str(tmp_path), False, 1)
    pairs = make_pairs(store, StoreReader(store), np.tile([0, 1], 500), 8, 0.5, _rng())
    in_first = np.stack([pairs.starts_a, pairs.starts_b]) < 3
    np.testing.assert_array_equal(pairs.is_random, in_first[0] != in_first[1])
