"""Scores of a comparison, gathered from the runs' own files, as JSON, a table and a plot."""

from __future__ import annotations

import dataclasses
import os
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from classification.metrics import compute_metrics, primary_metric
from classification.task import Task
from classification.task_files import TableFile
from classification.tasks import OWN_TABLES
from common.atomic import atomic_output, write_json, write_text
from common.errors import UserError
from common.files import read_json, read_lines
from common.machine import describe_machine
from common.markdown import table
from modeling.config import BertConfig
from training.metrics_log import read_results

# What each strategy starts from and learns from, in the words of the paper.
DESCRIPTIONS = {
    "Teacher": ("pre-trained", "labels"),
    "Basic": ("random", "labels"),
    "KD": ("random", "teacher, on transfer text"),
    "PF": ("pre-trained", "labels"),
    "PD": ("pre-trained", "teacher, on transfer text"),
    "PD-F": ("PD", "labels"),
}


@dataclasses.dataclass(frozen=True)
class Score:
    """A figure over several seeds, in percent.

    Attributes:
      values: One per seed.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation, None for a single value."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def __str__(self) -> str:
        spread = "" if self.deviation is None else f" ± {self.deviation:.1f}"
        return f"{self.mean:.1f}{spread}"

    def to_json(self) -> dict[str, Any]:
        return {"values": self.values, "mean": self.mean, "deviation": self.deviation}


def collect_results(
    model_stages: Mapping[str, Sequence[str]],
    output_dir: str,
    task: Task,
    test_labels: np.ndarray | None,
) -> dict[str, dict[str, Any]]:
    """Reads the scores of every row of the table.

    Args:
      model_stages: Row -> folders (below `output_dir`) of the models it averages.
      output_dir: Folder of the comparison.
      task: The task.
      test_labels: From `read_test_labels`. No run has seen them: they are compared here only.

    Returns:
      Row -> "dev": Score, "test": Score or None, "parameters": int.
    """
    results = {}
    for row, names in model_stages.items():
        folders = [os.path.join(output_dir, name) for name in names]
        config = BertConfig.from_dict(read_json(os.path.join(folders[0], "bert_config.json")))
        test = None
        if test_labels is not None:
            test = Score(tuple(_test_score(folder, task, test_labels) for folder in folders))
        results[row] = {
            "dev": Score(tuple(_dev_score(folder, task) for folder in folders)),
            "test": test,
            "parameters": config.num_parameters(),
        }
    return results


def _dev_score(folder: str, task: Task) -> float:
    values = read_results(os.path.join(folder, "eval_results.txt"))
    names = {name: values[f"eval_{name}"] for name in task.metrics}
    return 100 * primary_metric(task.metrics, names)


def read_test_labels(task: Task, data_dir: str, label: str | None) -> np.ndarray | None:
    """Values of the test rows' labels, None where the test set has no column of labels.

    Args:
      task: The task; of a known one, no labels of the test set are public.
      data_dir: Folder of its sets.
      label: Column or key of the label.

    Returns:
      `Task.label_value` of each row: positions of labels, or scores.

    Raises:
      UserError: A label is none of the task's.
    """
    (test,) = task.test[:1] or (None,)
    if task.name not in OWN_TABLES or label is None or not isinstance(test, TableFile):
        return None
    if not test.has_column(data_dir, task.name, label):
        return None
    examples = task.read_examples(dataclasses.replace(test, label=label), data_dir)
    return np.array([task.label_value(example.label or "") for example in examples])


def _test_score(folder: str, task: Task, labels: np.ndarray) -> float:
    path = os.path.join(folder, "test_results.tsv")
    rows = [[float(cell) for cell in line.split("\t")] for _, line in read_lines(path)]
    if len(rows) != len(labels):
        raise UserError(f"{path} has {len(rows)} predictions for {len(labels)} test examples.")
    outputs = np.array(rows)
    predictions = outputs[:, 0] if task.is_regression else outputs.argmax(axis=1)
    values = compute_metrics(task.metrics, labels, predictions)
    return 100 * primary_metric(task.metrics, values)


def write_report(
    output_dir: str,
    results: Mapping[str, Mapping[str, Any]],
    model_stages: Mapping[str, Sequence[str]],
    seconds: Mapping[str, float],
    settings: Mapping[str, Any],
    metric: str,
) -> None:
    """Writes `results.json`, `results.md` and `results.png`.

    Args:
      output_dir: Folder of the comparison.
      results: From `collect_results`.
      model_stages: As there.
      seconds: Stage -> seconds.
      settings: The flags.
      metric: Name of the score, for headings.
    """
    machine = describe_machine()
    write_json(
        os.path.join(output_dir, "results.json"),
        {
            "metric": metric,
            "rows": rows_as_json(results),
            "machine": machine,
            "settings": dict(settings),
            "seconds": {name: round(value, 1) for name, value in seconds.items()},
        },
    )
    has_test = any(values["test"] for values in results.values())
    scores = [f"dev {metric}"] + ([f"test {metric}"] if has_test else [])
    heading = ["Model", "starts from", "learns from", "parameters", *scores, "seconds per run"]
    rows = []
    for row, values in results.items():
        times = [seconds[name] for name in model_stages[row]]
        figures = [str(values["dev"])] + ([str(values["test"])] if has_test else [])
        cells = [row, *DESCRIPTIONS[row], f"{values['parameters']:,}", *figures]
        rows.append([*cells, f"{statistics.fmean(times):.0f}"])
    seeds = max(len(values["dev"].values) for values in results.values())
    shared = [
        f"{name} {seconds[name]:.0f} s"
        for name in ("lm_data", "teacher_lm", "student_lm", "soft_labels")
        if name in seconds
    ]
    lines = [
        *table(heading, rows),
        "",
        f"Students: mean ± standard deviation over {seeds} seeds, which share one pre-trained model. "
        f"Shared stages: {', '.join(shared)}. Machine: {machine}.",
    ]
    write_text(os.path.join(output_dir, "results.md"), "\n".join(lines) + "\n")
    with atomic_output(os.path.join(output_dir, "results.png")) as temporary:
        _plot(temporary, results, metric, "test" if has_test else "dev")


def rows_as_json(results: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Result of `collect_results` as JSON values, for `results.json`."""
    return {
        row: {
            key: value.to_json() if isinstance(value, Score) else value
            for key, value in values.items()
        }
        for row, values in results.items()
    }


