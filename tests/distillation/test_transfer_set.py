"""Duplicates, order, nested sizes and leaks of transfer sets."""

from __future__ import annotations

import gzip
import lzma
import random
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from data.texts import Text, TextSource
from distillation import transfer_set
from distillation.leaks import LeakIndex
from distillation.subsets import subset_paths, write_subsets
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


def test_subset_paths() -> None:
    assert subset_paths("x/a.txt", [], False) == {"x/a.txt": None}
    assert subset_paths("a.b.tsv.xz", ["500", "20k", "1M"], True) == {
        "a.b-500.tsv.xz": 500,
        "a.b-20k.tsv.xz": 20_000,
        "a.b-1M.tsv.xz": 1_000_000,
    }


@pytest.mark.parametrize(
    ("path", "are_pairs"), [("a.csv", False), ("a.txt", True), (".txt", False), ("a.zip", True)]
)
def test_endings_that_say_no_format(path: str, are_pairs: bool) -> None:
    with pytest.raises(UserError, match="--output_file.*must end in"):
        subset_paths(path, [], are_pairs)


@pytest.mark.parametrize("size", ["", "0", "1.5k", "-3", "1 k", "5G", "1K"])
def test_sizes_that_are_no_numbers(size: str) -> None:
    with pytest.raises(UserError, match=f'--sizes: "{size}" is no number'):
        subset_paths("a.txt", [size], False)


def write(folder: Path, paths: dict[str, int | None], *sources: TextSource) -> dict[str, list[int]]:
    shuffler = TextShuffler(None, 5)
    add_sources(sources, shuffler, LeakIndex([]), False)
    counts, num_texts = write_subsets(
        shuffler, {str(folder / name): size for name, size in paths.items()}, len(sources)
    )
    assert num_texts == 1000
    return {Path(path).name: n.tolist() for path, n in counts.items()}


def test_smaller_sets_are_the_beginning_of_larger_ones(tmp_path: Path) -> None:
    a, b = source("a", *TEXTS[:400], "Text number 2!"), source("b", *TEXTS[300:])
    counts = write(tmp_path, {"7.txt": 7, "all.txt": None, "500.txt": 500, "1000.txt": 1000}, a, b)
    texts = {name: (tmp_path / name).read_text() for name in counts}
    assert texts["all.txt"] == texts["1000.txt"]
    assert sorted(texts["all.txt"].splitlines()) == sorted(TEXTS)
    for name, size in (("7.txt", 7), ("500.txt", 500)):
        assert texts[name].count("\n") == size
        assert texts["all.txt"].startswith(texts[name])
        from_a = sum(int(line.split()[-1]) < 400 for line in texts[name].splitlines())
        assert counts[name] == [from_a, size - from_a]
    assert counts["all.txt"] == [400, 600]


def test_compressed_files_are_reproducible(tmp_path: Path) -> None:
    names = {"a.txt": None, "a.txt.gz": None, "a.txt.xz": None}
    (tmp_path / "a.txt.gz.json").write_text("{}")
    write(tmp_path, names, source("a", *TEXTS))
    plain = (tmp_path / "a.txt").read_bytes()
    compressed = (tmp_path / "a.txt.gz").read_bytes()
    assert gzip.decompress(compressed) == plain
    assert lzma.decompress((tmp_path / "a.txt.xz").read_bytes()) == plain
    # The manifest of an earlier set does not stay beside a new one.
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    # No time of writing in the header.
    assert compressed[4:8] == bytes(4)


def test_too_few_texts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("earlier\n")
    message = r"b\.txt is to hold 1001 texts, but there are {} only"
    with pytest.raises(UserError, match=message.format(1000)):
        write(tmp_path, {"a.txt": 3, "b.txt": 1001}, source("a", *TEXTS, "text number 1"))
    with pytest.raises(UserError, match=message.format(2)):
        write(tmp_path, {"a.txt": 2, "b.txt": 1001}, source("a", "x", "x"))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["earlier\n"]
