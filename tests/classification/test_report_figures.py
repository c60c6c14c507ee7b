"""The numbers in the pictures of a class report."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from classification.report import ClassReport
from classification.report_figures import plot_confusion, plot_reliability

LABELS = ("no", "yes", "neither of the two")
# Confusion: no -> no 3, yes 1; yes -> yes 2; neither -> yes 1.
LABEL_IDS = np.array([0, 0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 0, 1, 1, 1, 1])
REPORT = ClassReport(LABELS, LABEL_IDS, np.log(0.15 + 0.55 * np.eye(3)[PREDICTED]))


def test_confusion_of_few_classes() -> None:
    axes = plot_confusion(REPORT).axes[0]
    numbers = {text.get_position(): text.get_text() for text in axes.texts}
    # Across is what was predicted, down the label.
    assert [numbers[j, 0] for j in range(3)] == ["3", "1", "0"]
    assert [numbers[j, 1] for j in range(3)] == ["0", "2", "0"]
    assert [numbers[j, 2] for j in range(3)] == ["0", "1", "0"]
    shares = axes.images[0].get_array()
    np.testing.assert_allclose(shares, [[0.75, 0.25, 0], [0, 1, 0], [0, 1, 0]])
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["no", "yes", "neither of the …"]
    colours = {text.get_position(): text.get_color() for text in axes.texts}
    assert (colours[0, 0], colours[1, 0]) == ("white", "black")


def test_confusion_of_many_classes_has_no_numbers() -> None:
    many = ClassReport([f"label {i}" for i in range(60)], np.arange(60), np.eye(60))
    axes = plot_confusion(many).axes[0]
    assert not axes.texts
    assert "label 1" not in [label.get_text() for label in axes.get_xticklabels()]


def test_reliability() -> None:
    """Every row has a confidence of 0.7; five of seven are right."""
    axes = plot_reliability(REPORT).axes[0]
    (point,) = [line for line in axes.lines if line.get_label() == "accuracy"]
    assert point.get_xdata() == pytest.approx([0.7])
    assert point.get_ydata() == pytest.approx([5 / 7])
    assert [bar.get_height() for bar in axes.patches] == [1]
    assert axes.get_title() == f"expected calibration error {5 / 7 - 0.7:.3f}"


def test_labels_that_the_font_does_not_have() -> None:
    """No warning, and no traceback for what would be a formula."""
    labels = ("\U000f1234", "a\tb", "$\\c$")
    figure = plot_confusion(ClassReport(labels, LABEL_IDS, REPORT.logits))
    names = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert names == ["#0", "a b", "$\\c$"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.draw_without_rendering()
