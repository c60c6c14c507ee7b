"""Readers of unlabelled texts: files of several formats, one source each.

    .txt     one text per line, or one document between blank lines
    .tsv     one text or a pair of texts per row; with column names, from a table with a header
    .jsonl   one object per line; the keys of the texts are named like the columns of a table

All may be compressed. Texts are read one at a time.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from common.errors import UserError
from common.files import COMPRESSED, COMPRESSIONS, read_lines
from data.tables import read_json_lines, read_transfer_texts

LINES, DOCUMENTS = "lines", "documents"


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
      paths: Text files, tables and JSON Lines, told apart by their names.
      text_a: Column or key of the (first) text; None for tables without a header. Text files have
        no columns, so it says nothing about them.
      text_b: Column or key of the second text of pairs.
      split: Whether `lines` of text files are texts, or `documents` between blank lines.

    Raises:
      UserError: A file name without a known ending, or one that does not fit the other arguments.
    """
    return [TextSource(path, _reader(path, text_a, text_b, split)) for path in paths]


def is_source_name(path: str) -> bool:
    """Whether a file found in a folder is of one of the formats, by its name."""
    return any(_has_suffix(path, suffix) for suffix in (".txt", ".tsv", ".jsonl"))


def check_columns(paths: Sequence[str], text_a: str | None) -> None:
    """Raises a UserError if a column is named, but all files are text files, which have none."""
    if text_a and paths and all(_has_suffix(path, ".txt") for path in paths):
        raise UserError(
            f"--text_a={text_a} names a column, but all files are text files, {paths[0]} the first; "
            "leave it out."
        )


def first_text(source: TextSource) -> Text:
    """First text of a source; reading it shows a wrong format or column before long work.

    Raises:
      UserError: There is nothing in it, or it cannot be read.
    """
    for text in source.read():
        return text
    raise UserError(f"{source.name} holds no text.")


def _reader(
    path: str, text_a: str | None, text_b: str | None, split: str
) -> Callable[[], Iterator[Text]]:
    is_text = _has_suffix(path, ".txt")
    if split == DOCUMENTS and not is_text:
        raise UserError(
            f"{path}: --split={DOCUMENTS} reads text files (.txt, plain or with {COMPRESSED}); the "
            "rows of other files are texts already."
        )
    if split == DOCUMENTS:
        return functools.partial(_read_documents, path)
    if _has_suffix(path, ".jsonl"):
        if text_a is None:
            raise UserError(f"{path}: pass --text_a, the key of the text in each JSON object.")
        return functools.partial(_read_json_lines, path, text_a, text_b)
    read = functools.partial(
        read_transfer_texts, [path], None if is_text else text_a, None if is_text else text_b
    )
    read()  # Says at once what it has against the name.
    return read


def _has_suffix(path: str, suffix: str) -> bool:
    return path.endswith(tuple(suffix + compression for compression in COMPRESSIONS))


def _read_documents(path: str) -> Iterator[Text]:
    """Joins the lines between blank lines by spaces."""
    for is_blank, group in itertools.groupby(read_lines(path), lambda line: not line[1].strip()):
        if not is_blank:
            numbers, lines = zip(*group, strict=True)
            yield _place(path, numbers[0]), " ".join(map(str.strip, lines)), None


def _read_json_lines(path: str, text_a: str, text_b: str | None) -> Iterator[Text]:
    for row in read_json_lines(path, (text_a, text_b)):
        first, second = row.values
        yield _place(path, row.line), first or "", second


def _place(path: str, line: int) -> str:
    return f"{os.path.basename(path)}:{line}"
