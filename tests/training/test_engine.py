"""Outputs of a function for rows of all lengths, and the batches that they are computed in."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from modeling.config import load_config
from training.engine import Engine, fastest_tokens

ALONE = tf.distribute.OneDeviceStrategy("/device:CPU:0")
LENGTH = 32


def features(lengths: list[int]) -> dict[str, np.ndarray]:
    mask = (np.arange(LENGTH) < np.array(lengths)[:, np.newaxis]).astype(np.int32)
    ids = np.random.default_rng(0).integers(1, 99, mask.shape).astype(np.int32) * mask
    return {"input_ids": ids, "input_mask": mask, "segment_ids": np.zeros_like(mask)}


class Sums:
    """[sum of the ids, number of tokens] of each row; keeps the shapes that it is asked for."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, int]] = []

    def __call__(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        tf.py_function(lambda ids: self.shapes.append(tuple(ids.shape)), [batch["input_ids"]], [])
        parts = [tf.reduce_sum(batch[name], axis=1) for name in ("input_ids", "input_mask")]
        return tf.cast(tf.stack(parts, axis=1), tf.float32)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_outputs_are_in_the_order_of_the_rows(batch_size: int) -> None:
    lengths = [5, 32, 1, 8, 9, 30, 2, 32, 16, 17]
    rows = features(lengths)
    found = Engine(Sums(), ALONE, batch_size)(rows)
    np.testing.assert_array_equal(found, np.stack([rows["input_ids"].sum(1), lengths], axis=1))
    assert found.dtype == np.float32


def test_short_rows_come_in_larger_batches() -> None:
    """As many tokens as two rows of full length; lengths are rounded up to multiples of 4."""
    sums = Sums()
    Engine(sums, ALONE, 2)(features([3, 32, 31, 4, 17, 5, 6, 7, 8, 1, 2]))
    # 20 fits once into 32, so the row of 17 takes but one of the next in length with it.
    assert sums.shapes == [(2, 32), (2, 20), (7, 8)]


@pytest.mark.parametrize("most_tokens, largest", [(1, 1), (31, 1), (64, 2), (100, 3), (1000, 4)])
def test_no_more_tokens_than_asked_for(most_tokens: int, largest: int) -> None:
    """A single row is a batch however long it is."""
    sums, lengths = Sums(), [32, 3, 30, 32, 31, 12]
    rows = features(lengths)
    found = Engine(sums, ALONE, 4, most_tokens)(rows)
    np.testing.assert_array_equal(found, np.stack([rows["input_ids"].sum(1), lengths], axis=1))
    assert sums.shapes[0] == (largest, 32)
    assert all(n == 1 or n * length <= most_tokens for n, length in sums.shapes)


def test_fastest_batches_are_smaller_for_wider_models(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny, base = (fastest_tokens(load_config(name), ALONE) for name in ("tiny", "base"))
    assert tiny and base and tiny == 6 * base == 12_288
    monkeypatch.setattr("training.engine.has_gpus", lambda _: True)
    assert fastest_tokens(load_config("base"), ALONE) is None


def test_batches_as_they_are_computed() -> None:
    engine = Engine(lambda batch: batch["input_ids"], ALONE, 2)
    rows = features([3, 32, 8])
    found = list(engine.batches(rows))
    assert [batch.rows.tolist() for batch in found] == [[1, 2], [0]]
    np.testing.assert_array_equal(found[0].values, rows["input_ids"][[1, 2]])
    np.testing.assert_array_equal(found[1].values, rows["input_ids"][[0], :4])


def test_full_lengths_where_lengths_may_not_vary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of the last row fill the last batch, and are left out again."""
    monkeypatch.setattr("training.engine.lengths_may_vary", lambda _: False)
    sums, lengths = Sums(), [5, 32, 1, 8, 9]
    rows = features(lengths)
    found = Engine(sums, ALONE, 2)(rows)
    assert sums.shapes == [(2, 32)] * 3
    np.testing.assert_array_equal(found, np.stack([rows["input_ids"].sum(1), lengths], axis=1))


def test_row_that_is_not_a_number_is_named() -> None:
    def outputs(batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        is_short = tf.reduce_sum(batch["input_mask"], axis=1) == 2
        return tf.where(is_short, float("nan"), 1.0)[:, tf.newaxis]

    with pytest.raises(UserError, match="first for row 3 of these 4;"):
        Engine(outputs, ALONE, 2)(features([5, 9, 2, 2]))
