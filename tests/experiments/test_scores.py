"""Means, deviations and intervals over seeds, against the standard library and SciPy."""

from __future__ import annotations

import statistics

import pytest
from scipy import stats

from experiments.scores import Row, Score

VALUES = (81.2, 79.9, 83.4, 80.0)


def test_score() -> None:
    score = Score((50.0, 60.0, 70.0))
    assert score.mean == pytest.approx(60.0)
    # Of a sample: divided by one less than the number of values.
    assert score.deviation == pytest.approx(10.0)
    assert str(score) == "60.0 ± 10.0"
    single = Score((81.25,))
    assert (single.mean, single.deviation, str(single)) == (81.25, None, "81.2")


def test_figures_are_those_of_the_libraries() -> None:
    score = Score(VALUES)
    assert score.mean == pytest.approx(statistics.mean(VALUES))
    assert score.deviation == pytest.approx(statistics.stdev(VALUES))
    low, high = stats.t.interval(0.95, 3, statistics.mean(VALUES), stats.sem(VALUES))
    assert score.interval == pytest.approx((high - low) / 2)
    assert Score(VALUES[:1]).interval is None


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (Score((0.12346,), digits=4), "0.1235"),
        (Score((0.1, 0.3), digits=4), "0.2000 ± 0.1414"),
        (Score((80.04, 80.04)), "80.0 ± 0.0"),
    ],
)
def test_digits(score: Score, text: str) -> None:
    assert str(score) == text


def test_json_of_a_row() -> None:
    row = Row(Score((50.0, 70.0)), None, 4_385_920)
    deviation = pytest.approx(200**0.5)
    dev = {"values": (50.0, 70.0), "mean": 60.0, "deviation": deviation}
    assert row.to_json() == {"dev": dev, "test": None, "parameters": 4_385_920}
    row = Row(Score((50.0,)), Score((40.0,)), 1)
    assert row.to_json()["test"] == {"values": (40.0,), "mean": 40.0, "deviation": None}
