"""The pictures of comparisons."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from common.figures import new_figure
from experiments.scores import Row, Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    "Teacher": "#c0392b",
    "Basic": "#9aa5b1",
    "PF": "#e59866",
    "KD": "#7fb3d5",
    "PD": "#2471a3",
    "PD-F": "#154360",
}
# Characters of a line below an axis.
_LABEL_WIDTH = 16


def plot_strategies(rows: Mapping[str, Row], metric: str) -> Figure:
    """One student by several strategies, and its teacher."""
    split = "test" if all(row.test for row in rows.values()) else "dev"
    scores: dict[str, Score] = {name: getattr(row, split) for name, row in rows.items()}
    students = [name for name in scores if name != "Teacher"]
    figure, (axes,) = new_figure()
    # Points, not bars: the scale does not begin at 0.
    for i, name in enumerate(students):
        score = scores[name]
        spread, colour = score.deviation or 0.0, COLOURS.get(name, "#616a6b")
        axes.errorbar(i, score.mean, spread, fmt="D", color=colour, markersize=9, capsize=5)
        axes.plot([i] * len(score.values), score.values, "o", color="black", markersize=3)
        top = max(*score.values, score.mean + spread)
        axes.annotate(
            f"{score.mean:.1f}", (i, top), (0, 7), textcoords="offset points", ha="center"
        )
    axes.set_xticks(range(len(students)), students)
    axes.set_xlim(-0.5, len(students) - 0.5)
    axes.grid(axis="y", alpha=0.3)
    _line(axes, "Teacher", scores["Teacher"], "--")
    axes.margins(y=0.15)
    axes.set_ylabel(f"{split} {metric} (%)")
    axes.set_title("One student, five training strategies: mean and deviation over seeds")
    axes.legend(loc="best")
    return figure


def plot_by_size(rows: Mapping[str, Row], sizes: Sequence[int], metric: str) -> Figure:
    """Score by size of the transfer set, as in Figure 8; rows "KD 1000", "PD 1000" and so on."""
    figure, (axes,) = new_figure()
    for strategy in ("KD", "PD"):
        found = [rows[f"{strategy} {size}"].dev for size in sizes]
        axes.errorbar(
            sizes,
            [score.mean for score in found],
            yerr=[score.deviation or 0.0 for score in found],
            label=strategy,
            color=COLOURS[strategy],
            marker="o",
            capsize=4,
        )
    for name, style in (("Teacher", "--"), ("PF", ":"), ("Basic", ":")):
        _line(axes, name, rows[name].dev, style)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("texts in the transfer set, each within the next")
    axes.set_ylabel(f"dev {metric} (%)")
    values = [value for row in rows.values() for value in row.dev.values]
    axes.set_ylim(math.floor(min(values)) - 2, math.ceil(max(values)) + 2)
    axes.legend()
    return figure


def _line(axes: Axes, name: str, score: Score, style: str) -> None:
    label = f"{name} {score.mean:.1f}"
    axes.axhline(score.mean, color=COLOURS[name], linestyle=style, label=label)


# Title, names of the points, line -> position -> score, position -> the teacher's score.
PanelData = tuple[str, Sequence[str], Mapping[str, Mapping[int, "Score"]], Mapping[int, float]]
LINE_STYLES = (("#9aa5b1", "s"), ("#7fb3d5", "^"), ("#e59866", "v"), ("#2471a3", "o"), ("k", "D"))


def plot_panels(title: str, panels: Sequence[PanelData]) -> Figure:
    """Lines over named points, panels side by side: mean and 95 % interval over seeds.

    A line has the same colour and marker in all panels, also where others have no points yet.
    """
    figure, all_axes = new_figure(max(6.0, 4.2 * len(panels)), 4.2, len(panels))
    for axes, (panel_title, points, lines, teacher) in zip(all_axes, panels, strict=True):
        for (label, scores), (colour, marker) in zip(lines.items(), LINE_STYLES, strict=False):
            if not scores:
                continue
            axes.errorbar(
                list(scores),
                [score.mean for score in scores.values()],
                yerr=[score.interval or 0.0 for score in scores.values()],
                label=label,
                color=colour,
                marker=marker,
                capsize=3,
            )
        if teacher:
            (line,) = axes.plot(list(teacher), list(teacher.values()), "--", label="Teacher")
            line.set(color=COLOURS["Teacher"], marker="_", markersize=20)  # Seen at one point, too.
        many = len(points) > 4
        names = points if many else [textwrap.fill(point, _LABEL_WIDTH) for point in points]
        axes.set_xticks(range(len(points)), names, rotation=30 if many else 0)
        axes.set_xlim(-0.3, len(points) - 0.7)
        axes.set_title(panel_title)
        axes.grid(axis="y", alpha=0.3)
    all_axes[0].set_ylabel("dev score (%)")
    drawn = [axes.get_legend_handles_labels() for axes in all_axes]
    handles = {label: handle for pair in drawn for handle, label in zip(*pair, strict=True)}
    all_axes[-1].legend(handles.values(), handles.keys(), fontsize="small")
    figure.suptitle(title)
    return figure
