"""Classification and regression tasks: which sets they have, which columns, labels and metrics.

A task is one entry of `TASKS`. Sources: `DataProcessor` and its subclasses in google-research/bert
`run_classifier.py`; the files of the GLUE and SNLI distributions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from classification.own_tables import OWN_TABLES, OwnTables, own_task
from classification.task import THE_MODEL, Task
from classification.task_files import TableFile, TaskFile
from classification.tfds_source import DATASETS, TfdsSplit
from common.errors import UserError

FILES, TFDS = "files", "tfds"


def _alike(
    text_a: int | str,
    text_b: int | str | None,
    label: int | str,
    index: int | None = None,
) -> dict[str, Any]:
    """Train, dev and test files with a header and their texts in the same columns."""
    return {
        "train": (TableFile("train", text_a, text_b, label),),
        "dev": (TableFile("dev", text_a, text_b, label),),
        "test": (TableFile("test", text_a, text_b, index=index),),
    }


def _snli_file(name: str, label: str | None = None) -> TableFile:
    """The distribution of SNLI comes in two formats, GLUE's is a third; the names are the same."""
    names = (f"snli_1.0_{name}.jsonl", f"snli_1.0_{name}.txt", f"{name}.tsv")
    return TableFile(name, "sentence1", "sentence2", label, file_names=names)


_NLI_LABELS = ("contradiction", "entailment", "neutral")
_ENTAILMENT_LABELS = ("entailment", "not_entailment")

TASKS = (
    Task(
        "cola",
        labels=("0", "1"),
        metrics=("matthews_correlation",),
        train=(TableFile("train", text_a=3, label=1, header=False),),
        dev=(TableFile("dev", text_a=3, label=1, header=False),),
        test=(TableFile("test", text_a=1, index=0),),
    ),
    Task(
        "sst-2",
        labels=("0", "1"),
        metrics=("accuracy",),
        train=(TableFile("train", text_a=0, label=1),),
        dev=(TableFile("dev", text_a=0, label=1),),
        test=(TableFile("test", text_a=1, index=0),),
    ),
    Task(
        "mrpc",
        labels=("0", "1"),
        metrics=("f1", "accuracy"),
        **_alike(text_a=3, text_b=4, label=0, index=0),
    ),
    Task(
        "sts-b",
        labels=(),
        metrics=("pearson", "spearman"),
        **_alike(text_a=7, text_b=8, label=-1, index=0),
    ),
    Task(
        "qqp",
        labels=("0", "1"),
        metrics=("f1", "accuracy"),
        # A few rows of the distribution are cut short.
        train=(TableFile("train", text_a=3, text_b=4, label=5, skip_short_rows=True),),
        dev=(TableFile("dev", text_a=3, text_b=4, label=5, skip_short_rows=True),),
        test=(TableFile("test", text_a=1, text_b=2, index=0),),
    ),
    Task(
        "mnli",
        labels=_NLI_LABELS,
        metrics=("accuracy",),
        train=(TableFile("train", text_a=8, text_b=9, label=-1),),
        dev=(
            TableFile("dev_matched", text_a=8, text_b=9, label=-1),
            TableFile("dev_mismatched", text_a=8, text_b=9, label=-1),
        ),
        test=(
            TableFile("test_matched", text_a=8, text_b=9, index=0),
            TableFile("test_mismatched", text_a=8, text_b=9, index=0),
        ),
    ),
    Task(
        "qnli",
        labels=_ENTAILMENT_LABELS,
        metrics=("accuracy",),
        **_alike(text_a=1, text_b=2, label=-1, index=0),
    ),
    Task(
        "rte",
        labels=_ENTAILMENT_LABELS,
        metrics=("accuracy",),
        **_alike(text_a=1, text_b=2, label=-1, index=0),
    ),
    Task(
        "wnli",
        labels=("0", "1"),
        metrics=("accuracy",),
        **_alike(text_a=1, text_b=2, label=-1, index=0),
    ),
    Task(
        "ax",
        labels=_NLI_LABELS,
        metrics=("matthews_correlation",),
        test=(TableFile("diagnostic", text_a=1, text_b=2, index=0),),
    ),
    Task(
        "snli",
        labels=_NLI_LABELS,
        metrics=("accuracy",),
        train=(_snli_file("train", label="gold_label"),),
        dev=(_snli_file("dev", label="gold_label"),),
        test=(_snli_file("test"),),
        skips_unlabelled=True,
    ),
    Task(
        "book-reviews",
        labels=("negative", "neutral", "positive"),
        metrics=("accuracy",),
        **_alike(text_a="text", text_b=None, label="label"),
    ),
)


