"""Tables of tasks, written and read."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from classification.task import Task
from classification.task_files import TaskFile
from data.classifier_records import Example


def write_table(folder: Path, name: str, *lines: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_rows(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """A table of the format that its name says; the texts of a .tsv hold no tabs and line ends."""
    if path.suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        table = pyarrow.Table.from_pylist(rows)
        pytest.importorskip("pyarrow.parquet").write_table(table, str(path))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".tsv":
        lines = ["\t".join(rows[0]), *("\t".join(row.values()) for row in rows)]
        write_table(path.parent, path.name, *lines)
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def read_rows(task: Task, file: TaskFile, folder: Path) -> list[Example]:
    return list(task.read_examples(file, str(folder)))


def columns(count: int, **cells: str) -> str:
    """A row whose cells say where they stand, but for the given ones."""
    return "\t".join(cells.get(f"c{i}", f"cell {i}") for i in range(count))
