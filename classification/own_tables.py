"""Tasks of one's own: train, dev and test sets in tables, with columns that flags name.

Each set is files that a flag names, or `train.csv`, `dev.csv`, `test.csv` (and so on) of a folder. A
development set can be held out of the training set: of each label the same share, chosen by a hash of
the text, so that equal texts stay together and the choice does not depend on the order of the rows.
"""

from __future__ import annotations

import bisect
import collections
import dataclasses
import hashlib
import json
import logging
from collections.abc import Iterator, Sequence

from classification.predictions import LABELS_FILE
from classification.task import Task, some_of
from classification.task_files import TableFile, TaskFile
from common.errors import UserError
from common.input_files import expand_globs
from data.classifier_records import Example
from data.rows import FORMATS, parse_number

OWN_TABLES = FORMATS
# Labels of a table that do not look like classes are refused, unless --regression, --noregression
# or --labels says what they are. More different whole numbers than this look like scores.
MOST_NUMBERED_CLASSES = 20
# More different labels than this look like texts or names of rows.
MOST_LABELS = 100
# So do more than this, if there are fewer than two rows per label on average.
MOST_SPARSE_LABELS = 20


@dataclasses.dataclass(frozen=True)
class OwnTables:
    """The tables of a task, in the words of `classification.tasks.get_task`."""

    kind: str
    data_dir: str | None
    text_a: str | None
    text_b: str | None
    label: str | None
    train_file: str | None = None
    dev_file: str | None = None
    test_file: str | None = None
    dev_share: float = 0.0
    dev_seed: int = 12345

    def table(self, name: str, label: str | None) -> TableFile:
        """The set of this name: train, dev or test."""
        given = {"train": self.train_file, "dev": self.dev_file, "test": self.test_file}[name]
        flag = f"{name}_file"
        hint = f"give the folder that holds it (--data_dir), or the file itself (--{flag})"
        if name == "dev":
            hint += "; --dev_share=0.1 holds a tenth of the training set out"
        return TableFile(
            name,
            self.text_a or "",
            self.text_b,
            label,
            file_names=(f"{name}.{self.kind}",),
            file_format=self.kind,
            paths=tuple(expand_globs(given, flag)) if given else (),
            hint=hint,
        )

    def check_no_dev_set(self) -> None:
        """Raises a UserError if a development set is there that --dev_share would stand for."""
        found: str | None = self.dev_file
        if not found and self.data_dir:
            try:
                found, _ = self.table("dev", None).open(self.data_dir, self.kind)
            except UserError:
                return
        if found:
            raise UserError(
                f"--dev_share={self.dev_share} holds a development set out of the training set, but "
                f"there is one already, {found}; leave --dev_share out."
            )


@dataclasses.dataclass(frozen=True)
class PartOfFile:
    """The rows of a training set that are held out as development set, or all other ones.

    Attributes:
      name: See `TaskFile`.
      whole: The training set.
      tables: Share that is held out, and its seed.
      is_held_out: True for the held-out part, False for the rest.
      by_label: Whether the share is taken of each label, or, of scores, of all rows together.
    """

    name: str
    whole: TableFile
    tables: OwnTables
    is_held_out: bool
    by_label: bool

    def open(self, data_dir: str, task_name: str) -> tuple[str, Iterator[Example]]:
        """See `TaskFile`."""
        title, examples = self.whole.open(data_dir, task_name)
        return title, self._chosen(data_dir, task_name, examples)

    def _chosen(
        self, data_dir: str, task_name: str, examples: Iterator[Example]
    ) -> Iterator[Example]:
        held_out = self._held_out(self.whole.open(data_dir, task_name)[1])
        for example in examples:
            if (self._hash(example) in held_out) == self.is_held_out:
                yield example

    def _held_out(self, examples: Iterator[Example]) -> set[int]:
        """Hashes of the texts that are held out: of each label one at least, but never all."""
        hashes: dict[str, list[int]] = collections.defaultdict(list)
        for example in examples:
            hashes[self._stratum(example)].append(self._hash(example))
        held_out: set[int] = set()
        for values in hashes.values():
            values.sort()
            wanted = max(1, round(self.tables.dev_share * len(values)))
            held_out.update(values[: min(wanted, bisect.bisect_left(values, values[-1]))])
        return held_out

    def _stratum(self, example: Example) -> str:
        return (example.label or "") if self.by_label else ""

    def _hash(self, example: Example) -> int:
        row = (self.tables.dev_seed, example.text_a, example.text_b)
        return int.from_bytes(hashlib.sha256(json.dumps(row).encode()).digest()[:8], "big")


