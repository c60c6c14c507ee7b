"""Times of operations are found under their kinds, and those of calls are not counted."""

from __future__ import annotations

import pytest
import tensorflow as tf

from benchmarks import timing
from benchmarks.timing import interleaved_medians, operation_times


def test_medians_of_functions_that_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """What warms up does not count."""
    now = 0.0
    seconds = {"a": [9.0, 9.0, 1.0, 5.0, 3.0], "b": [9.0, 9.0, 0.5, 0.5, 8.0]}
    calls: list[str] = []

    def call(name: str) -> None:
        nonlocal now
        now += seconds[name][calls.count(name)]
        calls.append(name)

    monkeypatch.setattr(timing.time, "perf_counter", lambda: now)
    functions = [lambda: call("a"), lambda: call("b")]
    assert interleaved_medians(functions, repetitions=3, warm_up=2) == [3.0, 0.5]
    assert calls == ["a", "b"] * 5


def test_kinds_of_operations() -> None:
    matrix = tf.ones([256, 256])

    @tf.function
    def inner(x: tf.Tensor) -> tf.Tensor:
        return tf.math.cumsum(tf.matmul(x, x))

    @tf.function
    def outer(x: tf.Tensor) -> tf.Tensor:
        for _ in tf.range(3):
            x = inner(x)
        return x

    outer(matrix)
    times = operation_times(lambda: outer(matrix))
    products = [value for kind, value in times.items() if "MatMul" in kind]
    assert sum(products) > 0 and times["Cumsum"] > 0
    assert not any("Call" in kind or "While" in kind for kind in times)


def test_loops_compiled_by_xla_are_counted() -> None:
    matrix = tf.ones([2048, 2048])
    loop = tf.function(lambda x: tf.sqrt(x * 2.0) + 1.0, jit_compile=True)
    loop(matrix)
    assert operation_times(lambda: loop(matrix))["loops compiled by XLA"] > 0
