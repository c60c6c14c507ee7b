"""Every step is one static XLA program for the device alone, as a TPU needs it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import pytest
import tensorflow as tf
from models import ODD_CONFIG
from steps import (
    BATCH_SIZE,
    FORWARD_KINDS,
    LENGTH,
    TRAINING_KINDS,
    forward_program,
    training_program,
)

from benchmarks.xla_programs import inference_program, pretraining_program, stablehlo
from data.batches import LENGTH_MULTIPLE

PRECISIONS = ["float32", "bfloat16"]
# Lengths that batches of records of length 24 are cut to.
LENGTHS = range(LENGTH_MULTIPLE, LENGTH + 1, LENGTH_MULTIPLE)


def products(program: str) -> set[str]:
    """Types of the matrix products of two-dimensional or batched operands."""
    return set(re.findall(r"stablehlo\.dot(?:_general)? .*-> tensor<[0-9x]*(\w+)>", program))


@pytest.mark.parametrize(("precision", "parts"), [("float32", 1), ("bfloat16", 1), ("bfloat16", 2)])
@pytest.mark.parametrize("kind", TRAINING_KINDS)
def test_training(kind: str, precision: str, parts: int) -> None:
    program = training_program(kind, precision, parts)
    assert ("bf16" in products(program)) == (precision == "bfloat16")
    assert f"tensor<{BATCH_SIZE // parts}x{LENGTH}x32x" in program
    assert ("stablehlo.while" in program) == (parts > 1)
    # No large constants.
    sizes = re.findall(r'dense<"0x[0-9A-F]+"> : tensor<(\d+)x', program)
    assert max(map(int, sizes), default=0) <= BATCH_SIZE * 2 * LENGTH  # Rows of attention scores.


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", FORWARD_KINDS)
def test_forward(kind: str, precision: str) -> None:
    program = forward_program(kind, precision)
    assert ("bf16" in products(program)) == (precision == "bfloat16")
    assert "rng_bit_generator" not in program  # no dropout


@pytest.mark.parametrize("length", LENGTHS)
def test_every_length(length: int) -> None:
    """Updates at the shortest and the longest one are in the next test."""
    assert f"x{length}x32x" in forward_program("soft labels", "float32", length=length)


@pytest.mark.parametrize("length", [LENGTHS[0], LENGTHS[-1]])
def test_shortest_and_longest_batches_in_parts(length: int) -> None:
    program = training_program("distillation with patience", "float32", parts=2, length=length)
    assert f"x{length}x32x" in program


def test_whole_models() -> None:
    config = dataclasses.replace(ODD_CONFIG, num_hidden_layers=2)
    assert "tensor<2x17x32xf32>" in inference_program(config, "float32", 2, 17)
    step = pretraining_program(config, "float32", 2, 11, 3)
    assert "tensor<2x11x32xf32>" in step and "tensor<6x99xf32>" in step


@pytest.mark.parametrize(
    "function",
    [
        lambda x: tf.py_function(lambda y: y, [x], tf.int32),
        lambda x: tf.numpy_function(lambda y: y, [x], tf.int32),
        lambda x: tf.strings.as_string(x),
        lambda x: tf.boolean_mask(x, x > 0),
        lambda x: tf.reduce_sum(tf.where(x > 0)),
        lambda x: tf.unique(x[0])[0],
    ],
    ids=["py_function", "numpy_function", "strings", "boolean_mask", "where", "unique"],
)
def test_what_is_refused(function: Callable[[tf.Tensor], tf.Tensor]) -> None:
    """Else the other tests here would prove nothing."""
    with pytest.raises(ValueError, match="unsupported operations|not one static program"):
        stablehlo(lambda batch: function(batch["x"]), {"x": tf.TensorSpec([3, 4], tf.int32)})


def test_shapes_that_are_not_known_are_refused() -> None:
    with pytest.raises(ValueError, match="static input shape"):
        stablehlo(lambda batch: batch["x"] * 2, {"x": tf.TensorSpec([None, 4], tf.int32)})
