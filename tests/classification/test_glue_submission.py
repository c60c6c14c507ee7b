"""Files for the GLUE server."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from classification import glue_submission
from classification.glue_submission import ARCHIVE, TEST_SETS, GlueSubmission, GlueTestSet
from classification.task import Task
from classification.tasks import TASKS, get_task
from common.errors import UserError

SIZE = 4
# What the server calls its files, one by one, and how many rows it wants in each.
FILES = {
    "CoLA": 1063,
    "SST-2": 1821,
    "MRPC": 1725,
    "STS-B": 1379,
    "QQP": 390965,
    "MNLI-m": 9796,
    "MNLI-mm": 9847,
    "QNLI": 5463,
    "RTE": 3000,
    "WNLI": 146,
    "AX": 1104,
}


def test_names_and_sizes_of_the_eleven_files() -> None:
    assert {s.name: s.num_examples for sets in TEST_SETS.values() for s in sets} == FILES
    glue = [task for task in TASKS if task.name in TEST_SETS]
    assert len(glue) == len(TEST_SETS)
    assert all(len(task.test) == len(TEST_SETS[task.name]) for task in glue)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark with four examples in each test set."""
    sets = {
        task: tuple(GlueTestSet(test_set.name, SIZE) for test_set in test_sets)
        for task, test_sets in TEST_SETS.items()
    }
    monkeypatch.setattr(glue_submission, "TEST_SETS", sets)


def write_test_sets(task: Task, folder: Path, indexes: Sequence[object] = range(SIZE)) -> str:
    """Test tables of a task with these indexes in their first column."""
    folder.mkdir(exist_ok=True)
    for file in task.test:
        lines = ["\t".join([str(index), *["x"] * 9]) for index in indexes]
        (folder / f"{file.name}.tsv").write_text(
            "\n".join(["\t".join("i123456789"), *lines]) + "\n"
        )
    return str(folder)


def outputs_of(task: Task) -> list[np.ndarray]:
    """Class i mod n for the i-th example; scores 0.5, 1.5, ..."""
    if task.is_regression:
        return [np.arange(SIZE, dtype=np.float32)[:, None] + 0.5]
    row = np.eye(task.num_outputs, dtype=np.float32)[np.arange(SIZE) % task.num_outputs]
    return [0.1 + 0.5 * row for _ in task.test]


def table(folder: Path, name: str) -> list[list[str]]:
    lines = (folder / f"{name}.tsv").read_text().splitlines()
    assert lines[0] == "index\tprediction"
    return [line.split("\t") for line in lines[1:]]


@pytest.mark.usefixtures("small")
def test_the_last_task_makes_the_archive(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    out = tmp_path / "submission"
    glue = [get_task(name, "") for name in TEST_SETS]
    for position, task in enumerate(glue):
        assert not (out / ARCHIVE).exists()
        data = write_test_sets(task, tmp_path / task.name)
        caplog.clear()
        GlueSubmission(str(out), task, data).write(outputs_of(task))
        if position == 7:
            assert caplog.messages == [
                f"GLUE submission in {out}: 9 of 11 files; {ARCHIVE} will be made once WNLI.tsv, "
                "AX.tsv are there, too."
            ]
    assert caplog.messages[-1] == f"GLUE submission: {out / ARCHIVE} is complete."
    with zipfile.ZipFile(out / ARCHIVE) as archive:
        assert sorted(archive.namelist()) == sorted(f"{name}.tsv" for name in FILES)
        for name in archive.namelist():
            assert archive.read(name) == (out / name).read_bytes()
    words = {"MNLI-m": "contradiction", "MNLI-mm": "contradiction", "AX": "contradiction"}
    words |= {"QNLI": "entailment", "RTE": "entailment", "STS-B": "0.50000"}
    for name in FILES:
        assert [index for index, _ in table(out, name)] == ["0", "1", "2", "3"]
        assert table(out, name)[0][1] == words.get(name, "0")
    assert [p for _, p in table(out, "AX")] == [
        "contradiction",
        "entailment",
        "neutral",
        "contradiction",
    ]
    # The same predictions make the same archive.
    before = (out / ARCHIVE).read_bytes()
    (out / ARCHIVE).unlink()
    GlueSubmission(str(out), glue[0], str(tmp_path / "cola")).write(outputs_of(glue[0]))
    assert (out / ARCHIVE).read_bytes() == before


@pytest.mark.usefixtures("small")
def test_predictions_go_by_index_and_scores_stay_in_range(tmp_path: Path) -> None:
    task = get_task("sts-b", "")
    data = write_test_sets(task, tmp_path / "data", [2, 0, 3, 1])
    scores = np.array([[5.25], [-0.5], [3.1234567], [0.0]], np.float32)
    GlueSubmission(str(tmp_path), task, data).write([scores])
    assert table(tmp_path, "STS-B") == [
        ["0", "0.00000"],
        ["1", "0.00000"],
        ["2", "5.00000"],
        ["3", "3.12346"],
    ]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("indexes", "message"),
    [
        ([0, 1, 3], r"cover the test set of MRPC: .* has 3 of its 4 .* missing is index 2"),
        ([0, 1, 1, 3], r"test\.tsv, line 4: index 1 stands at .*line 3 already"),
        ([0, 1, 2, 3, 4], r'test\.tsv, line 6: found the index "4", .* MRPC go from 0 to 3'),
        (["a"], r'test\.tsv, line 2: found the index "a"'),
        (["-1"], r'found the index "-1"'),
        ([""], r'found the index ""'),
    ],
)
def test_test_sets_that_are_not_the_servers(
    tmp_path: Path, indexes: Sequence[object], message: str
) -> None:
    task = get_task("mrpc", "")
    data = write_test_sets(task, tmp_path / "data", indexes)
    with pytest.raises(UserError, match=message):
        GlueSubmission(str(tmp_path / "out"), task, data)
    assert not (tmp_path / "out").exists()


def test_a_task_that_is_not_part_of_glue(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="task snli is not part of GLUE, which has cola, .*, ax"):
        GlueSubmission(str(tmp_path), get_task("snli", str(tmp_path)), str(tmp_path))
