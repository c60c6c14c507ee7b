"""The marks in the pictures of comparisons stand at the scores."""

from __future__ import annotations

import pytest

from experiments.figures import plot_by_size, plot_panels, plot_strategies
from experiments.scores import Row, Score


def row(*values: float, test: tuple[float, ...] = ()) -> Row:
    return Row(Score(values), Score(test) if test else None, 1)


def test_strategies() -> None:
    rows = {
        "Teacher": row(95.0, test=(90.0,)),
        "Basic": row(50.0, 60.0, test=(40.0, 44.0)),
        "PD": row(80.0, 82.0, test=(70.0, 72.0)),
    }
    (axes,) = plot_strategies(rows, "accuracy").axes
    assert axes.get_ylabel() == "test accuracy (%)"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["Basic", "PD"]
    assert [text.get_text() for text in axes.texts] == ["42.0", "71.0"]
    marks = {tuple(line.get_xdata()): list(line.get_ydata()) for line in axes.lines}
    assert marks[0, 0] == [40, 44] and marks[1, 1] == [70, 72]
    assert axes.get_legend_handles_labels()[1] == ["Teacher 90.0"]


def test_development_set_where_a_row_has_no_test_set() -> None:
    rows = {"Teacher": row(95.0, test=(90.0,)), "Basic": row(50.0)}
    (axes,) = plot_strategies(rows, "F1").axes
    assert axes.get_ylabel() == "dev F1 (%)"
    assert [text.get_text() for text in axes.texts] == ["50.0"]


def test_sizes_of_the_transfer_set() -> None:
    rows = {name: row(value) for name, value in (("Teacher", 95.0), ("PF", 75.0), ("Basic", 60.5))}
    rows |= {"KD 10": row(61, 63), "KD 40": row(70, 70), "PD 10": row(80), "PD 40": row(85)}
    (axes,) = plot_by_size(rows, [10, 40], "accuracy").axes
    lines = {c.get_label(): list(c.lines[0].get_ydata()) for c in axes.containers}
    assert lines == {"KD": [62, 70], "PD": [80, 85]}
    assert axes.get_xscale() == "log" and axes.get_ylim() == (58, 97)


def test_a_line_without_points_keeps_its_colour() -> None:
    points = {0: Score((60.0, 62.0))}
    panels = [
        ("one", ["a"], {"Basic": points, "KD": points, "PF": points}, {}),
        ("two", ["a"], {"Basic": points, "KD": {}, "PF": points}, {}),
    ]
    one, two = plot_panels("title", panels).axes
    colours = [
        {c.get_label(): c.lines[0].get_color() for c in axes.containers} for axes in (one, two)
    ]
    assert colours[1] == {name: colours[0][name] for name in ("Basic", "PF")}
    legend = [text.get_text() for text in two.get_legend().get_texts()]
    assert legend == ["Basic", "KD", "PF"]


def test_panels() -> None:
    scores = {0: Score((60.0, 62.0)), 2: Score((71.0,))}
    panels = [
        ("one", ["a", "b", "c"], {"PF": scores}, {0: 90.0, 2: 91.0}),
        ("two", ["a"], {"PF": {0: Score((1.0,))}}, {}),
    ]
    one, two = plot_panels("title", panels).axes
    (drawn,) = one.containers
    assert list(drawn.lines[0].get_xdata()) == [0, 2]
    assert list(drawn.lines[0].get_ydata()) == [61, 71]
    # Half a 95 % interval of two values one from their mean: t is 12.706, the error of the mean 1.
    bar = drawn.lines[2][0].get_segments()[0]
    assert bar[:, 1] == pytest.approx([61 - 12.706, 61 + 12.706], abs=1e-3)
    teacher = one.lines[-1]
    assert teacher.get_label() == "Teacher" and one.get_title() == "one"
    assert dict(zip(teacher.get_xdata(), teacher.get_ydata(), strict=True)) == {0: 90, 2: 91}
    assert "Teacher" not in [line.get_label() for line in two.lines]
