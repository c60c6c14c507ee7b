"""The paper's tables that need no training: sizes and speeds, strategies, datasets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from common.atomic import write_json, write_text
from common.files import exists, read_json
from common.markdown import table
from experiments.paper.artifacts import STARTS, Artifact
from experiments.paper.plan import PaperPlan
from experiments.students import STRATEGIES
from modeling.published_sizes import PUBLISHED_SIZES

# Table 4: task -> labelled examples and transfer texts.
PUBLISHED_DATA = {
    "mnli": ("390k", "1.3m, NLI*"),
    "rte": ("2.5k", "1.3m, NLI*"),
    "sst-2": ("68k", "1.7m, Movie Reviews*"),
    "book-reviews": ("50k", "8m, Book Reviews*"),
}


def write_table(
    name: str, artifact: Artifact, plan: PaperPlan, folder: str, facts: Mapping[str, Any]
) -> str:
    """Writes NAME.md and NAME.json, and returns the former."""
    header, rows = {"table1": _sizes, "table2": _strategies, "table4": _datasets}[name](plan)
    lines = [f"# {name}: {artifact.title}", "", *table(header, rows), ""]
    lines += [f"* {key}: {value}" for key, value in facts.items()]
    text = "\n".join(lines) + "\n"
    write_text(os.path.join(folder, f"{name}.md"), text)
    content = {"title": artifact.title, "header": header, "rows": rows, **facts}
    write_json(os.path.join(folder, f"{name}.json"), content)
    return text


def _sizes(plan: PaperPlan) -> tuple[list[str], list[list[str]]]:
    header = ["L/H", "millions, the paper", "millions here", "speed-up, TPU v2", "speed-up here"]
    path = os.path.join(plan.graph.folder("table1"), "table1.json")
    measured = {row["model"]: row for row in read_json(path)["rows"]} if exists(path) else {}
    rows = []
    for size, (millions, speedup) in PUBLISHED_SIZES.items():
        row = measured.get(size, {})
        here = f"{row['parameters_with_heads'] / 1e6:.1f}" if row else ""
        speed = f"{row['speedup']:.2f}" if "speedup" in row else ""
        rows.append([size, f"{millions}", here, f"{speedup:.2f}", speed])
    return header, rows


def _strategies(_: PaperPlan) -> tuple[list[str], list[list[str]]]:
    rows = [
        [name, strategy.start, strategy.learns_from]
        for name, strategy in STRATEGIES.items()
        if name != "Teacher"
    ]
    rows += [[f"start: {name}", text, ""] for name, text in STARTS.items()]
    return ["Strategy", "starts from", "learns from"], rows


def _datasets(plan: PaperPlan) -> tuple[list[str], list[list[str]]]:
    header = ["Task", "labels, the paper", "labels here", "texts, the paper", "texts here"]
    rows = []
    for name, task in plan.scale.tasks.items():
        stands_for = {"nli": "mnli"}.get(name, name)
        labels, texts = PUBLISHED_DATA.get(stands_for, ("", ""))
        transfer = f"{task.num_transfer:,}, {', '.join(task.transfer).replace('_', ' ')}"
        rows.append([task.title, labels, f"{task.num_train:,}", texts, transfer])
    return header, rows
