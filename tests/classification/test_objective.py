"""The losses of fine-tuning against values worked out by hand."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest
import tensorflow as tf

from classification.objective import ClassificationObjective, RegressionObjective
from modeling.heads import ClassifierModel


class GivenOutputs:
    """Stands for a model whose outputs are known; notes how it was called."""

    def __init__(self, outputs: list[list[float]]):
        self.outputs = tf.constant(outputs)
        self.seed: Any = None

    def __call__(self, batch: Any, seed: Any = None) -> tf.Tensor:
        self.seed = seed
        return self.outputs


def loss(objective: ClassificationObjective, batch: dict[str, tf.Tensor]) -> float:
    sums = objective.sums(batch, tf.constant([3, 4]))
    counts = objective.loss_denominators(batch)
    assert set(sums) == set(counts) == {"label_loss"} == set(objective.loss_weights)
    return float(sums["label_loss"] / counts["label_loss"])


def test_cross_entropy_of_real_rows() -> None:
    model = GivenOutputs([[0.0, math.log(3.0)], [0.0, 0.0], [5.0, 0.0]])
    objective = ClassificationObjective(cast(ClassifierModel, model))
    batch = {"label_ids": tf.constant([1, 0, 1]), "is_real_example": tf.constant([1, 1, 0])}
    assert loss(objective, batch) == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)
    assert model.seed.numpy().tolist() == [3, 4]  # Dropout is on.


def test_squared_error_of_real_rows() -> None:
    model = GivenOutputs([[2.5], [1.0], [100.0]])
    objective = RegressionObjective(cast(ClassifierModel, model))
    batch = {"label_ids": tf.constant([4.0, 0.8, 0.0]), "is_real_example": tf.constant([1, 1, 0])}
    assert loss(objective, batch) == pytest.approx((1.5**2 + 0.2**2) / 2)
    assert model.seed.numpy().tolist() == [3, 4]


def test_weights_of_classes_make_a_weighted_mean() -> None:
    model = GivenOutputs([[0.0, math.log(3.0)], [0.0, 0.0], [5.0, 0.0]])
    objective = ClassificationObjective(cast(ClassifierModel, model), [4.0, 1.0])
    batch = {"label_ids": tf.constant([1, 0, 1]), "is_real_example": tf.constant([1, 1, 0])}
    assert loss(objective, batch) == pytest.approx((math.log(4 / 3) + 4 * math.log(2)) / 5)
