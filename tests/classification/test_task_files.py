"""Rows of the files of tasks."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest
from task_tables import columns, read_rows, write_table

from classification.task import Task
from classification.task_files import TableFile, find_file
from classification.tasks import get_task
from common.errors import UserError


@pytest.mark.parametrize("score", ["", "high", "nan", "inf", "1,5"])
def test_scores_must_be_numbers(tmp_path: Path, score: str) -> None:
    write_table(tmp_path, "dev.tsv", columns(10), columns(10, c9="0.000"), columns(10, c9=score))
    task = get_task("STS-B", str(tmp_path))
    assert task.is_regression and task.num_outputs == 1
    with pytest.raises(UserError, match=rf'line 3: found the score "{score}", expected a number'):
        read_rows(task, task.dev[0], tmp_path)


def test_a_label_may_stand_last(tmp_path: Path) -> None:
    task = Task(
        "nli",
        labels=("no", "maybe", "yes"),
        metrics=("accuracy",),
        dev=tuple(TableFile(f"dev_{kind}", 0, 1, -1) for kind in ("matched", "mismatched")),
    )
    write_table(tmp_path, "dev_matched.tsv", "a\tb\tlabel", "x\ty\tmaybe")
    write_table(tmp_path, "dev_mismatched.tsv", "a\tb\tlabel1\tlabel2\tlabel", "x\ty\tno\tno\tyes")
    found = [(e.example_id, e.label) for file in task.dev for e in read_rows(task, file, tmp_path)]
    assert found == [("dev_matched-1", "maybe"), ("dev_mismatched-1", "yes")]


def test_unknown_label(tmp_path: Path) -> None:
    write_table(tmp_path, "dev.tsv", "sentence\tlabel", "fine\t1", "odd\tpositive")
    task = get_task("sst-2", str(tmp_path))
    with pytest.raises(UserError, match=r'dev\.tsv, line 3: unknown label "positive".*0, 1'):
        read_rows(task, task.dev[0], tmp_path)


def test_row_with_too_few_columns(tmp_path: Path) -> None:
    write_table(tmp_path, "dev.tsv", "sentence\tlabel", "fine\t1", "no label")
    task = get_task("sst-2", str(tmp_path))
    with pytest.raises(UserError, match=r"dev\.tsv, line 3: found 1 column, expected at least 2"):
        read_rows(task, task.dev[0], tmp_path)


def test_file_without_rows(tmp_path: Path) -> None:
    write_table(tmp_path, "dev.tsv", "sentence\tlabel")
    task = get_task("sst-2", str(tmp_path))
    with pytest.raises(UserError, match=r"dev\.tsv holds no examples"):
        read_rows(task, task.dev[0], tmp_path)


def test_missing_file_is_told_before_reading(tmp_path: Path) -> None:
    task = get_task("sst-2", str(tmp_path))
    with pytest.raises(UserError, match=r"dev\.tsv .*is missing; task sst-2"):
        task.read_examples(task.dev[0], str(tmp_path))


def test_compressed_tables_stand_in_for_plain_ones(tmp_path: Path) -> None:
    content = "label\ttext\nneutral\tso so\n"
    (tmp_path / "train.tsv.xz").write_bytes(lzma.compress(content.encode()))
    assert find_file(str(tmp_path), ("train.tsv",), "tsv").endswith("train.tsv.xz")
    (tmp_path / "train.tsv").write_text(content)
    assert find_file(str(tmp_path), ("train.tsv",), "tsv").endswith("train.tsv")
