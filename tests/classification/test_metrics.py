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
    values = compute_metrics(("f1", "matthews_correlation"), LABELS, PREDICTIONS)
    assert values == {
        "accuracy": pytest.approx(5 / 8),
        "f1": pytest.approx(2 * 3 / (2 * 3 + 1 + 2)),
        "matthews_correlation": pytest.approx((3 * 2 - 1 * 2) / math.sqrt(4 * 5 * 3 * 4)),
    }


def test_accuracy_is_always_reported() -> None:
    assert list(compute_metrics(("accuracy",), LABELS, LABELS)) == ["accuracy"]
    labels, predictions = np.array([0, 1, 2, 2]), np.array([0, 2, 2, 2])
    assert compute_metrics((), labels, predictions) == {"accuracy": 0.75}


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
