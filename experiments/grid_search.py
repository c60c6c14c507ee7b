"""Grid search over fine-tuning or distillation: one run per setting, the best one with more seeds.

Settings are compared by the development set alone: no run of the grid sees the test set. With
`Grid.predict` it is predicted at the end, by the runs of the chosen setting.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from absl import flags

from common.errors import UserError
from common.files import is_remote
from experiments.stages import Processes, Stage, run_stages
from training.metrics_log import best_evaluation

Number = TypeVar("Number", int, float)

# Flags of the scripts that the grid has values of its own for, and what to do instead.
STRING_FLAGS = {
    "output_dir": "pass --output_dir before the --",
    "num_train_epochs": "pass --num_train_epochs before the --",
    "train_batch_size": "pass --train_batch_sizes before the --",
    "learning_rate": "pass --learning_rates before the --",
    "random_seed": "pass --seeds before the --",
    "submission_dir": "make the submission of a run you choose, from its folder best",
}
BOOL_FLAGS = {
    "do_train": "every run of the grid trains",
    "do_eval": "every run of the grid is evaluated",
    "start_over": "pass --start_over before the --",
    "make_glue_submission": "make the submission of a run you choose, from its folder best",
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of the grid."""

    train_batch_size: int
    learning_rate: float
    seed: int

    @property
    def name(self) -> str:
        return f"batch{self.train_batch_size}_lr{self.learning_rate}_seed{self.seed}"


@dataclasses.dataclass(frozen=True)
class Grid:
    """Settings of a grid search.

    Attributes:
      script: Path of `run_classifier.py` or `run_distill.py`.
      arguments: Its flags, without those that the grid sets.
      output_dir: Each run has a folder in it.
      train_batch_sizes: Batch sizes to try, each with every learning rate.
      learning_rates: Learning rates to try, each with every batch size.
      num_train_epochs: Of every run.
      seeds: The whole grid runs with the first, the chosen setting with all of them.
      predict: Whether the runs of the chosen setting predict the test set.
    """

    script: str
    arguments: tuple[str, ...]
    output_dir: str
    train_batch_sizes: tuple[int, ...]
    learning_rates: tuple[float, ...]
    num_train_epochs: float
    seeds: tuple[int, ...]
    predict: bool

    def cells(self) -> list[Cell]:
        """The settings with the first seed, batch size by batch size."""
        settings = itertools.product(self.train_batch_sizes, self.learning_rates)
        return [Cell(batch_size, rate, self.seeds[0]) for batch_size, rate in settings]

    def folder(self, cell: Cell) -> str:
        return os.path.join(self.output_dir, cell.name)

    def training(self, cell: Cell) -> Stage:
        arguments = (
            "--do_train",
            "--do_eval",
            f"--output_dir={self.folder(cell)}",
            f"--train_batch_size={cell.train_batch_size}",
            f"--learning_rate={cell.learning_rate}",
            f"--num_train_epochs={self.num_train_epochs}",
            f"--random_seed={cell.seed}",
        )
        return Stage(cell.name, (sys.executable, self.script, *self.arguments, *arguments))

    def prediction(self, cell: Cell) -> Stage:
        """Predicts the test set with the best model of a run."""
        arguments = (
            "--do_predict",
            f"--init_checkpoint={os.path.join(self.folder(cell), 'best')}",
            f"--output_dir={self.folder(cell)}_predictions",
        )
        # Of a flag that is there twice, such as --init_checkpoint, the last counts.
        command = (sys.executable, self.script, *self.arguments, *arguments)
        return Stage(f"{cell.name}_predictions", command, needs=(cell.name,))


@dataclasses.dataclass(frozen=True)
class CellResult:
    """A finished run.

    Attributes:
      cell: Its setting and seed.
      folder: Its folder; its best model is in `best`.
      score: Of that model on the development set, higher is better: the metric of --best_metric, or
        else the task's official one or the mean of its two; run_distill.py without a task takes the
        negative divergence from the teacher.
      step: Updates that model has had.
      metrics: All it was measured by.
      seconds: The run took; of one that was interrupted, the last part.
      predictions: The file of its predictions of the test set, if they were wanted.
    """

    cell: Cell
    folder: str
    score: float
    step: int
    metrics: dict[str, float]
    seconds: float
    predictions: str | None = None


@dataclasses.dataclass(frozen=True)
class GridResults:
    """A finished search.

    Attributes:
      cells: Every setting with the first seed, in the order of the grid.
      chosen: The chosen setting with each of the seeds.
    """

    cells: list[CellResult]
    chosen: list[CellResult]


