"""The input pipeline: which examples come when, and in which shapes."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from numbered_records import LENGTH, SPEC, rows, write_records

from data import batches as pipeline
from data.batches import (
    LENGTH_MULTIPLE,
    evaluation_batches,
    read_feature,
    read_features,
    training_batches,
)
from data.record_sets import RecordSet, open_records
from training.strategy import distribute

Batch = dict[str, np.ndarray]


def take(dataset: tf.data.Dataset, count: int) -> list[Batch]:
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


def numbers_of(batches: list[Batch]) -> list[int]:
    return [int(number) for batch in batches for number in batch["label_ids"]]


def assert_rows_are_whole(batches: list[Batch]) -> None:
    """Each row holds what its example holds, up to the cut padding."""
    written = rows(0, 130)
    for batch in batches:
        numbers = batch["label_ids"]
        length = batch["input_ids"].shape[1]
        for name in ("input_ids", "input_mask", "segment_ids"):
            assert batch[name].dtype == np.int32
            np.testing.assert_array_equal(batch[name], written[name][numbers, :length])
            assert not written[name][numbers, length:].any()
        np.testing.assert_array_equal(batch["weights"], written["weights"][numbers])


def assert_same(first: list[Batch], second: list[Batch]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert set(one) == set(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize("shuffle_bytes", [pipeline.SHUFFLE_BYTES, 5000])
def test_each_example_once_an_epoch(
    records: RecordSet, shuffle_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "SHUFFLE_BYTES", shuffle_bytes)
    batches = take(training_batches(records, batch_size=8, seed=3), 49)
    assert {batch["input_ids"].shape for batch in batches} == {(8, LENGTH)}
    assert_rows_are_whole(batches)
    numbers = numbers_of(batches)  # 392, three epochs and two examples
    epochs = [numbers[i : i + 130] for i in (0, 130, 260)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(130))
        assert epoch != list(range(130))
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_grouped_batches_hold_the_same_examples(
    records: RecordSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = training_batches(records, batch_size=5, seed=3, group_by_length=True)
    batches = take(dataset, 3 * 26)
    assert_rows_are_whole(batches)
    for epoch in range(3):
        assert sorted(numbers_of(batches[26 * epoch : 26 * (epoch + 1)])) == list(range(130))
    # Three windows of 8 batches in an epoch, each with the examples it would have without grouping.
    monkeypatch.setattr(pipeline, "LENGTH_WINDOW", 10)
    batches = take(training_batches(records, 5, seed=3, group_by_length=True), 48)
    plain = numbers_of(take(training_batches(records, 5, seed=3), 48))
    for start in range(0, 48, 8):
        found = numbers_of(batches[start : start + 8])
        expected = plain[5 * start : 5 * (start + 8)]
        assert sorted(found) == sorted(expected) and found != expected


def test_grouped_batches_cut_padding(one_file: RecordSet) -> None:
    batches = take(training_batches(one_file, 13, seed=3, group_by_length=True), 50)
    tokens = 0
    for batch in batches:
        longest, width = batch["input_mask"].sum(axis=1).max(), batch["input_mask"].shape[1]
        assert width % LENGTH_MULTIPLE == 0 and longest <= width < longest + LENGTH_MULTIPLE
        tokens += batch["input_ids"].size
    assert tokens < 0.5 * 50 * 13 * LENGTH
    # Short and long batches take turns.
    widths = [batch["input_ids"].shape[1] for batch in batches]
    assert widths != sorted(widths) and widths != sorted(widths, reverse=True)


def test_length_is_not_rounded_beyond_that_of_the_records(tmp_path: Path) -> None:
    features = {k: v[:, :21] if v.shape[1:] == (LENGTH,) else v for k, v in rows(0, 40).items()}
    spec = {
        name: tf.io.FixedLenFeature([21], tf.int64) if feature.shape == [LENGTH] else feature
        for name, feature in SPEC.items()
    }
    records = open_records(write_records(tmp_path / "a.tfrecord", features), "input_file", spec, {})
    batches = take(training_batches(records, 4, seed=3, group_by_length=True), 50)
    assert {batch["input_ids"].shape[1] for batch in batches} == {4, 8, 12, 16, 20, 21}


@pytest.mark.parametrize("grouped", [False, True])
def test_order_is_a_function_of_the_seed(records: RecordSet, grouped: bool) -> None:
    first, same, other = (
        take(training_batches(records, 8, seed, group_by_length=grouped), 30) for seed in (3, 3, 4)
    )
    assert_same(first, same)
    assert numbers_of(first) != numbers_of(other)


@pytest.mark.parametrize("grouped", [False, True])
def test_start_step_leaves_out_that_many_batches(records: RecordSet, grouped: bool) -> None:
    def batches_from(step: int, count: int) -> list[Batch]:
        dataset = training_batches(records, 5, seed=3, start_step=step, group_by_length=grouped)
        return take(dataset, count)

    whole = batches_from(0, 229)
    # One batch on; before, at and after the end of a window; at and after the end of an epoch.
    for step in (1, 25, 26, 27, 52, 75, 217):
        assert_same(batches_from(step, 12), whole[step : step + 12])


def test_files_that_are_done_with_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order is that of reading all of them, though 34 of 40 could not be read."""
    monkeypatch.setattr(pipeline, "SHUFFLE_BYTES", 3000)  # About 8 records.
    rng = np.random.default_rng(5)
    counts = rng.integers(1, 30, 40)
    for i, (count, end) in enumerate(zip(counts, np.cumsum(counts), strict=True)):
        write_records(tmp_path / f"{i:02d}.tfrecord", rows(end - count, count))
    records = open_records(f"{tmp_path}/*.tfrecord", "input_file", SPEC, {})
    batch_size, steps = 4, len(range(0, counts.sum() - 4, 4))
    whole = take(training_batches(records, batch_size, seed=3), steps + 5)
    for step in (1, 80, 100, 120, steps - 1):
        batches = training_batches(records, batch_size, seed=3, start_step=step)
        assert_same(take(batches, steps + 5 - step), whole[step:])
    left_out = pipeline._left_out(records, 3, 0, 4 * (steps - 1))
    assert left_out is not None and (left_out > 0).sum() >= 10
    order = pipeline._order_of_files(records, tf.constant([3, 0], tf.int64)).numpy()
    for position in np.flatnonzero(left_out):
        Path(records.files[order[position]]).unlink()
    batches = training_batches(records, batch_size, seed=3, start_step=steps - 1)
    assert_same(take(batches, 1), whole[steps - 1 : steps])


