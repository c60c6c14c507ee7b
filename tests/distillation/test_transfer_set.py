"""Duplicates, order and leaks of transfer sets."""

from __future__ import annotations

import random

import numpy as np
import pytest

from common.errors import UserError
from data.texts import Text, TextSource
from distillation import transfer_set
from distillation.leaks import LeakIndex
from distillation.transfer_set import LeakReport, SourceCounts, TextShuffler, add_sources, all_pairs


def source(name: str, *texts: str | tuple[str, str]) -> TextSource:
    rows: list[Text] = [
        (f"{name}:{i}", *((text, None) if isinstance(text, str) else text))
        for i, text in enumerate(texts)
    ]
    return TextSource(name, lambda: iter(rows))


def build(
    *sources: TextSource,
    seed: int = 0,
    excluded: tuple[TextSource, ...] = (),
    drop_leaks: bool = False,
) -> tuple[list[str], list[SourceCounts], LeakReport]:
    shuffler = TextShuffler(None, seed)
    counts, leaks = add_sources(sources, shuffler, LeakIndex(excluded), drop_leaks)
    lines = [line.decode() for _, some in shuffler.shuffled() for line in some]
    shuffler.close()
    return lines, counts, leaks


TEXTS = [f"text number {i}" for i in range(1000)]


def test_every_text_once_in_random_order() -> None:
    lines, counts, _ = build(source("a", *TEXTS))
    assert sorted(lines) == sorted(TEXTS)
    ranks = np.array([TEXTS.index(line) for line in lines])
    assert abs(np.corrcoef(ranks, np.arange(1000))[0, 1]) < 0.1
    assert counts == [SourceCounts(num_rows=1000)]


def test_order_depends_on_the_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, _, _ = build(source("a", *TEXTS))
    assert build(source("a", *TEXTS), seed=-1)[0] != lines
    monkeypatch.setattr(transfer_set, "_CHUNK_CHARACTERS", 50)
    monkeypatch.setattr(transfer_set, "_NUM_PARTS", 4)
    shuffled = random.Random(0).sample(TEXTS, len(TEXTS))
    assert build(source("a", *shuffled[:300]), source("b", *shuffled[300:]))[0] == lines


def test_the_first_of_duplicates_is_kept() -> None:
    lines, counts, _ = build(
        source("a", "It's fine.", "x", "It 's fine !", "..."),
        source("b", "IT'S FINE", "X", "y", "!?", "..."),
    )
    assert sorted(lines) == ["!?", "...", "It's fine.", "x", "y"]
    assert [count.num_rows for count in counts] == [4, 5]


def test_pairs_are_duplicates_if_both_texts_are() -> None:
    pairs = [("a", "b"), ("b", "a"), ("A", "b."), ("ab", "c"), ("a", "bc"), ("?", "!"), ("?", "?")]
    lines, _, _ = build(source("a", *pairs))
    assert sorted(lines) == sorted(["a\tb", "b\ta", "ab\tc", "a\tbc", "?\t!", "?\t?"])


def test_tabs_line_ends_and_empty_texts() -> None:
    lines, counts, _ = build(source("a", " one\ttwo\nthree ", " ", "", "\u00e9"))
    assert sorted(lines) == ["one two three", "\u00e9"]
    assert counts == [SourceCounts(num_rows=4, num_empty=2)]
    lines, counts, _ = build(source("a", ("a\tb", "c\nd "), ("a", " "), ("", "b"), ("", "")))
    assert lines == ["a b\tc d"]
    assert counts == [SourceCounts(num_rows=4, num_empty=3)]


def test_leaks_are_counted_and_left_out_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer_set, "_CHUNK_CHARACTERS", 60)
    monkeypatch.setattr(transfer_set, "_NUM_NAMED_LEAKS", 3)
    sentence = "this is a sentence of the test set"
    a = source("a", "Short!", *TEXTS[:50], f"I say: {sentence}.", "other")
    b = source("b", sentence, "short", "text")
    dev, test = source("dev", "short", "missing"), source("test", sentence)
    for drop_leaks in (True, False):
        lines, counts, leaks = build(a, b, excluded=(dev, test), drop_leaks=drop_leaks)
        assert [count.num_leaking for count in counts] == [2, 2]
        assert (leaks.num_texts, leaks.num_examples) == (4, 2)
        assert leaks.first == [
            ("a:0", 'dev:0 ("short")'),
            ("a:51", f'test:0 ("{sentence}")'),
            ("b:0", f'test:0 ("{sentence}")'),
        ]
        kept = {*TEXTS[:50], "other", "text"}
        assert set(lines) == kept | (
            set() if drop_leaks else {"Short!", f"I say: {sentence}.", sentence}
        )


def test_single_texts_and_pairs_do_not_mix() -> None:
    single, pairs = source("a.txt", "x"), source("b.tsv", ("x", "y"))
    assert not all_pairs([single, single])
    assert all_pairs([pairs, pairs])
    with pytest.raises(UserError, match=r"b\.tsv holds pairs of texts, but a\.txt single texts"):
        all_pairs([single, pairs])
    with pytest.raises(UserError, match=r"a\.txt holds single texts, but b\.tsv pairs of texts"):
        all_pairs([pairs, single])
    with pytest.raises(UserError, match="c holds no text"):
        all_pairs([single, source("c")])