def own_task(
    tables: OwnTables,
    labels: Sequence[str] | None,
    regression: bool | None,
    known_labels: Sequence[str] | None,
    known_from: str,
) -> Task:
    """The task of tables of one's own; arguments and errors as of `classification.tasks.get_task`."""
    kind = tables.kind
    if not tables.text_a or (not tables.label and known_labels is None):
        raise UserError(
            f"--task_name={kind} needs --text_a and --label, the names of the columns (keys, in JSON "
            f"Lines) of the text and the label; found --text_a={tables.text_a or ''} "
            f"--label={tables.label or ''}."
        )
    if not 0 <= tables.dev_share < 1:
        raise UserError(f"--dev_share={tables.dev_share}: expected a share from 0 to below 1.")
    whole = tables.table("train", tables.label)
    is_regression = check_label_flags(labels, regression)
    labels_from = "--labels"
    # A flag that says what the labels say already does not ask for those of the training set.
    if labels is None and known_labels is not None and regression in (None, not known_labels):
        labels, is_regression, labels_from = known_labels, not known_labels, known_from
    if not labels and not is_regression:
        labels = _labels_in(whole, tables.data_dir or "", kind, doubts=regression is None)
        labels_from = ", ".join(whole.paths or whole.file_names)
    train: tuple[TaskFile, ...] = (whole,)
    dev: tuple[TaskFile, ...] = (tables.table("dev", tables.label),)
    if tables.dev_share:
        tables.check_no_dev_set()
        train = (PartOfFile("train", whole, tables, False, not is_regression),)
        dev = (PartOfFile("dev", whole, tables, True, not is_regression),)
    return Task(
        kind,
        () if is_regression else tuple(labels or ()),
        metrics=("pearson", "spearman") if is_regression else ("accuracy",),
        train=train if tables.label else (),
        dev=dev if tables.label else (),
        test=(tables.table("test", None),),
        labels_from=labels_from,
    )


def check_label_flags(labels: Sequence[str] | None, regression: bool | None) -> bool:
    """Whether the flags --labels and --regression ask for a regression.

    Raises:
      UserError: They contradict each other, or a label is there twice or no single line.
    """
    if labels and regression:
        raise UserError(
            f"--regression predicts scores, --labels={','.join(labels)} names classes; pass one of "
            "the two."
        )
    if labels is not None and not labels and regression is False:
        raise UserError(
            "--labels= names no labels, which asks for a regression, and --noregression asks for "
            "classes; leave one of the two out."
        )
    if labels and (len(labels) < 2 or len(set(labels)) < len(labels)):
        raise UserError(f"--labels={','.join(labels)}: expected different labels, at least 2.")
    for label in labels or ():
        _check_line(label, "--labels")
    return bool(regression) or (labels is not None and not labels)


def _labels_in(file: TableFile, data_dir: str, kind: str, doubts: bool) -> list[str]:
    """The labels of a training set, sorted; with doubts, a UserError if they look like no classes."""
    path, examples = file.open(data_dir, kind)
    found: set[str] = set()
    num_rows = 0
    for example in examples:
        if not example.label:
            raise UserError(f'{example.source}: column "{file.label}" is empty; expected a label.')
        if example.label not in found:
            _check_line(example.label, example.source)
            found.add(example.label)
        num_rows += 1
    if len(found) < 2:
        raise UserError(
            f'{path}: column "{file.label}" holds {len(found)} different labels; expected at least '
            "2."
        )
    labels = sorted(found)
    are_numbers = all(parse_number(label) is not None for label in labels)
    if doubts:
        _check_spelling(path, file.label, labels)
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
            len(labels) > MOST_SPARSE_LABELS and 2 * len(labels) > num_rows
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


def _check_line(label: str, place: str) -> None:
    """Refuses a label that would be several lines of `labels.txt`, or several cells of a table."""
    if any(character in label for character in "\t\n\r"):
        raise UserError(
            f"{place}: the label {label!r} holds a tab or a line end, which {LABELS_FILE} and tables "
            "of predictions cannot hold; write a blank in its place."
        )


def _check_spelling(path: str, column: int | str | None, labels: Sequence[str]) -> None:
    """Refuses labels that differ in blanks alone, or in how a number is written."""
    spellings: dict[object, str] = {}
    for label in labels:
        number = parse_number(label)
        meaning = label.strip() if number is None else number
        if (other := spellings.setdefault(meaning, label)) != label:
            raise UserError(
                f'{path}: column "{column}" holds the labels "{other}" and "{label}", which would be '
                "two classes; write them alike, or pass --noregression if they are two."
            )
