"""Files of records one after the other, or in turn."""

from __future__ import annotations

import gzip
import pathlib

import pytest
import tensorflow as tf

from data.datasets import dataset_options, interleaved


def write(folder: pathlib.Path, *files: list[str]) -> tuple[list[str], list[str]]:
    """Files of records, every second one compressed; their paths and compressions."""
    paths, compressions = [], []
    for i, records in enumerate(files):
        path = folder / f"{i}.tfrecord"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in records:
                writer.write(record)
        if i % 2:
            path.write_bytes(gzip.compress(path.read_bytes()))
        paths.append(str(path))
        compressions.append("GZIP" if i % 2 else "")
    return paths, compressions


@pytest.mark.parametrize(
    ("cycle", "order"), [(1, "abcdefg"), (2, "adbecfg"), (3, "adgbecf"), (5, "adgbecf")]
)
def test_order_of_records(tmp_path: pathlib.Path, cycle: int, order: str) -> None:
    paths, compressions = write(tmp_path, ["a", "b", "c"], ["d", "e", "f"], ["g"])
    for _ in range(3):
        dataset = interleaved(paths, compressions, cycle).with_options(dataset_options())
        assert b"".join(dataset.as_numpy_iterator()).decode() == order


def test_nothing_is_left_to_tensorflow() -> None:
    options = dataset_options()
    assert options.deterministic is True and options.autotune.enabled is False
    off = tf.data.experimental.AutoShardPolicy.OFF
    assert options.experimental_distribute.auto_shard_policy == off
