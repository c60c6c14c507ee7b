"""Remote files fail as local ones do: `file://` and `ram://` are remote to everything here."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterator

import pytest
import tensorflow as tf

from common import atomic, files
from common.errors import UserError
from common.input_files import expand_globs
from data.rows import read_rows

ROOT = "ram://remote_files"


def write(path: str) -> None:
    with files.open_binary(path, "wb") as file:
        file.write(b"one\ntwo\n")


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda: files.make_folder("file:///proc/a/b"), "Cannot create the folder file:///proc/a"),
        (lambda: files.make_folder("none://a"), "Cannot create the folder none://a: .*scheme"),
        (lambda: atomic.write_text("file:///proc/a/b", "x"), "Cannot create the folder"),
        (lambda: files.move(f"{ROOT}/none", f"{ROOT}/new"), f"Cannot write {ROOT}/new: .+"),
        (lambda: write("file:///proc/none/x"), "Cannot write file:///proc/none/x: .*No such file"),
        (lambda: write("file:///dev/full"), "Cannot write file:///dev/full: .*; make room"),
        (lambda: list(files.read_lines(f"{ROOT}/none")), f"Cannot read {ROOT}/none: no such file"),
        (lambda: list(files.read_lines("none://a")), "Cannot read none://a: .*scheme"),
    ],
)
def test_promised_user_errors(action: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        action()


@pytest.mark.parametrize(
    "action",
    [
        files.list_folder,
        files.remove_folder,
        files.file_size,
        files.last_change,
    ],
)
def test_other_errors_are_those_of_the_system(action: Callable[[str], object]) -> None:
    with pytest.raises(OSError, match="."):
        action(f"{ROOT}/none")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*", ["a.txt"]),
        (".*", [".a.tfrecord.tmp", ".hidden.txt"]),
        ("*/*", ["deep/b"]),
        ("*/.*", ["deep/.b"]),
        (".git/*", [".git/c"]),
    ],
)
def test_globs_find_hidden_files_as_on_the_local_disk(
    tmp_path: pathlib.Path, pattern: str, names: list[str]
) -> None:
    for name in ("a.txt", ".hidden.txt", ".a.tfrecord.tmp", "deep/b", "deep/.b", ".git/c"):
        for path in (f"{ROOT}/globs/{name}", f"{tmp_path}/{name}"):
            files.make_folder(os.path.dirname(path))
            write(path)
    for folder in (f"{ROOT}/globs", f"file://{tmp_path}", str(tmp_path)):
        found = expand_globs(f"{folder}/{pattern}", "input_file")
        assert found == [f"{folder}/{name}" for name in names]


def test_errors_on_the_way_through_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    def walk(folder: str) -> Iterator[tuple[str, list[str], list[str]]]:
        yield folder, ["a"], []
        raise tf.errors.UnavailableError(None, None, "no connection")

    monkeypatch.setattr(tf.io.gfile, "walk", walk)
    with pytest.raises(OSError, match="no connection"):
        list(files.file_system(ROOT).walk(ROOT))


def test_what_is_missing_is_a_file_not_found() -> None:
    with pytest.raises(FileNotFoundError):
        files.file_system(ROOT).remove(f"{ROOT}/none")
    files.remove(f"{ROOT}/none")


def test_reading_and_finding() -> None:
    write(f"{ROOT}/folder/text")
    assert [line for _, line in files.read_lines(f"{ROOT}/folder/text")] == ["one", "two"]
    with files.open_binary(f"{ROOT}/folder/text") as file:
        assert list(file) == [b"one\n", b"two\n"]
    assert expand_globs(f"{ROOT}/folder", "input_file") == [f"{ROOT}/folder/text"]


def test_a_remote_parquet_file(tmp_path: pathlib.Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = os.path.join(tmp_path, "table.parquet")
    parquet.write_table(pyarrow.table({"text": ["one", "two"]}), table)
    assert [row.text("text") for row in read_rows(f"file://{table}")] == ["one", "two"]
