"""The evaluation loop of pre-training, and a model's outputs for whole sets of records."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tf_keras

from data.batches import read_features
from data.record_sets import RecordSet
from modeling.bert import INPUTS
from training.engine import WINDOW_ROWS, Engine, compiled
from training.kept_models import Programs
from training.strategy import distribute, explain_lost_worker, is_chief
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
      batches: From `data.batches.evaluation_batches`.
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


class RecordPredictor:
    """A model's outputs for sets of records, compiled once however often it is called.

    Attributes:
      is_chief: Whether this process writes what is predicted; every worker has all of it.

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
        self._forward = (programs or Programs()).get(
            ("forward",), lambda: compiled(model, strategy)
        )
        self._strategy = strategy
        self.is_chief = is_chief(strategy)
        # Rows of small sets, which are asked for again and again while training, by their files.
        self._kept: dict[tuple[str, ...], dict[str, np.ndarray]] = {}

    def engine(self, batch_size: int) -> Engine:
        """The outputs for rows in memory; `batch_size` is that of an `Engine`."""
        return Engine(self._forward, self._strategy, batch_size)

    def __call__(self, records: RecordSet, batch_size: int) -> np.ndarray:
        """The outputs for every record, float32 [num_examples, ...], in the order of the files.

        Args:
          records: From `open_records`, of classification or soft labels.
          batch_size: See `Engine`.

        Raises:
          UserError: An output is not a number, or a worker was lost.
        """
        engine = self.engine(batch_size)
        if records.num_examples > WINDOW_ROWS:
            return np.concatenate([*map(engine, read_features(records, INPUTS, WINDOW_ROWS))])
        if records.files not in self._kept:
            (self._kept[records.files],) = read_features(records, INPUTS, WINDOW_ROWS)
        return engine(self._kept[records.files])
