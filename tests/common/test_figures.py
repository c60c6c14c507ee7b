"""Names in figures."""

from __future__ import annotations

import itertools

import numpy as np
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from common.figures import label_points, new_figure


def test_names_of_points_that_are_close_do_not_cover_each_other() -> None:
    figure, (axes,) = new_figure()
    rng = np.random.default_rng(0)
    points = [(x, y) for x, y in 1 + 0.2 * rng.random([10, 2])] + [(2.0, 2.0), (1.0, 1.0)]
    axes.plot(*zip(*points, strict=True), "o", label="points")
    legend = axes.legend(loc="upper left")
    label_points(axes, [f"model-{i}" for i in range(len(points))], points, [legend])
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in axes.texts] + [legend.get_window_extent()]
    for one, other in itertools.combinations(boxes, 2):
        found = Bbox.intersection(one, other)
        assert found is None or min(found.size) < 0.01
    assert all(axes.bbox.contains(*corner) for box in boxes for corner in (box.min, box.max))
