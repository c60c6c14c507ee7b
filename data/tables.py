"""Rows of TSV and JSON Lines files and lines of text files, read one at a time.

Tables follow GLUE's convention (`_read_tsv` in google-research/bert `run_classifier.py`): columns
are separated by single tabs and nothing is quoted, so a quotation mark is a letter like any other.
JSON Lines have one object per line. Files may be compressed; memory does not grow with their length.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from common.errors import UserError
from common.files import COMPRESSED, COMPRESSIONS, parse_json, read_lines

_TEXT_SUFFIXES = tuple(".txt" + compression for compression in COMPRESSIONS)
_TABLE_SUFFIXES = tuple(".tsv" + compression for compression in COMPRESSIONS)


class Row(NamedTuple):
    """The wanted columns of one row of a table, or keys of one object.

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
) -> Iterator[Row]:
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
        yield Row(path, line, tuple(cells[c] if isinstance(c, int) else None for c in columns))
    if short_rows:
        logging.info(
            "%s: %d rows with fewer than %d columns were left out; the first is line %d.",
            path,
            len(short_rows),
            needed,
            short_rows[0],
        )


def header_names(path: str) -> list[str]:
    """The names of a table's columns.

    Raises:
      UserError: The file is empty.
    """
    return _header(path, read_lines(path))


def _header(path: str, lines: Iterator[tuple[int, str]]) -> list[str]:
    for _, first in lines:
        return first.split("\t")
    raise UserError(f"{path} is empty; expected a first line that names the columns.")


def _position(path: str, names: list[str], column: int | str | None) -> int | None:
    if isinstance(column, str):
        if column not in names:
            raise UserError(
                f'{path}: no column is called "{column}"; the header names {", ".join(names)}.'
            )
        return names.index(column)
    if column is not None and column < 0:
        return len(names) + column
    return column


def _too_few_columns(path: str, line: int, found: int, needed: int) -> UserError:
    return UserError(
        f"{path}, line {line}: found {found} column{'s' if found > 1 else ''}, expected at least "
        f"{needed}; columns are separated by tabs."
    )


def read_json_lines(path: str, keys: Sequence[str | None]) -> Iterator[Row]:
    """Yields the wanted values of every object; blank lines are passed over.

    Args:
      path: A JSON Lines file.
      keys: The wanted keys in the wanted order; None for no key.

    Raises:
      UserError: A line that is not a JSON object, an object without a wanted key, or a value that is
        neither a text, a number nor a boolean (the last two are taken as JSON writes them).
    """
    for line, found in _json_objects(path):
        place = f"{path}, line {line}"
        yield Row(path, line, tuple(key and _json_value(place, found, key) for key in keys))


def json_keys(path: str) -> list[str]:
    """The keys of the first object of a JSON Lines file; none if there is no object.

    Raises:
      UserError: Its first line is not a JSON object.
    """
    for _, found in _json_objects(path):
        return list(found)
    return []


def _json_objects(path: str) -> Iterator[tuple[int, dict[str, object]]]:
    for line, text in read_lines(path):
        if not text.strip():
            continue
        try:
            found = parse_json(text)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{path}, line {line}, column {error.colno}: not valid JSON ({error.msg}); a "
                ".jsonl file has one object per line."
            ) from None
        if not isinstance(found, dict):
            raise UserError(f"{path}, line {line}: found {found!r:.40}, expected a JSON object.")
        yield line, found


def _json_value(place: str, found: dict[str, object], key: str) -> str:
    if key not in found:
        raise UserError(f'{place}: no key is called "{key}"; the object has {", ".join(found)}.')
    value = found[key]
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    if not isinstance(value, str):
        raise UserError(
            f'{place}: the value of "{key}" is {value!r:.40}, expected a text or a number.'
        )
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise UserError(
            f'{place}: the value of "{key}" holds half a surrogate pair, which is no character; '
            "correct the line."
        )
    return value


def is_transfer_name(path: str) -> bool:
    """Whether a file found in a folder can be read by `read_transfer_texts`, by its name."""
    return path.endswith(_TEXT_SUFFIXES + _TABLE_SUFFIXES)


def read_transfer_texts(
    paths: Sequence[str], text_a: str | None = None, text_b: str | None = None
) -> Iterator[tuple[str, str, str | None]]:
    """Reads the unlabelled texts a teacher is asked about; blank rows are passed over.

    A line of a text file (`.txt`) is one text. A row of a table (`.tsv`) is one text or, with two
    columns, a pair; with `text_a` the table has a header and these columns are read.

    Args:
      paths: Files, plain or compressed, in the order they are read.
      text_a: Name of the column of the (first) text, for tables with a header.
      text_b: Name of the column of the second text, for tables of pairs with a header.

    Yields:
      (example id `<file name>:<line>`, first text, second text or None).

    Raises:
      UserError: At once for a file that is neither text nor table or that does not fit the column
        names; while reading for what `read_table` refuses, a row of more than two columns, or
        single texts mixed with pairs.
    """
    if text_b is not None and text_a is None:
        raise UserError(f"--text_b={text_b} needs --text_a, the column of the first text.")
    for path in paths:
        if not is_transfer_name(path):
            raise UserError(
                f"{path}: cannot tell its format by its name; expected a text file (.txt) or a "
                f"table (.tsv), plain or with {COMPRESSED}."
            )
        if text_a is not None and not path.endswith(_TABLE_SUFFIXES):
            raise UserError(f"{path}: --text_a={text_a} names a column, but this is a text file.")
    return _transfer_texts(paths, text_a, text_b)


def _transfer_texts(
    paths: Sequence[str], text_a: str | None, text_b: str | None
) -> Iterator[tuple[str, str, str | None]]:
    first: tuple[str, bool] | None = None
    for path in paths:
        for line, first_text, second_text in _transfer_rows(path, text_a, text_b):
            if not first_text.strip() and not (second_text or "").strip():
                continue
            is_pair = second_text is not None
            if first is None:
                first = (f"{path}, line {line}", is_pair)
            elif first[1] != is_pair:
                kinds = ("a single text", "a pair of texts")
                raise UserError(
                    f"{path}, line {line}: found {kinds[is_pair]}, but {first[0]} has "
                    f"{kinds[not is_pair]}; a transfer set is all single texts or all pairs."
                )
            yield f"{os.path.basename(path)}:{line}", first_text, second_text


def _transfer_rows(
    path: str, text_a: str | None, text_b: str | None
) -> Iterator[tuple[int, str, str | None]]:
    if path.endswith(_TEXT_SUFFIXES):
        for line, text in read_lines(path):
            yield line, text, None
    elif text_a is not None:
        for row in read_table(path, (text_a, text_b), header=True):
            first_text, second_text = row.values
            yield row.line, first_text or "", second_text
    else:
        for line, text in read_lines(path):
            cells = text.split("\t")
            if len(cells) > 2:
                raise UserError(
                    f"{path}, line {line}: found {len(cells)} columns, expected one (a text) or "
                    "two (a pair); of a table with a header, create_transfer_set.py reads the "
                    "columns --text_a and --text_b."
                )
            yield line, cells[0], cells[1] if len(cells) == 2 else None
