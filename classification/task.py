"""A classification or regression task: its sets, labels and metrics."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence

from classification.task_files import NO_LABEL, TaskFile
from common.errors import UserError
from data.classifier_records import Example, num_outputs
from data.rows import parse_number

# The metrics that can decide which model is the best, by kind of task; f1 is that of class 1 of 2.
LOSS = "loss"
CLASS_METRICS = ("accuracy", "macro_f1", "f1", "matthews_correlation", LOSS)
REGRESSION_METRICS = ("pearson", "spearman", LOSS)
# Source of the labels of a task where they are those of a trained model.
THE_MODEL, THE_TEACHER = "the model", "the teacher"


@dataclasses.dataclass(frozen=True)
class Task:
    """A classification or regression task.

    Attributes:
      name: As in `--task_name`.
      labels: In the order of the classifier's outputs; none if the task is a regression, whose labels
        are numbers and whose model has one output.
      metrics: The task's official metrics, keys of `classification.metrics.METRICS`.
      train: The files of the training set.
      dev: Development sets, each evaluated on its own.
      test: Test sets, each predicted on its own.
      skips_unlabelled: Whether rows with `NO_LABEL` in place of a label are left out and counted.
      labels_from: Source of the labels, for messages; empty for the task itself.
      best_metrics: The best checkpoint is the one with the highest mean of these on the first file of
        `dev`; `LOSS` stands for the lowest loss. Empty for `metrics`.
    """

    name: str
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    train: tuple[TaskFile, ...] = ()
    dev: tuple[TaskFile, ...] = ()
    test: tuple[TaskFile, ...] = ()
    skips_unlabelled: bool = False
    labels_from: str = ""
    best_metrics: tuple[str, ...] = ()

    @property
    def deciding_metrics(self) -> tuple[str, ...]:
        """Metrics that decide which model is the best."""
        return self.best_metrics or self.metrics

    def with_best_metric(self, name: str | None) -> Task:
        """The task with the metric by which models are compared; None for the official ones.

        Raises:
          UserError: The metric is for another kind of task.
        """
        if name is None:
            return self
        fitting: tuple[str, ...] = REGRESSION_METRICS if self.is_regression else CLASS_METRICS
        if len(self.labels) != 2:
            fitting = tuple(metric for metric in fitting if metric != "f1")
        if name not in fitting:
            raise UserError(
                f"--best_metric={name} is no metric of task {self.name}, which is "
                f"{'a regression' if self.is_regression else f'of {len(self.labels)} classes'}; "
                f"expected one of {', '.join(fitting)}."
            )
        return dataclasses.replace(self, best_metrics=(name,))

    @property
    def is_regression(self) -> bool:
        return not self.labels

    @property
    def num_outputs(self) -> int:
        """Number of outputs of a model for the task."""
        return num_outputs(self.labels)

    def label_value(self, label: str) -> int | float:
        """A label as records hold it: its position in `labels`, or the score of a regression."""
        return float(label) if self.is_regression else self.labels.index(label)

    def has_pairs(self, file: TaskFile, data_dir: str) -> bool:
        """Whether the examples of one of the task's files are pairs of texts.

        Raises:
          UserError: As `read_examples`, for the first example.
        """
        return next(self.read_examples(file, data_dir)).text_b is not None

    def check_has(self, train: bool, dev: bool, test: bool) -> None:
        """Raises a UserError for a wanted set that the task lacks (AX has nothing but a test set)."""
        for wanted, files, flag, kind in (
            (train, self.train, "do_train", "training"),
            (dev, self.dev, "do_eval", "development"),
            (test, self.test, "do_predict", "test"),
        ):
            if wanted and not files:
                why = (
                    " without --label, the column of its labels"
                    if self.labels_from
                    else "; pass --do_predict to predict its test set with a model of another task "
                    "that has the same labels (--init_checkpoint)"
                )
                raise UserError(f"--{flag}: task {self.name} has no {kind} set{why}.")

    def read_examples(self, file: TaskFile, data_dir: str) -> Iterator[Example]:
        """Yields the examples of one file in the order of its rows, rows with empty texts included.

        Args:
          file: One of `train`, `dev`, `test`.
          data_dir: Folder of the task's sets.

        Raises:
          UserError: At once if the file is missing; while reading for what it refuses to read, a
            label that is none of `labels` (no number, in a regression), or a file without examples.
        """
        return self._checked(*file.open(data_dir, self.name))

    def _checked(self, title: str, examples: Iterator[Example]) -> Iterator[Example]:
        num_read = num_skipped = 0
        for example in examples:
            if self.skips_unlabelled and example.label == NO_LABEL:
                num_skipped += 1
                continue
            if example.label is not None:
                self._check_label(example.label, example.source)
            num_read += 1
            yield example
        if num_skipped:
            logging.info(
                "%s: %d rows without a label (%s) were left out.", title, num_skipped, NO_LABEL
            )
        if not num_read:
            raise UserError(f"{title} holds no examples.")

    def _check_label(self, label: str, place: str) -> None:
        if self.is_regression:
            if parse_number(label) is None:
                raise UserError(f'{place}: found the score "{label}", expected a number.')
        elif label not in self.labels:
            way_out = (
                "; if it is a label, pass --labels with all of them in the order of the outputs"
                if self.labels_from not in ("", THE_MODEL, THE_TEACHER)
                else ""
            )
            raise UserError(
                f'{place}: unknown label "{label}"; the labels of '
                f"{self.labels_from or f'task {self.name}'} are {some_of(self.labels)}{way_out}."
            )


def some_of(labels: Sequence[str], number: int = 20) -> str:
    more = f" and {len(labels) - number} more" if len(labels) > number else ""
    return ", ".join(labels[:number]) + more