@pytest.mark.parametrize("batch_size", [1, 2, 8, 65, 200])
def test_evaluation_sees_every_row_once(records: RecordSet, batch_size: int) -> None:
    batches = list(evaluation_batches(records, batch_size).as_numpy_iterator())
    assert [len(batch["is_real_row"]) for batch in batches] == [batch_size] * -(-130 // batch_size)
    assert_rows_are_whole(batches)
    is_real = np.concatenate([batch["is_real_row"] for batch in batches])
    assert is_real.tolist() == [1.0] * 130 + [0.0] * (-130 % batch_size)
    # In the order of the files; copies of a real row fill the last batch.
    numbers = numbers_of(batches)
    assert numbers[:130] == list(range(130))
    assert set(numbers[130:]) <= set(range(130))


def test_shapes_are_static_unless_grouped(one_file: RecordSet) -> None:
    """A TPU compiles a program for each shape before it sees a batch."""
    datasets = [
        training_batches(one_file, 8, seed=1),
        evaluation_batches(one_file, 8),
    ]
    for dataset in datasets:
        shapes = {name: spec.shape.as_list() for name, spec in dataset.element_spec.items()}
        assert {name: shapes[name] for name in SPEC} == {
            name: [8, *feature.shape] for name, feature in SPEC.items()
        }
        assert all(None not in shape for shape in shapes.values())


def test_no_iterator_tunes_itself(one_file: RecordSet) -> None:
    """Its end would wait for the thread that does."""
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    datasets = [
        training_batches(one_file, 8, seed=1, group_by_length=True),
        evaluation_batches(one_file, 8),
    ]
    for dataset in datasets:
        assert dataset.options().autotune.enabled is False
        # The iterator of a distributed data set has another on top, with options of its own.
        assert distribute(dataset, strategy) is dataset


def test_read_feature(records: RecordSet) -> None:
    np.testing.assert_array_equal(read_feature(records, "label_ids"), np.arange(130))
    np.testing.assert_array_equal(read_feature(records, "weights"), rows(0, 130)["weights"])


@pytest.mark.parametrize(
    ("at_a_time", "at_most", "sizes"),
    [(200, -1, [130]), (50, -1, [50, 50, 30]), (50, 60, [50, 10])],
)
def test_read_features(records: RecordSet, at_a_time: int, at_most: int, sizes: list[int]) -> None:
    found = list(read_features(records, ["label_ids", "weights"], at_a_time, at_most))
    assert [len(part["label_ids"]) for part in found] == sizes
    for name, expected in rows(0, sum(sizes)).items():
        if name in found[0]:
            np.testing.assert_array_equal(np.concatenate([part[name] for part in found]), expected)
    assert found[0].keys() == {"label_ids", "weights"}
    assert found[0]["label_ids"].dtype == np.int32
