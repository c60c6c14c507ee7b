"""The compiled layers of training against plain operations."""

import numpy as np
import pytest
import tensorflow as tf

from modeling.dropout import dropout, mask_keys
from modeling.layers import (
    Build,
    Dense,
    LayerNorm,
    activation,
    computing_in,
    training_activation,
)


@pytest.mark.parametrize("name", ["gelu", "gelu_erf", "relu"])
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_training_activation_is_the_plain_one(name: str, dtype: tf.DType) -> None:
    x = tf.cast(tf.linspace(-6.0, 6.0, 301)[:, tf.newaxis] + [0.0, 0.013], dtype)
    upstream = tf.cast(tf.linspace(-1.0, 2.0, 301)[:, tf.newaxis] + [0.0, 0.1], dtype)
    results = []
    functions = (activation(name), tf.cast(x, tf.float32)), (training_activation(name), x)
    for function, y in functions:
        with tf.GradientTape() as tape:
            tape.watch(y)
            value = function(y)
        results.append(
            (value, tape.gradient(value, y, output_gradients=tf.cast(upstream, y.dtype)))
        )
    # 1 + tanh cancels where x is far below zero.
    relative, absolute = (1e-5, 5e-6) if dtype == tf.float32 else (2**-8, 1e-3)
    for expected, actual in zip(*results, strict=True):
        assert actual.dtype == dtype
        np.testing.assert_allclose(
            tf.cast(actual, tf.float32), expected, rtol=relative, atol=absolute
        )


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_bias_gradient_is_a_sum_in_float32(precision: str) -> None:
    """Numbers around one: summed up in bfloat16 they stop growing at 256."""
    dense = Dense("dense", 3, 5, Build(0.02, precision))
    upstream = 1 + tf.random.stateless_uniform([4, 1024, 5], [1, 2])
    upstream = tf.cast(upstream, dense.compute_dtype)
    with tf.GradientTape() as tape:
        y = dense(tf.zeros([4, 1024, 3]))
    gradient = tape.gradient(y, dense.bias, output_gradients=upstream)
    expected = np.sum(tf.cast(upstream, tf.float32).numpy().astype(np.float64), axis=(0, 1))
    np.testing.assert_allclose(gradient, expected, rtol=1e-5 if precision == "float32" else 2**-8)


@pytest.mark.parametrize("rate", [0.0, 0.1])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_norm_of_sum_is_its_parts_in_turn(precision: str, rate: float) -> None:
    norm = LayerNorm("norm", 37, Build(0.02, precision))
    norm.gamma.assign(tf.random.stateless_uniform([37], [1, 2], 0.5, 1.5))
    norm.beta.assign(tf.random.stateless_normal([37], [3, 4]))
    plain_norm = LayerNorm("norm", 37, Build(0.02))
    plain_norm.gamma.assign(norm.gamma)
    plain_norm.beta.assign(norm.beta)
    (key,) = mask_keys(tf.constant([5, 6]), 1)
    inputs = [tf.random.stateless_normal([5, 11, 37], [i, 7]) for i in range(3)]
    x, residual, upstream = (tf.cast(value, norm.compute_dtype) for value in inputs)
    full = [tf.cast(value, tf.float32) for value in (x, residual, upstream)]
    with tf.GradientTape() as tape:
        tape.watch([x, residual])
        y = norm.of_sum(x, residual, rate, key)
    actual = tape.gradient(y, [x, residual, norm.gamma, norm.beta], output_gradients=upstream)
    with tf.GradientTape() as tape:
        tape.watch(full[:2])
        plain = plain_norm(dropout(full[0], rate, key) + full[1])
    expected = tape.gradient(
        plain, [*full[:2], plain_norm.gamma, plain_norm.beta], output_gradients=full[2]
    )
    assert y.dtype == norm.compute_dtype
    relative, absolute = (1e-5, 1e-5) if precision == "float32" else (2**-7, 0.05)
    for ours, theirs in zip([y, *actual], [plain, *expected], strict=True):
        np.testing.assert_allclose(tf.cast(ours, tf.float32), theirs, rtol=relative, atol=absolute)
    np.testing.assert_array_equal(norm.of_sum(x, residual, rate, None), norm(x + residual))


@pytest.mark.parametrize("epsilon", [1e-12, 1e-5, 0.1])
def test_epsilon_is_that_of_the_configuration(epsilon: float) -> None:
    norm = LayerNorm("norm", 37, Build(0.02), epsilon)
    (key,) = mask_keys(tf.constant([5, 6]), 1)
    x = 0.01 * tf.random.stateless_normal([4, 37], [1, 2])
    full = x.numpy().astype(np.float64)
    centered = full - full.mean(axis=1, keepdims=True)
    expected = centered / np.sqrt(full.var(axis=1, keepdims=True) + epsilon)
    for found in (norm(x), norm.of_sum(x, tf.zeros_like(x), 0.0, key)):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_another_precision_than_that_of_the_layers() -> None:
    """As if they were built in it, also in what was traced meanwhile, and no longer than that."""
    plain, rounded = (Dense("dense", 64, 5, Build(0.5, name)) for name in ("float32", "bfloat16"))
    x = tf.random.stateless_normal([3, 64], [0, 1])
    traced = tf.function(lambda x: plain(x))
    with computing_in("bfloat16", plain):
        np.testing.assert_array_equal(plain(x), rounded(x))
        np.testing.assert_array_equal(traced(x), rounded(x))
    assert plain(x).dtype == tf.float32
    assert traced(x).dtype == tf.bfloat16
    with pytest.raises(ZeroDivisionError), computing_in("bfloat16", plain):
        1 / 0  # noqa: B018
    assert plain(x).dtype == tf.float32


def test_zeros_where_stored_values_come() -> None:
    assert not Dense("dense", 3, 5, Build(0.02, seed=None)).kernel.numpy().any()
    assert Dense("dense", 3, 5, Build(0.02)).kernel.numpy().all()
