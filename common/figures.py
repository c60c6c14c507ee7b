"""Figures of matplotlib, without a display and imported where one is made."""

from __future__ import annotations

import functools
import itertools
import logging
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from common.atomic import atomic_output
from common.files import open_binary

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

# Offsets to try for a name: to the right of its point and upwards, in typographic points; negative
# ones to the left and downwards. The nearest come first; of equally near ones, those above left or
# below right, where a line that rises through the point leaves room.
_OFFSETS = sorted(
    itertools.product(
        (4, -4, 16, -16, 32, -32), (s * d for d in range(4, 76, 10) for s in (1, -1))
    ),
    key=lambda offset: (math.hypot(*offset), offset[0] * offset[1] > 0),
)


def new_figure(
    width: float = 7, height: float = 4, columns: int = 1, rows: int = 1
) -> tuple[Figure, list[Axes]]:
    """A figure and its axes, row by row; sizes in inches. No display is needed."""
    from matplotlib.figure import Figure as NewFigure

    figure = NewFigure(figsize=(width, height), layout="tight")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def drawable_names(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names as a figure can show them; the log tells which it cannot.

    Returns:
      The names, without tabs and line ends, and "#0" for the first if no installed font has its
      characters, "#1" for the second and so on; and the families of fonts to draw them with.
    """
    from matplotlib import rcParams
    from matplotlib.font_manager import fontManager

    families = list(rcParams["font.family"])
    known = set(_characters(families[0]))
    installed = dict.fromkeys(font.name for font in fontManager.ttflist)
    shown, numbered = [], []
    for i, name in enumerate(" ".join(name.split()) for name in names):
        missing = set(name) - known
        fitting = (family for family in installed if missing <= _characters(family))
        if missing and (family := next(fitting, None)):
            families.append(family)
            known |= _characters(family)
        if missing <= known:
            shown.append(name)
        else:
            shown.append(f"#{i}")
            numbered.append(f'#{i} stands for "{name}"')
    if numbered:
        logging.info(
            "No font that is installed has all characters of these names; in the figure %s.",
            ", ".join(numbered),
        )
    return shown, families


@functools.cache
def _characters(family: str) -> frozenset[str]:
    """Characters of a family's upright font; none if it has pictures of them, as some emoji do."""
    from matplotlib.font_manager import FontProperties, findfont
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(findfont(FontProperties([family])))
    except (OSError, RuntimeError):
        return frozenset()
    return frozenset(map(chr, font.get_charmap())) if font.scalable else frozenset()


def label_points(
    axes: Axes,
    names: Sequence[str],
    points: Sequence[tuple[float, float]],
    others: Sequence[Artist] = (),
) -> None:
    """Writes names beside their points, each where it covers the least of what is there already.

    Args:
      axes: Axes that are finished but for this.
      names: One for each point.
      points: In the units of the axes.
      others: Other things that should not be covered, such as a legend.
    """
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    figure = axes.get_figure(root=True)
    assert figure
    figure.draw_without_rendering()  # From here on, places are known.
    places = axes.transData.transform(points)
    taken = [artist.get_window_extent() for artist in others]
    taken += [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in places]
    names, families = drawable_names(names)
    for name, point, (x, y) in zip(names, points, places, strict=True):
        label = axes.annotate(
            name,
            point,
            (0, 0),
            textcoords="offset points",
            fontfamily=families,
            parse_math=False,
            arrowprops={"arrowstyle": "-", "color": "gray", "linewidth": 0.5, "shrinkA": 0},
        )
        label.set_in_layout(False)  # The places stay.
        width, height = Text.get_window_extent(label).size
        choices = []  # Pixels that are covered, box, offset.
        for right, up in _OFFSETS:
            corner = x + right * figure.dpi / 72, y + up * figure.dpi / 72
            size = math.copysign(width, right), math.copysign(height, up)
            box = Bbox.from_bounds(*corner, *size)
            covered = sum(_common_area(box, other) for other in taken)
            outside = width * height - _common_area(box, axes.bbox)
            choices.append((covered + outside, box, (right, up)))
        _, box, (right, up) = min(choices, key=lambda choice: round(choice[0]))
        label.set_position((right, up))
        label.set_horizontalalignment("left" if right > 0 else "right")
        label.set_verticalalignment("bottom" if up > 0 else "top")
        taken.append(box)


def _common_area(one: Bbox, other: Bbox) -> float:
    from matplotlib.transforms import Bbox as NewBbox

    common = NewBbox.intersection(one, other)
    return abs(common.width * common.height) if common else 0.0


def save_figure(figure: Figure, path: str) -> None:
    """Writes a figure; the ending of the path, .png or .svg, says how."""
    with atomic_output(path) as temporary, open_binary(temporary, "wb") as file:
        figure.savefig(file, format=os.path.splitext(path)[1][1:], dpi=150)
