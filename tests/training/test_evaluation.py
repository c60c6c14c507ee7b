"""Means over data sets, and outputs in the order of their rows."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from common.errors import UserError
from data.record_sets import RecordSet, open_records
from data.tfrecords import serialize_examples
from modeling.bert import INPUTS
from training.evaluation import RecordPredictor, evaluate
from training.updates import Batch

LENGTH = 8
# File -> numbers of tokens.
SETS = {"a": [1, 8, 2, 3, 8, 8, 1], "b": [5, 4]}
STRATEGY = tf.distribute.OneDeviceStrategy("/device:CPU:0")


def rows(values: list[float], real: list[float], size: int) -> tf.data.Dataset:
    batch = {
        "x": np.array([[value, 0] for value in values], np.float32),
        "is_real_row": np.array(real, np.float32),
    }
    return tf.data.Dataset.from_tensor_slices(batch).batch(size)


def test_means_are_over_real_rows() -> None:
    def metrics(batch: Batch) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        real, x = batch["is_real_row"], batch["x"][:, 0]
        none = tf.constant(0.0)
        return {"x": (tf.reduce_sum(real * x), tf.reduce_sum(real)), "none": (none, none)}

    data = rows([1, 2, 3, 4, 5, 99], [1, 1, 1, 1, 1, 0], size=2)
    assert evaluate(metrics, STRATEGY, data) == {"x": 3.0, "none": 0.0}


class FirstIds(tf_keras.Model):
    """The first id of each row; counts how often it is traced."""

    traces = 0

    def call(self, batch: Batch) -> tf.Tensor:
        self.traces += 1
        return tf.cast(batch["input_ids"][:, :1], tf.float32)


def write_rows(path: pathlib.Path, lengths: Sequence[int]) -> RecordSet:
    """Records of these numbers of tokens, all of them the number of the row."""
    mask = (np.arange(LENGTH) < np.array(lengths)[:, np.newaxis]).astype(np.int64)
    ids = np.arange(len(lengths))[:, np.newaxis] * mask
    features = {"input_ids": ids, "input_mask": mask, "segment_ids": 0 * mask}
    spec = {name: tf.io.FixedLenFeature([LENGTH], tf.int64) for name in INPUTS}
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in serialize_examples(features):
            writer.write(record)
    return open_records(str(path), "input_file", spec, {})


@pytest.mark.parametrize("window", [3, 10_000])
def test_outputs_come_in_the_order_of_the_records(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr("training.evaluation.WINDOW_ROWS", window)
    model = FirstIds()
    predictor = RecordPredictor(model, STRATEGY)
    sets = [write_rows(tmp_path / name, lengths) for name, lengths in SETS.items()]
    for records in (*sets, *sets):
        for batch_size in (2, 5):
            found = predictor(records, batch_size)
            np.testing.assert_array_equal(found[:, 0], np.arange(records.num_examples))
    assert model.traces == 1


def test_small_sets_are_read_once(tmp_path: pathlib.Path) -> None:
    predictor = RecordPredictor(FirstIds(), STRATEGY)
    records = write_rows(tmp_path / "rows", [3, 1])
    first = predictor(records, 2)
    (tmp_path / "rows").unlink()
    np.testing.assert_array_equal(predictor(records, 1), first)


def test_outputs_that_are_not_numbers(tmp_path: pathlib.Path) -> None:
    class Broken(tf_keras.Model):
        def call(self, batch: Batch) -> tf.Tensor:
            return tf.where(batch["input_ids"][:, :1] == 1, float("nan"), 1.0)

    predictor = RecordPredictor(Broken(), STRATEGY)
    with pytest.raises(UserError, match="not a number for some rows, first for row 2 of these 3"):
        predictor(write_rows(tmp_path / "rows", [3, 1, 2]), 3)
