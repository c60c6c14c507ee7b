"""Metrics against values worked out by hand."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from classification.metrics import compute_metrics, primary_metric

# 3 true positives, 2 true negatives, 1 false positive, 2 false negatives.
LABELS = np.array([1, 1, 1, 0, 0, 0, 1, 1])
PREDICTIONS = np.array([1, 1, 1, 0, 0, 1, 0, 0])


def test_values_worked_out_by_hand() -> None:
    values = compute_metrics(("accuracy", "f1", "matthews_correlation"), LABELS, PREDICTIONS)
    assert values == {
        "accuracy": pytest.approx(5 / 8),
        "f1": pytest.approx(2 * 3 / (2 * 3 + 1 + 2)),
        "matthews_correlation": pytest.approx((3 * 2 - 1 * 2) / math.sqrt(4 * 5 * 3 * 4)),
    }


def test_three_classes() -> None:
    labels, predictions = np.array([0, 1, 2, 2]), np.array([0, 2, 2, 2])
    values = compute_metrics(("accuracy", "matthews_correlation"), labels, predictions)
    # Gorodkin's R_K: (c s - sum p t) / sqrt((s^2 - sum p^2) (s^2 - sum t^2)).
    expected = (3 * 4 - (1 * 1 + 0 * 1 + 3 * 2)) / math.sqrt((16 - 10) * (16 - 6))
    assert values == {"accuracy": 0.75, "matthews_correlation": pytest.approx(expected)}


def test_correlations_worked_out_by_hand() -> None:
    labels = np.array([0.0, 1.0, 2.0, 5.0], np.float32)
    predictions = np.array([1.0, 1.0, 3.0, 2.0])
    values = compute_metrics(("pearson", "spearman"), labels, predictions)
    # Means 2 and 1.75; deviations (-2, -1, 0, 3) and (-0.75, -0.75, 1.25, 0.25).
    assert values["pearson"] == pytest.approx(3.0 / math.sqrt(14 * 2.75))
    # Ranks 1, 2, 3, 4 and 1.5, 1.5, 4, 3.
    assert values["spearman"] == pytest.approx(3.5 / math.sqrt(5 * 4.5))
    assert compute_metrics(("spearman",), labels, predictions**3) == pytest.approx(
        {"spearman": values["spearman"]}
    )


@pytest.mark.parametrize(
    ("labels", "predictions"),
    [([1.0, 2.0, 3.0], [2.5, 2.5, 2.5]), ([4.0, 4.0], [1.0, 2.0]), ([1.0], [2.0])],
)
def test_correlations_that_are_not_defined_are_0(
    labels: list[float], predictions: list[float]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = compute_metrics(
            ("pearson", "spearman"), np.array(labels, np.float32), np.array(predictions)
        )
    assert values == {"pearson": 0.0, "spearman": 0.0}


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("prediction", [0, 1])
def test_one_class_only(label: int, prediction: int) -> None:
    labels, predictions = np.full(4, label), np.full(4, prediction)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = compute_metrics(("f1", "matthews_correlation"), labels, predictions)
    assert values["matthews_correlation"] == 0.0
    assert values["f1"] == (1.0 if label == prediction == 1 else 0.0)


@pytest.mark.parametrize("prediction", [0, 1])
def test_one_class_predicted(prediction: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = compute_metrics(
            ("f1", "matthews_correlation"), LABELS, np.full(len(LABELS), prediction)
        )
    assert values["matthews_correlation"] == 0.0
    assert values["f1"] == pytest.approx(0.0 if prediction == 0 else 2 * 5 / (2 * 5 + 3))


def test_primary_metric_is_the_mean_of_the_official_ones() -> None:
    values = {"accuracy": 0.8, "f1": 0.9, "matthews_correlation": 0.5}
    assert primary_metric(("f1", "accuracy"), values) == pytest.approx(0.85)
    assert primary_metric(("matthews_correlation",), values) == 0.5
