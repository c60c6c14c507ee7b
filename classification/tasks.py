"""Classification and regression tasks: which sets they have, which columns, labels and metrics.

A task is one entry of `TASKS`. Sources: `DataProcessor` and its subclasses in google-research/bert
`run_classifier.py`; the files of the GLUE and SNLI distributions.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

from classification.task import Task, is_number, some_of
from classification.task_files import TableFile, TaskFile
from classification.tfds_source import DATASETS, TfdsSplit
from common.errors import UserError

FILES, TFDS = "files", "tfds"


def _alike(
    text_a: int | str,
    text_b: int | str | None,
    label: int | str,
    index: int | None = None,
    ending: str = ".tsv",
) -> dict[str, Any]:
    """Train, dev and test files with a header and their texts in the same columns."""
    names = {name: (name + ending,) for name in ("train", "dev", "test")}
    return {
        "train": (TableFile("train", text_a, text_b, label, file_names=names["train"]),),
        "dev": (TableFile("dev", text_a, text_b, label, file_names=names["dev"]),),
        "test": (TableFile("test", text_a, text_b, index=index, file_names=names["test"]),),
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
# Tasks of one's own: tables with a header, whose files end like the name of the task.
OWN_TABLES = ("tsv", "jsonl")
# What is asked about before a classifier is trained on a table of one's own, if no flag says so:
# whole numbers with more different values than this are rather scores,
MOST_NUMBERED_CLASSES = 20
# more labels than this are rather texts or names of rows; and so are fewer, more than
MOST_LABELS = 100
# this, if a label has not two rows on average.
MOST_RARE_LABELS = 20


def get_task(
    task_name: str,
    data_dir: str,
    text_a: str | None = None,
    text_b: str | None = None,
    label: str | None = None,
    labels: Sequence[str] | None = None,
    regression: bool | None = None,
    data_source: str = FILES,
) -> Task:
    """The task that flags ask for: `get_task(**options.values(TASK_FLAGS))`.

    Args:
      task_name: One of `TASKS` in any spelling of case, hyphens and underscores; or one of
        `OWN_TABLES`: train, dev and test files of that kind, tables with a header each.
      data_dir: Folder of the task's sets; read here only for the labels of `OWN_TABLES`.
      text_a: Column or key of the (first) text, for `OWN_TABLES` only, as all that follow.
      text_b: Column or key of the second text, if there is one.
      label: Column or key of the label; the test set need not have it.
      labels: All labels in order; by default those of the training set, sorted. An empty list stands
        for a regression.
      regression: Whether labels are scores; None for a classification whose labels are doubted if
        they look like scores, or like no classes at all.
      data_source: `files`, or `tfds` for tensorflow-datasets.

    Raises:
      UserError: An unknown task, a flag that the task does not use or lacks, a task that
        tensorflow-datasets does not have, or training labels that cannot be read or are doubted.
    """
    kind = _spelling(task_name)
    if data_source == FILES and kind in OWN_TABLES:
        return _table_task(kind, data_dir, text_a, text_b, label, labels, regression)
    if text_a or text_b or label or labels is not None or regression is not None:
        raise UserError(
            f"--task_name={task_name} --data_source={data_source} has fixed columns and labels; "
            f"--text_a, --text_b, --label, --labels and --regression go with --task_name="
            f"{' and '.join(OWN_TABLES)} only, read from files."
        )
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


def _table_task(
    kind: str,
    data_dir: str,
    text_a: str | None,
    text_b: str | None,
    label: str | None,
    labels: Sequence[str] | None,
    regression: bool | None,
) -> Task:
    if not text_a or not label:
        raise UserError(
            f"--task_name={kind} needs --text_a and --label, the header names (keys, in JSON Lines) "
            f"of the text and the label; found --text_a={text_a or ''} --label={label or ''}."
        )
    files = _alike(text_a, text_b, label, ending=f".{kind}")
    if check_label_flags(labels, regression):
        return Task(kind, labels=(), metrics=("pearson", "spearman"), **files)
    labels_from = "--labels"
    if not labels:
        train = files["train"][0]
        labels = _labels_in(train, data_dir, kind, doubts=regression is None)
        labels_from = f"{train.name}.{kind}"
    return Task(kind, tuple(labels), metrics=("accuracy",), labels_from=labels_from, **files)


def check_label_flags(labels: Sequence[str] | None, regression: bool | None) -> bool:
    """Whether the flags --labels and --regression ask for a regression.

    Raises:
      UserError: They contradict each other, or a label is there twice.
    """
    if labels and regression:
        raise UserError(
            f"--regression predicts scores, --labels={','.join(labels)} names classes; pass one of "
            "the two."
        )
    if labels is not None and not labels and regression is False:
        raise UserError("--labels= names no labels, and --noregression asks for classes.")
    if labels and (len(labels) < 2 or len(set(labels)) < len(labels)):
        raise UserError(f"--labels={','.join(labels)}: expected different labels, at least 2.")
    return bool(regression) or (labels is not None and not labels)


def _labels_in(file: TableFile, data_dir: str, kind: str, doubts: bool) -> list[str]:
    """The labels of a training set, sorted; with doubts, a UserError if they look like no classes."""
    path, examples = file.open(data_dir, kind)
    found: set[str] = set()
    num_rows = 0
    for example in examples:
        if not example.label:
            raise UserError(f'{example.source}: column "{file.label}" is empty; expected a label.')
        found.add(example.label)
        num_rows += 1
    if len(found) < 2:
        raise UserError(
            f'{path}: column "{file.label}" holds {len(found)} different labels; expected at least '
            "2."
        )
    labels = sorted(found)
    are_numbers = all(map(is_number, labels))
    if doubts:
        holds = f'{path}: column "{file.label}" holds {len(labels)} different '
        such_as = f"in {num_rows} rows, such as {labels[0]} and {labels[-1]}"
        if are_numbers and (
            len(labels) > MOST_NUMBERED_CLASSES or not all(float(x).is_integer() for x in labels)
        ):
            raise UserError(
                f"{holds}numbers {such_as}, which look like scores; pass --regression to predict the "
                "number, or --noregression if each number is a class of its own."
            )
        if len(labels) > MOST_LABELS or (
            len(labels) > MOST_RARE_LABELS and 2 * len(labels) > num_rows
        ):
            raise UserError(
                f"{holds}labels {such_as}; name another column with --label, or pass --noregression "
                "if each of them is a class."
            )
    logging.info(
        "%s: column %s is taken as a class, one of %s%s.",
        path,
        file.label,
        some_of(labels),
        "; to predict it as a number, pass --regression" if doubts and are_numbers else "",
    )
    return labels
