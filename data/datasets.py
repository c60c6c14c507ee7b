"""Helpers for `tf.data`, shared by the reading and the batching of records."""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf

# For functions of data sets: without control flow over tensors their source need not be rewritten.
as_written = tf.autograph.experimental.do_not_convert


# Windows of batches that are parsed at the same time, and stand in memory when they are ready.
PARALLEL_CALLS = min(8, os.cpu_count() or 1)


def dataset_options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # TensorFlow's search for numbers of threads gains nothing here, and the end of an iterator often
    # waits until the searching thread wakes up, which sleeps twice as long each time: 3 seconds
    # after 7, 10 after 10, at most a minute.
    options.autotune.enabled = False
    # `training.strategy.distribute` has divided the rows when TensorFlow gets the data set.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options


@as_written
def interleaved(files: Any, compressions: Any, cycle: int) -> tf.data.Dataset:
    dataset = tf.data.Dataset.from_tensor_slices(
        (tf.convert_to_tensor(files), tf.convert_to_tensor(compressions))
    )

    def read(path: tf.Tensor, compression: tf.Tensor) -> tf.data.Dataset:
        return tf.data.TFRecordDataset(path, compression_type=compression, buffer_size=1 << 20)

    if cycle == 1:
        return dataset.flat_map(read)
    return dataset.interleave(read, cycle_length=cycle, num_parallel_calls=2, deterministic=True)
