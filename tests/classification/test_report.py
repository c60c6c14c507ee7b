"""The report of a classifier against scikit-learn, and intervals against drawing rows one by one."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import classification_report, confusion_matrix

from classification.bootstrap import (
    class_intervals,
    mean_of,
    pearson_of,
    row_intervals,
    spearman_of,
)
from classification.metrics import METRICS
from classification.report import ClassReport
from classification.report_figures import plot_confusion, plot_reliability

LABELS = ("poor", "fair", "good", "never seen")


def a_report(num_rows: int = 400, sharpness: float = 2.0) -> ClassReport:
    rng = np.random.default_rng(1)
    label_ids = rng.choice(3, num_rows, p=[0.6, 0.3, 0.1])
    logits = rng.normal(size=(num_rows, 4)) + sharpness * np.eye(4)[label_ids]
    logits[:, 3] = -9.0
    return ClassReport(LABELS, label_ids, logits)


def test_classes_are_those_of_scikit_learn() -> None:
    report = a_report()
    wanted = classification_report(
        *(report.label_ids, report.predictions),
        labels=range(4),
        target_names=LABELS,
        output_dict=True,
        zero_division=0.0,
    )
    for found in report.classes:
        values = wanted[found.label]
        assert (found.precision, found.recall, found.f1, found.rows) == pytest.approx(
            (values["precision"], values["recall"], values["f1-score"], values["support"])
        )
    matrix = confusion_matrix(report.label_ids, report.predictions, labels=range(4))
    np.testing.assert_array_equal(report.confusion, matrix)
    assert report.macro_f1 == pytest.approx(
        METRICS["macro_f1"](report.label_ids, report.predictions)
    )
    label, share = report.majority
    assert (label, share) == ("poor", np.mean(report.label_ids == 0))


def test_calibration_error_by_hand() -> None:
    # Twice 0.9 and right once, four times 0.6 and right always.
    label_ids = np.array([0, 1, 0, 0, 0, 0])
    confident = np.log([[0.9, 0.1]] * 2 + [[0.6, 0.4]] * 4)
    report = ClassReport(("a", "b"), label_ids, confident)
    assert [b.rows for b in report.bins] == [4, 2]
    assert report.calibration_error == pytest.approx((2 * 0.4 + 4 * 0.4) / 6)
    both = np.array([[0, 0, 0, 0, 0, 0], [0, 1, 2, 3, 4, 5]])
    assert report.calibration_errors(both) == pytest.approx([0.1, report.calibration_error])
    # Whoever says the true probabilities is calibrated.
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(20000, 3))
    drawn = (softmax(logits, axis=1).cumsum(axis=1) < rng.random((20000, 1))).sum(axis=1)
    assert ClassReport(LABELS[:3], drawn, logits).calibration_error < 0.02
    assert ClassReport(LABELS[:3], drawn, 3 * logits).calibration_error > 0.1


def test_what_a_single_figure_would_hide_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    label_ids = np.array([0] * 17 + [1] * 3)
    report = ClassReport(("yes", "no"), label_ids, np.array([[1.0, 0.0]] * 20))
    report.log()
    table, *warnings = caplog.messages
    assert "no          3          0      0.000   0.000  0.000" in table
    assert "accuracy 0.850; always yes: 0.850; macro F1 0.459" in table
    assert warnings == [
        'WARNING: label "no" is never predicted, though 3 of 20 rows have it.',
        'WARNING: the accuracy of 0.850 is not above 0.850, which is what always saying "yes" has.',
    ]
    assert a_report().warnings() == []


def test_many_classes_fit_into_the_log() -> None:
    labels = [f"label {i}" for i in range(100)]
    label_ids = np.arange(100)
    logits = np.eye(100)
    logits[7] = logits[8]
    table = ClassReport(labels, label_ids, logits).table().splitlines()
    assert len(table) == 33 and table[1].startswith("label 7 ")
    assert table[-2] == "and 70 labels with a higher F1"


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


def test_pictures_of_few_and_of_many_classes() -> None:
    figure = plot_confusion(a_report())
    numbers = [int(text.get_text()) for text in figure.axes[0].texts]
    assert numbers == a_report().confusion.ravel().tolist()
    assert plot_confusion(ClassReport(("0", "1"), np.array([0, 1]), np.eye(2))).axes
    assert len(plot_reliability(a_report()).axes) == 1
    many = ClassReport([f"label {i}" for i in range(60)], np.arange(60), np.eye(60))
    assert not plot_confusion(many).axes[0].texts
