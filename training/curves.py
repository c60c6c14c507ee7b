"""Curves of runs: the values that they have on record, over their updates."""

from __future__ import annotations

import dataclasses
import logging
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from common.errors import UserError
from common.figures import drawable_names, new_figure, save_figure
from common.files import exists
from common.outputs import check_files_apart
from training.metrics_log import METRICS_FILE, SPEED, SPEED_FILE, read_metrics
from training.options import Options

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Name of a value -> its points: updates, value.
Curves = Mapping[str, Sequence[tuple[int, float]]]

COLUMNS = 3
# What is drawn first, in this order; all else follows as it is found.
FIRST = ("loss", "learning_rate", "gradient_norm", SPEED)
# By which models are compared; it is a value that stands there already.
SCORE = "eval_score"


@dataclasses.dataclass(frozen=True)
class CurveOptions(Options):
    """The flags of `plot_runs.py`."""

    runs: Sequence[str] | None = None
    metrics: Sequence[str] | None = None
    output_file: str = ""


def run(options: CurveOptions) -> None:
    """Draws the runs.

    Raises:
      UserError: A folder has no log, no run has a value that is asked for, or the output is no
        picture or an input.
    """
    path, runs = options.output_file, list(options.runs or [])
    if not path.endswith((".png", ".svg")):
        raise UserError(f"--output_file={path}: expected a name that ends with .png or .svg.")
    logs = [os.path.join(folder, file) for folder in runs for file in (METRICS_FILE, SPEED_FILE)]
    check_files_apart("output_file", [path], logs)
    curves = {name: read_curves(folder) for name, folder in zip(_names(runs), runs, strict=True)}
    values = _chosen(curves, options.metrics)
    save_figure(plot(curves, values), path)
    logging.info("%s has %s.", path, ", ".join(values))


def read_curves(output_dir: str) -> Curves:
    """Values that a run has on record; names of values of evaluations begin with `eval_`.

    Raises:
      UserError: There is no log.
    """
    records = read_metrics(output_dir)
    # Runs of earlier versions have none.
    if exists(os.path.join(output_dir, SPEED_FILE)):
        records += read_metrics(output_dir, SPEED_FILE)
    curves: dict[str, dict[int, float]] = {}
    for record in records:
        prefix = "eval_" if record["kind"] == "eval" else ""
        for name, value in record.items():
            if name not in ("step", "kind") and isinstance(value, (int, float)):
                name = prefix + name.removeprefix(prefix)
                curves.setdefault(name, {}).setdefault(record["step"], value)
    return {name: sorted(points.items()) for name, points in curves.items()}


def plot(curves: Mapping[str, Curves], values: Sequence[str]) -> Figure:
    """A figure with axes for each value, and a line in them for each run that has it."""
    columns = min(COLUMNS, len(values))
    rows = math.ceil(len(values) / columns)
    figure, all_axes = new_figure(max(5, 4.2 * columns), 3 * rows + 0.5, columns, rows)
    figure.set_layout_engine("constrained")  # It leaves room for the legend.
    for axes in all_axes[len(values) :]:
        axes.remove()
    last = max(of_value[-1][0] for of_run in curves.values() for of_value in of_run.values())
    for axes, value in zip(all_axes, values, strict=False):
        for i, (name, of_run) in enumerate(curves.items()):
            _draw(axes, of_run.get(value, ()), name, f"C{i}")
        axes.set_title(value.replace("_", " "))
        axes.set_xlabel("updates")
        axes.set_xlim(0, 1.03 * last)
        axes.grid(alpha=0.3)
    lines = dict(zip(curves, all_axes[0].get_lines(), strict=True))
    names, families = drawable_names(list(lines))
    legend = figure.legend(
        lines.values(), names, loc="outside lower center", ncols=4, prop={"family": families}
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # A "$" in the name of a folder is no formula.
    return figure


def _draw(axes: Axes, points: Sequence[tuple[int, float]], label: str, colour: str) -> None:
    # A few points are not seen as a line.
    marker = "o" if len(points) <= 20 else ""
    steps, values = [step for step, _ in points], [value for _, value in points]
    axes.plot(steps, values, marker=marker, markersize=3, label=label, color=colour)


def _names(runs: Sequence[str]) -> list[str]:
    """Names of the runs' folders, with as much of their paths as tells them apart."""
    parts = [os.path.normpath(run).split(os.sep) for run in runs]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(of_run[-depth:]) for of_run in parts]
        if len(set(names)) == len(names):
            return names
    raise UserError(f"--runs={','.join(runs)} names a run twice.")


def _chosen(curves: Mapping[str, Curves], wanted: Sequence[str] | None) -> list[str]:
    """The values to draw."""
    found = list(dict.fromkeys(name for of_run in curves.values() for name in of_run))
    if not found:
        raise UserError(f"The runs have no line in {METRICS_FILE} yet; wait for their first ones.")
    for name in wanted or []:
        if name not in found:
            raise UserError(
                f"--metrics: no run has {name} on record; they have {', '.join(found)}."
            )
    if wanted:
        return list(dict.fromkeys(wanted))
    first = [name for name in FIRST if name in found]
    return [*first, *(name for name in found if name not in (*first, SCORE))]
