"""Rows of tables whose columns have names: CSV, TSV, JSON Lines and Parquet, read one at a time.

    .csv      RFC 4180: commas, a header; fields in quotation marks may hold commas and line ends
    .tsv      single tabs, a header; nothing is quoted, so a quotation mark is a letter like any other
    .jsonl    one object per line; its keys are the columns
    .parquet  needs the package pyarrow

All but Parquet may be compressed. Memory does not grow with the length of a file.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from common.errors import UserError
from common.files import (
    COMPRESSIONS,
    decode_block,
    open_binary,
    parse_json,
    read_line_blocks,
    read_lines,
)

CSV, TSV, JSON_LINES, PARQUET = "csv", "tsv", "jsonl", "parquet"
FORMATS = (CSV, TSV, JSON_LINES, PARQUET)
# A longer field is a quotation mark that is not closed.
_LONGEST_FIELD = 1 << 27
_PARQUET_ROWS = 1000
# Of float32, in which models compute.
_LARGEST_NUMBER = (2 - 2**-23) * 2.0**127
_HALF_PAIR = re.compile("[\ud800-\udfff]")
# What else a header may be separated by, and how a message calls it.
_SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons"}


class Row(NamedTuple):
    """One row of a table.

    Attributes:
      path: The file.
      line: The line on which it begins, counted from 1; the number of the row in Parquet.
      cells: Column -> value: texts, and in JSON Lines and Parquet whatever they hold.
      unit: Unit that `line` counts.
    """

    path: str
    line: int
    cells: Mapping[str, Any]
    unit: str = "line"

    @property
    def place(self) -> str:
        """File and line as messages name them."""
        return f"{self.path}, {self.unit} {self.line}"

    def text(self, column: str) -> str:
        """The text of a column; numbers and booleans as JSON writes them.

        Raises:
          UserError: The row has no such column, or its value is neither text, number nor boolean, or
            a number that is not finite.
        """
        if column not in self.cells:
            raise UserError(
                f'{self.place}: no column is called "{column}"; the row has '
                f"{', '.join(self.cells)}."
            )
        value = self.cells[column]
        # What is not a number is how some tools write a missing value.
        if isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
            return json.dumps(value)
        if not isinstance(value, str):
            raise UserError(
                f'{self.place}: the value of "{column}" is {value!r:.40}, expected a text or a '
                "number."
            )
        if has_half_pair(value):
            raise UserError(
                f'{self.place}: the value of "{column}" holds half a surrogate pair, which is no '
                "character; correct the line."
            )
        return value

    def texts(self, columns: Sequence[str]) -> tuple[str, str | None]:
        """The text of one column, or the pair of two; errors as of `text`."""
        first, *others = (self.text(column) for column in columns)
        return first, others[0] if others else None


def parse_number(text: str) -> float | None:
    """The number that a text is; None if it is none that a model can compute with."""
    try:
        number = float(text)
    except ValueError:
        return None
    # Python's own numbers may be grouped by underscores.
    return number if abs(number) <= _LARGEST_NUMBER and "_" not in text else None


def has_half_pair(text: str) -> bool:
    """Whether half a surrogate pair is in a text, as JSON may have it: UTF-8 has no form for it."""
    return not text.isascii() and _HALF_PAIR.search(text) is not None


def is_blank(text_a: str, text_b: str | None) -> bool:
    """Whether neither text of a row says anything."""
    return not text_a.strip() and not (text_b or "").strip()


def has_ending(path: str, *endings: str) -> bool:
    """Whether a file is of one of these formats by its name, compressed or not."""
    names = [f".{ending}{compression}" for ending in endings for compression in COMPRESSIONS]
    return path.endswith(tuple(names))


def format_of(path: str) -> str | None:
    """The format of a table by its name; None if it is none of `FORMATS`."""
    return next((name for name in FORMATS if has_ending(path, name)), None)


def read_rows(
    path: str, columns: Sequence[str] = (), file_format: str | None = None
) -> Iterator[Row]:
    """Yields the rows of a table, without blank lines.

    Args:
      path: The table.
      columns: Columns that it must have; other ones are yielded too, from Parquet these alone if any
        are named.
      file_format: One of `FORMATS`; by default the one that its name says.

    Raises:
      UserError: While reading: what is not of the format, a missing column, or a row with more or
        fewer fields than the header.
    """
    file_format = file_format or format_of(path)
    if file_format == JSON_LINES:
        yield from _json_rows(path)
    elif file_format == PARQUET:
        yield from _parquet_rows(path, columns)
    else:
        records = _csv_records(path) if file_format == CSV else _tsv_records(path)
        names = _header(path, records)
        check_columns(path, names, columns)
        for line, fields in records:
            if len(fields) != len(names):
                raise UserError(
                    f"{path}, line {line}: found {len(fields)} columns, but the header names "
                    f"{len(names)}; {_wrong_number_of_fields(len(fields) > len(names), file_format)}."
                )
            yield Row(path, line, dict(zip(names, fields, strict=True)))


def _wrong_number_of_fields(are_too_many: bool, file_format: str | None) -> str:
    if not are_too_many:
        return "a row needs a field for each of them, an empty one where there is nothing"
    if file_format == CSV:
        return "a text with commas in it stands between quotation marks"
    return "a tab inside a text splits it, replace it by a space"


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Rows as CSV, each with LF at its end; `read_rows` reads them back as they are."""
    lines: list[str] = []
    # A field with a lone CR has to be quoted, and is in every Python only if rows end with one.
    file = types.SimpleNamespace(write=lines.append)
    csv.writer(file, lineterminator="\r\n").writerows(rows)
    return "".join(line[:-2] + "\n" for line in lines)


