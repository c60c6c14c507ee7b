"""Nested sets of texts, and the files that hold them."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from distillation.subsets import manifest_path, subset_paths, write_subsets

# From two sources in turn: that of the i-th text is i % 2.
TEXTS = [f"text number {i}".encode() for i in range(1000)]


class Shuffled:
    """Texts in a given order, in uneven parts."""

    def __init__(self, texts: list[bytes], num_added: int):
        self._texts, self.num_added = texts, num_added

    def shuffled(self) -> Iterator[tuple[np.ndarray, list[bytes]]]:
        for start, stop in ((0, 3), (3, 503), (503, len(self._texts))):
            yield np.arange(start, min(stop, len(self._texts))) % 2, self._texts[start:stop]


def write(
    folder: Path, paths: dict[str, int | None], texts: list[bytes] = TEXTS, num_added: int = 1200
) -> dict[str, list[int]]:
    in_folder = {str(folder / name): size for name, size in paths.items()}
    counts, num_texts = write_subsets(Shuffled(texts, num_added), in_folder, 2)
    assert num_texts == len(texts)
    return {Path(path).name: n.tolist() for path, n in counts.items()}


def test_names_of_the_files() -> None:
    assert subset_paths("x/a.txt", [], False) == {"x/a.txt": None}
    assert subset_paths("a.b.tsv.xz", ["500", "20k", "1M"], True) == {
        "a.b-500.tsv.xz": 500,
        "a.b-20k.tsv.xz": 20_000,
        "a.b-1M.tsv.xz": 1_000_000,
    }
    assert manifest_path("a-500.txt") == "a-500.txt.json"


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


def test_smaller_sets_are_the_beginning_of_larger_ones(tmp_path: Path) -> None:
    sizes = {"7.txt": 7, "all.txt": None, "503.txt": 503, "1000.txt": 1000, "1.txt": 1}
    counts = write(tmp_path, sizes)
    assert counts == {
        "1.txt": [1, 0],
        "7.txt": [4, 3],
        "503.txt": [252, 251],
        "1000.txt": [500, 500],
        "all.txt": [500, 500],
    }
    for name, size in sizes.items():
        expected = b"".join(text + b"\n" for text in TEXTS[:size])
        assert (tmp_path / name).read_bytes() == expected, name


def test_compressed_files_are_reproducible(tmp_path: Path) -> None:
    names = {"a.txt": None, "a.txt.gz": None, "a.txt.xz": None}
    (tmp_path / "a.txt.gz.json").write_text("{}")
    write(tmp_path, names)
    plain = (tmp_path / "a.txt").read_bytes()
    compressed = (tmp_path / "a.txt.gz").read_bytes()
    assert gzip.decompress(compressed) == plain
    assert lzma.decompress((tmp_path / "a.txt.xz").read_bytes()) == plain
    # The manifest of an earlier set does not stay beside a new one.
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    # No time of writing in the header.
    assert compressed[4:8] == bytes(4)


@pytest.mark.parametrize(
    ("num_added", "there_are"),
    [
        # Known before anything is read.
        (1000, 1000),
        # Known when the duplicates have been found.
        (1200, 600),
    ],
)
def test_too_few_texts(tmp_path: Path, num_added: int, there_are: int) -> None:
    (tmp_path / "a.txt").write_text("earlier\n")
    message = rf"b\.txt is to hold 1001 texts, but there are {there_are} only"
    with pytest.raises(UserError, match=message):
        write(tmp_path, {"a.txt": 3, "b.txt": 1001}, TEXTS[:600], num_added)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["earlier\n"]
