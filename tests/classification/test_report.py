"""The report of a classifier against scikit-learn."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import classification_report, confusion_matrix

from classification.metrics import METRICS
from classification.report import ClassReport

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
        "WARNING: the accuracy of 0.850 is not above 0.850, the accuracy of always predicting "
        '"yes".',
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
