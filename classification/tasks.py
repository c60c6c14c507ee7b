"""Classification tasks: which files they read, which columns, which labels, which metrics.

A GLUE task is one entry of `GLUE_TASKS`. Sources: `DataProcessor` and its subclasses in
google-research/bert `run_classifier.py`; the files of the GLUE distribution.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence

from common.errors import UserError
from common.files import exists
from training.classifier_records import Example
from training.tables import COMPRESSIONS, read_table


@dataclasses.dataclass(frozen=True)
class TaskFile:
    """One table of a task.

    Attributes:
      name: File name without `.tsv`; also the first part of the example ids.
      text_a: Column of the (first) text: a position (negative: from the end) or a header name.
      text_b: Column of the second text; None for a task on single texts.
      label: Column of the label; None if the labels are not public (test sets).
      header: Whether the first line names the columns.
    """

    name: str
    text_a: int | str
    text_b: int | str | None = None
    label: int | str | None = None
    header: bool = True


@dataclasses.dataclass(frozen=True)
class Task:
    """A classification task.

    Attributes:
      name: As in `--task_name`.
      labels: In the order of the classifier's outputs.
      metrics: The task's official metrics, keys of `classification.metrics.METRICS`; the best
        checkpoint is the one with the highest mean of them on the first file of `dev`.
      train: The files of the training set.
      dev: Development sets, each evaluated on its own.
      test: Test sets, each predicted on its own.
    """

    name: str
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    train: tuple[TaskFile, ...] = ()
    dev: tuple[TaskFile, ...] = ()
    test: tuple[TaskFile, ...] = ()

    def read_examples(self, file: TaskFile, data_dir: str) -> Iterator[Example]:
        """Yields the examples of one file in the order of its rows, rows with empty texts included.

        Args:
          file: One of `train`, `dev`, `test`.
          data_dir: Folder with the task's files.

        Raises:
          UserError: At once if the file is missing; while reading for what `read_table` refuses, a
            label that is none of `labels`, or a file without rows.
        """
        return self._examples(file, find_table(data_dir, file.name, self.name))

    def _examples(self, file: TaskFile, path: str) -> Iterator[Example]:
        row = None
        columns = (file.text_a, file.text_b, file.label)
        for row in read_table(path, columns, file.header):
            text_a, text_b, label = row.values
            if label is not None and label not in self.labels:
                raise UserError(
                    f'{row.place}: unknown label "{label}"; the labels of task {self.name} are '
                    f"{', '.join(self.labels)}."
                )
            yield Example(f"{file.name}-{row.line - 1}", row.place, text_a or "", text_b, label)
        if row is None:
            raise UserError(f"{path} holds no examples.")


GLUE_TASKS = (
    Task(
        "cola",
        labels=("0", "1"),
        metrics=("matthews_correlation",),
        train=(TaskFile("train", text_a=3, label=1, header=False),),
        dev=(TaskFile("dev", text_a=3, label=1, header=False),),
        test=(TaskFile("test", text_a=1),),
    ),
    Task(
        "sst-2",
        labels=("0", "1"),
        metrics=("accuracy",),
        train=(TaskFile("train", text_a=0, label=1),),
        dev=(TaskFile("dev", text_a=0, label=1),),
        test=(TaskFile("test", text_a=1),),
    ),
    Task(
        "mrpc",
        labels=("0", "1"),
        metrics=("f1", "accuracy"),
        train=(TaskFile("train", text_a=3, text_b=4, label=0),),
        dev=(TaskFile("dev", text_a=3, text_b=4, label=0),),
        test=(TaskFile("test", text_a=3, text_b=4),),
    ),
    Task(
        "rte",
        labels=("entailment", "not_entailment"),
        metrics=("accuracy",),
        train=(TaskFile("train", text_a=1, text_b=2, label=-1),),
        dev=(TaskFile("dev", text_a=1, text_b=2, label=-1),),
        test=(TaskFile("test", text_a=1, text_b=2),),
    ),
)
TSV_TASK = "tsv"


def get_task(
    task_name: str,
    data_dir: str,
    text_a: str | None = None,
    text_b: str | None = None,
    label: str | None = None,
    labels: Sequence[str] | None = None,
) -> Task:
    """The task that flags ask for.

    Args:
      task_name: A GLUE task in any spelling of case and hyphens, or `tsv`: tables train.tsv,
        dev.tsv and test.tsv with a header each.
      data_dir: Folder with the task's files; read here only for the labels of task `tsv`.
      text_a: Header name of the (first) text, task `tsv` only.
      text_b: Header name of the second text, if there is one, task `tsv` only.
      label: Header name of the label, task `tsv` only; test.tsv need not have it.
      labels: All labels in order, task `tsv` only; by default those of train.tsv, sorted.

    Raises:
      UserError: An unknown task, a flag that the task does not use or lacks, or training labels
        that cannot be read.
    """
    key = _spelling(task_name)
    if key == TSV_TASK:
        return _tsv_task(data_dir, text_a, text_b, label, labels)
    if text_a or text_b or label or labels:
        raise UserError(
            f"--task_name={task_name} has fixed columns and labels; --text_a, --text_b, --label "
            f"and --labels go with --task_name={TSV_TASK} only."
        )
    for task in GLUE_TASKS:
        if key == _spelling(task.name):
            return task
    known = ", ".join([*(task.name for task in GLUE_TASKS), TSV_TASK])
    raise UserError(f"--task_name={task_name} is unknown; expected one of {known}.")


def _spelling(name: str) -> str:
    return name.lower().replace("-", "")


def _tsv_task(
    data_dir: str,
    text_a: str | None,
    text_b: str | None,
    label: str | None,
    labels: Sequence[str] | None,
) -> Task:
    if not text_a or not label:
        raise UserError(
            f"--task_name={TSV_TASK} needs --text_a and --label, the header names of the columns "
            f"with the text and the label; found --text_a={text_a or ''} --label={label or ''}."
        )
    return Task(
        TSV_TASK,
        labels=tuple(labels or _labels_in(find_table(data_dir, "train", TSV_TASK), label)),
        metrics=("accuracy",),
        train=(TaskFile("train", text_a, text_b, label),),
        dev=(TaskFile("dev", text_a, text_b, label),),
        test=(TaskFile("test", text_a, text_b),),
    )


def _labels_in(path: str, column: str) -> list[str]:
    found: set[str] = set()
    for row in read_table(path, (column,), header=True):
        (label,) = row.values
        if not label:
            raise UserError(f'{row.place}: column "{column}" is empty; expected a label.')
        found.add(label)
    if len(found) < 2:
        raise UserError(
            f'{path}: column "{column}" holds {len(found)} different labels; expected at least 2.'
        )
    return sorted(found)


def find_table(data_dir: str, name: str, task_name: str) -> str:
    """The path of `<name>.tsv`, `<name>.tsv.gz` or `<name>.tsv.xz`, whichever exists first.

    Raises:
      UserError: None of them exists.
    """
    for compression in COMPRESSIONS:
        path = os.path.join(data_dir, f"{name}.tsv{compression}")
        if exists(path):
            return path
    raise UserError(
        f"{os.path.join(data_dir, name)}.tsv (or .tsv.gz, .tsv.xz) is missing; task {task_name} "
        f"needs it, set --data_dir to the folder that holds it."
    )
