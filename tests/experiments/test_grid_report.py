"""The tables of a grid search, from results that were made by hand."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import statistics
from typing import Any

import pytest

from experiments.grid_report import write_report
from experiments.grid_search import Cell, CellResult, Grid, GridResults

GRID = Grid(
    script="/somewhere/script.py",
    arguments=("--task_name=x",),
    output_dir="",
    train_batch_sizes=(8, 16),
    learning_rates=(3e-4, 5e-5),
    num_train_epochs=4.0,
    seeds=(1, 2, 3),
    predict=False,
)


def result(batch_size: int, rate: float, seed: int, accuracy: float, step: int) -> CellResult:
    metrics = {"eval_loss": 1 - accuracy, "eval_accuracy": accuracy}
    cell = Cell(batch_size, rate, seed)
    return CellResult(cell, f"runs/{cell.name}", accuracy, step, metrics, seconds=61.26)


CELLS = [
    result(8, 3e-4, 1, 0.5, 10),
    result(8, 5e-5, 1, 0.8, 1020),
    result(16, 3e-4, 1, 0.8, 10),
    result(16, 5e-5, 1, 0.75, 10),
]
CHOSEN = [CELLS[1], result(8, 5e-5, 2, 0.4, 20), result(8, 5e-5, 3, 0.9, 10)]


def report(folder: pathlib.Path, results: GridResults, **changes: Any) -> tuple[str, Any]:
    """Content of results.md and of results.json."""
    grid = dataclasses.replace(GRID, output_dir=str(folder), **changes)
    text = write_report(grid, results)
    assert (folder / "results.md").read_text() == text
    return text, json.loads((folder / "results.json").read_text())


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_report(tmp_path: pathlib.Path) -> None:
    chosen = [dataclasses.replace(run, predictions=f"{run.folder}.tsv") for run in CHOSEN]
    text, saved = report(tmp_path, GridResults(CELLS, chosen), predict=True)
    table = rows(text)
    measured = ["dev score", "eval_loss", "eval_accuracy", "updates", "seconds"]
    assert table[0] == ["batch size", "learning rate", *measured]
    assert table[1] == ["8", "0.0003", "0.5000", "0.5000", "0.5000", "10", "61"]
    best = ("8", "5e-05", "0.8000", "0.2000", "0.8000", "1,020", "61")
    assert table[2] == [f"**{x}**" for x in best]
    assert table[5] == ["seed", *measured]
    assert [row[:3] for row in table[6:9]] == [
        ["1", "0.8000", "0.2000"],
        ["2", "0.4000", "0.6000"],
        ["3", "0.9000", "0.1000"],
    ]
    # Of a sample: 0.2646; of a population it would be 0.2160.
    assert table[9][:3] == ["mean ± sd", "0.7000 ± 0.2646", "0.3000 ± 0.2646"]
    assert "batch size 8, learning rate 5e-05, 4 epochs" in text
    assert "standard deviation over 3 runs with seeds 1, 2, 3; seed 1 is also" in text
    assert "* `runs/batch8_lr5e-05_seed3.tsv`" in text

    assert [cell["score"] for cell in saved["cells"]] == [0.5, 0.8, 0.8, 0.75]
    assert saved["script"] == "script.py" and saved["arguments"] == ["--task_name=x"]
    chosen = saved["chosen"]
    assert (chosen["train_batch_size"], chosen["learning_rate"]) == (8, 5e-5)
    assert [run["seed"] for run in chosen["runs"]] == [1, 2, 3]
    assert chosen["runs"][1]["metrics"]["eval_accuracy"] == 0.4
    assert chosen["mean"]["score"] == pytest.approx(0.7)
    deviation = chosen["sample_standard_deviation"]["eval_accuracy"]
    assert deviation == pytest.approx(statistics.stdev([0.8, 0.4, 0.9]))


def test_report_of_one_seed(tmp_path: pathlib.Path) -> None:
    text, saved = report(tmp_path, GridResults(CELLS, CHOSEN[:1]), seeds=(1,))
    assert "±" not in text and "Predictions" not in text
    assert saved["chosen"]["sample_standard_deviation"]["score"] is None
    assert "predictions" not in saved["chosen"]["runs"][0]
