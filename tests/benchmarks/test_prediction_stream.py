"""Rows of a stream, and a program that does not answer all of them."""

from __future__ import annotations

import csv
import io
import pathlib
import sys
from typing import Any

import pytest
from scripts import load_script

SCRIPT = "benchmarks/prediction_stream"


@pytest.fixture
def module(tmp_path: pathlib.Path) -> Any:
    load_script(SCRIPT, vocab_file=tmp_path / "vocab.txt")
    return sys.modules[SCRIPT]


class Stream(io.BytesIO):
    """Keeps what was written when it is closed."""

    content = b""

    def close(self) -> None:
        self.content = self.getvalue()
        super().close()


def test_rows(module: Any) -> None:
    first, second = Stream(), Stream()
    for stream in (first, second):
        module._write_rows(stream, ["good", "bad"], 200)
    assert first.closed and first.content == second.content
    rows = list(csv.DictReader(io.StringIO(first.content.decode())))
    assert [row["id"] for row in rows] == [str(i) for i in range(200)]
    counts = [len(row["text"].split()) for row in rows]
    assert (min(counts), max(counts)) == (1, 25)
    assert {word for row in rows for word in row["text"].split()} == {"good", "bad"}


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import sys; sys.stdin.read(); file.write('text\\na\\n')", "status 0 and 1 rows"),
        ("import sys; sys.stdin.read(); file.write('text\\na\\nb\\n'); exit(3)", "3 and 2 rows"),
        ("import sys; sys.stdin.read(); file.write('text\\na\\nb\\n')", None),
    ],
)
def test_answers_that_are_missing(
    module: Any,
    tmp_path: pathlib.Path,
    program: str,
    message: str | None,
) -> None:
    """The program of this test writes 1 or 2 rows."""
    output = str(tmp_path / "out.csv")
    code = f"import time; time.sleep(0.2)\nwith open({output!r}, 'w') as file: {program}"
    command = [sys.executable, "-c", code]
    if message:
        with pytest.raises(SystemExit, match=message):
            module._predict(command, output, ["good"], 2)
    else:
        seconds, peak = module._predict(command, output, ["good"], 2)
        assert seconds > 0 and (peak > 1e6 or sys.platform != "linux")
