"""Reading of tables whose columns have names, in every format."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from common.errors import UserError
from data.rows import column_names, csv_text, parse_number, read_rows

COMPRESS = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}
ROWS = [
    {"id": "1", "text": "plain", "label": "yes"},
    {"id": "2", "text": 'a "quoted", one', "label": "no"},
    {"id": "3", "text": "two\nlines", "label": "yes"},
    {"id": "4", "text": "", "label": "no"},
]
CSV = 'id,text,label\n1,plain,yes\n2,"a ""quoted"", one",no\n3,"two\nlines",yes\n\n4,,no\n'


def write(path: Path, content: str | bytes) -> str:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(COMPRESS.get(path.suffix, bytes)(data))
    return str(path)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    names = ["text", "n"]
    rows = [["lone\rCR", 1], ["\r", 2], ["a\r\nb\n", 3], ['"q", r', 4], ["", 5], ["é\t ", 0.5]]
    text = csv_text([names, *rows])
    assert text.startswith('text,n\n"lone\rCR",1\n') and text.count("\r\n") == 1
    found = [list(row.cells.values()) for row in read_rows(write(tmp_path / "a.csv", text))]
    assert found == [[cell, str(number)] for cell, number in rows]
    assert csv_text([]) == ""


def write_parquet(path: Path, columns: dict[str, list[Any]]) -> str:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(
        pyarrow.table(columns), str(path), row_group_size=2
    )
    return str(path)


def cells(path: str, *columns: str, **kwargs: str) -> list[dict[str, Any]]:
    return [dict(row.cells) for row in read_rows(path, columns, **kwargs)]


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz", ".bz2"])
@pytest.mark.parametrize("begin", ["", "\ufeff"])
def test_csv(tmp_path: Path, suffix: str, begin: str) -> None:
    path = write(tmp_path / f"a.csv{suffix}", begin + CSV)
    assert column_names(path) == ["id", "text", "label"]
    assert cells(path, "text") == ROWS
    assert [row.place for row in read_rows(path)] == [
        f"{path}, line {line}"
        for line in (2, 3, 4, 7)  # The first line of a row that has two.
    ]
    # Line ends of RFC 4180; those inside of texts stay as they are.
    path = write(tmp_path / f"b.csv{suffix}", begin + CSV.replace("\n", "\r\n"))
    assert cells(path)[2]["text"] == "two\r\nlines"
    assert [row["label"] for row in cells(path)] == ["yes", "no", "yes", "no"]


def test_what_ends_a_csv_row(tmp_path: Path) -> None:
    text = "one\x85two\u2028three\x0bfour\x1cfive"
    path = write(tmp_path / "a.csv", f"text,n\n{text},1\n{text},2")
    assert cells(path) == [{"text": text, "n": "1"}, {"text": text, "n": "2"}]


def test_all_formats_hold_the_same(tmp_path: Path) -> None:
    lines = "\n\n".join(map(json.dumps, ROWS))
    assert cells(write(tmp_path / "a.jsonl.gz", lines), "text") == ROWS
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    parquet = write_parquet(tmp_path / "a.parquet", columns)
    assert cells(parquet) == ROWS
    assert cells(parquet, "text") == [{"text": row["text"]} for row in ROWS]
    assert [row.place for row in read_rows(parquet)][-1] == f"{parquet}, row 4"
    tsv = write(tmp_path / "a.tsv.xz", 'id\ttext\n1\t"a" b\n\n2\t\n')
    assert cells(tsv) == [{"id": "1", "text": '"a" b'}, {"id": "2", "text": ""}]
    assert column_names(parquet) == column_names(write(tmp_path / "b.jsonl", lines)) == [*ROWS[0]]
    assert cells(write(tmp_path / "no_ending", CSV), file_format="csv") == ROWS


def test_texts_of_values(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"n": 3.50, "b": true, "t": "\\u00e9", "x": {"y": 1}}')
    (row,) = read_rows(path)
    assert [row.text(name) for name in ("n", "b", "t")] == ["3.5", "true", "é"]
    path = write_parquet(tmp_path / "a.parquet", {"n": [3], "f": [0.5], "t": [None]})
    (row,) = read_rows(path)
    assert (row.text("n"), row.text("f")) == ("3", "0.5")
    with pytest.raises(UserError, match=r'a\.parquet, row 1: the value of "t" is None, expected'):
        row.text("t")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", r"a\.csv is empty; expected a first line"),
        (
            "a.csv",
            "a,text\n1,x\n1,x,y\n",
            r"line 3: found 3 columns, but the header names 2; a text",
        ),
        ("a.csv", "a,text\n1\n", r"line 2: found 1 columns, .* names 2; a row needs a field for"),
        ("a.tsv", "a\ttext\n1\n", r"line 2: found 1 columns, .* names 2; a row needs a field for"),
        ("a.csv", 'a,text\n1,x\n2,"y\n3,z\n', r"line 3: not valid CSV in the row that begins here"),
        ("a.csv", 'a,text\n1,"x"y\n', r"line 2: not valid CSV .* each quotation mark in it is"),
        ("a.csv", "a,text\r1,x\r", r"line 1: not valid CSV"),
        (
            "a.csv",
            b"a,text\n1,x\n2,\xe9\n",
            r"line 3: byte 13 of the text \(0xe9\) is not valid UTF",
        ),
        ("a.csv", "a,b\n", r'no column is called "text"; the header names a, b\.'),
        ("a.csv", "a\ttext\n", r"it is separated by tabs, but a \.csv file is separated by commas"),
        ("a.csv", "a;text\n", r"it is separated by semicolons, but a \.csv file"),
        (
            "a.tsv",
            'a,"text"\n',
            r"it is separated by commas, but a \.csv file .* \.tsv file by tabs",
        ),
        (
            "a.csv",
            "a, text\n",
            r'names a,  text; " text" is written with blanks or quotation marks',
        ),
        ("a.tsv", 'a\t"text"\n', r'; ""text"" is written with blanks or quotation marks, which'),
        ("a.csv", "text,text\n1,2\n", r'2 columns are called "text"'),
        ("a.tsv", "a\ttext\n1\tx\ty\n", r"line 2: found 3 columns, but the header names 2; a tab"),
        ("a.jsonl", '{"a": "x"', r"a\.jsonl, line 1, column 10: not valid JSON"),
        ("a.jsonl", '\n["x"]', r"a\.jsonl, line 2: found \['x'\], expected a JSON object"),
        ("a.jsonl", '{"b": 1, "c": 1}', r'line 1: no column is called "text"; the row has b, c'),
        ("a.jsonl", '{"text": null}', r'line 1: the value of "text" is None, expected a text'),
        ("a.jsonl", '{"text": {"b": 1}}', r"\{.b.: 1\}, expected a text or a number"),
        (
            "a.jsonl",
            '{"text": NaN}',
            r'line 1: the value of "text" is nan, expected a text or a num',
        ),
        ("a.jsonl", '{"text": "\\ud83d"}', r'the value of "text" holds half a surrogate pair'),
        ("a.parquet", "PAR1 no", r"a\.parquet is no Parquet file, or a damaged one"),
    ],
)
def test_bad_rows(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(UserError, match=message):
        [row.text("text") for row in read_rows(path, ["text"])]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1.0),
        ("-2.5e3", -2500.0),
        (" 4 ", 4.0),
        ("3.4028234e38", 3.4028234e38),
        # Not in float32, not in JSON, none at all.
        *[(text, None) for text in ("1e39", "1_0", "inf", "nan", "", "one")],
    ],
)
def test_numbers(text: str, number: float | None) -> None:
    assert parse_number(text) == number


def test_parquet_with_values_that_python_has_not(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    data = pyarrow.array([b"good", b"\xff"], pyarrow.binary()).buffers()
    text = pyarrow.Array.from_buffers(pyarrow.string(), 2, data)
    late = pyarrow.array([1 << 62] * 2, pyarrow.timestamp("us"))
    for column, message in ((text, "'utf-8' codec"), (late, "date value")):
        parquet.write_table(pyarrow.table({"text": column}), tmp_path / "a.parquet")
        with pytest.raises(UserError, match=rf"a\.parquet is no Parquet file.*{message}"):
            list(read_rows(str(tmp_path / "a.parquet")))


def test_parquet_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"a": ["x"]})
    with pytest.raises(UserError, match=r'a\.parquet: no column is called "text"'):
        cells(path, "text")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match="Parquet needs a package; run `pip install pyarrow`"):
        cells(path)


def test_reading_streams(tmp_path: Path) -> None:
    num_rows = 50_000
    row = '"some words of ""a"" sentence\nand more of it ' + "words " * 40 + '",0\n'
    path = write(tmp_path / "t.csv", "text,label\n" + row * num_rows)
    tracemalloc.start()
    count = sum(row.text("label") == "0" for row in read_rows(path, ["text", "label"]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == num_rows
    assert peak < 10_000_000  # the file has 15 MB


def test_a_long_field(tmp_path: Path) -> None:
    # Longer than the csv module's own limit of 131,072 characters.
    text = "word " * 100_000
    assert cells(write(tmp_path / "t.csv", f'text\n"{text}"\n')) == [{"text": text}]
