"""The loop behind evaluations, predictions, vectors and soft labels: outputs for rows in memory.

Batches are formed by length, so little padding is computed, and the outputs come back to the order
of the rows. There is no input pipeline to start, so a single row takes no longer than its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from common.errors import UserError
from data.batches import LENGTH_MULTIPLE
from modeling.bert import INPUTS
from modeling.config import BertConfig
from training.devices import has_gpus
from training.strategy import explain_lost_worker, is_chief, lengths_may_vary

# A forward pass: a batch, int32 `INPUTS` [batch_size, seq_length] -> float32 [batch_size, ...].
Forward: TypeAlias = Callable[[Mapping[str, np.ndarray]], np.ndarray]

# Rows that are in memory at a time where there are more; the wider it is, the less is padding.
WINDOW_ROWS = 10_000
# Values of the widest layer for all tokens of a batch: with more of them a CPU is slower, presumably
# as they leave its caches (docs/measurements.md).
_CPU_BATCH_VALUES = 6 << 20
# Seconds after which the progress within a window is shown.
PROGRESS_DELAY = 10.0


class BatchOutputs(NamedTuple):
    """Outputs of a model for some rows.

    Attributes:
      rows: Their positions, int64 [n].
      values: [n, ...].
    """

    rows: np.ndarray
    values: np.ndarray


class Engine:
    """Outputs of a model for any number of rows, on any devices.

    Attributes:
      is_chief: Whether this process writes what comes out; every worker has all of it.

    Args:
      forward: From `compiled`, or by another runtime (`serving.cpu_engines`).
      strategy: The devices.
      batch_size: Rows of full length per batch, over all replicas, which divide it. Short rows come
        in batches of as many tokens.
      most_tokens: Tokens per batch at most (`fastest_tokens`); by default as many as those rows have.
    """

    def __init__(
        self,
        forward: Forward,
        strategy: tf.distribute.Strategy,
        batch_size: int,
        most_tokens: int | None = None,
    ):
        self._forward, self._strategy, self._batch_size = forward, strategy, batch_size
        self._most_tokens = most_tokens
        self._by_length = lengths_may_vary(strategy)
        self.is_chief = is_chief(strategy)

    def __call__(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
        """The outputs of all rows, in their order.

        Args:
          features: int32 `INPUTS` [num_rows, seq_length], one row or more.

        Returns:
          float32 [num_rows, ...].

        Raises:
          UserError: An output is not a number, or a worker was lost.
        """
        num_rows = len(features["input_ids"])
        result = None
        # On a terminal, where it takes long, so that a large model does not look as if it hung.
        with tqdm(
            total=num_rows,
            desc="Of these rows",
            unit=" rows",
            leave=False,
            delay=PROGRESS_DELAY,
            disable=None,
        ) as progress:
            for rows, values in self.batches(features):
                if result is None:
                    result = np.empty([num_rows, *values.shape[1:]], np.float32)
                result[rows] = values
                progress.update(len(rows))
        assert result is not None
        if np.isnan(result).any():
            row = int(np.nonzero(np.isnan(result).reshape(num_rows, -1).any(axis=1))[0][0])
            raise UserError(
                f"the model's outputs are not a number for some rows, first for row {row + 1} of "
                f"these {num_rows}; check the model, or compute in float32."
            )
        return result

    def batches(self, features: Mapping[str, np.ndarray]) -> Iterator[BatchOutputs]:
        """The outputs as they are computed, long rows first; arguments and errors as of a call.

        Yields:
          The outputs of a batch. Where outputs are [batch_size, seq_length, ...], batches are cut to
          their longest row.
        """
        mask = features["input_mask"]
        lengths = mask.shape[1] - mask[:, ::-1].argmax(axis=1)  # Up to the last token.
        with explain_lost_worker(self._strategy):
            for rows, length in self._row_groups(lengths, features["input_ids"].shape[1]):
                # Copies of a row fill a batch that cannot be divided.
                multiple = self._strategy.num_replicas_in_sync
                multiple = multiple if self._by_length else self._batch_size
                filled = np.pad(rows, (0, -len(rows) % multiple), mode="edge")
                batch = {name: features[name][filled, :length] for name in INPUTS}
                yield BatchOutputs(rows, self._forward(batch)[: len(rows)])

    def _row_groups(
        self, lengths: np.ndarray, full_length: int
    ) -> Iterator[tuple[np.ndarray, int]]:
        """Positions of the rows of each batch, and the length it is cut to."""
        if not self._by_length:
            for start in range(0, len(lengths), self._batch_size):
                stop = min(start + self._batch_size, len(lengths))
                yield np.arange(start, stop), full_length
            return
        # The long ones first: where memory does not suffice, it shows at once.
        order = np.argsort(-lengths, kind="stable")
        start = 0
        while start < len(order):
            rounded = -(-int(lengths[order[start]]) // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
            length = min(max(rounded, 1), full_length)
            count = self._batch_size * (full_length // length)
            if self._most_tokens is not None:
                count = min(count, max(1, self._most_tokens // length))
            rows = order[start : start + count]
            yield rows, length
            start += len(rows)


def fastest_tokens(config: BertConfig, strategy: tf.distribute.Strategy) -> int | None:
    """Tokens per batch beyond which the devices are slower; None where that is unknown."""
    if has_gpus(strategy) or not lengths_may_vary(strategy):
        return None
    return max(1, _CPU_BATCH_VALUES // config.intermediate_size) * strategy.num_replicas_in_sync


def compiled(
    outputs: Callable[[Mapping[str, tf.Tensor]], tf.Tensor], strategy: tf.distribute.Strategy
) -> Forward:
    """The forward pass by TensorFlow, on all devices.

    Args:
      outputs: Maps a batch, int32 `INPUTS` [batch_size, seq_length], to a Tensor [batch_size, ...].
      strategy: The devices; replicas divide `batch_size`.
    """
    replicas, by_length = strategy.num_replicas_in_sync, lengths_may_vary(strategy)

    def step(batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return strategy.gather(strategy.run(outputs, args=(batch,)), axis=0)

    # Traced once for batches of all shapes where there is one device, and a few times on several,
    # whose values have no plain signature. Where lengths may not vary, there is one shape.
    sequences = {name: tf.TensorSpec([None, None], tf.int32) for name in INPUTS}
    traced = tf.function(
        step,
        input_signature=[sequences] if replicas == 1 and by_length else None,
        reduce_retracing=by_length,
        autograph=False,
    )

    def forward(batch: Mapping[str, np.ndarray]) -> np.ndarray:
        if replicas == 1:
            return traced(_part(batch, 0, 1)).numpy()
        parts = strategy.experimental_distribute_values_from_function(
            lambda context: _part(batch, context.replica_id_in_sync_group, replicas)
        )
        return traced(parts).numpy()

    return forward


def _part(batch: Mapping[str, np.ndarray], replica: int, replicas: int) -> dict[str, tf.Tensor]:
    """The i-th n-th of the rows."""
    rows = len(batch["input_ids"]) // replicas
    part = slice(replica * rows, (replica + 1) * rows)
    return {name: tf.constant(value[part]) for name, value in batch.items()}
