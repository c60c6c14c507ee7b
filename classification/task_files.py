"""The sets of a task as files in a folder: tables and JSON Lines."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Protocol

from common.errors import MissingFileError
from common.files import COMPRESSIONS, exists
from data.classifier_records import Example
from data.rows import TSV, column_names, format_of, read_rows
from data.tables import read_table

# What stands in place of the label where the annotators did not agree (SNLI, MultiNLI).
NO_LABEL = "-"


class TaskFile(Protocol):
    """One set of a task, wherever it comes from."""

    @property
    def name(self) -> str:
        """Name of the set in output files, and first part of its example ids."""

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

    A column is a position (negative: from the end; in TSV files only) or a name.

    Attributes:
      name: Its name without ending, unless `file_names` says otherwise.
      text_a: Column of the (first) text.
      text_b: Column of the second text; None for a task on single texts.
      label: Column of the label; None if the labels are not public (test sets).
      index: Column of what the table calls its rows; None if it does not matter.
      header: Whether the first line of a table names the columns.
      file_names: Names to look for, the first that exists is read; empty for `<name>.tsv`. Each may
        be compressed.
      paths: The files themselves, wherever they are; then `file_names` say nothing.
      hint: Advice for naming a missing file, for the message.
      file_format: One of `data.rows.FORMATS`; None for what the file's name says, or else TSV.
      skip_short_rows: Leave rows with too few columns out instead of refusing them.
    """

    name: str
    text_a: int | str
    text_b: int | str | None = None
    label: int | str | None = None
    index: int | str | None = None
    header: bool = True
    file_names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    hint: str = "give the folder that holds it"
    file_format: str | None = None
    skip_short_rows: bool = False

    def open(self, data_dir: str, task_name: str) -> tuple[str, Iterator[Example]]:
        """See `TaskFile`."""
        paths = self._paths(data_dir, task_name)
        return ", ".join(paths), self._examples(paths)

    def has_column(self, data_dir: str, task_name: str, column: str) -> bool:
        """Whether the header, or the first object of JSON Lines, names this column.

        Raises:
          UserError: The file is missing, or its beginning cannot be read.
        """
        paths = self._paths(data_dir, task_name)
        return all(column in column_names(path, self._format(path)) for path in paths)

    def _paths(self, data_dir: str, task_name: str) -> Sequence[str]:
        names = self.file_names or (f"{self.name}.tsv",)
        return self.paths or [find_file(data_dir, names, task_name, self.hint)]

    def _examples(self, paths: Sequence[str]) -> Iterator[Example]:
        for number, path in enumerate(paths):
            name = f"{self.name}-{number}" if number else self.name
            for line, place, (text_a, text_b, label, index) in self._values(path):
                yield Example(f"{name}-{line - 1}", place, text_a or "", text_b, label, index)

    def _values(self, path: str) -> Iterator[tuple[int, str, tuple[str | None, ...]]]:
        columns = (self.text_a, self.text_b, self.label, self.index)
        file_format = self._format(path)
        # As the original reads GLUE; a table of one's own is read like those of other formats.
        if file_format == TSV and not self.file_format:
            for row in read_table(path, columns, self.header, self.skip_short_rows):
                yield row.line, row.place, row.values
            return
        names = [None if column is None else str(column) for column in columns]
        for named_row in read_rows(path, [name for name in names if name], file_format):
            values = tuple(name and named_row.text(name) for name in names)
            yield named_row.line, named_row.place, values

    def _format(self, path: str) -> str:
        return self.file_format or format_of(path) or TSV


def find_file(
    data_dir: str,
    names: Sequence[str],
    task_name: str,
    hint: str = "give the folder that holds it",
) -> str:
    """The path of the first of the files that exists, plain or compressed (`COMPRESSIONS`).

    `hint` ends the message of the error.

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
        f"{task_name} needs it, {hint}."
    )
