"""Programs beside the model they were made from: decisions, accuracy, sizes, speed and memory."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from classification.bootstrap import (
    Interval,
    class_intervals,
    correlations_of,
    row_intervals,
)
from classification.metrics import compute_metrics, primary_metric
from classification.task import Task
from common.errors import UserError
from common.files import list_folder
from common.processes import last_words
from modeling.bert import INPUTS
from modeling.wordpiece import input_row
from serving.export_files import RUNTIME_FOLDER
from serving.runtime.programs import Program
from serving.trained_model import TrainedModel, network_outputs
from training.engine import Engine, compiled

_BATCH_SIZE = 32
_PROBE_SECONDS = 600


@dataclasses.dataclass(frozen=True)
class EvaluationSet:
    """Rows on which programs are compared.

    Attributes:
      name: For the report.
      rows: (first text, second text or None).
      labels: Of the rows as `Task.label_value` gives them; None where they are not known.
      task: Whose metric counts; None without labels.
    """

    name: str
    rows: Sequence[tuple[str, str | None]]
    labels: np.ndarray | None = None
    task: Task | None = None

    def metric(self, outputs: np.ndarray) -> float | None:
        """Accuracy in percent; of a regression the task's metric times 100; None without labels."""
        if self.labels is None or self.task is None:
            return None
        if not self.task.is_regression:
            return 100 * float(np.mean(outputs.argmax(axis=1) == self.labels))
        values = compute_metrics(self.task.metrics, self.labels, outputs[:, 0].astype(np.float64))
        return 100 * primary_metric(self.task.metrics, values)

    def interval(self, outputs: np.ndarray) -> Interval | None:
        """Bootstrap interval of `metric`, over other draws of the rows."""
        if self.labels is None or self.task is None:
            return None
        if self.task.is_regression:
            kinds = correlations_of(self.labels, outputs[:, 0])
            figures = [kinds[name] for name in self.task.metrics]
            found = row_intervals(
                {"mean": lambda drawn: np.mean([f(drawn) for f in figures], axis=0)}, len(outputs)
            )["mean"]
        else:
            decisions = outputs.argmax(axis=1)
            found = class_intervals(self.labels, decisions, outputs.shape[1])["accuracy"]
        return 100 * found[0], 100 * found[1]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A program beside its model.

    Attributes:
      metric: As `EvaluationSet.metric`, of the program.
      metric_before: The same of the model.
      interval: The 95 % bootstrap interval of `metric`.
      agreement: Percentage of rows with the same decision; None of a regression or encoder.
      largest_change: Of a probability, score or value of a vector.
    """

    metric: float | None
    metric_before: float | None
    interval: Interval | None
    agreement: float | None
    largest_change: float

    def objection(self, max_drop: float, max_disagreement: float) -> str | None:
        """The reason not to use the program; None where it is as good as its model.

        Args:
          max_drop: The most points that the metric may fall.
          max_disagreement: The most decisions that may be others, in percent.
        """
        if not np.isfinite(self.largest_change):
            return "some of its outputs are NaN or infinite"
        if self.metric is not None and self.metric_before is not None:
            drop = self.metric_before - self.metric
            if drop > max_drop:
                return (
                    f"it loses {drop:.2f} points ({self.metric_before:.2f} to {self.metric:.2f}), "
                    f"more than the {max_drop:g} that --max_accuracy_drop allows"
                )
        if self.agreement is not None and 100 - self.agreement > max_disagreement:
            return (
                f"it decides {100 - self.agreement:.2f} % of the rows differently, more than the "
                f"{max_disagreement:g} % that --max_disagreement allows"
            )
        return None


def encoded_rows(
    model: TrainedModel, rows: Sequence[tuple[str, str | None]], longest: int | None = None
) -> list[dict[str, np.ndarray]]:
    """The inputs of each row without padding: int32 `INPUTS` [1, length].

    Args:
      model: Its tokenizer reads the rows.
      rows: (first text, second text or None).
      longest: Most tokens of a row, where that is fewer than the model's.
    """
    encode = model.tokenizer.encode
    most = min(model.max_seq_length, longest or model.max_seq_length)
    encoded = []
    for text_a, text_b in rows:
        ids, first = input_row(
            model.tokenizer, encode(text_a), encode(text_b) if text_b else [], most
        )
        segments = (np.arange(len(ids)) >= first).astype(np.int32)
        values = (np.array(ids, np.int32), np.ones(len(ids), np.int32), segments)
        encoded.append({n: v[np.newaxis] for n, v in zip(INPUTS, values, strict=True)})
    return encoded


def model_outputs(model: TrainedModel, rows: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
    """Outputs of the model for rows, by TensorFlow, float32 [num_rows, num_outputs]."""
    network = model.network()

    def outputs(batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return network_outputs(model, network, *(batch[name] for name in INPUTS))[model.output]

    length = max(row[INPUTS[0]].shape[1] for row in rows)
    features = {
        name: np.concatenate(
            [np.pad(row[name], [(0, 0), (0, length - row[name].shape[1])]) for row in rows]
        )
        for name in INPUTS
    }
    # On the CPU, as the programs.
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    return Engine(compiled(outputs, strategy), strategy, _BATCH_SIZE)(features)


def program_outputs(program: Program, rows: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
    """The same of a program, row by row and unpadded, as it is served."""
    return np.concatenate([program(*(row[name] for name in INPUTS)) for row in rows])


def compare(
    model: TrainedModel, rows: EvaluationSet, before: np.ndarray, after: np.ndarray
) -> Comparison:
    """Compares outputs [num_rows, num_outputs] of a program with those of its model."""
    metric = rows.metric(after)
    agreement = None
    if model.labels:
        agreement = 100 * float(np.mean(before.argmax(axis=1) == after.argmax(axis=1)))
    change = float(np.abs(before - after).max())
    return Comparison(metric, rows.metric(before), rows.interval(after), agreement, change)


def probe(
    path: str,
    lengths: Sequence[int],
    threads: int | None,
    batch_sizes: Sequence[int] = (1,),
    seconds: float = 0.4,
) -> dict[str, Any]:
    """`runtime/measure.py` on a program, in a process that does nothing else.

    Raises:
      UserError: The process failed; its last words are in the message.
    """
    command = [sys.executable, os.path.join(RUNTIME_FOLDER, "measure.py"), path]
    command += ["--lengths", *map(str, lengths), "--batch_sizes", *map(str, batch_sizes)]
    command += ["--seconds", str(seconds)]
    if threads:
        command += ["--threads", str(threads)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    result = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=_PROBE_SECONDS
    )
    if result.returncode:
        raise UserError(f"{path} does not run: {last_words(result.stderr)}.")
    return json.loads(result.stdout.splitlines()[-1])


def megabytes(path: str) -> float:
    """Size of a file, or of all files in a folder, in millions of bytes."""
    if os.path.isdir(path):
        return sum(megabytes(os.path.join(path, name)) for name in list_folder(path))
    return os.path.getsize(path) / 1e6
