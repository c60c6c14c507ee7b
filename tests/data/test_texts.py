"""Files of unlabelled text."""

from __future__ import annotations

import gzip
import json
import lzma
from pathlib import Path

import pytest

from common.errors import UserError
from data.texts import (
    TextSource,
    columns_beside_task,
    file_sources,
    first_text,
    read_transfer_texts,
)


def read(
    path: Path, content: str, text_a: str | None = None, text_b: str | None = None, **kwargs: str
) -> list[tuple[str, str, str | None]]:
    data = content.encode()
    data = {".gz": gzip.compress, ".xz": lzma.compress}.get(path.suffix, bytes)(data)
    path.write_bytes(data)
    (source,) = file_sources([str(path)], text_a, text_b, **kwargs)
    assert source.name == str(path)
    texts = list(source.read())
    assert list(source.read()) == texts
    return texts


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    rows = [{"x": "one", "y": "two", "z": 3}, {"y": "\u00e9", "x": "a\tb\nc"}]
    lines = "\n\n".join(map(json.dumps, rows))
    assert read(tmp_path / f"a.txt{suffix}", "one\n\ntwo\tx\n", "ignored") == [
        (f"a.txt{suffix}:1", "one", None),
        (f"a.txt{suffix}:3", "two\tx", None),
    ]
    assert read(tmp_path / f"a.tsv{suffix}", "one\ttwo\n") == [(f"a.tsv{suffix}:1", "one", "two")]
    assert read(tmp_path / f"a.tsv{suffix}", "y\tx\none\ttwo\n", "x", "y") == [
        (f"a.tsv{suffix}:2", "two", "one")
    ]
    assert read(tmp_path / f"a.jsonl{suffix}", lines, "x", "y") == [
        (f"a.jsonl{suffix}:1", "one", "two"),
        (f"a.jsonl{suffix}:3", "a\tb\nc", "\u00e9"),
    ]
    assert read(tmp_path / f"a.jsonl{suffix}", lines, "y")[0] == (
        (f"a.jsonl{suffix}:1", "two", None)
    )


def test_documents_between_blank_lines(tmp_path: Path) -> None:
    text = "\n \none \n  two\n\t\n\nthree\n\nfour\nfive"
    assert read(tmp_path / "a.txt", text, split="documents") == [
        ("a.txt:3", "one two", None),
        ("a.txt:7", "three", None),
        ("a.txt:9", "four five", None),
    ]


@pytest.mark.parametrize(
    ("name", "columns", "split", "message"),
    [
        ("a.doc", (None, None), "lines", r"a\.doc: cannot tell its format"),
        ("a.csv", (None, None), "lines", r"a\.csv: pass --text_a"),
        ("a.jsonl", (None, None), "lines", r"a\.jsonl: pass --text_a"),
        ("a.tsv", (None, "b"), "lines", "--text_b=b needs --text_a"),
        ("a.tsv", (None, None), "documents", r"a\.tsv: --split=documents reads text files"),
        ("a.jsonl.gz", ("a", None), "documents", r"a\.jsonl\.gz: --split=documents"),
    ],
)
def test_what_is_refused_before_reading(
    name: str, columns: tuple[str | None, str | None], split: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        file_sources([name], *columns, split)


def test_first_text(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("x\ty\n1\t2\n3\t4\n")
    (source,) = file_sources([str(path)], "y", None)
    assert first_text(source) == ("a.tsv:2", "2", None)
    (source,) = file_sources([str(path)], "z", None)
    with pytest.raises(UserError, match='no column is called "z"'):
        first_text(source)
    with pytest.raises(UserError, match="nothing.txt holds no text"):
        first_text(TextSource("nothing.txt", lambda: iter(())))


def write(path: Path, content: str) -> str:
    data = content.encode()
    path.write_bytes({".gz": gzip.compress, ".xz": lzma.compress}.get(path.suffix, bytes)(data))
    return str(path)


def transfer(*paths: str, **columns: str) -> list[tuple[str, str, str | None]]:
    return list(read_transfer_texts(paths, **columns))


def test_transfer_text_files(tmp_path: Path) -> None:
    first = write(tmp_path / "a.txt", "one\n\n  \nwith\ta tab")
    second = write(tmp_path / "b.txt.gz", "three\n")
    third = write(tmp_path / "c.txt.xz", "\nfour\n")
    assert transfer(first, second, third) == [
        ("a.txt:1", "one", None),
        ("a.txt:4", "with\ta tab", None),
        ("b.txt.gz:1", "three", None),
        ("c.txt.xz:2", "four", None),
    ]


def test_transfer_tables_without_header(tmp_path: Path) -> None:
    singles = write(tmp_path / "s.tsv", "one\n\ntwo\n")
    pairs = write(tmp_path / "p.tsv.xz", 'a\t"b\n\t\nc\t\n')
    assert transfer(singles) == [("s.tsv:1", "one", None), ("s.tsv:3", "two", None)]
    assert transfer(pairs) == [("p.tsv.xz:1", "a", '"b'), ("p.tsv.xz:3", "c", "")]


def test_transfer_tables_with_header(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", "label\tpremise\thypothesis\nx\ta\tb\nx\tc\td\n")
    assert transfer(path, text_a="premise", text_b="hypothesis") == [
        ("t.tsv:2", "a", "b"),
        ("t.tsv:3", "c", "d"),
    ]
    assert transfer(path, text_a="hypothesis") == [("t.tsv:2", "b", None), ("t.tsv:3", "d", None)]
    with pytest.raises(UserError, match=r'"sentence".*label, premise, hypothesis'):
        transfer(path, text_a="sentence")


def test_columns_of_a_task_are_not_those_of_files_without_names() -> None:
    columns = "premise", "hypothesis"
    for path in ("a.txt.gz", "a.tsv"):
        assert columns_beside_task([path], *columns, "csv") == (None, None)
        assert columns_beside_task([path], *columns, None) == columns
    # A table that cannot be read otherwise.
    assert columns_beside_task(["a.txt", "a.csv"], *columns, "csv") == columns


def test_transfer_refuses_mixed_rows(tmp_path: Path) -> None:
    table = write(tmp_path / "t.tsv", "a\tb\nc\td\nonly one\n")
    with pytest.raises(
        UserError, match=r"t\.tsv, line 3: found a single text, but .*t\.tsv, line 1 has a pair"
    ):
        transfer(table)
    text = write(tmp_path / "x.txt", "single\n")
    with pytest.raises(
        UserError, match=r"t\.tsv, line 1: found a pair .*x\.txt, line 1 has a single text"
    ):
        transfer(text, table)


def test_transfer_refuses_three_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", "a\tb\nc\td\te\n")
    with pytest.raises(UserError, match=r"t\.tsv, line 2: found 3 columns.*--text_a"):
        transfer(path)


def test_transfer_checks_names_before_reading(tmp_path: Path) -> None:
    text = write(tmp_path / "x.txt", "single\n")
    with pytest.raises(UserError, match=r"reviews\.doc: cannot tell its format"):
        read_transfer_texts([text, "reviews.doc"])
    with pytest.raises(UserError, match=r"--text_a=sentence names a column, but .*x\.txt"):
        read_transfer_texts([text], text_a="sentence")
    with pytest.raises(UserError, match=r"--text_b=second needs --text_a"):
        read_transfer_texts([text], text_b="second")
