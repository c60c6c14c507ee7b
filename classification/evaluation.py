"""A classifier (or regression model) on the labelled and unlabelled sets of a task."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import log_softmax, softmax

from classification.bootstrap import (
    RESAMPLES,
    SEED,
    Interval,
    class_intervals,
    correlations_of,
    mean_of,
    row_intervals,
)
from classification.metrics import compute_metrics, primary_metric
from classification.predictions import write_predictions
from classification.report import ClassReport
from classification.report_figures import plot_confusion, plot_reliability
from classification.task import LOSS, Task
from classification.task_files import TaskFile
from common.atomic import write_json
from common.content import Content
from common.figures import save_figure
from data.batches import read_feature
from data.classifier_records import feature_spec, write_classifier_records
from data.record_sets import Limit, RecordSet, open_records
from modeling.tokenization import FullTokenizer
from training.evaluation import RecordPredictor
from training.identity import Part
from training.reporting import write_results
from training.run import Evaluation


@dataclasses.dataclass(frozen=True)
class TaskSet:
    """One set of a task as records.

    Attributes:
      file: The task's file that the records were made from.
      records: The records.
    """

    file: TaskFile
    records: RecordSet

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """Of its rows: int32 [N], or float32 [N] of a regression."""
        return read_feature(self.records, "label_ids")


class Measured(NamedTuple):
    """The rows of a labelled set as a model answers them.

    Attributes:
      labels: int [N], or float [N] in a regression.
      predictions: As `labels`.
      losses: float64 [N].
      report: Of a classifier.
    """

    labels: np.ndarray
    predictions: np.ndarray
    losses: np.ndarray
    report: ClassReport | None

    def intervals(self) -> dict[str, Interval]:
        """Bootstrap intervals of the figures, by their names in `eval_results.txt`."""
        figures = {"loss": mean_of(self.losses)}
        found: dict[str, Interval] = {}
        if self.report:
            size = len(self.report.labels)
            found = class_intervals(self.labels.astype(np.int64), self.predictions, size)
            figures["calibration_error"] = self.report.calibration_errors
        else:
            figures |= correlations_of(self.labels, self.predictions)
        found |= row_intervals(figures, len(self.labels))
        return {f"eval_{name}": interval for name, interval in found.items()}


class TaskSets(NamedTuple):
    """The sets of a task that a run needs; a kind that it does not need is empty."""

    train: Sequence[TaskSet] = ()
    dev: Sequence[TaskSet] = ()
    test: Sequence[TaskSet] = ()


def write_task_sets(
    task: Task,
    data_dir: str,
    output_dir: str,
    tokenizer: FullTokenizer,
    max_seq_length: int,
    limits: Mapping[str, Limit],
    train: bool = False,
    dev: bool = False,
    test: bool = False,
    reuse: bool = False,
) -> TaskSets:
    """Converts sets of a task to records.

    The first set of each kind becomes `train.tf_record`, `eval.tf_record` or `predict.tf_record`, as
    in the original; a later one becomes `eval_<its name>.tf_record`.

    Args:
      task: The task.
      data_dir: Folder of its sets.
      output_dir: Folder for the records.
      tokenizer: Of the model.
      max_seq_length: Length of the records.
      limits: Limits of the model (`data.record_sets.value_limits`); a model without a second
        segment takes no pairs.
      train: Whether the training set is wanted.
      dev: Whether the development sets are.
      test: Whether the test sets are.
      reuse: Whether the records are there, written by the chief for all workers.

    Raises:
      UserError: The task lacks a set, or a set cannot be read.
    """
    task.check_has(train, dev, test)
    spec = feature_spec(max_seq_length, task.is_regression)

    # One example is shown, whatever the number of sets.
    shown = "train" if train else "eval" if dev else "predict"

    def write(files: Sequence[TaskFile], stem: str) -> list[TaskSet]:
        sets = []
        for file, name in zip(files, output_names(stem, files), strict=True):
            path = os.path.join(output_dir, f"{name}.tf_record")
            examples = task.read_examples(file, data_dir)
            if not reuse:
                write_classifier_records(
                    path,
                    tokenizer,
                    examples,
                    task.labels,
                    max_seq_length,
                    name == shown,
                    limits["segment_ids"].size,
                )
            sets.append(TaskSet(file, open_records([path], "data_dir", spec, {}, limits)))
        return sets

    # The small sets first: what is wrong with them is found at once.
    dev_sets = write(task.dev, "eval") if dev else ()
    test_sets = write(task.test, "predict") if test else ()
    return TaskSets(write(task.train, "train") if train else (), dev_sets, test_sets)


def task_content(task: Task, files: Sequence[TaskFile], data_dir: str) -> Content:
    """The texts and labels of sets of a task, as a part of a run's identity.

    Raises:
      UserError: A set cannot be read.
    """
    digest = hashlib.sha256()
    count = 0
    for file in files:
        for example in task.read_examples(file, data_dir):
            row = (example.text_a, example.text_b, example.label)
            digest.update(json.dumps(row).encode())
            count += 1
    names = ", ".join(file.name for file in files)
    return Content(digest.hexdigest(), f"{names} in {data_dir} ({count} rows)")


def evaluation_part(task: Task, data_dir: str) -> Part:
    """Development data and metrics, which select the best model, as part of a run's identity.

    Raises:
      UserError: The development set cannot be read.
    """
    content = task_content(task, task.dev[:1], data_dir)
    return Part({"metrics": task.deciding_metrics}, {"development data": content})


def output_names(stem: str, files: Sequence[TaskFile]) -> list[str]:
    """`stem` for the first set of a task, and a name of its own for each other."""
    return [stem if i == 0 else f"{stem}_{file.name}" for i, file in enumerate(files)]


def evaluate_task(
    predictor: RecordPredictor, task: Task, task_set: TaskSet, batch_size: int
) -> Evaluation:
    """The metrics of a labelled set, exact over all its rows.

    Returns:
      `eval_loss` and the task's metrics as `eval_<name>`, with `eval_accuracy` for every
      classification as in the original, and `eval_macro_f1`; `loss` repeats `eval_loss`, as in its
      `eval_results.txt`. The score is the mean of the task's deciding metrics. `measured` is a
      `Measured`. The log has the report of a classifier.
    """
    outputs = predictor(task_set.records, batch_size).astype(np.float64)
    labels = task_set.labels
    report = None
    if task.is_regression:
        predictions, names = outputs[:, 0], task.metrics
        losses = np.square(predictions - labels)
    else:
        report = ClassReport(task.labels, labels, outputs)
        predictions, names = report.predictions, ("accuracy", "macro_f1", *task.metrics)
        losses = -log_softmax(outputs, axis=-1)[np.arange(len(labels)), labels]
        if predictor.is_chief:
            report.log()
    decisive = [name for name in task.deciding_metrics if name != LOSS]
    values = compute_metrics((*names, *decisive), labels, predictions)
    metrics = {f"eval_{name}": value for name, value in values.items()}
    metrics["eval_loss"] = metrics["loss"] = float(losses.mean())
    values[LOSS] = -metrics["loss"]  # The lower the better.
    score = primary_metric(task.deciding_metrics, values)
    return Evaluation(metrics, score, Measured(labels, predictions, losses, report))


def write_eval_results(
    dev_sets: Sequence[TaskSet],
    evaluations: Sequence[Evaluation],
    output_dir: str,
    step: int,
    checkpoint: str,
) -> None:
    """Writes `eval_results.txt` for the first development set, `eval_results_<name>.txt` for others.

    Beside it `eval_results.json`, with intervals and the classes, and of a classifier the pictures
    `confusion.png` and `reliability.png`.

    Args:
      dev_sets: From `write_task_sets`.
      evaluations: Of each of them.
      output_dir: Folder for the results.
      step: `global_step` of the evaluated model.
      checkpoint: Path of that model.
    """
    for evaluation, (_, name) in zip(evaluations, _named(dev_sets, "eval_results"), strict=True):
        results = {"global_step": step, **evaluation.metrics}
        path = os.path.join(output_dir, f"{name}.txt")
        written = write_results(path, results, checkpoint)
        if isinstance(evaluation.measured, Measured):
            _write_details(evaluation.measured, written, output_dir, name)


def _write_details(
    measured: Measured, results: Mapping[str, Any], output_dir: str, name: str
) -> None:
    intervals = measured.intervals()
    content = {
        **results,
        "rows": len(measured.labels),
        "intervals": intervals,
        "intervals_by": f"bootstrap of the rows, {RESAMPLES} resamples, 95 %, seed {SEED}",
    }
    if report := measured.report:
        content["eval_calibration_error"] = report.calibration_error
        content |= report.to_json()
        suffix = name.removeprefix("eval_results")
        save_figure(plot_confusion(report), os.path.join(output_dir, f"confusion{suffix}.png"))
        save_figure(plot_reliability(report), os.path.join(output_dir, f"reliability{suffix}.png"))
    write_json(os.path.join(output_dir, f"{name}.json"), content)
    logging.info(
        "95 %% bootstrap intervals: %s.",
        ", ".join(
            f"{key} {content[key]:.3f} ({low:.3f} to {high:.3f})"
            for key, (low, high) in sorted(intervals.items())
            if key in content
        ),
    )


def write_test_results(
    predictor: RecordPredictor,
    task: Task,
    test_sets: Sequence[TaskSet],
    batch_size: int,
    output_dir: str,
) -> list[np.ndarray]:
    """Predicts each test set; the chief writes `test_results.tsv` (`test_results_<name>.tsv`).

    Returns:
      For each set what it wrote: class probabilities, float32 [N, num_labels], or the scores, float32
      [N, 1], of a regression task.
    """
    predictions = []
    for task_set, name in _named(test_sets, "test_results"):
        outputs = predictor(task_set.records, batch_size)
        if not task.is_regression:
            outputs = softmax(outputs, axis=-1)
        if predictor.is_chief:
            write_predictions(os.path.join(output_dir, f"{name}.tsv"), outputs, task.labels)
        predictions.append(outputs)
    return predictions


def _named(sets: Sequence[TaskSet], stem: str) -> Iterator[tuple[TaskSet, str]]:
    names = output_names(stem, [task_set.file for task_set in sets])
    return zip(sets, names, strict=True)
