"""Dropout: its rate, its masks, and the compiled form behind a softmax."""

import numpy as np
import pytest
import tensorflow as tf

from modeling.dropout import dropout, mask_keys, softmax_dropout

SEED = tf.constant([5, 6])
KEY, OTHER_KEY = mask_keys(SEED, 2)


def zeros(shape: list[int], rate: float, key: tf.Tensor | None) -> np.ndarray:
    return dropout(tf.ones(shape), rate, key).numpy() == 0


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_scale_and_repeatability(dtype: tf.DType) -> None:
    x = tf.ones([400, 501], dtype)
    first = tf.cast(dropout(x, 0.1, KEY), tf.float32).numpy()
    np.testing.assert_array_equal(first, tf.cast(dropout(x, 0.1, KEY), tf.float32))
    expected = tf.cast(tf.cast(1 / 0.9, dtype), tf.float32).numpy()
    np.testing.assert_allclose(first[first > 0], expected, rtol=1e-6)
    np.testing.assert_array_equal(dropout(x, 0.1, None), x)
    np.testing.assert_array_equal(dropout(x, 0.0, KEY), x)


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5])
def test_rate_and_independence(rate: float) -> None:
    """No pair of elements, layers, or steps is zero together more or less often than by chance."""
    shape = [1000, 1000]
    mask = zeros(shape, rate, KEY)
    pairs = {
        "right": (mask[:, :-1], mask[:, 1:]),
        "below": (mask[:-1], mask[1:]),
        "two below": (mask[:-2], mask[2:]),
        "power of two": (mask.ravel()[: -(2**16)], mask.ravel()[2**16 :]),
        "layer": (mask, zeros(shape, rate, OTHER_KEY)),
        "step": (mask, zeros(shape, rate, mask_keys(SEED + [0, 1], 2)[0])),
        "run": (mask, zeros(shape, rate, mask_keys(SEED + [1, 0], 2)[0])),
    }
    deviation = np.sqrt(rate * (1 - rate) / mask.size)
    assert abs(mask.mean() - rate) < 4 * deviation
    for name, (a, b) in pairs.items():
        together = rate**2
        bound = 5 * np.sqrt(together * (1 - together) / a.size)
        assert abs((a & b).mean() - together) < bound, name


def test_columns_and_rows_are_as_random_as_single_elements() -> None:
    """Sums over rows and columns have the spread of a binomial distribution."""
    counts = np.zeros([2, 512])
    for step in range(20):
        mask = zeros([512, 512], 0.1, mask_keys(tf.constant([7, step]), 1)[0])
        counts += mask.sum(axis=0), mask.sum(axis=1)
    variance = 20 * 512 * 0.1 * 0.9
    # The variance of 512 values is itself known to 6 %.
    np.testing.assert_allclose(counts.var(axis=1) / variance, 1, atol=0.25)


def test_gradient_has_the_mask_of_the_value() -> None:
    x = tf.random.stateless_normal([30, 70], [1, 2])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = dropout(x, 0.3, KEY)
    np.testing.assert_allclose(tape.gradient(y, x) * x, y, rtol=1e-6)


@pytest.mark.parametrize("rate", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_softmax_dropout_is_both_in_turn(dtype: tf.DType, rate: float) -> None:
    scores = tf.cast(3 * tf.random.stateless_normal([3, 2, 7, 9], [1, 2]), dtype)
    upstream = tf.cast(tf.random.stateless_normal([3, 2, 7, 9], [3, 4]), dtype)
    mask = tf.cast([[[[0.0] * 7 + [-10000.0] * 2]]], dtype)
    full = tf.cast(scores, tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([scores, full])
        compiled = softmax_dropout(scores, mask, rate, KEY)
        plain = dropout(tf.nn.softmax(full + tf.cast(mask, tf.float32)), rate, KEY)
    assert compiled.dtype == dtype
    tolerance = 1e-6 if dtype == tf.float32 else 0.02
    np.testing.assert_allclose(tf.cast(compiled, tf.float32), plain, atol=tolerance)
    np.testing.assert_allclose(
        tf.cast(tape.gradient(compiled, scores, upstream), tf.float32),
        tape.gradient(plain, full, tf.cast(upstream, tf.float32)),
        atol=tolerance,
    )
    without = softmax_dropout(scores, mask, rate, None)
    np.testing.assert_array_equal(without, tf.nn.softmax(scores + mask))
    assert not np.any(tf.cast(without, tf.float32)[..., 7:])
