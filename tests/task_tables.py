"""Tables of tasks, written and read."""

from __future__ import annotations

from pathlib import Path

from classification.task import Task
from classification.task_files import TaskFile
from data.classifier_records import Example


def write_table(folder: Path, name: str, *lines: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_rows(task: Task, file: TaskFile, folder: Path) -> list[Example]:
    return list(task.read_examples(file, str(folder)))


def columns(count: int, **cells: str) -> str:
    """A row whose cells say where they stand, but for the given ones."""
    return "\t".join(cells.get(f"c{i}", f"cell {i}") for i in range(count))