def column_names(path: str, file_format: str | None = None) -> list[str]:
    """The names of a table's columns: its header, or the keys of its first object.

    Raises:
      UserError: There is no header, or the beginning of the file cannot be read.
    """
    file_format = file_format or format_of(path)
    if file_format == JSON_LINES:
        return [name for row in _first(_json_rows(path)) for name in row.cells]
    if file_format == PARQUET:
        with open_binary(path, decompress=False) as file:
            return _parquet(path, file).schema_arrow.names
    return _header(path, _csv_records(path) if file_format == CSV else _tsv_records(path))


def check_columns(path: str, names: Sequence[str], columns: Sequence[str]) -> None:
    """Raises a UserError for a column that the header of a table does not name, or names twice."""
    for column in columns:
        if column not in names:
            raise UserError(
                f'{path}: no column is called "{column}"; the header names '
                f"{', '.join(names)}{why_missing(names, column)}."
            )
        if names.count(column) > 1:
            raise UserError(
                f'{path}: {names.count(column)} columns are called "{column}"; give each a name of '
                "its own."
            )


def why_missing(names: Sequence[str], column: str) -> str:
    """Says why a column is missing, where a name in the header is almost that or holds it."""
    for name in names:
        if name.strip().strip('"') == column:
            return (
                f'; "{name}" is written with blanks or quotation marks, which belong to the name: '
                "remove them from the header"
            )
        for separator, title in _SEPARATORS.items():
            parts = [part.strip().strip('"') for part in name.split(separator)]
            if len(parts) > 1 and column in parts:
                return (
                    f"; it is separated by {title}, but a .csv file is separated by commas and a "
                    ".tsv file by tabs"
                )
    return ""


def _first(rows: Iterator[Row]) -> Iterator[Row]:
    for row in rows:
        yield row
        return


def _header(path: str, records: Iterator[tuple[int, list[str]]]) -> list[str]:
    for _, names in records:
        return names
    raise UserError(f"{path} is empty; expected a first line that names the columns.")


def _tsv_records(path: str) -> Iterator[tuple[int, list[str]]]:
    for line, text in read_lines(path):
        if text:
            yield line, text.split("\t")


def _csv_records(path: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(_lines_with_ends(path), strict=True)
    while True:
        first_line = reader.line_num + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise UserError(
                f"{path}, line {first_line}: not valid CSV in the row that begins here ({error}); a "
                "text with quotation marks, commas or line ends stands between quotation marks, and "
                "each quotation mark in it is doubled."
            ) from None
        if fields is None:
            return
        if fields:
            yield first_line, fields


def _lines_with_ends(path: str) -> Iterator[str]:
    for block in read_line_blocks(path):
        # Only "\n" ends a line here, unlike for `str.splitlines`.
        yield from io.StringIO(decode_block(block), newline="\n")


def _json_rows(path: str) -> Iterator[Row]:
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
        yield Row(path, line, found)


def _parquet_rows(path: str, columns: Sequence[str]) -> Iterator[Row]:
    number = 0
    with open_binary(path, decompress=False) as file:
        table = _parquet(path, file)
        check_columns(path, table.schema_arrow.names, columns)
        batches = table.iter_batches(_PARQUET_ROWS, columns=list(dict.fromkeys(columns)) or None)
        while (rows := _next_rows(path, batches)) is not None:
            for cells in rows:
                number += 1
                yield Row(path, number, cells, "row")


def _next_rows(path: str, batches: Any) -> list[dict[str, Any]] | None:
    try:
        batch = next(batches, None)
        return None if batch is None else batch.to_pylist()
    # Arrow's own errors, and those of values that Python has not: text that is not UTF-8, a time
    # after the year 9999, a time zone that is not known.
    except (ValueError, OSError, ArithmeticError, LookupError) as error:
        raise _damaged_parquet(path, error) from None


def _parquet(path: str, file: Any) -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise UserError(
            f"{path}: Parquet needs a package; run `pip install pyarrow`, or turn the file into CSV "
            "or JSON Lines."
        ) from None
    try:
        return pyarrow.parquet.ParquetFile(file)
    except (ValueError, OSError) as error:  # Arrow's own errors are of these kinds.
        raise _damaged_parquet(path, error) from None


def _damaged_parquet(path: str, error: Exception) -> UserError:
    reason = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
    return UserError(f"{path} is no Parquet file, or a damaged one ({reason}); create it again.")
