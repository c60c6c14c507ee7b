"""A teacher on the labelled development set: what students can hope to learn from it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from classification.metrics import compute_metrics
from classification.report import ClassReport
from classification.task import Task
from common.chunks import chunks
from common.errors import MissingFileError
from distillation.soft_labels import TransferExample
from training.engine import WINDOW_ROWS


def assess_teacher(
    outputs: Callable[[Sequence[TransferExample]], np.ndarray], task: Task, data_dir: str
) -> dict[str, Any]:
    """Logs how good a teacher is; with a warning if it is no better than a constant answer.

    Args:
      outputs: N texts -> logits or score, and maybe more behind them, float32 [N, num_outputs + ...].
      task: Whose first development set is read; without one, a line says so.
      data_dir: Folder of the task's sets.

    Returns:
      `teacher_on_dev`, for the manifest: name and rows of the set, metrics, and the figures of the
      constant answer. Nothing without a development set.

    Raises:
      UserError: The set cannot be read.
    """
    try:
        read = task.read_examples(task.dev[0], data_dir) if task.dev else None
    except MissingFileError:
        read = None
    if read is None:
        logging.info("There is no development set, so the teacher is not assessed.")
        return {}
    found, labels = [], []
    for window in chunks(read, WINDOW_ROWS):
        labels += [task.label_value(example.label or "") for example in window]
        found.append(outputs([TransferExample("", e.text_a, e.text_b) for e in window]))
    values, truth = np.concatenate(found).astype(np.float64), np.array(labels)
    logging.info("The teacher on %s (%d rows):", task.dev[0].name, len(truth))
    measure = _of_scores if task.is_regression else _of_classes
    figures = measure(task, values[:, : task.num_outputs], truth)
    return {"teacher_on_dev": {"set": task.dev[0].name, "rows": len(truth), **figures}}


def _of_classes(task: Task, logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    report = ClassReport(task.labels, labels, logits)
    report.log()
    return {
        **compute_metrics(("accuracy", *task.metrics), labels, report.predictions),
        "calibration_error": report.calibration_error,
        "majority_share": report.majority[1],
    }


def _of_scores(task: Task, outputs: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    scores = outputs[:, 0]
    error, variance = float(np.square(scores - truth).mean()), float(truth.var())
    figures = {
        **compute_metrics(task.metrics, truth, scores),
        "squared_error": error,
        "variance": variance,
    }
    logging.info("%s", ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    if error >= variance:
        logging.warning(
            "WARNING: the squared error of %.3f is not below %.3f, that of always saying the mean.",
            error,
            variance,
        )
    return figures
