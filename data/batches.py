"""Records to batches: shuffled, grouped by length, and repeatable from any step.

The order of training examples is a function of (seed, epoch) alone, so a run that is resumed at
step n sees exactly the batches an uninterrupted run would have seen from there on.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from common.files import is_remote
from data.datasets import PARALLEL_CALLS, as_written, dataset_options, interleaved
from data.record_sets import FeatureSpec, RecordSet
from modeling.bert import INPUTS

# Records held for shuffling: a share of memory that does not grow with the data.
SHUFFLE_BYTES = 64 << 20


# When this many times as many records as the buffer holds have followed it, a record is still in
# the buffer with a probability of e^-30.
SETTLED_BUFFERS = 30


# Batches are formed from up to this many batches' worth of shuffled examples sorted by length.
LENGTH_WINDOW = 50


# Lengths are rounded up to a multiple of this, so that shapes repeat: training compiles for each.
LENGTH_MULTIPLE = 4


@as_written
def training_batches(
    records: RecordSet,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    group_by_length: bool = False,
) -> tf.data.Dataset:
    """Endless batches from step `start_step` on, in an order given by the seed.

    Every epoch shuffles the files and, within a buffer, their records; each record is seen once an
    epoch, and a batch may span two epochs.

    Args:
      records: From `open_records`; int64 arrive as int32, as the original casts them.
      batch_size: Examples per batch over all replicas.
      seed: Decides the order.
      start_step: Number of batches to leave out; whole epochs are skipped without reading, and in
        an epoch the files that the shuffling has no more records of.
      group_by_length: Sort the examples of some batches by the number of tokens, cut each batch to
        its longest example, and shuffle the batches. The examples are the same; padding is not
        computed. Only where `training.strategy.lengths_may_vary`.

    Returns:
      Batches of Tensors [batch_size, ...] of static shape; the length axis of grouped ones varies by
      batch.
    """
    window = _length_window(records.num_examples, batch_size) if group_by_length else 1
    first_window, first_batch = divmod(start_step, window)
    consumed = first_window * window * batch_size
    first_epoch, first_record = divmod(consumed, records.num_examples)

    left_out = _left_out(records, seed, first_epoch, first_record)
    begun = tf.data.Dataset.from_tensors(tf.constant(first_epoch, tf.int64))
    begun = begun.flat_map(lambda epoch: _shuffled_epoch(records, seed, epoch, left_out))
    later = tf.data.Dataset.range(first_epoch + 1, np.iinfo(np.int64).max)
    later = later.flat_map(lambda epoch: _shuffled_epoch(records, seed, epoch))
    dataset = begun.skip(first_record).concatenate(later)
    dataset = dataset.batch(window * batch_size, drop_remainder=True)
    dataset = dataset.map(lambda x: _parse(x, records.spec), num_parallel_calls=PARALLEL_CALLS)
    if group_by_length:
        dataset = dataset.enumerate(start=first_window)
        dataset = dataset.map(
            lambda i, window_rows: _sorted_batches(window_rows, batch_size, [seed, i]),
            num_parallel_calls=PARALLEL_CALLS,
        )
        dataset = dataset.unbatch().skip(first_batch).map(_cut_padding)
    endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
    return dataset.apply(endless).prefetch(tf.data.AUTOTUNE).with_options(dataset_options())


def _length_window(num_examples: int, batch_size: int) -> int:
    """Number of batches to form at a time: equal parts of an epoch, none above `LENGTH_WINDOW`.

    Batches of a window come in any order, so a run that ends inside one has not seen all of its
    examples; with windows that end where epochs do, it has (up to an incomplete batch).
    """
    per_epoch = max(1, num_examples // batch_size)
    return per_epoch // -(-per_epoch // LENGTH_WINDOW)


def read_features(
    records: RecordSet, names: Sequence[str], at_a_time: int, at_most: int = -1
) -> Iterator[dict[str, np.ndarray]]:
    """Features of the records in the order of the files, [n, ...] each; int64 come as int32.

    Args:
      records: From `open_records`.
      names: The wanted features.
      at_a_time: Largest n.
      at_most: Number of records, the first ones; -1 for all.
    """
    spec = {name: records.spec[name] for name in names}
    dataset = interleaved(records.files, records.compressions, cycle=1).take(at_most)
    for serialized in dataset.batch(at_a_time):
        yield {name: value.numpy() for name, value in _parse(serialized, spec).items()}


def read_feature(records: RecordSet, name: str) -> np.ndarray:
    """One feature of every record, [num_examples, ...], in the order of the files."""
    return np.concatenate([rows[name] for rows in read_features(records, [name], 1024)])


@as_written
def evaluation_batches(records: RecordSet, batch_size: int) -> tf.data.Dataset:
    """Every example exactly once, each batch full.

    Missing rows of the last one are filled with copies of its first row. The feature `is_real_row`
    (1.0, or 0.0 for such copies) is added.

    Args:
      records: From `open_records`.
      batch_size: Examples per batch over all replicas.
    """

    def full_batch(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        is_real = tf.range(batch_size) < tf.shape(serialized)[0]
        rows = tf.where(is_real, tf.range(batch_size), 0)
        parsed = _parse(serialized, records.spec)
        batch = {name: tf.gather(value, rows) for name, value in parsed.items()}
        return {**batch, "is_real_row": tf.cast(is_real, tf.float32)}

    dataset = interleaved(records.files, records.compressions, cycle=1).batch(batch_size)
    dataset = dataset.map(full_batch, num_parallel_calls=PARALLEL_CALLS)
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(dataset_options())


def _shuffled_epoch(
    records: RecordSet, seed: int, epoch: tf.Tensor, left_out: np.ndarray | None = None
) -> tf.data.Dataset:
    """The records of an epoch in its order.

    Args:
      records: From `open_records`.
      seed: Decides the order, together with `epoch`.
      epoch: int64 scalar.
      left_out: From `_left_out`; the first records are empty then.
    """
    key = tf.stack([tf.constant(seed, tf.int64), epoch])
    order = _order_of_files(records, key)
    dataset = interleaved(
        tf.gather(records.files, order),
        tf.gather(records.compressions, order),
        cycle=_open_files(records),
        in_threads=is_remote(records.files[0]),
        left_out=left_out,
    )
    shuffle_seed = tf.random.stateless_uniform([], key, 0, np.iinfo(np.int64).max, tf.int64)
    buffer = _shuffle_buffer(records)
    return dataset.shuffle(buffer, seed=shuffle_seed, reshuffle_each_iteration=False)


def _order_of_files(records: RecordSet, key: tf.Tensor) -> tf.Tensor:
    return tf.random.experimental.stateless_shuffle(tf.range(len(records.files)), key)


def _open_files(records: RecordSet) -> int:
    """Number of files that are read in turn."""
    return min(16, len(records.files))


def _shuffle_buffer(records: RecordSet) -> int:
    """Records that are held for shuffling."""
    return max(1, min(records.num_examples, SHUFFLE_BYTES // records.mean_bytes))


def _left_out(records: RecordSet, seed: int, epoch: int, num_done: int) -> np.ndarray | None:
    """The files of an epoch that are not read: all their records are among the first `num_done`.

    The shuffle buffer picks records by their position, not by their content. So the order of the
    other records stays the same if empty records stand in for those that have left the buffer.

    Args:
      records: From `open_records`.
      seed: Of the order.
      epoch: Number of the epoch.
      num_done: Its first records, which are to be skipped.

    Returns:
      int64 [files], in the order of the epoch: their numbers of records, 0 for those to read; None
      where all are to be read.
    """
    num_settled = num_done - SETTLED_BUFFERS * _shuffle_buffer(records)
    if num_settled <= 0:
        return None
    order = _order_of_files(records, tf.constant([seed, epoch], tf.int64)).numpy()
    cycle = _open_files(records)
    # Upper bounds on the rounds in which the open files end: a round reads one record of each open
    # file, and one more round is needed to notice the end of a file.
    ends = [0] * cycle
    left_out = np.zeros(len(order), np.int64)
    for position, file in enumerate(order.tolist()):
        count = records.counts[file]
        end = ends[0] + count + 1
        heapq.heapreplace(ends, end)
        if end * cycle <= num_settled:
            left_out[position] = count
    return left_out


def _parse(serialized: tf.Tensor, spec: FeatureSpec) -> dict[str, tf.Tensor]:
    batch = tf.io.parse_example(serialized, dict(spec))
    return {
        name: tf.cast(value, tf.int32) if value.dtype == tf.int64 else value
        for name, value in batch.items()
    }


def _lengths(batch: dict[str, tf.Tensor]) -> tf.Tensor:
    return tf.reduce_sum(batch["input_mask"], axis=-1)


def _sorted_batches(rows: dict[str, tf.Tensor], batch_size: int, seed: Any) -> dict[str, tf.Tensor]:
    """[n * batch_size, ...] -> [n, batch_size, ...], of similar lengths, in an order by the seed."""
    order = tf.argsort(_lengths(rows), stable=True)
    rows = {name: tf.gather(value, order) for name, value in rows.items()}
    batches = {
        name: tf.reshape(value, tf.concat([[-1, batch_size], tf.shape(value)[1:]], axis=0))
        for name, value in rows.items()
    }
    for name, value in rows.items():
        batches[name] = tf.ensure_shape(batches[name], [None, batch_size, *value.shape[1:]])
    count = tf.shape(next(iter(batches.values())))[0]
    order = tf.random.experimental.stateless_shuffle(tf.range(count), seed)
    return {name: tf.gather(value, order) for name, value in batches.items()}


def _cut_padding(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Cuts the columns in which every row of the batch has padding."""
    full = tf.shape(batch["input_mask"])[1]
    longest = tf.reduce_max(_lengths(batch))
    rounded = (longest + LENGTH_MULTIPLE - 1) // LENGTH_MULTIPLE * LENGTH_MULTIPLE
    length = tf.minimum(rounded, full)
    return {name: value[:, :length] if name in INPUTS else value for name, value in batch.items()}
