"""Reading of TSV tables by position and name."""

from __future__ import annotations

import gzip
import logging
import lzma
import tracemalloc
from pathlib import Path

import pytest

from common.errors import UserError
from data.tables import read_table


def write(path: Path, content: str | bytes) -> str:
    data = content.encode("utf-8") if isinstance(content, str) else content
    if path.suffix == ".gz":
        data = gzip.compress(data)
    elif path.suffix == ".xz":
        data = lzma.compress(data)
    path.write_bytes(data)
    return str(path)


def values(path: str, *columns: int | str | None, header: bool = True) -> list[tuple]:
    return [row.values for row in read_table(path, columns, header)]


def test_columns_by_name_position_and_from_the_end(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", "id\ttext\tnote\tlabel\n7\tgood film\t-\tyes\n")
    assert values(path, "text", None, "label") == [("good film", None, "yes")]
    assert values(path, 1, -1, 0) == [("good film", "yes", "7")]


def test_rows_carry_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", "a\tb\n1\t2\n3\t4\n")
    assert [(row.path, row.line) for row in read_table(path, (0,), header=True)] == [
        (path, 2),
        (path, 3),
    ]
    assert [row.line for row in read_table(path, (0,), header=False)] == [1, 2, 3]


def test_quotes_are_ordinary_characters(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", 'text\tlabel\n" he said\t0\n"a ""b"" c"\t1\n')
    assert values(path, 0, 1) == [('" he said', "0"), ('"a ""b"" c"', "1")]


def test_only_newlines_end_rows(tmp_path: Path) -> None:
    text = "one\x85two\u2028three\x0bfour"
    path = write(tmp_path / "t.tsv", f"text\n{text}\n")
    assert values(path, "text") == [(text,)]


@pytest.mark.parametrize("suffix", [".tsv", ".tsv.gz", ".tsv.xz"])
def test_byte_order_mark_crlf_and_missing_last_newline(tmp_path: Path, suffix: str) -> None:
    content = b"\xef\xbb\xbftext\tlabel\r\nfine\t0\r\nna\xc3\xafve\t1"
    path = write(tmp_path / f"t{suffix}", content)
    assert values(path, "text", "label") == [("fine", "0"), ("naïve", "1")]


def test_long_lines_and_empty_cells(tmp_path: Path) -> None:
    # Longer than the csv module's limit of 131,072 characters per field.
    long = "word " * 100_000
    path = write(tmp_path / "t.tsv", f"text\tlabel\n{long}\t0\n\t1\n")
    assert values(path, 0, 1) == [(long, "0"), ("", "1")]


def test_too_few_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", "a\tb\tc\n1\t2\t3\n1\t2\n")
    assert values(path, 0, 1) == [("1", "2"), ("1", "2")]
    with pytest.raises(UserError, match=r"t\.tsv, line 3: found 2 columns, expected at least 3"):
        values(path, "c")
    with pytest.raises(UserError, match=r"t\.tsv, line 3: found 2 columns, expected at least 3"):
        values(path, -1)
    with pytest.raises(UserError, match=r"t\.tsv, line 1: found 3 columns, expected at least 5"):
        values(path, 4)
    with pytest.raises(UserError, match=r"t\.tsv, line 3: found 2 columns, expected at least 3"):
        values(path, 0, 2, header=False)


def test_blank_line_is_a_row_with_too_few_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", "a\tb\n1\t2\n\n3\t4\n")
    with pytest.raises(UserError, match=r"t\.tsv, line 3: found 1 column, expected at least 2"):
        values(path, "a", "b")


def test_more_columns_than_the_header(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", "text\tlabel\na\t0\nsome\ttext\t1\n")
    with pytest.raises(UserError, match=r"t\.tsv, line 3: found 3 columns, but the header names 2"):
        values(path, "text", "label")


def test_unknown_column_lists_the_header(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", "sentence\tlabel\na\t0\n")
    with pytest.raises(UserError, match=r't\.tsv: .*"text".*sentence, label'):
        values(path, "text")


def test_empty_file_has_no_header(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", "")
    with pytest.raises(UserError, match=r"t\.tsv is empty"):
        values(path, "text")
    assert values(path, 0, header=False) == []


def test_short_rows_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    path = write(tmp_path / "t.tsv", "a\tb\n1\n2\t3\n\n4\t5\n")
    rows = read_table(path, ("b",), header=True, skip_short_rows=True)
    assert [(row.line, row.values) for row in rows] == [(3, ("3",)), (5, ("5",))]
    assert caplog.messages == [
        f"{path}: 2 rows with fewer than 2 columns were left out; the first is line 2."
    ]
    with pytest.raises(UserError, match="line 1: found 2 columns, expected at least 4"):
        list(read_table(path, (3,), header=True, skip_short_rows=True))


def test_reading_streams(tmp_path: Path) -> None:
    num_rows = 100_000
    row = "some words of a sentence " * 10 + "\t0\n"
    path = write(tmp_path / "t.tsv", "text\tlabel\n" + row * num_rows)
    tracemalloc.start()
    count = sum(1 for _ in read_table(path, ("text", "label"), header=True))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == num_rows
    assert peak < 10_000_000  # the file has 25 MB
