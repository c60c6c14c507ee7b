"""The report of an export: a row for each program, as a table and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from common.machine import describe_machine
from common.markdown import table
from serving.comparison import Comparison, EvaluationSet
from serving.trained_model import TrainedModel


@dataclasses.dataclass(frozen=True)
class Entry:
    """A program that was written.

    Attributes:
      path: In the exported folder.
      megabytes: Its size, in millions of bytes.
      comparison: With the model.
      objection: The reason why it was not kept; None if it was.
      measured: Threads -> what `comparison.probe` returned; none where nothing was measured.
    """

    path: str
    megabytes: float
    comparison: Comparison
    objection: str | None
    measured: Mapping[int, Mapping[str, Any]]


def markdown(
    model: TrainedModel, rows: EvaluationSet, entries: Sequence[Entry], note: str = ""
) -> str:
    """The table, with a line about what was compared and where, and a note."""
    metric = "Score" if model.is_regression else "Accuracy"
    has_metric = rows.labels is not None
    columns = ["File", "MB", *([f"{metric} (model's)"] if has_metric else [])]
    columns += [*(["Equal decisions"] if model.labels else []), "Largest change"]
    timed = next((entry.measured for entry in entries if entry.measured), {})
    for threads, result in timed.items():
        for time in result["times"]:
            columns.append(f"ms, {time['length']} tokens, {_threads(threads)} (95 %)")
    columns += ["Peak MB"] if timed else []
    cells = [_cells(e, has_metric, bool(model.labels), len(columns)) for e in entries]
    lines = table(columns, cells)
    what = f"{len(rows.rows):,} rows of {rows.name}" if rows.rows else "random ids, not on any text"
    notes = [f"Compared on {what}, one row at a time; {model.num_parameters:,} parameters."]
    if timed:
        notes.append("Milliseconds are medians and 95th percentiles of one row, ids in.")
    notes.append("MB are millions of bytes.")
    notes.append(f"Machine: {describe_machine()}.")
    lines += ["", " ".join([*notes, note]).strip()]
    for entry in entries:
        if entry.objection:
            lines += ["", f"Not kept: {entry.path}: {entry.objection}."]
    return "\n".join(lines) + "\n"


def content(
    model: TrainedModel, rows: EvaluationSet, entries: Sequence[Entry], options: Any
) -> dict[str, Any]:
    """The same as JSON, with the options."""
    return {
        "model": model.source,
        "parameters": model.num_parameters,
        "labels": list(model.labels),
        "compared_on": rows.name,
        "num_rows": len(rows.rows),
        "machine": describe_machine(),
        "options": dataclasses.asdict(options),
        "files": [dataclasses.asdict(entry) for entry in entries],
    }


def _cells(entry: Entry, has_metric: bool, has_decisions: bool, num_columns: int) -> list[str]:
    found = entry.comparison
    cells = [entry.path, f"{entry.megabytes:.2f}"]
    if has_metric:
        interval = ""
        if found.interval:
            interval = f" [{found.interval[0]:.1f}, {found.interval[1]:.1f}]"
        cells.append(f"{found.metric:.2f}{interval} ({found.metric_before:.2f})")
    if has_decisions:
        cells.append(f"{found.agreement:.2f} %")
    change = found.largest_change
    cells.append(f"{change:.1g}" if change < 0.001 else f"{change:.3f}")
    for result in entry.measured.values():
        cells += [f"{t['median_ms']:.2f} ({t['p95_ms']:.2f})" for t in result["times"]]
    peaks = [result["peak_mb"] for result in entry.measured.values() if result["peak_mb"]]
    if entry.measured:
        cells.append(f"{max(peaks):.0f}" if peaks else "")
    return cells + [""] * (num_columns - len(cells))


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
