"""Spearman similarity of corpora against scipy, and its bootstrap against resampled documents."""

from __future__ import annotations

import collections
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import spearmanr

from common.errors import UserError
from data.texts import TextSource
from distillation import corpus_similarity
from distillation.corpus_similarity import (
    AS_PRINTED,
    SPEARMAN,
    VOCABULARIES,
    BlockCounts,
    Corpus,
    Similarity,
    measure,
    read_blocks,
    text_size,
    word_counter,
)


def documents(
    seed: int, count: int, num_words: int = 300, exponent: float = 1.0, noise: float = 0.3
) -> list[str]:
    """Documents of a vocabulary of their own frequencies, uneven from one to the next."""
    rng = np.random.default_rng(seed)
    weights = np.arange(1, num_words + 1) ** -exponent * rng.lognormal(0, noise, num_words)
    names = [f"w{i}" for i in range(num_words)]
    made = []
    for _ in range(count):
        own = weights * rng.lognormal(0, 1, num_words)
        made.append(" ".join(rng.choice(names, rng.integers(20, 80), p=own / own.sum())))
    return made


def corpus(texts: Sequence[str], num_bytes: int = 0, name: str = "corpus") -> Corpus:
    source = TextSource("a", lambda: ((f"a:{i}", text, None) for i, text in enumerate(texts)))
    return Corpus(name, map(word_counter(), read_blocks([source], num_bytes)))


def compare(
    a: Sequence[str], b: Sequence[str], num_words: int = 100, num_samples: int = 0
) -> dict[str, Similarity]:
    return measure((corpus(a), corpus(b)), num_words, num_samples, random_seed=1)


def test_against_scipy() -> None:
    a, b = documents(0, 400), documents(1, 300)
    count_a, count_b = (
        collections.Counter(word for text in texts for word in text.split()) for texts in (a, b)
    )
    shares = {w: count_a[w] / count_a.total() + count_b[w] / count_b.total() for w in count_a}
    for choice, frequencies in (("a", count_a), ("b", count_b), ("joint", shares)):
        found = compare(a, b, 50)[choice]
        cut = sorted(frequencies.values())[-50]
        assert {w for w in frequencies if frequencies[w] > cut} <= set(found.words)
        assert min(frequencies[w] for w in found.words) == cut
        assert found.frequencies.tolist() == [
            [count[word] for word in found.words] for count in (count_a, count_b)
        ]
        values = [frequencies[w] for w in found.words]
        assert values == sorted(values, reverse=True)
        # With ties, the formula of d differs a little from Pearson's correlation of the ranks.
        expected = spearmanr(*found.frequencies).statistic
        np.testing.assert_allclose(found.value(SPEARMAN), expected, atol=0.002)
        np.testing.assert_allclose(
            1 - found.value(AS_PRINTED), (1 - found.value(SPEARMAN)) / 6, rtol=1e-12
        )


def test_exact_without_ties() -> None:
    rng = np.random.default_rng(0)
    counts = [rng.permutation(np.arange(20, 60)), rng.permutation(np.arange(20, 60))]
    texts = [[" ".join(f"w{i} " * n for i, n in enumerate(count))] for count in counts]
    found = compare(texts[0], texts[1], num_words=40)
    for choice in VOCABULARIES:
        assert (found[choice].num_tied, found[choice].num_missing) == (0, (0, 0))
        np.testing.assert_allclose(found[choice].value(SPEARMAN), spearmanr(*counts).statistic)


def test_ranks_ties_and_missing_words() -> None:
    a = ["x x x x y y y z z v", "u"]
    b = ["y y y y y z z z x x q q q q q q q"]
    found = compare(a, b, num_words=3)
    by_a = found["a"]
    assert by_a.words == ["x", "y", "z"]
    assert by_a.ranks.tolist() == [[1, 2, 3], [3, 1, 2]]
    assert by_a.value(SPEARMAN) == pytest.approx(1 - 6 * 6 / 24)
    assert by_a.value(AS_PRINTED) == pytest.approx(1 - 6 / 24)
    by_b = found["b"]
    assert by_b.words == ["q", "y", "z"]
    assert by_b.ranks.tolist() == [[3, 1, 2], [1, 2, 3]]
    assert (by_b.num_missing, by_b.num_tied) == ((1, 0), 0)
    all_of_a = compare(a, ["x y y u k"], num_words=4)["a"]
    assert all_of_a.words == ["x", "y", "z", "u"]
    assert all_of_a.ranks.tolist() == [[1, 2, 3, 4], [2.5, 1, 4, 2.5]]
    assert (all_of_a.num_missing, all_of_a.num_tied) == ((0, 1), 2)


def test_of_equally_common_words_the_first_in_the_alphabet_are_ranked() -> None:
    words = [f"w{i:03d}" for i in range(200)]
    found = compare([" ".join(words[::-1])], [" ".join(words)], num_words=30)
    for choice in VOCABULARIES:
        assert found[choice].words == words[:30]


def test_the_smaller_corpus_weighs_as_much_in_the_joint_vocabulary() -> None:
    a, b = ["m m m n n o"] * 1000, ["p p p q q r"]
    assert compare(a, b, num_words=2)["joint"].words == ["m", "p"]


