"""The evaluation loop of all runs, and the logits of whole data sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from common.errors import UserError
from training.kept_models import Programs
from training.strategy import distribute, explain_lost_worker, is_chief, lengths_may_vary
from training.updates import Batch


def evaluate(
    metrics: Callable[[Batch], dict[str, tuple[tf.Tensor, tf.Tensor]]],
    strategy: tf.distribute.Strategy,
    batches: tf.data.Dataset,
    programs: Programs | None = None,
) -> dict[str, float]:
    """Means over all examples, exact over replicas and the filled last batch.

    Args:
      metrics: Batch -> name -> (sum, count), computed without dropout; rows whose `is_real_row` is 0
        count nothing.
      strategy: The devices.
      batches: From `data.record_sets.evaluation_batches`.
      programs: Of the model that is measured, whose only metrics these are; without, compiled anew.
    """
    distributed = distribute(batches, strategy)
    spec = distributed.element_spec

    def compile_it() -> tuple[Callable[..., tf.Tensor], list[str]]:
        names: list[str] = []

        def replica_sums(batch: Batch) -> tf.Tensor:
            pairs = metrics(batch)
            names[:] = pairs
            return tf.stack([tf.stack(pairs[name]) for name in names])

        def step(batch: Batch) -> tf.Tensor:
            # One reduction of all of them: each is a round trip between hosts.
            per_replica = strategy.run(replica_sums, args=(batch,))
            return strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)

        return tf.function(step, [spec], autograph=False), names

    sums, names = (programs or Programs()).get(("metrics", str(spec)), compile_it)
    totals = np.zeros([1, 2])
    with explain_lost_worker(strategy):
        for batch in distributed:
            totals = totals + sums(batch).numpy().astype(np.float64)
    return {
        name: float(total / count) if count else 0.0
        for name, (total, count) in zip(names, totals, strict=True)
    }


class Predictor:
    """A model's logits for data sets, traced once however often it is called.

    Attributes:
      lengths_may_vary: Whether its batches may be grouped by length.
      is_chief: Whether this process writes what is predicted; every worker has all of it.
      data_sets: Batches that are asked for again and again while training, by what they are of:
        making a data set takes longer than reading a small one.

    Args:
      model: Maps a batch to logits [batch_size, num_labels].
      strategy: The devices.
      programs: Of the model; without, compiled anew.
    """

    def __init__(
        self,
        model: tf_keras.Model,
        strategy: tf.distribute.Strategy,
        programs: Programs | None = None,
    ):
        self._model, self._strategy = model, strategy
        self._programs = programs or Programs()
        self.lengths_may_vary = lengths_may_vary(strategy)
        self.is_chief = is_chief(strategy)
        self.data_sets: dict[Any, tf.data.Dataset] = {}

    def __call__(self, batches: tf.data.Dataset, num_examples: int) -> np.ndarray:
        """Logits of every example, in the order of the files.

        Args:
          batches: From `data.record_sets.evaluation_batches`.
          num_examples: Rows to expect.

        Returns:
          float32 [num_examples, num_labels].

        Raises:
          UserError: A row is missing or its logits are not a number.
        """
        distributed = distribute(batches, self._strategy)
        spec = distributed.element_spec
        outputs = self._programs.get(
            ("logits", str(spec)), lambda: tf.function(self._step, [spec], autograph=False)
        )
        logits = None
        with explain_lost_worker(self._strategy):
            for batch in distributed:
                values, rows, real = outputs(batch)
                if logits is None:
                    logits = np.full([num_examples, values.shape[1]], np.nan, np.float32)
                is_real = real.numpy() > 0
                logits[rows.numpy()[is_real]] = values.numpy()[is_real]
        if logits is None or np.isnan(logits).any():
            raise UserError("predictions are missing or not a number for some rows of the input.")
        return logits

    def _step(self, batch: Batch) -> tuple[tf.Tensor, ...]:
        logits = self._strategy.run(lambda b: tf.identity(self._model(b)), args=(batch,))
        outputs = (logits, batch["row"], batch["is_real_row"])
        return tuple(self._strategy.gather(x, axis=0) for x in outputs)
