"""The pictures of a class report: confusion matrix and reliability diagram."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from classification.report import NUM_BINS, ClassReport
from common.figures import drawable_names, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Classes whose names and numbers there is room for.
_MOST_NAMES, _MOST_NUMBERS = 40, 15


def plot_confusion(report: ClassReport) -> Figure:
    """Rows of each true class by predicted class: colours are shares of the row, numbers counts."""
    counts = report.confusion
    size = len(report.labels)
    side = 3 + 0.35 * size if size <= _MOST_NAMES else 6
    figure, (axes,) = new_figure(side + 1, side)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if size <= _MOST_NAMES:
        names, families = drawable_names(report.labels)
        names = [name if len(name) <= 16 else name[:15] + "…" for name in names]
        # A "$" is no formula.
        axes.set_xticks(range(size), names, fontfamily=families, parse_math=False)
        if max(map(len, names)) > 4:
            axes.tick_params("x", rotation=90)
        axes.set_yticks(range(size), names, fontfamily=families, parse_math=False)
    if size <= _MOST_NUMBERS:
        for (i, j), count in np.ndenumerate(counts):
            colour = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, str(count), ha="center", va="center", color=colour, fontsize=8)
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")
    figure.colorbar(image, shrink=0.8, label="share of the label's rows")
    return figure


def plot_reliability(report: ClassReport) -> Figure:
    """Accuracy by confidence; on the diagonal, a model is right as often as it believes to be."""
    figure, (axes,) = new_figure(5, 4.5)
    rows = np.array([b.rows for b in report.bins])
    middles = [(b.low + b.high) / 2 for b in report.bins]
    # The share of rows, behind the accuracies.
    axes.bar(middles, rows / rows.sum(), 1 / NUM_BINS, color="#d5d8dc", label="share of rows")
    axes.plot([0, 1], [0, 1], "--", color="#616a6b", linewidth=1)
    axes.plot(
        [b.confidence for b in report.bins],
        [b.accuracy for b in report.bins],
        "o-",
        color="#2471a3",
        label="accuracy",
    )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("probability of the predicted label")
    axes.set_title(f"expected calibration error {report.calibration_error:.3f}", fontsize=10)
    axes.legend(loc="upper left")
    return figure
