"""Means over data sets, and outputs in the order of their rows."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from common.errors import UserError
from training.evaluation import Predictor, evaluate
from training.updates import Batch

STRATEGY = tf.distribute.OneDeviceStrategy("/device:CPU:0")


def rows(values: list[float], real: list[float], size: int) -> tf.data.Dataset:
    batch = {
        "x": np.array([[value, 0] for value in values], np.float32),
        "row": np.arange(len(values)),
        "is_real_row": np.array(real, np.float32),
    }
    return tf.data.Dataset.from_tensor_slices(batch).batch(size)


def test_means_are_over_real_rows() -> None:
    def metrics(batch: Batch) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        real, x = batch["is_real_row"], batch["x"][:, 0]
        none = tf.constant(0.0)
        return {"x": (tf.reduce_sum(real * x), tf.reduce_sum(real)), "none": (none, none)}

    data = rows([1, 2, 3, 4, 5, 99], [1, 1, 1, 1, 1, 0], size=2)
    assert evaluate(metrics, STRATEGY, data) == {"x": 3.0, "none": 0.0}


class Double(tf_keras.Model):
    """Twice the input; counts how often it is traced."""

    traces = 0

    def call(self, batch: Batch) -> tf.Tensor:
        self.traces += 1
        return 2 * batch["x"]


def test_outputs_come_in_the_order_of_the_rows() -> None:
    model = Double()
    predictor = Predictor(model, STRATEGY)
    data = rows([1, 2, 3, 4, 5, 99], [1, 1, 1, 1, 1, 0], size=2)
    shuffled = data.unbatch().shuffle(6, seed=1).batch(2)
    for batches in (data, shuffled):
        assert predictor(batches, 5)[:, 0].tolist() == [2, 4, 6, 8, 10]
    assert model.traces == 1


@pytest.mark.parametrize("values", [[1.0, float("nan"), 3.0], [1.0, 2.0], []])
def test_missing_outputs(values: list[float]) -> None:
    predictor = Predictor(Double(), STRATEGY)
    data = rows(values, [1.0] * len(values), size=2) if values else rows([1], [1], 1).take(0)
    with pytest.raises(UserError, match="predictions are missing or not a number"):
        predictor(data, 3)
