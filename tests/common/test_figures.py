"""Figures without a display, written as their endings say."""

from __future__ import annotations

import itertools
import pathlib
import warnings

import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.font_manager import fontManager
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from common.figures import _characters, drawable_names, label_points, new_figure, save_figure


def test_axes_row_by_row() -> None:
    figure, axes = new_figure(6, 2, columns=3, rows=2)
    assert tuple(figure.get_size_inches()) == (6, 2)
    places = [(a.get_subplotspec().rowspan.start, a.get_subplotspec().colspan.start) for a in axes]
    assert places == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_file_is_of_its_ending(tmp_path: pathlib.Path, ending: str, start: bytes) -> None:
    figure, (axes,) = new_figure(1, 1)
    axes.plot([0, 1], [0, 1])
    path = tmp_path / f"figure.{ending}"
    save_figure(figure, str(path))
    assert path.read_bytes().startswith(start)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


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


def test_names_without_a_font_are_numbered(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    other = "\U000f1234"  # Of private use.
    names, families = drawable_names(["good", f"{other}{other}", "a\tb"])
    assert names == ["good", "#1", "a b"] and families == rcParams["font.family"]
    assert f'in the figure #1 stands for "{other}{other}".' in caplog.text


def test_a_font_that_has_the_characters_is_chosen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    default = _characters("sans-serif")
    installed = {font.name for font in fontManager.ttflist}
    characters = frozenset().union(*map(_characters, installed)) - default
    character = min(characters)
    names, families = drawable_names(["good", character])
    assert names == ["good", character] and len(families) == 2 and not caplog.text
    figure, (axes,) = new_figure(1, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        label_points(axes, ["$good", character], [(0, 0), (1, 1)])
        figure.draw_without_rendering()