def search(grid: Grid, num_jobs: int, start_over: bool = False) -> GridResults:
    """Runs what is not finished yet.

    The highest score on the development set wins, the first of equal ones in the order of the grid.

    Args:
      grid: Settings of the search.
      num_jobs: Runs at a time.
      start_over: Whether runs that were made in another way are done again.

    Raises:
      UserError: The output folder is remote; the script does not know a flag; a run failed; or one of
        the same name has been made by another command.
    """
    if is_remote(grid.output_dir):
        raise UserError(
            f"--output_dir={grid.output_dir}: this machine writes the logs of the runs there; use a "
            "local folder."
        )
    log_folder = os.path.join(grid.output_dir, "stages")
    cells = grid.cells()
    stages = [grid.training(cell) for cell in cells]
    _check_flags(stages[0].command)
    with Processes(num_jobs) as processes:
        seconds = run_stages(stages, log_folder, num_jobs, start_over, processes=processes)
        scores = {cell: best_evaluation(grid.folder(cell))["score"] for cell in cells}
        best = max(cells, key=lambda cell: scores[cell])
        print(f"Best on the development set: {best.name}, score {scores[best]:.4f}.", flush=True)

        repetitions = [dataclasses.replace(best, seed=seed) for seed in grid.seeds]
        stages += [grid.training(cell) for cell in repetitions[1:]]
        if grid.predict:
            stages += [grid.prediction(cell) for cell in repetitions]
        if len(stages) > len(cells):
            seconds = run_stages(stages, log_folder, num_jobs, start_over, processes=processes)

    def result(cell: Cell, predicts: bool = False) -> CellResult:
        folder, predictions = grid.folder(cell), None
        evaluation: dict[str, Any] = best_evaluation(folder)
        step, score = evaluation.pop("step"), evaluation.pop("score")
        del evaluation["kind"]
        evaluation.pop("loss", None)  # The original's second name of eval_loss.
        if predicts:
            predictions = os.path.join(f"{folder}_predictions", "test_results.tsv")
        return CellResult(cell, folder, score, step, evaluation, seconds[cell.name], predictions)

    return GridResults(
        [result(cell) for cell in cells], [result(cell, grid.predict) for cell in repetitions]
    )


def _check_flags(command: Sequence[str]) -> None:
    check = subprocess.run([*command, "--only_check_args"], capture_output=True, text=True)
    if check.returncode:
        lines = [line.strip() for line in check.stderr.splitlines() if "--helpfull" not in line]
        raise UserError(f"flags of {os.path.basename(command[1])}: {' '.join(lines)}")


def parse_values(
    flag: str, texts: Sequence[str], kind: Callable[[str], Number]
) -> tuple[Number, ...]:
    """The numbers of a comma-separated flag.

    Args:
      flag: Its name, for messages.
      texts: Its values.
      kind: `int` or `float`.

    Raises:
      UserError: There is none, one is no number or negative, or one stands there twice.
    """
    expected = "whole numbers" if kind is int else "numbers"
    try:
        values = tuple(kind(text) for text in texts)
    except ValueError:
        values = ()
    if not values or not all(0 <= value < math.inf for value in values):
        raise UserError(
            f"--{flag}={','.join(texts)}: expected {expected}, separated by commas and not below 0."
        )
    if len(set(values)) < len(values):
        raise UserError(f"--{flag}={','.join(texts)} has a value twice; give each one once.")
    return values


def split_arguments(arguments: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """Takes --do_predict out of the flags of a script.

    Args:
      arguments: Arguments after the `--`; files of flags (--flagfile) are read.

    Returns:
      The other flags, and whether the test set is to be predicted.

    Raises:
      UserError: One of the flags is set by the grid; or a value is not a boolean; or --do_predict has
        no task to predict.
    """
    own = flags.FlagValues()
    # Flags and their values may stand apart.
    own.set_gnu_getopt()
    flags.DEFINE_bool("do_predict", False, "", flag_values=own)
    for name in STRING_FLAGS:
        flags.DEFINE_string(name, None, "", flag_values=own)
    for name in BOOL_FLAGS:
        flags.DEFINE_bool(name, None, "", flag_values=own)
    try:
        expanded = own.read_flags_from_files(list(arguments), force_gnu=True)
        _, *rest = own(["", *expanded], known_only=True)
    except (flags.Error, ValueError) as error:
        raise UserError(f"flags after the --: {error}.") from None
    for name, advice in {**STRING_FLAGS, **BOOL_FLAGS}.items():
        if own[name].present:
            raise UserError(f"--{name} after the -- is for the grid to set; {advice}.")
    given = {argument.lstrip("-").partition("=")[0] for argument in rest}
    if own.do_predict and "task_name" not in given:
        raise UserError(
            "--do_predict needs the task to predict: pass --task_name after the --, too."
        )
    return tuple(rest), own.do_predict
