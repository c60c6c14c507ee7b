"""Which layers follow which, and what is checked before."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from models import ODD_CONFIG

from common.errors import UserError
from distillation.patience import (
    Patience,
    make_patience,
    matched_layers,
    parse_layers,
    teacher_outputs,
)
from modeling.heads import ClassifierModel

BASE = {"num_hidden_layers": 12, "hidden_size": 32}
STUDENT = dataclasses.replace(ODD_CONFIG, num_hidden_layers=6)


@pytest.mark.parametrize(
    ("strategy", "depths", "expected"),
    [
        ("skip", (12, 6), [2, 4, 6, 8, 10]),
        ("last", (12, 6), [7, 8, 9, 10, 11]),
        ("skip", (12, 3), [4, 8]),
        ("last", (12, 3), [10, 11]),
        ("skip", (4, 4), [1, 2, 3]),
    ],
)
def test_layers_of_the_paper(strategy: str, depths: tuple[int, int], expected: list[int]) -> None:
    layers = matched_layers(strategy, *depths)
    assert list(layers) == list(range(1, depths[1]))
    assert list(layers.values()) == expected


@pytest.mark.parametrize("student_depth", [1, 13])
def test_depths_that_do_not_match(student_depth: int) -> None:
    with pytest.raises(UserError, match=f"the teacher's 12; this one has {student_depth}"):
        matched_layers("skip", 12, student_depth)


def test_positions_of_the_stored_layers() -> None:
    manifest = {"teacher_config": BASE, "hidden_state_layers": [10, 12, 8, 6, 4, 2]}
    patience, shape = make_patience(100.0, "skip", manifest, STUDENT)
    assert patience == Patience(100.0, (1, 2, 3, 4, 5), (5, 4, 3, 2, 0))
    assert shape == (6, 32)


@pytest.mark.parametrize("stored", [None, [], [2, 4, 6]])
def test_a_layer_is_missing(stored: list[int] | None) -> None:
    manifest = {"teacher_config": BASE, "hidden_state_layers": stored}
    with pytest.raises(UserError, match="--hidden_state_layers=2,4,6,8,10"):
        make_patience(100.0, "skip", manifest, STUDENT)


def test_widths_differ() -> None:
    manifest = {
        "teacher_config": {**BASE, "hidden_size": 48},
        "hidden_state_layers": list(range(1, 13)),
    }
    with pytest.raises(UserError, match="48 .teacher. and 32 numbers"):
        make_patience(100.0, "last", manifest, STUDENT)


@pytest.mark.parametrize("texts", [["0"], ["13"], ["two"], ["-1"], ["2", ""]])
def test_layers_that_the_teacher_does_not_have(texts: list[str]) -> None:
    with pytest.raises(UserError, match="--hidden_state_layers=.*from 1 to 12"):
        parse_layers(texts, 12)


def test_teacher_outputs_are_logits_then_states() -> None:
    model = ClassifierModel(ODD_CONFIG, 3)
    batch = {
        "input_ids": tf.constant([[1, 2, 3], [4, 5, 0]]),
        "input_mask": tf.constant([[1, 1, 1], [1, 1, 0]]),
        "segment_ids": tf.zeros([2, 3], tf.int32),
    }
    outputs = teacher_outputs(model, [3, 1])(batch)
    layers = model.encoder(*batch.values()).layer_outputs
    expected = [model(batch), layers[3][:, 0], layers[1][:, 0]]
    np.testing.assert_array_equal(outputs, np.concatenate(expected, axis=-1))