def get_task(
    task_name: str,
    data_dir: str | None = None,
    text_a: str | None = None,
    text_b: str | None = None,
    label: str | None = None,
    labels: Sequence[str] | None = None,
    regression: bool | None = None,
    data_source: str = FILES,
    train_file: str | None = None,
    dev_file: str | None = None,
    test_file: str | None = None,
    dev_share: float = 0.0,
    dev_seed: int = 12345,
    known_labels: Sequence[str] | None = None,
    known_from: str = THE_MODEL,
) -> Task:
    """The task that flags ask for: `get_task(**options.values(TASK_FLAGS))`.

    Args:
      task_name: One of `TASKS` in any spelling of case, hyphens and underscores; or one of
        `OWN_TABLES`: train, dev and test sets in tables of that kind.
      data_dir: Folder of the task's sets.
      text_a: Column of the (first) text, for `OWN_TABLES` only, as all that follow but
        `data_source`.
      text_b: Column of the second text, if there is one.
      label: Column of the label; the test set need not have it.
      labels: All labels in order; by default those of the training set, sorted. An empty list stands
        for a regression.
      regression: Whether labels are scores; None for a classification whose labels are doubted if
        they look like scores, or like no classes at all.
      data_source: `files`, or `tfds` for tensorflow-datasets.
      train_file: Files of the training set, in place of the one in `data_dir`.
      dev_file: Files of the development set.
      test_file: Files of the test set.
      dev_share: Share of the training rows that are held out as development set.
      dev_seed: Decides which ones.
      known_labels: Labels of a trained model in use, none of a regression; with them, the training
        set is not read for its labels.
      known_from: Their owner in messages: `THE_MODEL` or `THE_TEACHER`.

    Raises:
      UserError: An unknown task, a flag that the task does not use or lacks, a task that
        tensorflow-datasets does not have, or training labels that cannot be read or are doubted.
    """
    kind = _spelling(task_name)
    if data_source == FILES and kind in OWN_TABLES:
        tables = OwnTables(
            kind,
            data_dir,
            text_a,
            text_b,
            label,
            train_file,
            dev_file,
            test_file,
            dev_share,
            dev_seed,
        )
        return own_task(tables, labels, regression, known_labels, known_from)
    own_flags = (text_a, text_b, label, train_file, dev_file, test_file, dev_share or None)
    if any(value is not None for value in (*own_flags, labels, regression)):
        raise UserError(
            f"--task_name={task_name} --data_source={data_source} has fixed sets, columns and "
            "labels; --text_a, --text_b, --label, --labels, --regression, --train_file, --dev_file, "
            f"--test_file and --dev_share go with --task_name={', '.join(OWN_TABLES)} only, read "
            "from files."
        )
    if data_dir is None:
        raise UserError(f"--task_name={task_name} needs --data_dir, the folder of its sets.")
    if data_source == TFDS:
        return _from_tfds(task_name, kind)
    return _known_task(task_name)


def _known_task(task_name: str) -> Task:
    for task in TASKS:
        if _spelling(task_name) == _spelling(task.name):
            return task
    known = ", ".join([*(task.name for task in TASKS), *OWN_TABLES])
    raise UserError(f"task {task_name} is unknown; expected one of {known}.")


def _spelling(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _from_tfds(task_name: str, kind: str) -> Task:
    name = kind if kind in OWN_TABLES else _known_task(task_name).name
    if name not in DATASETS:
        raise UserError(
            f"--data_source={TFDS}: tensorflow-datasets does not have task {name}; it has "
            f"{', '.join(DATASETS)}. Read files instead (--data_source={FILES})."
        )
    task = _known_task(name)
    dataset = DATASETS[task.name]

    def splits(files: Sequence[TaskFile], has_labels: bool) -> tuple[TaskFile, ...]:
        return tuple(TfdsSplit(file.name, dataset, has_labels) for file in files)

    return dataclasses.replace(
        task,
        train=splits(task.train, has_labels=True),
        dev=splits(task.dev, has_labels=True),
        test=splits(task.test, has_labels=False),
    )
