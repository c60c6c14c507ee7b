"""Outputs that go on where they were cut off."""

from __future__ import annotations

import gzip
import io
import os
import pathlib
import sys
from collections.abc import Callable

import pytest
import tensorflow as tf
from tqdm import tqdm

from common.errors import UserError
from serving.parts import Stages, write_in_parts, write_to_standard_output

ALONE = tf.distribute.OneDeviceStrategy("/device:CPU:0")


class Work(Stages[list[int], int, str]):
    """Makes the content of windows of one number; the model fails at one."""

    def __init__(self, fails_at: int | None = None, model: str = "model"):
        self.done: list[int] = []
        self.model, self._fails_at = model, fails_at

    def key(self, window: list[int]) -> str:
        return f"{self.model} {window}"

    def prepare(self, window: list[int]) -> int:
        return window[0]

    def compute(self, prepared: int) -> str:
        if prepared == self._fails_at:
            raise UserError("the disk is full")
        self.done.append(prepared)
        return str(prepared)

    def content(self, window: list[int], outputs: str) -> bytes:
        assert outputs == str(window[0])
        return f"{outputs}\n".encode()

    def write(
        self, path: pathlib.Path, numbers: list[int], head: Callable[[], bytes] = lambda: b"head\n"
    ) -> None:
        windows = [[number] for number in numbers]
        with tqdm(disable=True) as progress:
            write_in_parts(str(path), windows, self, head, progress, ALONE)


def test_interrupted_output_goes_on(tmp_path: pathlib.Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("earlier\n")
    first = Work(fails_at=3)
    with pytest.raises(UserError, match="the disk is full"):
        first.write(out, [1, 2, 3, 4])
    assert first.done == [1, 2]
    assert out.read_text() == "earlier\n"
    second = Work()
    second.write(out, [1, 2, 3, 4])
    assert second.done == [3, 4]
    assert out.read_text() == "head\n1\n2\n3\n4\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.parametrize(
    ("model", "windows", "done"),
    [
        ("another", [1, 2], [1, 2]),
        ("model", [1, 5], [5]),
        # A window in another place is another part.
        ("model", [2, 1], [2, 1]),
    ],
)
def test_parts_of_something_else_are_not_taken(
    tmp_path: pathlib.Path, model: str, windows: list[int], done: list[int]
) -> None:
    out = tmp_path / "out.csv"
    with pytest.raises(UserError, match="the disk is full"):
        Work(fails_at=9).write(out, [1, 2, 9])
    work = Work(model=model)
    work.write(out, windows)
    assert work.done == done
    assert out.read_text() == "head\n" + "".join(f"{window}\n" for window in windows)
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_head_is_asked_for_at_the_end_and_the_whole_is_compressed(tmp_path: pathlib.Path) -> None:
    work, out = Work(), tmp_path / "out.csv.gz"
    work.write(out, [1, 2], lambda: f"{work.done}\n".encode())
    assert gzip.decompress(out.read_bytes()) == b"[1, 2]\n1\n2\n"


def test_nothing_to_write(tmp_path: pathlib.Path) -> None:
    Work().write(tmp_path / "out.csv", [])
    assert (tmp_path / "out.csv").read_text() == "head\n"


class Pipe(io.BytesIO):
    """Whoever reads it leaves after the first window."""

    def write(self, data: bytes) -> int:
        if self.tell():
            raise BrokenPipeError
        return super().write(data)


def to(monkeypatch: pytest.MonkeyPatch, buffer: io.BytesIO) -> Callable[[list[int]], None]:
    class Output:
        def fileno(self) -> int:
            return -1

    output = Output()
    output.buffer = buffer
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(os, "dup2", lambda *_: None)

    def write(numbers: list[int]) -> None:
        windows = [[number] for number in numbers]
        with tqdm(disable=True) as progress:
            write_to_standard_output(windows, Work(), lambda: b"head\n", progress, ALONE)

    return write


def test_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    to(monkeypatch, buffer)([1, 2])
    assert buffer.getvalue() == b"head\n1\n2\n"


def test_reader_that_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = Pipe()
    with pytest.raises(UserError, match="has ended before all was written"):
        to(monkeypatch, buffer)([1, 2, 3])
    assert buffer.getvalue() == b"head\n1\n"
