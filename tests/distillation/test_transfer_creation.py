"""A transfer set as a call from Python."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Iterator

import pytest

from common.errors import UserError
from common.outputs import release_locks
from distillation.transfer_creation import TransferOptions, run


@pytest.fixture
def options(tmp_path: pathlib.Path) -> Iterator[TransferOptions]:
    """Of texts with a duplicate, an empty one, and one that quotes a text of the test set."""
    texts = [
        *(f"film number {i}" for i in range(20)),
        "Film number 3",
        "",
        "He said: the film's plot is a bore.",
    ]
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n")
    (tmp_path / "test.txt").write_text("the film 's plot is a bore .\n")
    yield TransferOptions(
        input_file=str(tmp_path / "texts.txt"),
        exclude_file=str(tmp_path / "test.txt"),
        output_file=str(tmp_path / "out" / "set.txt"),
        sizes=("5", "20"),
        drop_leaks=True,
    )
    release_locks()


def test_sizes_are_nested_and_described(options: TransferOptions, tmp_path: pathlib.Path) -> None:
    run(options)
    small, whole = (
        (tmp_path / "out" / f"set-{size}.txt").read_text().splitlines() for size in (5, 20)
    )
    assert small == whole[:5]
    assert sorted(map(str.lower, whole)) == sorted(f"film number {i}" for i in range(20))
    manifest = json.loads((tmp_path / "out" / "set-5.txt.json").read_text())
    assert (manifest["num_texts"], manifest["num_duplicates"]) == (5, 1)
    assert manifest["leaks"]["num_texts"] == 1
    (source,) = manifest["sources"]
    assert (source["num_rows"], source["num_empty"], source["num_leaking"]) == (22, 0, 1)


def test_leaks_have_to_be_decided_upon(options: TransferOptions, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="1 texts of the transfer set hold 1 dev or test examples"):
        run(dataclasses.replace(options, drop_leaks=False))
    release_locks()
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("glue/SST-2", '--input_task: "glue/SST-2" must be TASK:FOLDER'),
        ("csv:folder", "--input_task=csv:folder: for tables of your own, pass the files"),
    ],
)
def test_tasks_that_are_none(options: TransferOptions, task: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(dataclasses.replace(options, input_task=[task]))
