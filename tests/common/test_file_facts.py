"""Facts about files: found once, and anew when the file is another one."""

from __future__ import annotations

import json
import os
import pathlib

import pytest

from common.file_facts import FACTS_FILE, FileFacts


def lengths(facts: FileFacts, path: pathlib.Path, found: list[str], name: str = "length") -> int:
    def find() -> int:
        found.append(path.name)
        return len(path.read_bytes())

    return facts.recall(name, str(path), find)


def test_facts_are_found_once(tmp_path: pathlib.Path) -> None:
    found: list[str] = []
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("one")
    b.write_text("three")
    for _ in range(2):  # The second time, of what the first has saved.
        facts = FileFacts(str(tmp_path))
        assert [lengths(facts, path, found) for path in (a, b, a)] == [3, 5, 3]
        facts.save()
    assert found == ["a", "b"]
    assert lengths(FileFacts(str(tmp_path)), a, found, "another fact") == 3
    assert lengths(FileFacts(), a, found) == 3  # Nothing is kept.
    assert found == ["a", "b", "a", "a"]


def test_changed_file_is_looked_at_again(tmp_path: pathlib.Path) -> None:
    """Even if its size and its time of modification are what they were."""
    found: list[str] = []
    path = tmp_path / "a"
    path.write_text("one")
    facts = FileFacts(str(tmp_path))
    lengths(facts, path, found)
    facts.save()
    times = path.stat()
    path.write_text("two")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    lengths(FileFacts(str(tmp_path)), path, found)
    assert found == ["a", "a"]


@pytest.mark.parametrize(
    "content", ["{", "[]", "5", '{"length of a": [3, 1, 9], "content_sha256": "0"}']
)
def test_damaged_facts_are_no_facts(tmp_path: pathlib.Path, content: str) -> None:
    found: list[str] = []
    path = tmp_path / "a"
    path.write_text("one")
    (tmp_path / FACTS_FILE).write_text(content)
    facts = FileFacts(str(tmp_path))
    assert lengths(facts, path, found) == 3
    facts.save()
    assert lengths(FileFacts(str(tmp_path)), path, found) == 3
    assert found == ["a"]


def test_facts_of_another_type(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a"
    path.write_text("one")
    for known in (5, [], [3], "one", {"a": 1}):
        (tmp_path / FACTS_FILE).write_text(json.dumps({f"length of {path}": known}))
        assert lengths(FileFacts(str(tmp_path)), path, []) == 3


def test_nothing_is_written_where_nothing_was_found(tmp_path: pathlib.Path) -> None:
    FileFacts(str(tmp_path)).save()
    assert list(tmp_path.iterdir()) == []
