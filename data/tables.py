"""Rows of TSV files by position or name of their columns, as the tasks of GLUE need them.

The convention is that of `_read_tsv` in google-research/bert `run_classifier.py`: columns are
separated by single tabs and nothing is quoted, so a quotation mark is a letter like any other. Tables
of one's own, in all formats, are read by `data.rows`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from common.errors import UserError
from common.files import read_lines
from data.rows import check_columns


class TableRow(NamedTuple):
    """The wanted columns of one row of a table.

    Attributes:
      path: The file.
      line: Line number, counted from 1.
      values: One text for each wanted column; None for a column that was not wanted.
    """

    path: str
    line: int
    values: tuple[str | None, ...]

    @property
    def place(self) -> str:
        """File and line as messages name them."""
        return f"{self.path}, line {self.line}"


def read_table(
    path: str,
    columns: Sequence[int | str | None],
    header: bool,
    skip_short_rows: bool = False,
) -> Iterator[TableRow]:
    """Yields the wanted columns of every row.

    Args:
      path: A TSV file.
      columns: The wanted columns in the wanted order: a position counted from 0 (negative: from
        the end of the header), a name that stands in the header, or None for no column.
      header: Whether the first line names the columns instead of being a row.
      skip_short_rows: Leave rows with too few columns out; their number is logged at the end.

    Raises:
      UserError: A column that the header does not name, a row with too few columns, or a row with
        more columns than the header, which is what a tab inside a text looks like.
    """
    lines = read_lines(path)
    names = None
    if header:
        names = _header(path, lines)
        columns = [_position(path, names, column) for column in columns]
    positions = [column for column in columns if isinstance(column, int)]
    needed = max(positions) + 1
    if names is not None and len(names) < needed:
        raise _too_few_columns(path, 1, len(names), needed)
    short_rows: list[int] = []
    for line, text in lines:
        cells = text.split("\t")
        if len(cells) < needed:
            if not skip_short_rows:
                raise _too_few_columns(path, line, len(cells), needed)
            short_rows.append(line)
            continue
        if names is not None and len(cells) > len(names):
            raise UserError(
                f"{path}, line {line}: found {len(cells)} columns, but the header names "
                f"{len(names)}; a tab inside a text splits it, replace it by a space."
            )
        yield TableRow(path, line, tuple(cells[c] if isinstance(c, int) else None for c in columns))
    if short_rows:
        logging.info(
            "%s: %d rows with fewer than %d columns were left out; the first is line %d.",
            path,
            len(short_rows),
            needed,
            short_rows[0],
        )


def _header(path: str, lines: Iterator[tuple[int, str]]) -> list[str]:
    for _, first in lines:
        return first.split("\t")
    raise UserError(f"{path} is empty; expected a first line that names the columns.")


def _position(path: str, names: list[str], column: int | str | None) -> int | None:
    if isinstance(column, str):
        check_columns(path, names, [column])
        return names.index(column)
    if column is not None and column < 0:
        return len(names) + column
    return column


def _too_few_columns(path: str, line: int, found: int, needed: int) -> UserError:
    return UserError(
        f"{path}, line {line}: found {found} column{'s' if found > 1 else ''}, expected at least "
        f"{needed}; columns are separated by tabs."
    )
