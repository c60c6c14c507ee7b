"""A line fitted to points: the smallest objective."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

from training.updates import Batch, Objective

STEPS, BATCH, RATE = 8, 4, 0.1
_RNG = np.random.default_rng(0)
X = _RNG.normal(size=(STEPS, BATCH, 2)).astype(np.float32)
Y = X @ np.array([3.0, -2.0], np.float32) + 1
# Of the rows of a batch; parts of it weigh differently.
WEIGHTS = np.array([1.0, 0.5, 2.0, 0.0], np.float32)
STRATEGY = tf.distribute.OneDeviceStrategy("/device:CPU:0")


class Line(tf_keras.Model):
    """w · x, without a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.w = self.add_weight(name="w", shape=[2], initializer="zeros")

    def call(self, batch: Batch) -> tf.Tensor:
        return tf.linalg.matvec(batch["x"], self.w)


class Squares(Objective):
    """The weighted mean of the squared errors, twice."""

    settings = None

    def __init__(self) -> None:
        with STRATEGY.scope():
            self.model = Line()
        self.loss_weights = {"squares": 2.0}

    def loss_denominators(self, batch: Batch) -> dict[str, tf.Tensor]:
        return {"squares": tf.reduce_sum(batch["weight"])}

    def sums(self, batch: Batch, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        squares = tf.square(self.model(batch) - batch["y"])
        return {"squares": tf.reduce_sum(batch["weight"] * squares)}
