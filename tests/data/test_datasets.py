"""Files of records one after the other, or in turn."""

from __future__ import annotations

import gzip
import pathlib
import random

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
    for in_threads in (False, True, True, True):
        dataset = interleaved(paths, compressions, cycle, in_threads)
        dataset = dataset.with_options(dataset_options())
        assert b"".join(dataset.as_numpy_iterator()).decode() == order


@pytest.mark.parametrize("cycle", [1, 2, 5, 16])
def test_order_is_the_same_in_threads_and_with_files_left_out(
    tmp_path: pathlib.Path, cycle: int
) -> None:
    rng = random.Random(cycle)
    files = [[f"{i}.{j}" for j in range(rng.randint(0, 9))] for i in range(40)]
    paths, compressions = write(tmp_path, *files)
    left_out = [rng.choice([0, len(file)]) for file in files]
    orders = [
        list(dataset.with_options(dataset_options()).as_numpy_iterator())
        for dataset in (
            interleaved(paths, compressions, cycle),
            interleaved(paths, compressions, cycle, in_threads=True),
            interleaved(paths, compressions, cycle, left_out=left_out),
            interleaved(paths, compressions, cycle, in_threads=True, left_out=left_out),
        )
    ]
    assert len(orders[0]) == sum(map(len, files))
    assert orders[0] == orders[1] and orders[2] == orders[3]
    expected = [b"" if left_out[int(r.partition(b".")[0])] else r for r in orders[0]]
    assert orders[2] == expected


def test_nothing_is_left_to_tensorflow() -> None:
    options = dataset_options()
    assert options.deterministic is True and options.autotune.enabled is False
    off = tf.data.experimental.AutoShardPolicy.OFF
    assert options.experimental_distribute.auto_shard_policy == off
