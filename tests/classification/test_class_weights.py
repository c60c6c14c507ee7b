"""Weights of classes in the loss."""

from __future__ import annotations

import numpy as np
import pytest
from absl import flags
from sklearn.utils.class_weight import compute_class_weight

from classification.class_weights import (
    check_class_weights,
    class_weights,
    complete_class_weights,
)
from classification.task import Task
from common.errors import UserError

TASK = Task("tsv", ("a", "b:c", "d"), ("accuracy",))


def test_weights_of_classes() -> None:
    label_ids = np.array([0, 0, 0, 0, 1, 1, 2])
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=label_ids)
    assert class_weights(["balanced"], TASK.labels, label_ids) == pytest.approx(wanted.tolist())
    assert class_weights(["b:c:2.5", "a:1"], TASK.labels, label_ids) == [1.0, 2.5, 1.0]
    without = class_weights(["balanced"], TASK.labels, np.array([0, 0, 1, 1]))
    assert without and without[2] == 1.0
    assert class_weights(None, TASK.labels, label_ids) is None


def test_weights_are_the_same_however_they_are_written() -> None:
    labels = TASK.labels
    for given in (["a:3"], ["b:c:1", "a:3.0", "d:1"]):
        assert complete_class_weights(given, labels) == {"a": 3.0, "b:c": 1.0, "d": 1.0}
    assert complete_class_weights(["balanced"], labels) == "balanced"
    assert complete_class_weights(None, labels) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["balance"], 'found "balance"; expected balanced, or <label>:<weight>'),
        (["a:0"], 'found "a:0"'),
        (["so", "so:5"], 'found "so"; .* a label with a comma in it is quoted as in a CSV file'),
        (["a:inf"], 'found "a:inf"'),
        (["a:2", "e:1"], 'no label is "e"; the labels are a, b:c, d'),
        (["a:2", "a:1"], 'names the label "a" twice'),
    ],
)
def test_weights_that_are_none(given: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_class_weights(given, TASK)


def test_scores_have_no_classes() -> None:
    with pytest.raises(UserError, match="--class_weights=balanced: a regression has no classes"):
        check_class_weights(["balanced"], Task("sts-b", (), ("pearson",)))


def test_label_with_a_comma() -> None:
    given = flags.ListParser().parse('"so, so:5",a:2')
    assert class_weights(given, ["a", "b", "so, so"], np.array([0])) == [2.0, 1.0, 5.0]
