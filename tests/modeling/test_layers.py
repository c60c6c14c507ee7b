"""The compiled layers of training against plain operations."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from modeling.dropout import dropout, mask_keys
from modeling.layers import (
    Build,
    Dense,
    Finish,
    LayerNorm,
    activation,
    add_bias,
    add_bias_apart,
    compiled_activation,
    computing_in,
    leading_shape,
    merged_activation,
)


@pytest.mark.parametrize("name", ["gelu", "gelu_erf", "relu"])
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_compiled_activation_is_the_plain_one_of_the_sum(name: str, dtype: tf.DType) -> None:
    x = tf.cast(tf.linspace(-6.0, 6.0, 301)[:, tf.newaxis] + [0.0, 0.013], dtype)
    bias = tf.constant([0.25, -0.5], dtype)
    upstream = tf.cast(tf.linspace(-1.0, 2.0, 301)[:, tf.newaxis] + [0.0, 0.1], dtype)
    inputs, full = (x, bias), [tf.cast(value, tf.float32) for value in (x, bias)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = compiled_activation(name)(*inputs)
    actual = [y, *tape.gradient(y, inputs, output_gradients=upstream)]
    with tf.GradientTape() as tape:
        tape.watch(full)
        plain = activation(name)(full[0] + full[1])
    expected = [
        plain,
        *tape.gradient(plain, full, output_gradients=tf.cast(upstream, tf.float32)),
    ]
    # 1 + tanh cancels where x is far below zero.
    relative, absolute = (1e-5, 5e-6) if dtype == tf.float32 else (2**-8, 1e-3)
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours.dtype == dtype
        np.testing.assert_allclose(tf.cast(ours, tf.float32), theirs, rtol=relative, atol=absolute)
    if dtype == tf.float32:
        np.testing.assert_allclose(merged_activation(name)(x, bias), plain, rtol=1e-5, atol=5e-6)


def test_a_bias_is_merged_into_the_product_but_where_it_must_not() -> None:
    """In the program that TensorFlow makes of it; why stands at `add_bias_apart`."""
    dense = Dense("dense", 64, 64, Build(0.5))

    def operations(finish: Finish) -> set[str]:
        function = tf.function(lambda x: dense(x, finish), autograph=False)
        context.enable_run_metadata()
        try:
            function(tf.ones([3, 64]))
            graphs = context.export_run_metadata().partition_graphs
        finally:
            context.disable_run_metadata()
        return {node.op for graph in graphs for node in graph.node}

    def has_merged(names: set[str]) -> bool:
        return any("FusedMatMul" in name for name in names)

    assert has_merged(operations(merged_activation("relu")))
    assert has_merged(operations(add_bias))
    assert not has_merged(operations(add_bias_apart))


@pytest.mark.parametrize("finish", [add_bias, add_bias_apart, compiled_activation("linear")])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_bias_gradient_is_a_sum_in_float32(precision: str, finish: Finish) -> None:
    """Numbers around one: summed up in bfloat16 they stop growing at 256."""
    dense = Dense("dense", 3, 5, Build(0.02, precision))
    upstream = 1 + tf.random.stateless_uniform([4096, 5], [1, 2])
    upstream = tf.cast(upstream, dense.compute_dtype)
    with tf.GradientTape() as tape:
        y = dense(tf.zeros([4096, 3]), finish)
    gradient = tape.gradient(y, dense.bias, output_gradients=upstream)
    expected = np.sum(tf.cast(upstream, tf.float32).numpy().astype(np.float64), axis=0)
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
    shapes = ([55, 37], [37], [55, 37], [55, 37])
    inputs = [tf.random.stateless_normal(shape, [i, 7]) for i, shape in enumerate(shapes)]
    *parts, upstream = (tf.cast(value, norm.compute_dtype) for value in inputs)
    full = [tf.cast(value, tf.float32) for value in (*parts, upstream)]
    with tf.GradientTape() as tape:
        tape.watch(parts)
        y = norm.of_sum(*parts, rate, key)
    actual = tape.gradient(y, [*parts, norm.gamma, norm.beta], output_gradients=upstream)
    with tf.GradientTape() as tape:
        tape.watch(full[:3])
        summand = dropout(full[0] + full[1], rate, key)
        plain = plain_norm(summand + full[2])
    expected = tape.gradient(
        plain, [*full[:3], plain_norm.gamma, plain_norm.beta], output_gradients=full[3]
    )
    assert y.dtype == norm.compute_dtype
    relative, absolute = (1e-5, 1e-5) if precision == "float32" else (2**-7, 0.05)
    for ours, theirs in zip([y, *actual], [plain, *expected], strict=True):
        np.testing.assert_allclose(tf.cast(ours, tf.float32), theirs, rtol=relative, atol=absolute)
    without = norm(parts[0] + parts[1] + parts[2])
    np.testing.assert_array_equal(norm.of_sum(*parts, rate, None), without)


@pytest.mark.parametrize("epsilon", [1e-12, 1e-5, 0.1])
def test_epsilon_is_that_of_the_configuration(epsilon: float) -> None:
    norm = LayerNorm("norm", 37, Build(0.02), epsilon)
    (key,) = mask_keys(tf.constant([5, 6]), 1)
    x = 0.01 * tf.random.stateless_normal([4, 37], [1, 2])
    full = x.numpy().astype(np.float64)
    centered = full - full.mean(axis=1, keepdims=True)
    expected = centered / np.sqrt(full.var(axis=1, keepdims=True) + epsilon)
    for found in (norm(x), norm.of_sum(x, tf.zeros([37]), tf.zeros_like(x), 0.0, key)):
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


@pytest.mark.parametrize(
    ("shape", "expected"), [([4, 6, 8], [4, 6, 2, 4]), ([None, 6, 8], [-1, 6, 2, 4])]
)
def test_leading_shape_is_numbers_where_they_are_known(
    shape: list[int | None], expected: list[int]
) -> None:
    def shape_of(x: tf.Tensor) -> tf.Tensor:
        assert leading_shape(x, [2, 4]) == expected
        return tf.reshape(x, leading_shape(x, [2, 4]))

    traced = tf.function(shape_of, [tf.TensorSpec(shape)], autograph=False)
    assert traced(tf.ones([4, 6, 8])).shape == [4, 6, 2, 4]


def test_leading_shape_where_two_axes_are_unknown() -> None:
    traced = tf.function(
        lambda x: tf.reshape(x, leading_shape(x, [2, 4])),
        [tf.TensorSpec([None, None, 8])],
        autograph=False,
    )
    assert traced(tf.ones([4, 6, 8])).shape == [4, 6, 2, 4]
    assert traced(tf.ones([0, 6, 8])).shape == [0, 6, 2, 4]


def test_zeros_where_stored_values_come() -> None:
    assert not Dense("dense", 3, 5, Build(0.02, seed=None)).kernel.numpy().any()
    assert Dense("dense", 3, 5, Build(0.02)).kernel.numpy().all()
