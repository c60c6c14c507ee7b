"""Figures of matplotlib, without a display and imported where one is made."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from common.atomic import atomic_output
from common.files import open_binary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def new_figure(
    width: float = 7, height: float = 4, columns: int = 1, rows: int = 1
) -> tuple[Figure, list[Axes]]:
    """A figure and its axes, row by row; sizes in inches. No display is needed."""
    from matplotlib.figure import Figure as NewFigure

    figure = NewFigure(figsize=(width, height), layout="tight")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def save_figure(figure: Figure, path: str) -> None:
    """Writes a figure; the ending of the path, .png or .svg, says how."""
    with atomic_output(path) as temporary, open_binary(temporary, "wb") as file:
        figure.savefig(file, format=os.path.splitext(path)[1][1:], dpi=150)
