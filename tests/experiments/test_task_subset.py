"""The choice of the rows that keep their labels."""

from __future__ import annotations

import collections
import pathlib

import pytest

from classification.tasks import get_task
from common.errors import UserError
from experiments.task_subset import stratified_choice, write_subset


@pytest.mark.parametrize("number", [1, 4, 10, 37, 100])
def test_labels_keep_their_shares(number: int) -> None:
    labels = ["a"] * 50 + ["b"] * 30 + ["c"] * 20
    chosen = stratified_choice(labels, number, seed=3)
    assert len(set(chosen)) == number
    counts = collections.Counter(labels[i] for i in chosen)
    for label, share in (("a", 0.5), ("b", 0.3), ("c", 0.2)):
        assert abs(counts[label] - share * number) < 1
    assert chosen == stratified_choice(labels, number, seed=3)
    assert number in (1, 100) or set(chosen) != set(stratified_choice(labels, number, seed=4))


def test_smaller_choice_is_part_of_the_larger_one() -> None:
    labels = ["a", "b"] * 50
    small, large = (set(stratified_choice(labels, n, seed=1)) for n in (10, 40))
    assert small < large


def test_too_few_examples() -> None:
    with pytest.raises(UserError, match="--num_labels=5, but there are 2 training examples"):
        stratified_choice(["a", "b"], 5, seed=1)


def test_cells_hold_no_line_ends(tmp_path: pathlib.Path) -> None:
    """A score is a number also with a line end around it; a row of the table is one line."""
    folder = tmp_path / "task"
    folder.mkdir()
    for name in ("train", "dev"):
        (folder / f"{name}.csv").write_text('text,y\n"a\n\tb","1.5\n"\nc,2\n')
    task = get_task("csv", str(folder), text_a="text", label="y", regression=True)
    write_subset(task, str(folder), 0, 1, str(tmp_path / "out"))
    for name in ("train", "dev"):
        lines = (tmp_path / "out" / f"{name}.tsv").read_text().splitlines()
        assert (lines[0], sorted(lines[1:])) == ("text_a\tlabel", ["a b\t1.5", "c\t2"])
