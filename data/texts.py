"""Readers of unlabelled texts: files of several formats, one source each.

    .txt                        one text per line, or one document between blank lines
    .tsv                        one text or a pair of texts per row; with column names, a table
    .csv, .tsv, .jsonl, .parquet  columns of a table that have names (`data.rows`)

All but Parquet may be compressed. Texts are read one at a time.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from common.errors import UserError
from common.files import COMPRESSED, read_lines
from data.rows import FORMATS, TSV, has_ending, is_blank, read_rows, why_missing

LINES, DOCUMENTS = "lines", "documents"
TEXT = "txt"

# Columns of a table that are read where none is named.
TEXT_COLUMN, PAIR_COLUMNS = "text", ("text_a", "text_b")

# Place (file and line, for messages), text, and the second text of a pair or None.
Text: TypeAlias = tuple[str, str, str | None]


@dataclasses.dataclass(frozen=True)
class TextSource:
    """Texts that can be read any number of times.

    Attributes:
      name: As in messages and manifests.
      read: Yields the texts, all single or all pairs.
    """

    name: str
    read: Callable[[], Iterator[Text]]


def file_sources(
    paths: Sequence[str], text_a: str | None, text_b: str | None, split: str = LINES
) -> list[TextSource]:
    """One source for each file.

    Args:
      paths: Text files and tables, told apart by their names.
      text_a: Column of the (first) text; None for .tsv files without a header. Text files have no
        columns, so it says nothing about them.
      text_b: Column of the second text of pairs.
      split: Whether `lines` of text files are texts, or `documents` between blank lines.

    Raises:
      UserError: A file name without a known ending, or one that does not fit the other arguments.
    """
    return [TextSource(path, _reader(path, text_a, text_b, split)) for path in paths]


def is_source_name(path: str) -> bool:
    """Whether a file found in a folder is of one of the formats, by its name."""
    return has_ending(path, TEXT, *FORMATS)


def is_transfer_name(path: str) -> bool:
    """Whether a file can be a transfer set as `create_transfer_set.py` writes it, by its name."""
    return has_ending(path, TEXT, TSV)


def check_transfer_names(paths: Sequence[str]) -> None:
    """Raises a UserError for a file that is no transfer set by its name."""
    for path in paths:
        if not is_transfer_name(path):
            raise _unknown_format(path, TSV)


def check_columns(paths: Sequence[str], column: str | None, flag: str = "text_a") -> None:
    """Raises a UserError if a flag names a column, but all files are text files, which have none."""
    if column and paths and all(has_ending(path, TEXT) for path in paths):
        raise UserError(
            f"--{flag}={column} names a column, but all files are text files, {paths[0]} the first; "
            "leave it out."
        )


def columns_beside_task(
    paths: Sequence[str], text_a: str | None, text_b: str | None, task_name: str | None
) -> tuple[str | None, str | None]:
    """The columns to read files by, which may stand beside a task.

    --text_a and --text_b are then the task's, and files without names of columns (text files and
    .tsv) are read as they are.
    """
    if task_name and all(map(is_transfer_name, paths)):
        return None, None
    return text_a, text_b


def text_columns(
    path: str, names: Sequence[str], text_a: str | None, text_b: str | None
) -> list[str]:
    """Columns of the text, or of both texts of a pair: those given, or those with the usual names.

    Raises:
      UserError: None is given and there are none of the usual names, or the second is given alone.
    """
    _check_pair(text_a, text_b)
    if text_a is not None:
        return [text_a] if text_b is None else [text_a, text_b]
    if TEXT_COLUMN in names:
        return [TEXT_COLUMN]
    if all(name in names for name in PAIR_COLUMNS):
        return list(PAIR_COLUMNS)
    raise UserError(
        f"{path}: name the column of the text with --text_a; there are "
        f"{', '.join(names) or 'none'}{why_missing(names, TEXT_COLUMN)}."
    )


def columns_in_words(path: str, columns: Sequence[str | None]) -> str:
    """The columns that are read, to stand behind a file's name in a message; "" of a text file."""
    names = [name for name in columns if name]
    if has_ending(path, TEXT):
        return ""
    if not names:
        return " (read as a table without names of columns)"
    return f" (column{'s' * (len(names) > 1)} {' and '.join(names)})"