def test_a_corpus_is_like_itself() -> None:
    texts = documents(0, 100)
    found = compare(texts, texts[::-1], num_samples=50)
    for choice in VOCABULARIES:
        assert found[choice].value(SPEARMAN) == found[choice].value(AS_PRINTED) == 1
        low, high = found[choice].interval(SPEARMAN) or (0, 0)
        assert 0.5 < low < high < 1


def test_words_that_no_block_is_full_of_are_found() -> None:
    # 4,000 words, each with a share of 1/4000 in all, less than what is looked at first.
    words = [f"w{i}" for i in range(4000)]
    a = [" ".join(words)] * 3 + [" ".join(words[:120])]
    b = [" ".join(words)] * 3 + [" ".join(words[60:180])]
    found = compare(a, b)
    assert set(found["a"].words) <= set(words[:120])
    assert set(found["joint"].words[:60]) == set(words[60:120])
    assert found["b"].frequencies[1].tolist() == [4] * 100


def test_a_word_of_the_last_block_only_is_found() -> None:
    a = documents(0, 500) + ["late " * 5000]
    b = documents(1, 500)
    found = compare(a, b)
    assert found["a"].words[0] == "late"
    assert found["a"].frequencies[:, 0].tolist() == [5000, 0]


def test_bootstrap_is_that_of_documents() -> None:
    texts = documents(0, 400), documents(1, 400)
    # Blocks of two documents.
    blocks = tuple(corpus(some, 400 * 500) for some in texts)
    assert 100 < blocks[0].num_blocks < 250
    found = measure((blocks[0], blocks[1]), 50, 400, random_seed=1)
    rng = np.random.default_rng(0)
    values = []
    for _ in range(60):
        drawn = [[some[i] for i in rng.integers(0, 400, 400)] for some in texts]
        again = measure((corpus(drawn[0], 1 << 40), corpus(drawn[1], 1 << 40)), 50, 0, 0)
        values.append([again[choice].distance for choice in VOCABULARIES])
    for choice, expected in zip(VOCABULARIES, np.transpose(values), strict=True):
        samples = found[choice].samples
        assert samples.std() == pytest.approx(expected.std(), rel=0.35)
        assert samples.mean() == pytest.approx(expected.mean(), rel=0.1)
        low, high = found[choice].interval(SPEARMAN) or (0, 0)
        values_of_samples = 1 - 6 * samples
        assert np.mean((values_of_samples >= low) & (values_of_samples <= high)) == 0.95


def test_samples_depend_on_the_seed_alone() -> None:
    corpora = corpus(documents(0, 50)), corpus(documents(1, 50))
    first, second = (measure(corpora, 50, 20, random_seed=7)["joint"].samples for _ in range(2))
    other = measure(corpora, 50, 20, random_seed=-7)["joint"].samples
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()
    assert measure(corpora, 50, 0, random_seed=7)["joint"].interval(SPEARMAN) is None


def test_too_few_words() -> None:
    a, b = corpus(["x y z"], name="--corpus_a"), corpus(["x y"], name="--corpus_b")
    with pytest.raises(
        UserError, match="--corpus_b has 2 different words, fewer than --num_words=3"
    ):
        measure((a, b), 3, 0, 0)
    assert measure((a, b), 2, 0, 0)["a"].words == ["x", "y"]
    with pytest.raises(UserError, match="empty holds no words"):
        corpus(["...", "!"], name="empty")


def test_blocks_are_of_about_equal_size() -> None:
    rows = [(f"a:{i}", "x" * 99, "y" if i % 2 else None) for i in range(10_000)]
    sources = [
        TextSource("a", lambda: iter(rows[:4000])),
        TextSource("b", lambda: iter(rows[4000:])),
    ]
    blocks = list(read_blocks(sources, 1_000_000))
    assert sum(block.num_texts for block in blocks) == 10_000
    assert [block.num_texts for block in blocks] == [20] * 500
    assert sum(block.text.count("y") for block in blocks) == 5000
    assert len(list(read_blocks(sources, 100))) == 10_000
    assert len(list(read_blocks(sources, 1 << 60))) == 1


def test_units_of_a_long_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"a{i // 10} b" for i in range(100)]
    made = corpus(texts)
    assert (made.num_texts, made.num_blocks, made.num_words) == (100, 100, 200)
    counts = made.count([b"a3", b"b", b"c"], 10)
    expected = np.zeros((10, 4))
    expected[3, 0] = 10
    expected[:, 1] = 10
    expected[:, 3] = 20
    np.testing.assert_array_equal(counts, expected)
    assert made.count([b"b"], 1000).shape == (100, 2)
    monkeypatch.setattr(corpus_similarity, "_NUM_BLOCKS", 10)
    assert measure((made, made), 2, 5, 0)["a"].value(SPEARMAN) == 1


def test_memory_does_not_grow_with_the_corpus() -> None:
    def blocks(count: int) -> list[int]:
        tracemalloc.start()
        made = Corpus(
            "a",
            (
                BlockCounts(1, {f"w{i * 300 + j}".encode(): 1 for j in range(300)} | {b"the": 99})
                for i in range(count)
            ),
        )
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        made.close()
        return peak

    assert blocks(100) < 1.5 * blocks(10)


def test_text_size(tmp_path) -> None:
    (tmp_path / "a.txt").write_text("x" * 10)
    (tmp_path / "a.txt.xz").write_text("x" * 5)
    assert text_size([str(tmp_path / "a.txt"), str(tmp_path / "a.txt.xz")]) == 25
