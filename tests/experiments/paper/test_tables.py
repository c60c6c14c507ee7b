"""Tables of the paper that need no training, beside what was measured here."""

from __future__ import annotations

import json
import pathlib

import pytest

from experiments.paper.artifacts import STARTS
from experiments.paper.estimates import MACHINES
from experiments.paper.plan import PaperPlan, Paths
from experiments.paper.scales import SCALES
from experiments.paper.tables import write_table


def written(folder: pathlib.Path, scale: str, name: str) -> tuple[list[list[str]], dict]:
    """Rows of the Markdown, and the content of the JSON."""
    plan = PaperPlan(SCALES[scale], Paths(), str(folder), "float32", MACHINES["2-cores"])
    artifact = SCALES[scale].artifacts[name]
    text = write_table(name, artifact, plan, str(folder), {"machine": "this one"})
    assert (folder / f"{name}.md").read_text() == text
    assert text.startswith(f"# {name}: {artifact.title}\n") and "\n* machine: this one\n" in text
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return rows, json.loads((folder / f"{name}.json").read_text())


def test_sizes_with_and_without_a_measurement(tmp_path: pathlib.Path) -> None:
    rows, _ = written(tmp_path, "small", "table1")
    assert len(rows) == 25 and rows[1][0] == "2/128"
    assert "| 2/128 | 4.4 |  | 65.24 |  |" in (tmp_path / "table1.md").read_text()
    measured = [
        {"model": "2/128", "parameters_with_heads": 4_433_468, "speedup": 41.256},
        {"model": "4/256", "parameters_with_heads": 11_300_000},
    ]
    (tmp_path / "table1").mkdir()
    (tmp_path / "table1" / "table1.json").write_text(json.dumps({"rows": measured}))
    rows, content = written(tmp_path, "small", "table1")
    assert rows[1] == ["2/128", "4.4", "4.4", "65.24", "41.26"]
    assert ["4/256", "11.3", "11.3", "15.96", ""] in content["rows"]


def test_strategies(tmp_path: pathlib.Path) -> None:
    rows, _ = written(tmp_path, "small", "table2")
    assert ["PD", "pre-trained", "teacher, on transfer text"] in rows
    assert ["PD-F", "PD", "labels"] in rows
    names = [row[0] for row in rows]
    assert "Teacher" not in names and names[-len(STARTS) :] == [f"start: {s}" for s in STARTS]


@pytest.mark.parametrize(
    ("scale", "row"),
    [
        ("small", ["RTE", "2.5k", "2,490", "1.3m, NLI*", "66,000, sentence pairs"]),
        # In the place of MNLI.
        ("small", ["NLI", "390k", "22,474", "1.3m, NLI*", "66,000, sentence pairs"]),
        ("paper", ["SST-2", "68k", "67,349", "1.7m, Movie Reviews*", "1,700,000, movie reviews"]),
    ],
)
def test_datasets(tmp_path: pathlib.Path, scale: str, row: list[str]) -> None:
    rows, _ = written(tmp_path, scale, "table4")
    assert row in rows
    assert len(rows) == 1 + len(SCALES[scale].tasks)
