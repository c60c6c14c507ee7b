"""Estimated seconds against operations that are counted weight by weight."""

from __future__ import annotations

import pytest

from experiments.paper.estimates import MACHINES, Machine, labelling_seconds, training_seconds

MACHINE = Machine("test", operations=1e9, update=0.5, run=10.0)


def weights_of_a_layer(width: int) -> int:
    """Queries, keys, values and output of the attention, and twice the width by four widths."""
    return 4 * width * width + 2 * width * (4 * width)


def test_forward_pass() -> None:
    # A product with a weight is a multiplication and an addition.
    operations = 2 * 3 * weights_of_a_layer(64) * 100 * 20
    assert labelling_seconds(MACHINE, "3/64", 100, 20) == pytest.approx(10 + operations / 1e9)


def test_training() -> None:
    forward = 2 * 2 * weights_of_a_layer(128) * 320 * 30
    seconds = training_seconds(MACHINE, "2/128/2", 320, 32, 30)
    assert seconds == pytest.approx(10 + 10 * 0.5 + 3 * forward / 1e9)
    masked = 2 * 128 * 30_522 * 320 * 5
    with_words = training_seconds(MACHINE, "2/128", 320, 32, 30, predictions=5)
    assert with_words - seconds == pytest.approx(3 * masked / 1e9)


def test_a_larger_model_takes_longer() -> None:
    machine = MACHINES["2-cores"]
    sizes = ("2/128", "4/256", "8/512")
    seconds = [training_seconds(machine, size, 10_000, 32, 30) for size in sizes]
    assert seconds == sorted(seconds) and seconds[2] > 2 * seconds[1]
