"""Inputs given as lists, globs, folders and pipes."""

import gzip
import logging
import os
import pathlib
import re
import subprocess
import sys
import threading

import pytest

from common import input_files
from common.errors import UserError


def test_expand_globs_sorts_and_removes_duplicates(tmp_path):
    for name in ("b.txt", "a.txt", "c.csv", "d[1].txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.txt").mkdir()
    patterns = f"{tmp_path}/b.txt, {tmp_path}/*.txt,,{tmp_path}/c.*,{tmp_path}/d[1].txt"
    found = input_files.expand_globs(patterns, "input_file")
    assert [os.path.basename(path) for path in found] == ["a.txt", "b.txt", "c.csv", "d[1].txt"]


def test_a_file_of_several_names_counts_once(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").touch()
    (tmp_path / "in" / "b.txt").touch()
    (tmp_path / "in" / "c.txt").symlink_to("b.txt")
    found = input_files.expand_globs("in/a.txt,in//a.txt,in/../in/a.txt,in", "input_file")
    assert found == ["in/../in/a.txt", "in/b.txt"]
    assert "--input_file: left out in/a.txt, the same file as in/../in/a.txt." in caplog.text
    assert "left out in/c.txt, the same file as in/b.txt." in caplog.text
    assert "2 files, from" in caplog.text


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("{0}/**/wiki_*", ["AA/wiki_1", "AB/more/wiki_2", "wiki_0"]),
        ("{0}/**", ["AA/notes.csv", "AA/wiki_1", "AB/more/wiki_2", "wiki_0"]),
        ("{0}", ["AA/notes.csv", "AA/wiki_1", "AB/more/wiki_2", "wiki_0"]),
        ("{0}/", ["AA/notes.csv", "AA/wiki_1", "AB/more/wiki_2", "wiki_0"]),
        ("{0}/AA/,{0}/AB", ["AA/notes.csv", "AA/wiki_1", "AB/more/wiki_2"]),
        ("{0}/*", ["wiki_0"]),
        ("{0}/wiki_0.json", ["wiki_0.json"]),
        ("{0}/AA/wiki_*, {0}/wiki_0", ["AA/wiki_1", "wiki_0"]),
    ],
)
def test_expand_globs_below_folders(tmp_path, caplog, pattern, names):
    caplog.set_level(logging.INFO)
    for name in (
        *("wiki_0", "wiki_0.json", ".wiki_0.json", "AA/wiki_1", "AA/.wiki_1", "AA/notes.csv"),
        *("AB/more/wiki_2", ".git/wiki_3"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    if pattern == "{0}":
        (tmp_path / "AB" / "up").symlink_to(tmp_path)  # Followed, it would never end.
    found = input_files.expand_globs(pattern.format(tmp_path), "input_file")
    assert [os.path.relpath(path, tmp_path) for path in found] == names
    if len(names) > 1:
        assert f"{len(names)} files, from {found[0]} to {found[-1]}" in caplog.text
    assert ("2 folders too, which are not read" in caplog.text) == (pattern == "{0}/*")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{}", "2 of another kind"),
        ("{}/*.csv", "1 of another kind"),
        ("{}/d*", r'1 folders do; write ".*/d\*/\*\*"'),
    ],
)
def test_expand_globs_says_what_else_matches(tmp_path, pattern, message):
    (tmp_path / "a.csv").touch()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.csv").touch()
    with pytest.raises(UserError, match=f"--train_file: no file matches .*{message}"):
        input_files.expand_globs(
            pattern.format(tmp_path), "train_file", lambda p: p.endswith(".txt")
        )


@pytest.mark.parametrize("pattern", ["{}/*.txt", "{}/missing", "{}/empty", "", " , "])
def test_expand_globs_refuses_what_matches_no_file(tmp_path, pattern):
    (tmp_path / "a.csv").touch()
    (tmp_path / "empty").mkdir()
    pattern = pattern.format(tmp_path)
    with pytest.raises(UserError, match="--train_file: .*no ?.* file") as error:
        input_files.expand_globs(f"{pattern}", "train_file")
    assert pattern in str(error.value)


@pytest.mark.parametrize(
    ("name", "data", "copy"),
    [
        ("reviews.tsv", b"a\tb\n", "reviews.tsv"),
        ("fifo", b"\none text\n", "pipe-.*[.]txt"),
        ("fifo", b"a\tb\n", "pipe-.*[.]tsv"),
        ("fifo", b' {"text": "a"}\n', "pipe-.*[.]jsonl"),
        ("fifo", b'"text",my-label\nYes, no\n', "pipe-.*[.]csv"),
        ("fifo", b'id,the text\n1,"two\nlines"\n2,x\n', "pipe-.*[.]csv"),
        ("fifo", b"Yes, no\n", "pipe-.*[.]txt"),
        ("fifo", b"Yes,no\nOne, two, three.\n", "pipe-.*[.]txt"),
        ("fifo", b"a,b" * 100_000 + b"\n", "pipe-.*[.]txt"),
        ("fifo", b"PAR1\xff", "pipe-.*[.]parquet"),
        ("fifo", gzip.compress(b"a\tb\n", mtime=0), "pipe-.*[.]tsv"),
        ("fifo", b"\xff\x00records" * 300_000, "pipe-[0-9]*"),
        ("fifo", b"", "pipe-.*[.]txt"),
    ],
)
def test_pipes_can_be_read_again(tmp_path, caplog, name, data, copy):
    caplog.set_level(logging.INFO)
    fifo = str(tmp_path / name)
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: pathlib.Path(fifo).write_bytes(data))
    writer.start()
    [path] = input_files.expand_globs(fifo, "input_file")
    writer.join()
    assert pathlib.Path(path).read_bytes() == data == pathlib.Path(path).read_bytes()
    assert re.fullmatch(copy, os.path.basename(path))
    assert f"{fifo} can be read once only: its {len(data)} bytes" in caplog.text
    # A second flag with the same name gets the same content.
    assert input_files.readable_again(fifo) == path


def test_copies_of_pipes_go_with_the_process(tmp_path):
    code = "from common.input_files import readable_again; print(readable_again('/dev/stdin'))"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", code]
    result = subprocess.run(
        command, input="text\n", text=True, capture_output=True, env=environment, check=True
    )
    assert result.stdout.startswith(str(tmp_path)) and not os.listdir(tmp_path)