def _plot(path: str, results: Mapping[str, Mapping[str, Any]], metric: str, split: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    students = [row for row in results if row != "Teacher"]
    scores = [results[row][split] for row in students]
    teacher = results["Teacher"][split].mean
    figure, axes = plt.subplots(figsize=(7, 4))
    colours = ["#9aa5b1", "#7fb3d5", "#7fb3d5", "#2471a3", "#2471a3"]
    # Points, not bars: the scale does not begin at 0.
    for i, (score, colour) in enumerate(zip(scores, colours, strict=False)):
        axes.errorbar(
            i, score.mean, score.deviation or 0.0, fmt="D", color=colour, markersize=9, capsize=5
        )
        axes.plot([i] * len(score.values), score.values, "o", color="black", markersize=3)
        top = max(*score.values, score.mean + (score.deviation or 0.0))
        axes.annotate(
            f"{score.mean:.1f}", (i, top), (0, 7), textcoords="offset points", ha="center"
        )
    axes.set_xticks(range(len(students)), students)
    axes.set_xlim(-0.5, len(students) - 0.5)
    axes.grid(axis="y", alpha=0.3)
    axes.axhline(teacher, color="#c0392b", linestyle="--", label=f"Teacher {teacher:.1f}")
    axes.margins(y=0.15)
    axes.set_ylabel(f"{split} {metric} (%)")
    axes.set_title("One student, five training strategies: mean and deviation over seeds")
    axes.legend(loc="best")
    figure.tight_layout()
    figure.savefig(path, format="png", dpi=150)
    plt.close(figure)
