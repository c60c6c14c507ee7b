"""One update, for any schedule and seed."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from modeling.optimization import AdamWeightDecay, WarmupLinearDecay
from tests.training.line import BATCH, RATE, STEPS, STRATEGY, WEIGHTS, Squares, X, Y
from training.updates import Batch, Updates, replica_step


class LookedUp(Squares):
    """Words as numbers: of each batch a look-up, so the gradient has rows, some of them twice."""

    def __init__(self) -> None:
        super().__init__()
        self.model.w.assign([2.0, 1.0])
        with STRATEGY.scope():
            self.words = self.model.add_weight(name="words", shape=[5, 2], initializer="ones")

    def sums(self, batch: Batch, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        x = tf.gather(tf.convert_to_tensor(self.words), batch["ids"])
        return super().sums({**batch, "x": x}, seed)


def test_clipping_of_rows_is_that_of_the_whole_gradient() -> None:
    batch = {
        "ids": tf.constant([3, 1, 3, 3]),
        "y": tf.constant([9.0, -5.0, 2.0, 1.0]),
        "weight": tf.constant(WEIGHTS),
    }
    found = []
    for keeps_rows in (False, True):
        objective = LookedUp()
        variables = objective.model.trainable_variables
        optimizer = AdamWeightDecay(WarmupLinearDecay(RATE, STEPS, 0))
        optimizer.build(variables)
        step = tf.function(
            replica_step(objective, optimizer, keeps_rows=keeps_rows), autograph=False
        )
        norms = [float(step(batch)["gradient_norm"]) for _ in range(3)]
        found.append((norms, *(v.numpy() for v in (*variables, *optimizer.second_moments))))
    assert min(found[0][0]) > 1  # Of the optimizer's clipping.
    for dense, by_rows in zip(*found, strict=True):
        np.testing.assert_allclose(by_rows, dense, rtol=1e-6)


class Noisy(Squares):
    """Its errors depend on the seed, as those of a model with dropout do."""

    def sums(self, batch: Batch, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        noise = tf.random.stateless_normal([BATCH], seed)
        return super().sums({**batch, "y": batch["y"] + noise}, seed)


def test_begun_again_it_is_as_new() -> None:
    """Whatever schedule and seed the runs before had, to the last bit and without a new graph."""
    rows = {"x": X, "y": Y.astype(np.float32), "weight": np.tile(WEIGHTS, (STEPS, 1))}
    data = tf.data.Dataset.from_tensor_slices(rows)

    def trained(updates: Updates, w: tf.Variable, rate: float, warmup: int, seed: int) -> bytes:
        w.assign(tf.zeros_like(w))
        updates.begin(rate, STEPS, warmup, seed)
        updates.train_steps(iter(data), tf.constant(STEPS))
        assert int(updates.optimizer.iterations.numpy()) == STEPS
        return b"".join(v.numpy().tobytes() for v in (w, *updates.optimizer.variables))

    settings = [(RATE, 0, 1), (RATE / 3, 5, 1), (RATE / 3, 5, 2)]
    one = Noisy()
    updates = Updates(one, STRATEGY)
    again = [trained(updates, one.model.w, *setting) for setting in (*settings, *settings)]
    assert updates.train_steps.experimental_get_tracing_count() == 1
    assert len(set(again)) == 3
    for found, setting in zip(again, (*settings, *settings), strict=True):
        alone = Noisy()
        assert found == trained(Updates(alone, STRATEGY), alone.model.w, *setting)


def test_numbers_and_variables_are_one_schedule() -> None:
    """Also compiled, where TensorFlow would turn a division by a constant into a product."""
    for numbers in ((3e-4, 250, 25), (1e-3, 14_800, 1_480), (1e-4, 1_000_003, 10_007), (1.0, 7, 0)):
        variables = [tf.Variable(value) for value in numbers]
        rates = []
        for schedule in (WarmupLinearDecay(*numbers), WarmupLinearDecay(*variables)):
            compiled = tf.function(
                lambda steps, rate=schedule: tf.map_fn(rate, steps, fn_output_signature=tf.float32)
            )
            rates.append(compiled(tf.range(300)).numpy().tobytes())
        assert rates[0] == rates[1]
