"""Soft labels by any system: texts in tables, with probabilities, logits, votes or scores.

Rows of tables (`data.rows`) hold a text or a pair, and of a classification one of

    p_<label>, logit_<label>           a column for each label; `predict.py` writes the former
    probabilities, logits, votes       an object, label -> number (JSON Lines and Parquet)

and of a regression the column `score`. Probabilities become logits by the logarithm, votes after a
division by their sum; below `FLOOR` a probability counts as that much, so that zero has a logarithm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from common.errors import UserError
from common.input_files import expand_globs
from data.rows import (
    JSON_LINES,
    PARQUET,
    Row,
    column_names,
    format_of,
    is_blank,
    parse_number,
    read_rows,
)
from data.texts import place_of, text_columns
from distillation.soft_labels import ScoredExample

PROBABILITIES, LOGITS, VOTES, SCORE = "probabilities", "logits", "votes", "score"
FLOOR = 1e-6
# Greatest distance of the sum of probabilities from 1.
SUM_TOLERANCE = 1e-3

_PREFIXES = {"p_": PROBABILITIES, "logit_": LOGITS}
_OBJECTS = (PROBABILITIES, LOGITS, VOTES)
_EXPECTED = (
    "expected columns p_<label> or logit_<label>, in JSON Lines an object under probabilities, "
    "logits or votes, or for a regression a column score"
)


class _Columns(NamedTuple):
    """Columns that hold the numbers of a row.

    Attributes:
      kind: Meaning of the numbers.
      labels: In the order of the logits; none of a regression.
      columns: A column for each label, or the one of a score; none if they stand in an object.
    """

    kind: str
    labels: list[str]
    columns: list[str]


class ScoreFiles:
    """Tables of texts with what some system says of them.

    Attributes:
      paths: The files.
      labels: In the order of the logits; none of a regression.
      kind: Kind of the numbers, such as "probabilities".
      num_empty: Rows without text among those that were read last.
      first_empty: File and line of the first of them.
    """

    def __init__(
        self,
        patterns: str,
        text_a: str | None = None,
        text_b: str | None = None,
        labels: Sequence[str] | None = None,
    ):
        """Finds the files and looks at the beginning of the first.

        Args:
          patterns: Files, globs and folders, separated by commas.
          text_a: Column of the (first) text; by default `text`, or `text_a` and `text_b`.
          text_b: Column of the second text.
          labels: All labels in order, an empty list for a regression; by default those of the first
            row.

        Raises:
          UserError: There is no such file or column, or the labels are not those of the file.
        """
        self.paths = expand_globs(patterns, "from_file", lambda path: bool(format_of(path)))
        for path in self.paths:
            if not format_of(path):
                raise UserError(
                    f"--from_file: {path}: cannot tell its format by its name; expected .csv, .tsv, "
                    ".jsonl or .parquet."
                )
        names = column_names(self.paths[0])
        self._texts = text_columns(self.paths[0], names, text_a, text_b)
        found = _find_columns(self.paths[0], names, labels)
        self.kind, self.labels, self._columns = found
        # Of rows that may be read without another look; None where labels are given.
        self._known_names = {*names} if labels is None else None
        if labels is None:
            self._check_same_labels()
        self.num_empty, self.first_empty = 0, ""

    def _check_same_labels(self) -> None:
        """A label that only a later file has would be left out in silence."""
        for path in self.paths[1:]:
            other = _find_columns(path, column_names(path), None)
            if (other.kind, set(other.labels)) != (self.kind, set(self.labels)):
                raise UserError(
                    f"{path} has {other.kind} of the labels {', '.join(other.labels)}, but "
                    f"{self.paths[0]} has {self.kind} of {', '.join(self.labels)}; give all files "
                    "the same labels, or name those that count with --labels."
                )

    def read(self) -> Iterator[ScoredExample]:
        """Yields all texts with their logits or scores; rows without text are passed over.

        Raises:
          UserError: A row lacks a column, has other labels than the first, or numbers that are no
            probabilities, logits or votes.
        """
        self.num_empty, self.first_empty = 0, ""
        for path in self.paths:
            for row in self._rows(path):
                text_a, text_b = row.texts(self._texts)
                if is_blank(text_a, text_b):
                    self.num_empty += 1
                    self.first_empty = self.first_empty or row.place
                    continue
                if self._known_names and row.cells.keys() != self._known_names:
                    self._check_no_further_scores(row)
                names = self._columns or self.labels
                outputs = _LOGITS_OF[self.kind](row, names, self._numbers(row))
                yield ScoredExample(place_of(path, row.line), text_a, text_b, None, outputs)

    def _check_no_further_scores(self, row: Row) -> None:
        """Refuses a label that the first row of JSON Lines lacks: its scores would be ignored."""
        for name in row.cells:
            is_score = name.startswith(tuple(_PREFIXES)) or name in _OBJECTS
            if not is_score or name in self._columns or name == self.kind:
                continue
            raise UserError(
                f'{row.place}: there is a column "{name}", which the first row of {self.paths[0]} '
                "has not; give every row scores of the same labels, or name those that count with "
                "--labels."
            )

    def _rows(self, path: str) -> Iterator[Row]:
        return read_rows(path, [*self._texts, *(self._columns or [self.kind])])

    def _numbers(self, row: Row) -> list[float]:
        if self._columns:
            return [_number(row, column, f'column "{column}"') for column in self._columns]
        numbers = _object(row, self.kind)
        if set(numbers) != set(self.labels):
            raise UserError(
                f'{row.place}: "{self.kind}" has the labels {", ".join(numbers) or "(none)"}, '
                f"expected {', '.join(self.labels)}, as in --labels or the first row; give every row "
                "a number for each."
            )
        cells = row._replace(cells=numbers)
        return [_number(cells, label, f'"{label}" in "{self.kind}"') for label in self.labels]


def _find_columns(path: str, names: Sequence[str], labels: Sequence[str] | None) -> _Columns:
    """The columns of a file with these names; UserError unless there are exactly one kind's."""
    found, incomplete = [], []
    for prefix, kind in _PREFIXES.items() if labels is None or labels else ():
        present = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        if labels and not set(labels) <= set(present):
            incomplete += [(prefix, present)] if present else []
        elif present:
            wanted = list(labels or present)
            found.append(_Columns(kind, wanted, [prefix + label for label in wanted]))
    if (labels is None or labels) and format_of(path) in (JSON_LINES, PARQUET):
        for kind in _OBJECTS:
            if kind in names:
                present = list(labels or _object(_first_row(path), kind))
                found.append(_Columns(kind, present, []))
    if not found and not labels and SCORE in names:
        return _Columns(SCORE, [], [SCORE])
    if not found and incomplete:
        assert labels
        # Of the kind that has most of them.
        raise _missing(path, labels, *max(incomplete, key=lambda kind: len({*labels} & {*kind[1]})))
    if len(found) != 1:
        what = " and ".join(f"{columns.kind}" for columns in found) or "no scores"
        way_out = "leave all but one out" if found else _EXPECTED
        raise UserError(
            f"{path}: there are {what} among the columns {', '.join(names) or '(none)'}; {way_out}."
        )
    if len(found[0].labels) < 2:
        raise UserError(
            f"{path}: {found[0].kind} of the label {', '.join(found[0].labels) or '(none)'} alone "
            f"among the columns {', '.join(names)}; expected at least 2 labels: add what belongs to "
            f"the others, or for a regression call the column {SCORE}."
        )
    return found[0]


