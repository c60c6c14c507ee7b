"""Reports of a run: start summary, progress line, `metrics.jsonl`, TensorBoard, results."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tensorboard.plugins.hparams import api as hparams

from common.atomic import finite, write_text
from common.files import exists, is_folder, is_remote, list_folder, open_binary
from common.progress import ProgressLine, clock
from data.tfrecords import RecordWriter
from training.metrics_log import METRICS_FILE, SPEED, SPEED_FILE, read_metrics


def log_summary(title: str, facts: Mapping[str, str]) -> None:
    """Logs the start summary of a command: a title, and one line for each fact."""
    logging.info("***** %s *****", title)
    for name, value in facts.items():
        logging.info("  %s: %s", name, value)


def describe_model(model: tf_keras.Model) -> str:
    """Size and number of parameters of a model, such as "2/128, 4,386,178 parameters"."""
    config = model.encoder.config
    parameters = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    return f"{config.num_hidden_layers}/{config.hidden_size}, {parameters:,} parameters"


def describe_rows(num_rows: int, info: Mapping[str, Any]) -> str:
    """Number of rows, and of those of each label where the sidecar has them.

    Args:
      num_rows: Rows of all files.
      info: Content of a sidecar; `label_counts` in it are those of all rows.
    """
    counts = info.get("label_counts") or {}
    per_label = ", ".join(f"{label} {count:,}" for label, count in counts.items())
    return f"{num_rows:,} rows" + (f" ({per_label})" if per_label else "")


class Reporter:
    """Writes the measurements of one run into its folder.

    Args:
      output_dir: Folder of `metrics.jsonl`, of `speed.jsonl`, which alone differs when a run is
        repeated, and of the TensorBoard events (`eval/` for evaluations).
      num_steps: Updates of the whole run, for the percentage and the remaining time.
      batch_size: Examples per update.
      start_step: Updates done before; later lines of existing files belong to a part of an
        interrupted run that is about to be repeated, so they are dropped.
      writes: Whether there are to be any files; workers beside the chief only show progress.
    """

    def __init__(
        self,
        output_dir: str,
        num_steps: int,
        batch_size: int,
        start_step: int,
        writes: bool = True,
    ):
        self.num_steps, self.batch_size = num_steps, batch_size
        self._start_step = start_step
        self._line = ProgressLine()
        self._updates, self._seconds = 0, 0.0
        self._writes = writes
        if not writes:
            return
        self._output_dir = output_dir
        self._recorded = {
            (file, record["step"], record["kind"])
            for file in (METRICS_FILE, SPEED_FILE)
            for record in _drop_lines_after(output_dir, file, start_step)
        }
        folders = {"train": output_dir, "eval": os.path.join(output_dir, "eval")}
        for folder in folders.values():
            _drop_events_after(folder, start_step)
        self._writers = {kind: tf.summary.create_file_writer(f) for kind, f in folders.items()}

    def progress(self, step: int, loss: float) -> None:
        """Shows step, share, loss, speed and remaining time, at most every so many seconds."""
        if not self._line.is_due() and step < self.num_steps:
            return
        done, seconds = step - self._start_step, self._line.seconds
        remaining = (self.num_steps - step) * seconds / max(done, 1)
        self._line.show(
            f"step {step:,}/{self.num_steps:,} ({100 * step / max(self.num_steps, 1):.0f}%) | "
            f"loss {loss:.4f} | {done * self.batch_size / seconds:,.1f} examples/s | "
            f"ETA {clock(remaining)}",
            stays=step >= self.num_steps,
        )

    def configuration(self, values: Mapping[str, Any]) -> None:
        """Puts the configuration of a new run into TensorBoard, as text and as hyperparameters.

        Args:
          values: Name -> value, in the order of the text; those of `None` are left out.
        """
        if not self._writes or self._start_step:
            return
        given = {name: value for name, value in values.items() if value is not None}
        rows = "".join(f"| {k} | {str(v).replace('|', '&#124;')} |\n" for k, v in given.items())
        simple = {k: v if isinstance(v, (int, float)) else str(v) for k, v in given.items()}
        with self._writers["train"].as_default():
            tf.summary.text("configuration", f"| name | value |\n|---|---|\n{rows}", step=0)
            hparams.hparams(simple)
        self._writers["train"].flush()

    def add_time(self, updates: int, seconds: float) -> None:
        """Counts updates just done, and the time they took, towards `speed`."""
        self._updates += updates
        self._seconds += seconds

    def speed(self, step: int) -> None:
        """Puts on record the examples per second since the last call, as `scalars` does."""
        per_second = self._updates * self.batch_size / max(self._seconds, 1e-9)
        self._updates, self._seconds = 0, 0.0
        self.scalars(step, {SPEED: per_second}, file=SPEED_FILE)

    def scalars(
        self,
        step: int,
        values: Mapping[str, float],
        kind: str = "train",
        file: str = METRICS_FILE,
    ) -> None:
        """Appends a line to `metrics.jsonl` and scalars to TensorBoard.

        What an interrupted or finished run has on record is not written again.

        Args:
          step: Updates done.
          values: Name -> value.
          kind: "train" or "eval".
          file: Name of the file that the line goes to.
        """
        if not self._writes or (file, step, kind) in self._recorded:
            return
        record = {"step": step, "kind": kind, **{k: float(v) for k, v in values.items()}}
        with open_binary(os.path.join(self._output_dir, file), "ab") as f:
            f.write(_line(record).encode())
        with self._writers[kind].as_default():
            for name, value in values.items():
                tf.summary.scalar(name, value, step=step)
        self._writers[kind].flush()


def _drop_lines_after(output_dir: str, file: str, last_step: int) -> list[dict[str, Any]]:
    """Takes from a log the lines of steps that are about to be repeated; returns the others."""
    path = os.path.join(output_dir, file)
    before = read_metrics(output_dir, file) if exists(path) else []
    kept = [record for record in before if record["step"] <= last_step]
    write_text(path, "".join(map(_line, kept)))
    return kept


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(finite(record), allow_nan=False) + "\n"


def _drop_events_after(folder: str, last_step: int) -> None:
    """Takes from TensorBoard files the events of steps that are about to be repeated.

    A run that begins anew puts its configuration there again, as step 0.
    """
    for name in list_folder(folder) if is_folder(folder) else []:
        # Those of TensorFlow 1 have another ending, and are not ours.
        if not re.fullmatch(r"events\.out\.tfevents\..*\.v2", name):
            continue
        path = os.path.join(folder, name)
        with RecordWriter(path) as writer, contextlib.suppress(tf.errors.DataLossError):
            # The event a killed run was writing is cut off; it is the last one.
            for record in tf.data.TFRecordDataset(path):
                event = tf.compat.v1.Event.FromString(record.numpy())
                if event.step <= last_step and (last_step or event.file_version):
                    writer.write(record.numpy())


def write_results(
    path: str, values: Mapping[str, float | int], checkpoint: str
) -> dict[str, float | int | str]:
    """Writes `eval_results.txt` as the original does: sorted lines `key = value`.

    Args:
      path: The file.
      values: The numbers.
      checkpoint: The model they are of; written as `checkpoint`, which the original does not have,
        relative to the folder of the file if it is in there.

    Returns:
      What was written.
    """
    written = {**values, "checkpoint": _path_beside(checkpoint, path)}
    text = "".join(f"{key} = {written[key]}\n" for key in sorted(written))
    write_text(path, text)
    logging.info("***** %s *****\n%s", path, text.rstrip())
    return written


def _path_beside(checkpoint: str, path: str) -> str:
    """The path of a model as a file says it: relative to its folder if the model is in there."""
    folder = os.path.abspath(os.path.dirname(path))
    if is_remote(checkpoint):
        return checkpoint
    checkpoint = os.path.abspath(checkpoint)
    if f"{checkpoint}/".startswith(f"{folder}/"):
        return os.path.relpath(checkpoint, folder)
    return checkpoint
