"""The sets of a task as files in a folder: tables and JSON Lines."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Protocol

from common.errors import MissingFileError
from common.files import COMPRESSIONS, exists
from data.classifier_records import Example
from data.tables import (
    Row,
    header_names,
    json_keys,
    read_json_lines,
    read_table,
)

# What stands in place of the label where the annotators did not agree (SNLI, MultiNLI).
NO_LABEL = "-"


class TaskFile(Protocol):
    """One set of a task, wherever it comes from."""

    @property
    def name(self) -> str:
        """Names the set in output files and is the first part of its example ids."""

    def open(self, data_dir: str, task_name: str) -> tuple[str, Iterator[Example]]:
        """Opens a set of examples.

        Args:
          data_dir: Folder of the set.
          task_name: The task it belongs to, for messages.

        Raises:
          UserError: At once if it is missing; while reading for what cannot be read. Labels are as
            they stand in the set.
        """


@dataclasses.dataclass(frozen=True)
class TableFile:
    """A file whose rows are examples.

    A column is a position (negative: from the end) or a name in the header; in JSON Lines, which have
    no positions, it is a key.

    Attributes:
      name: Its name without ending, unless `file_names` says otherwise.
      text_a: Column of the (first) text.
      text_b: Column of the second text; None for a task on single texts.
      label: Column of the label; None if the labels are not public (test sets).
      index: Column of what the table calls its rows; None if it does not matter.
      header: Whether the first line of a table names the columns.
      file_names: Names to look for, the first that exists is read; empty for `<name>.tsv`. Each may
        be compressed.
      skip_short_rows: Leave rows with too few columns out instead of refusing them.
    """

    name: str
    text_a: int | str
    text_b: int | str | None = None
    label: int | str | None = None
    index: int | str | None = None
    header: bool = True
    file_names: tuple[str, ...] = ()
    skip_short_rows: bool = False

    def open(self, data_dir: str, task_name: str) -> tuple[str, Iterator[Example]]:
        """See `TaskFile`."""
        path = find_file(data_dir, self.file_names or (f"{self.name}.tsv",), task_name)
        return path, self._examples(path)

    def has_column(self, data_dir: str, task_name: str, column: str) -> bool:
        """Whether the header, or the first object of JSON Lines, names this column.

        Raises:
          UserError: The file is missing, or its beginning cannot be read.
        """
        path, _ = self.open(data_dir, task_name)
        return column in (json_keys(path) if _is_json_lines(path) else header_names(path))

    def _examples(self, path: str) -> Iterator[Example]:
        for row in self._rows(path):
            text_a, text_b, label, index = row.values
            example_id = f"{self.name}-{row.line - 1}"
            yield Example(example_id, row.place, text_a or "", text_b, label, index)

    def _rows(self, path: str) -> Iterator[Row]:
        columns = (self.text_a, self.text_b, self.label, self.index)
        if _is_json_lines(path):
            return read_json_lines(path, [None if c is None else str(c) for c in columns])
        return read_table(path, columns, self.header, self.skip_short_rows)


def _is_json_lines(path: str) -> bool:
    return ".jsonl" in os.path.basename(path)


def find_file(data_dir: str, names: Sequence[str], task_name: str) -> str:
    """The path of the first of the files that exists, plain or compressed (`COMPRESSIONS`).

    Raises:
      MissingFileError: None of them exists.
    """
    for name in names:
        for compression in COMPRESSIONS:
            path = os.path.join(data_dir, name + compression)
            if exists(path):
                return path
    first, *others = names
    alternatives = [first + compression for compression in COMPRESSIONS[1:]] + others
    raise MissingFileError(
        f"{os.path.join(data_dir, first)} (or {', '.join(alternatives)}) is missing; task "
        f"{task_name} needs it, give the folder that holds it."
    )
