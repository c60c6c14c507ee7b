"""Bootstrap intervals against drawing rows one by one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from classification import bootstrap
from classification.bootstrap import (
    class_intervals,
    correlations_of,
    mean_of,
    pearson_of,
    row_intervals,
    spearman_of,
)
from classification.metrics import METRICS


@pytest.mark.parametrize("num_labels", [2, 3])
def test_intervals_are_those_of_drawing_rows(num_labels: int) -> None:
    rng = np.random.default_rng(3)
    labels = rng.choice(num_labels, 300, p=[0.8, *[0.2 / (num_labels - 1)] * (num_labels - 1)])
    predictions = np.where(rng.random(300) < 0.7, labels, rng.choice(num_labels, 300))
    found = class_intervals(labels, predictions, num_labels)
    assert ("f1" in found) == (num_labels == 2)
    for name, interval in found.items():
        values = []
        for _ in range(400):
            rows = rng.integers(0, 300, 300)
            values.append(METRICS[name](labels[rows], predictions[rows]))
        wanted = np.quantile(values, [0.025, 0.975])
        assert interval == pytest.approx(tuple(wanted), abs=0.025), name
        assert interval[0] <= METRICS[name](labels, predictions) <= interval[1]
    assert found == class_intervals(labels, predictions, num_labels)


def test_intervals_of_means_and_correlations() -> None:
    rng = np.random.default_rng(4)
    first = rng.normal(size=500)
    second = first + rng.normal(size=500)
    figures = {"mean": mean_of(first), "pearson": pearson_of(first, second)}
    figures["spearman"] = spearman_of(first, second)
    found = row_intervals(figures, 500)
    error = first.std() / np.sqrt(500)
    assert found["mean"] == pytest.approx(
        (first.mean() - 1.96 * error, first.mean() + 1.96 * error), abs=0.015
    )
    for name in ("pearson", "spearman"):
        low, high = found[name]
        assert low < METRICS[name](first, second) < high
        assert 0.05 < high - low < 0.15
    constant = row_intervals({"pearson": pearson_of(np.zeros(9), np.arange(9.0))}, 9)
    assert constant == {"pearson": (0.0, 0.0)}


def test_correlations_of_each_resample() -> None:
    """Ties included, whose ranks are shared."""
    rng = np.random.default_rng(5)
    labels, predictions = rng.integers(0, 5, 30).astype(np.float32), rng.normal(size=30)
    drawn = rng.integers(0, 30, (4, 30))
    found = correlations_of(labels, predictions)
    for name, function in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
        wanted = [function(labels[rows], predictions[rows]).statistic for rows in drawn]
        np.testing.assert_allclose(found[name](drawn), wanted, atol=1e-12)


def test_rows_are_drawn_in_parts_that_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(6).normal(size=50)
    shapes: list[tuple[int, ...]] = []

    def figure(drawn: np.ndarray) -> np.ndarray:
        shapes.append(drawn.shape)
        return values[drawn].mean(axis=1)

    whole = row_intervals({"mean": figure}, 50)
    assert shapes == [(bootstrap.RESAMPLES, 50)]
    monkeypatch.setattr(bootstrap, "_DRAWS", 50 * 300)
    assert row_intervals({"mean": figure}, 50) == whole
    assert shapes[1:] == [(300, 50), (300, 50), (300, 50), (100, 50)]
