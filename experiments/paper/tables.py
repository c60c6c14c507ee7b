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

# Table 1: layers -> (millions of parameters, speed-up beside Large on TPU v2) by width.
WIDTHS = (128, 256, 512, 768)
PUBLISHED_SIZES = {
    2: ((4.4, 65.24), (9.7, 31.25), (22.8, 14.44), (39.2, 7.46)),
    4: ((4.8, 32.37), (11.3, 15.96), (29.1, 7.27), (53.4, 3.75)),
    6: ((5.2, 21.87), (12.8, 10.67), (35.4, 4.85), (67.5, 2.50)),
    8: ((5.6, 16.42), (14.4, 8.01), (41.7, 3.64), (81.7, 1.88)),
    10: ((6.0, 13.05), (16.0, 6.37), (48.0, 2.90), (95.9, 1.50)),
    12: ((6.4, 11.02), (17.6, 5.35), (54.3, 2.43), (110.1, 1.25)),
}
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
    for depth, published in PUBLISHED_SIZES.items():
        for width, (millions, speedup) in zip(WIDTHS, published, strict=True):
            row = measured.get(f"{depth}/{width}", {})
            here = f"{row['parameters_with_heads'] / 1e6:.1f}" if row else ""
            speed = f"{row['speedup']:.2f}" if "speedup" in row else ""
            rows.append([f"{depth}/{width}", f"{millions}", here, f"{speedup:.2f}", speed])
    return header, rows


def _strategies(_: PaperPlan) -> tuple[list[str], list[list[str]]]:
    rows = [
        [name, strategy.start, strategy.lesson]
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
