"""Outputs are kept apart from inputs, and from other processes."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from common.errors import UserError
from common.outputs import (
    check_files_apart,
    check_folder_apart,
    lock_files,
    lock_folder,
    release_locks,
)

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def here(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A folder with the model `model`, a link to it, and a text file; it is the current one."""
    (tmp_path / "model" / "best").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "text.txt").write_text("a text\n")
    (tmp_path / "link").symlink_to("model")
    (tmp_path / "text_link.txt").symlink_to("text.txt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("output", "relation"),
    [
        ("model", "is the same folder as"),
        ("model/", "is the same folder as"),
        ("./model", "is the same folder as"),
        ("other/../model", "is the same folder as"),
        ("link", "is the same folder as"),
        ("link/best", "lies inside"),
        ("model/best", "lies inside"),
        ("model/new", "lies inside"),
        (".", "contains"),
        ("..", "contains"),
    ],
)
def test_folder_that_is_an_input(here: pathlib.Path, output: str, relation: str) -> None:
    message = f"--output_dir={output} {relation} --init_checkpoint=model, and nothing"
    with pytest.raises(UserError, match=message):
        check_folder_apart("output_dir", output, {"init_checkpoint": "model"})


@pytest.mark.parametrize("output", ["new", "models", "other", "model2/best", "text"])
def test_folder_apart(here: pathlib.Path, output: str) -> None:
    inputs = {"init_checkpoint": "model", "input_file": ["text.txt"]}
    check_folder_apart("output_dir", output, inputs)


def test_remote_folders() -> None:
    inputs = {"data_dir": "gs://bucket/data/"}
    check_folder_apart("output_dir", "gs://bucket/data2", inputs)
    with pytest.raises(UserError, match="lies inside"):
        check_folder_apart("output_dir", "gs://bucket/x/../data/run", inputs)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (["text.txt"], "is an input file as well"),
        (["./text.txt"], "is an input file as well"),
        (["text_link.txt"], "is an input file as well"),
        (["other/../text.txt"], "is an input file as well"),
        (["new.txt", "./new.txt"], "is named twice"),
        (["other"], "is a folder"),
    ],
)
def test_files_that_are_inputs(here: pathlib.Path, outputs: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_files_apart("output_file", outputs, ["text.txt"])


def test_files_apart(here: pathlib.Path) -> None:
    check_files_apart("output_file", ["new.txt", "other/text.txt"], ["text.txt"])


HOLDER = """
import sys, time
from common.outputs import lock_files, lock_folder
try:
    {call}
except Exception as error:
    sys.exit(str(error))
print("locked", flush=True)
sys.stdin.read()
"""


def other_process(call: str) -> subprocess.Popen[str]:
    """A process that makes a call and, if that succeeds, waits for the end of its input."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-c", HOLDER.format(call=call)]
    return subprocess.Popen(command, cwd=ROOT, text=True, **pipes)


def is_locked(process: subprocess.Popen[str]) -> bool:
    assert process.stdout
    return process.stdout.readline() == "locked\n"


def test_a_folder_that_another_process_works_in(tmp_path: pathlib.Path) -> None:
    """It is refused until that process ends, however it ends; nothing is left behind."""
    folder = tmp_path / "run"
    holder = other_process(f"lock_folder('output_dir', {str(folder)!r})")
    assert is_locked(holder)
    message = (
        rf"--output_dir={folder} is in use by another process \(process {holder.pid} on .*since"
    )
    with pytest.raises(UserError, match=message):
        lock_folder("output_dir", str(folder))
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    lock_folder("output_dir", str(folder))
    lock_folder("output_dir", str(folder))  # The same process may come again.
    refused = other_process(f"lock_folder('output_dir', {str(folder)!r})")
    assert f"process {os.getpid()} on" in refused.communicate()[1]
    release_locks()
    assert not list(folder.iterdir())
    later = other_process(f"lock_folder('output_dir', {str(folder)!r})")
    assert is_locked(later)
    later.communicate()


def test_parts_of_one_job_share_a_folder(tmp_path: pathlib.Path) -> None:
    first = other_process(f"lock_folder('output_dir', {str(tmp_path)!r}, '0-of-2')")
    assert is_locked(first)
    for part, is_free in (("1-of-2", True), ("0-of-2", False), (None, False)):
        other = other_process(f"lock_folder('output_dir', {str(tmp_path)!r}, {part!r})")
        assert is_locked(other) == is_free
        other.communicate()
    first.communicate()
    lock_folder("output_dir", str(tmp_path))
    release_locks()


def test_output_files_are_locked_one_by_one(tmp_path: pathlib.Path) -> None:
    a, b, c = (str(tmp_path / name) for name in "abc")
    holder = other_process(f"lock_files('output_file', [{a!r}, {b!r}])")
    assert is_locked(holder)
    lock_files("output_file", [c])
    with pytest.raises(UserError, match=f"--output_file={b} is in use"):
        lock_files("output_file", [b])
    holder.communicate()
    lock_files("output_file", [a, b])
    assert {path.name for path in tmp_path.iterdir()} <= {".a.lock", ".b.lock", ".c.lock"}
    release_locks()


def test_a_lock_that_is_removed_while_another_process_waits_for_it(tmp_path: pathlib.Path) -> None:
    """Many processes, one after the other: never are there two at a time."""
    log = tmp_path / "log"
    code = f"""
import os, time
from common.errors import UserError
from common.outputs import lock_folder, release_locks
done, end = 0, time.monotonic() + 60
while done < 20 and time.monotonic() < end:
    try:
        lock_folder("output_dir", {str(tmp_path / "run")!r})
    except UserError:
        continue
    with open({str(log)!r}, "a") as file:
        file.write("+")
        file.flush()
        file.write("-")
    done += 1
    release_locks()
"""
    processes = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert log.read_text() == "+-" * 60
