"""Files of unlabelled text."""

from __future__ import annotations

import gzip
import json
import lzma
from pathlib import Path

import pytest

from common.errors import UserError
from data.texts import TextSource, file_sources, first_text


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
        ("a.csv", (None, None), "lines", r"a\.csv: cannot tell its format"),
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