def first_text(source: TextSource) -> Text:
    """First text of a source; reading it shows a wrong format or column before long work.

    Raises:
      UserError: There is nothing in it, or it cannot be read.
    """
    for text in source.read():
        return text
    raise UserError(f"{source.name} holds no text.")


def read_transfer_texts(
    paths: Sequence[str], text_a: str | None = None, text_b: str | None = None
) -> Iterator[Text]:
    """Reads the unlabelled texts a teacher is asked about; blank ones are passed over.

    Args:
      paths: As for `file_sources`, in the order in which they are read.
      text_a: As for `file_sources`.
      text_b: As for `file_sources`.

    Yields:
      (example id `<file name>:<line>`, first text, second text or None).

    Raises:
      UserError: At once what `file_sources` raises; while reading for single texts mixed with pairs,
        and for what a format does not allow.
    """
    check_columns(paths, text_a)
    return _all_alike(file_sources(paths, text_a, text_b))


def _all_alike(sources: Sequence[TextSource]) -> Iterator[Text]:
    first: tuple[str, bool] | None = None
    for source in sources:
        for place, text, second in source.read():
            if is_blank(text, second):
                continue
            is_pair = second is not None
            here = f"{source.name}, line {place.rpartition(':')[2]}"
            if first is None:
                first = (here, is_pair)
            elif first[1] != is_pair:
                kinds = ("a single text", "a pair of texts")
                raise UserError(
                    f"{here}: found {kinds[is_pair]}, but {first[0]} has {kinds[not is_pair]}; a "
                    "transfer set is all single texts or all pairs."
                )
            yield place, text, second


def _reader(
    path: str, text_a: str | None, text_b: str | None, split: str
) -> Callable[[], Iterator[Text]]:
    if not is_source_name(path):
        raise _unknown_format(path, *FORMATS)
    _check_pair(text_a, text_b)
    is_text = has_ending(path, TEXT)
    if split == DOCUMENTS and not is_text:
        raise UserError(
            f"{path}: --split={DOCUMENTS} reads text files (.txt, plain or with {COMPRESSED}); the "
            "rows of other files are texts already."
        )
    if split == DOCUMENTS:
        return functools.partial(_read_documents, path)
    if is_text:
        return functools.partial(_read_text_lines, path)
    if text_a is not None:
        return functools.partial(_read_columns, path, text_a, text_b)
    if has_ending(path, TSV):
        return functools.partial(_read_headless_table, path)
    raise UserError(f"{path}: pass --text_a, the column (key, in JSON Lines) of the text.")


def _check_pair(text_a: str | None, text_b: str | None) -> None:
    if text_b is not None and text_a is None:
        raise UserError(f"--text_b={text_b} needs --text_a, the column of the first text.")


def _read_text_lines(path: str) -> Iterator[Text]:
    for line, text in read_lines(path):
        if text.strip():
            yield place_of(path, line), text, None


def _read_documents(path: str) -> Iterator[Text]:
    """Joins the lines between blank lines by spaces."""
    for is_gap, group in itertools.groupby(read_lines(path), lambda line: not line[1].strip()):
        if not is_gap:
            numbers, lines = zip(*group, strict=True)
            yield place_of(path, numbers[0]), " ".join(map(str.strip, lines)), None


def _read_columns(path: str, text_a: str, text_b: str | None) -> Iterator[Text]:
    columns = [text_a, text_b] if text_b else [text_a]
    for row in read_rows(path, columns):
        yield place_of(path, row.line), *row.texts(columns)


def _read_headless_table(path: str) -> Iterator[Text]:
    for line, text in read_lines(path):
        cells = text.split("\t")
        if len(cells) > 2:
            raise UserError(
                f"{path}, line {line}: found {len(cells)} columns, expected one (a text) or two (a "
                "pair); of a table with a header, create_transfer_set.py reads the columns --text_a "
                "and --text_b."
            )
        if text.strip():
            yield place_of(path, line), cells[0], cells[1] if len(cells) == 2 else None


def _unknown_format(path: str, *tables: str) -> UserError:
    return UserError(
        f"{path}: cannot tell its format by its name; expected a text file (.txt) or a table "
        f"({', '.join('.' + name for name in tables)}), plain or with {COMPRESSED}."
    )


def place_of(path: str, line: int) -> str:
    """Name of a text, of file and line."""
    return f"{os.path.basename(path)}:{line}"
