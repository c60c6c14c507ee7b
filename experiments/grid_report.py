"""The results of a grid search as `results.json` and `results.md`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from common.machine import describe_machine
from common.markdown import table
from experiments.grid_search import CellResult, Grid, GridResults
from experiments.results import write_results
from experiments.scores import Score


def write_report(grid: Grid, results: GridResults) -> str:
    """Writes both files into the grid's folder and returns the content of `results.md`."""
    machine = describe_machine()
    columns = _columns(results.chosen)
    content = {
        "script": os.path.basename(grid.script),
        "arguments": grid.arguments,
        "num_train_epochs": grid.num_train_epochs,
        "cells": [_as_json(result) for result in results.cells],
        "chosen": {
            "train_batch_size": results.chosen[0].cell.train_batch_size,
            "learning_rate": results.chosen[0].cell.learning_rate,
            "runs": [_as_json(result) for result in results.chosen],
            "mean": {name: score.mean for name, score in columns.items()},
            "sample_standard_deviation": {name: score.deviation for name, score in columns.items()},
        },
        "machine": machine,
    }
    text = _markdown(grid, results, machine)
    write_results(grid.output_dir, content, text)
    return text


def _as_json(result: CellResult) -> dict[str, Any]:
    values = dataclasses.asdict(result)
    if not result.predictions:
        del values["predictions"]
    return {**values.pop("cell"), **values, "seconds": round(result.seconds, 1)}


def _columns(runs: Sequence[CellResult]) -> dict[str, Score]:
    """Name -> the values of all runs, the score first."""
    columns = {"score": [run.score for run in runs]}
    columns |= {name: [run.metrics[name] for run in runs] for name in runs[0].metrics}
    return {name: Score(tuple(values), digits=4) for name, values in columns.items()}


def _markdown(grid: Grid, results: GridResults, machine: str) -> str:
    best = results.chosen[0].cell
    seeds = ", ".join(str(seed) for seed in grid.seeds)
    measured = ["dev score", *results.cells[0].metrics, "updates", "seconds"]
    settings = []
    for result in results.cells:
        cell = result.cell
        cells = [str(cell.train_batch_size), f"{cell.learning_rate:g}", *_figures(result)]
        settings.append([f"**{text}**" for text in cells] if cell == best else cells)
    runs = [[str(run.cell.seed), *_figures(run)] for run in results.chosen]
    count = len(results.chosen)
    if count > 1:
        spread = map(str, _columns(results.chosen).values())
        runs.append(["mean ± sd", *spread, "", ""])
    lines = [
        *table(["batch size", "learning rate", *measured], settings),
        "",
        f"Chosen by dev score, the first of equal ones: batch size {best.train_batch_size}, learning "
        f"rate {best.learning_rate:g}, {grid.num_train_epochs:g} epochs. All of these runs have seed "
        f"{best.seed}.",
        "",
        *table(["seed", *measured], runs),
    ]
    if count > 1:
        lines += [
            "",
            f"Mean and sample standard deviation over {count} runs with seeds {seeds}; seed "
            f"{best.seed} is also the one the setting was chosen by.",
        ]
    if grid.predict:
        lines += ["", "Predictions of the test set:"]
        lines += [f"* `{run.predictions}`" for run in results.chosen]
    lines += [
        "",
        "Dev score: the metric of --best_metric, or else the task's official one or the mean of its "
        "two, at the best evaluation of a run. "
        "Updates: those of its model at that time, which is in the run's folder `best`. Seconds: of "
        f"the whole run, or of its last part if it was interrupted. Machine: {machine}.",
    ]
    return "\n".join(lines) + "\n"


def _figures(result: CellResult) -> list[str]:
    values = [f"{value:.4f}" for value in (result.score, *result.metrics.values())]
    return [*values, f"{result.step:,}", f"{result.seconds:.0f}"]
