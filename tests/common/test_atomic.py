"""Files and folders that appear as a whole or not at all."""

import contextlib
import math
import os
import pathlib
import subprocess
import sys

import pytest

from common import atomic, files
from common.errors import UserError


def test_atomic_output_replaces_on_success_only(tmp_path):
    path = tmp_path / "new" / "result"
    atomic.write_text(str(path), "first")
    with pytest.raises(RuntimeError), atomic.atomic_output(str(path)) as temporary:
        with open(temporary, "w") as file:
            file.write("half")
        raise RuntimeError
    assert path.read_text() == "first"
    with atomic.atomic_output(str(path)) as temporary:
        assert os.path.dirname(temporary) == str(path.parent)
        with open(temporary, "w") as file:
            file.write("second")
        assert path.read_text() == "first"
    assert path.read_text() == "second"
    assert os.listdir(path.parent) == ["result"]


def test_leftovers_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path):
    path, folder = tmp_path / "result", tmp_path / "out"
    dead_file, living_file = tmp_path / ".result.1.tmp", tmp_path / ".result.2.tmp"
    dead_folder, living_folder = tmp_path / ".out.1.tmp", tmp_path / ".out.2.tmp"
    dead_file.touch()
    living_file.touch()
    (dead_folder / "sub").mkdir(parents=True)
    living_folder.mkdir()
    other = tmp_path / ".results.1.tmp"
    other.touch()
    holder = (
        "import fcntl, os, sys\nfor p in sys.argv[1:]: fcntl.flock(os.open(p, 0), fcntl.LOCK_EX)\n"
    )
    command = [sys.executable, "-c", holder + "print(flush=True); input()"]
    with subprocess.Popen(
        [*command, living_file, living_folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        atomic.write_text(str(path), "text")
        with atomic.scratch_folder(str(folder)):
            pass
        assert not dead_file.exists() and not dead_folder.exists()
        assert living_file.exists() and living_folder.exists() and other.exists()
        process.kill()
    atomic.write_text(str(path), "text")
    with atomic.new_folder(str(folder)) as temporary:
        assert os.path.dirname(temporary) == str(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"result", "out", other.name}


def test_atomic_files_move_in_with_one_of_them_last(tmp_path, monkeypatch):
    folder = tmp_path / "new" / "model"
    for text in ("one", "two"):
        with atomic.atomic_files(str(folder), last="b") as temporary:
            for name in "abc":
                atomic.write_text(os.path.join(temporary, name), text)
    assert {p.name: p.read_text() for p in folder.iterdir()} == dict.fromkeys("abc", "two")
    with pytest.raises(RuntimeError), atomic.atomic_files(str(folder), last="b") as temporary:
        atomic.write_text(os.path.join(temporary, "a"), "three")
        raise RuntimeError
    assert {p.name: p.read_text() for p in folder.iterdir()} == dict.fromkeys("abc", "two")

    moved = []
    move = files.move

    def killed_after_two(source, target):
        moved.append(os.path.basename(target))
        move(source, target)
        if len(moved) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), atomic.atomic_files(str(folder), last="b") as temporary:
        for name in "abc":
            (pathlib.Path(temporary) / name).write_text("three")
        monkeypatch.setattr(atomic, "move", killed_after_two)
    assert moved == ["a", "c"]
    assert sorted(os.listdir(folder)) == ["a", "c"]


def test_output_below_a_file_is_a_user_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="Cannot create the folder .*file/sub"):
        atomic.write_text(str(tmp_path / "file" / "sub" / "x"), "text")


def test_output_in_place_of_a_folder_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match=f"Cannot write {tmp_path}/folder"):
        (tmp_path / "folder").mkdir()
        atomic.write_text(str(tmp_path / "folder"), "text")
    assert os.listdir(tmp_path) == ["folder"]


def test_new_folder_appears_complete_or_not_at_all(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(ZeroDivisionError), atomic.new_folder(str(target)) as staging:
        (pathlib.Path(staging) / "half").write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    target.mkdir()  # An empty folder may be taken.
    with atomic.new_folder(f"{target}/") as staging:
        (pathlib.Path(staging) / "whole").write_text("whole")
        assert list(target.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (target / "whole").read_text() == "whole"
    with (
        pytest.raises(UserError, match="exists already and is not empty"),
        atomic.new_folder(str(target)),
    ):
        pass
    with pytest.raises(UserError, match="exists already"), atomic.new_folder(str(target / "whole")):
        pass
    assert (target / "whole").read_text() == "whole"


def test_a_folder_in_the_making_is_taken_as_it_is(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "out"
    with atomic.new_folder(str(target)) as outer:
        before = os.stat(outer)
        with atomic.new_folder(f"{outer}/") as inner:
            (pathlib.Path(inner) / "whole").write_text("whole")
        # What is locked is still there, so no other process takes it for a leftover.
        assert inner == outer and os.path.samestat(os.stat(outer), before)
        with pytest.raises(BlockingIOError), atomic._locked(outer):
            pass
    assert (target / "whole").read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("is_folder", [True, False])
def test_a_temporary_name_is_locked_from_its_beginning_to_its_end(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, is_folder: bool
) -> None:
    lock, remove = atomic._locked, atomic.remove_any
    removed = []

    def lock_late(path: str) -> contextlib.AbstractContextManager[None]:
        for found in tmp_path.glob(".out.*.tmp"):  # Another process clears away.
            remove(str(found))
        return lock(path)

    def remove_while_locked(path: str) -> None:
        if path.endswith(".tmp") and os.path.exists(path):
            with pytest.raises(BlockingIOError), lock(path):
                pass
            removed.append(path)
        remove(path)

    monkeypatch.setattr(atomic, "_locked", lock_late)
    monkeypatch.setattr(atomic, "remove_any", remove_while_locked)
    begin = atomic.scratch_folder if is_folder else atomic.atomic_output
    with pytest.raises(ZeroDivisionError), begin(str(tmp_path / "out")) as temporary:
        assert os.path.isdir(temporary) == is_folder
        raise ZeroDivisionError
    assert removed == [temporary] and list(tmp_path.iterdir()) == []


def test_copy_file(tmp_path: pathlib.Path) -> None:
    source, target = tmp_path / "a", tmp_path / "folder" / "b"
    source.write_bytes(b"\x00\xff" * 3)
    atomic.copy_file(str(source), str(target))
    atomic.copy_file(str(target), str(target))
    assert target.read_bytes() == source.read_bytes()
    assert [path.name for path in target.parent.iterdir()] == ["b"]


def test_json_has_null_for_what_is_no_finite_number(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.json"
    values = {"score": math.nan, 3: [(math.inf, -math.inf, 1.5)], "rows": 2, "é": None}
    atomic.write_json(str(path), values)
    assert "".join(path.read_text().split()) == (
        '{"score":null,"3":[[null,null,1.5]],"rows":2,"é":null}'
    )
