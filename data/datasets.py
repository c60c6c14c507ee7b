"""Helpers for `tf.data`, shared by the reading and the batching of records."""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf

# For functions without Python control flow over tensors, and all that they call or map: their source
# need not be rewritten, which takes two seconds of every start.
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
def interleaved(
    files: Any, compressions: Any, cycle: int, in_threads: bool = False, left_out: Any = None
) -> tf.data.Dataset:
    """Records of files, of which `cycle` are open at a time and read in turn, record by record.

    Args:
      files: Paths.
      compressions: "", "GZIP" or "ZLIB" for each of them.
      cycle: Number of open files; 1 reads one file after the other.
      in_threads: Whether several files are read at the same time, which pays where they are remote;
        for local ones it takes twice the processor time. The order is the same.
      left_out: int64 [files], 0 for a file that is read; for a file that is not read, its number of
        records, as many empty records are yielded in its place. By default all files are read.
    """

    def read(path: tf.Tensor, compression: tf.Tensor) -> tf.data.Dataset:
        return tf.data.TFRecordDataset(path, compression_type=compression, buffer_size=1 << 20)

    def read_or_leave_out(
        path: tf.Tensor, compression: tf.Tensor, num_empty: tf.Tensor
    ) -> tf.data.Dataset:
        paths = tf.repeat(path, tf.cast(num_empty == 0, tf.int64))
        empty = tf.data.Dataset.from_tensors("").repeat(num_empty)
        return empty.concatenate(read(paths, compression))

    inputs: tuple[Any, ...] = (tf.convert_to_tensor(files), tf.convert_to_tensor(compressions))
    if left_out is not None:
        inputs = (*inputs, tf.convert_to_tensor(left_out, tf.int64))
    dataset = tf.data.Dataset.from_tensor_slices(inputs)
    read_file = read if left_out is None else read_or_leave_out
    if cycle == 1:
        return dataset.flat_map(read_file)
    if in_threads:
        return dataset.interleave(read_file, cycle, num_parallel_calls=2, deterministic=True)
    return dataset.interleave(read_file, cycle)