def _missing(path: str, labels: Sequence[str], prefix: str, present: Sequence[str]) -> UserError:
    """The error for a table without a column for each of the labels that are given."""
    absent = [f'"{prefix}{label}"' for label in labels if label not in present]
    way_out = "add a column for each label"
    if len(present) > 1:
        way_out += f", or pass --labels={','.join(present)} if these are all"
    return UserError(
        f"{path}: no column is called {' or '.join(absent)}, which --labels={','.join(labels)} asks "
        f"for; there are {', '.join(prefix + label for label in present)}; {way_out}."
    )


def _first_row(path: str) -> Row:
    row = next(read_rows(path), None)
    if row is None:
        raise UserError(f"{path} has no rows that name the labels; leave it out, or pass --labels.")
    return row


def _object(row: Row, kind: str) -> Mapping[str, object]:
    value = row.cells.get(kind)
    if not isinstance(value, dict):
        raise UserError(
            f'{row.place}: "{kind}" is {value!r:.40}, expected an object with a number for each '
            'label, such as {"good": 0.9, "bad": 0.1}.'
        )
    return value


def _number(row: Row, column: str, name: str) -> float:
    text = row.text(column)
    number = parse_number(text)
    if number is None:
        raise UserError(
            f'{row.place}: {name} is "{text:.40}", expected a finite number; correct the row, or '
            "leave it out."
        )
    return number


def _check_not_negative(row: Row, numbers: Sequence[float], kind: str) -> None:
    if min(numbers) < 0:
        raise UserError(
            f"{row.place}: found {min(numbers):.6g} among the {kind}, which cannot be negative; if "
            "the numbers are logits, call their columns logit_<label>, or in JSON Lines the object "
            "logits."
        )


def _of_probabilities(
    row: Row, names: Sequence[str], numbers: Sequence[float]
) -> tuple[float, ...]:
    _check_not_negative(row, numbers, PROBABILITIES)
    total = math.fsum(numbers)
    if round(abs(total - 1), 9) > SUM_TOLERANCE:
        reason = (
            "add the label that is missing, to the table or to --labels"
            if total < 1
            else "pass --labels if some of them are not labels of the task"
        )
        raise UserError(
            f"{row.place}: the probabilities {', '.join(names)} sum to {total:.6g}, expected 1 "
            f"(within {SUM_TOLERANCE}); {reason}; if the numbers are logits, call their columns "
            "logit_<label>, or in JSON Lines the object logits (or votes)."
        )
    return tuple(math.log(max(number, FLOOR)) for number in numbers)


def _of_votes(row: Row, names: Sequence[str], numbers: Sequence[float]) -> tuple[float, ...]:
    del names
    _check_not_negative(row, numbers, VOTES)
    if not (total := math.fsum(numbers)) > 0:
        raise UserError(
            f"{row.place}: all votes are 0, expected one at least; leave the row out if nothing is "
            "known of it."
        )
    return tuple(math.log(max(number / total, FLOOR)) for number in numbers)


def _as_they_are(row: Row, names: Sequence[str], numbers: Sequence[float]) -> tuple[float, ...]:
    del row, names
    return tuple(numbers)


# Kind of the numbers of a row -> its logits, or its score, from their names and values.
_LOGITS_OF: Mapping[str, Callable[[Row, Sequence[str], Sequence[float]], tuple[float, ...]]] = {
    PROBABILITIES: _of_probabilities,
    VOTES: _of_votes,
    LOGITS: _as_they_are,
    SCORE: _as_they_are,
}
