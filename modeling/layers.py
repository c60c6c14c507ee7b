"""The parts a BERT layer is made of: dense map, layer normalization, activations.

Own code rather than Model Garden's layers, for three reasons: every variable carries the exact name
and shape of the original checkpoint (Model Garden's are `[H, A, H/A]` under other names), dropout is
a function of a seed that is passed in, so that a resumed run repeats an uninterrupted one, and the
matrix products see two-dimensional operands, which is the fast path of the CPU kernels.

Variables are float32; with a `mixed_bfloat16` policy the matrix products run in bfloat16 while
layer normalization is computed in float32.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import zlib
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf
import tf_keras

from modeling.config import ACTIVATION_FUNCTIONS
from modeling.dropout import masked

# Precision of matrix products -> Keras' name for it, with float32 variables.
_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
# Added to the variance, as in the original (`tf.contrib.layers.layer_norm`).
LAYER_NORM_EPSILON = 1e-12


Activation = Callable[[tf.Tensor], tf.Tensor]
# Makes the output of a dense map [n, out] of its product [n, out] and its bias [out].
Finish = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def activation(name: str) -> Activation:
    """The function a `hidden_act` of `bert_config.json` stands for (`modeling.config`)."""
    functions: dict[str, Activation] = {
        "gelu_tanh": lambda x: tf.nn.gelu(x, approximate=True),
        "gelu_erf": lambda x: tf.nn.gelu(x, approximate=False),
        "relu": tf.nn.relu,
        "tanh": tf.nn.tanh,
        "linear": tf.identity,
    }
    return functions[ACTIVATION_FUNCTIONS[name]]


def merged_activation(name: str) -> Finish:
    """`activation(name)` of product + bias, both of which TensorFlow merges into the product.

    For inference: it merges nothing where gradients are computed.
    """
    function = activation(name)
    return lambda product, bias: function(add_bias(product, bias))


@functools.cache
def compiled_activation(name: str) -> Finish:
    """`activation(name)` of product + bias, for training: one loop of XLA, and one for its gradient.

    A GELU of TensorFlow operations goes over its input some ten times, its gradient as often; on a
    CPU that is a tenth of a training step. Computed in float32, rounded once. All layers share one
    function, so that it is compiled once per shape.
    """
    function = activation(name)

    @tf.function(jit_compile=True, autograph=False)
    def value(x: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        return tf.cast(function(_full_sum(x, bias)), x.dtype)

    @tf.function(jit_compile=True, autograph=False)
    def gradient(x: tf.Tensor, bias: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        full = _full_sum(x, bias)
        with tf.GradientTape() as tape:
            tape.watch(full)
            y = function(full)
        result = tape.gradient(y, full, output_gradients=tf.cast(upstream, tf.float32))
        return tf.cast(result, x.dtype)

    @tf.custom_gradient
    def compiled(x: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable[..., tuple]]:
        def gradients(upstream: tf.Tensor) -> tuple:
            of_x = gradient(x, bias, upstream)
            return of_x, _column_sums(of_x)

        return value(x, bias), gradients

    return compiled


def _full_sum(x: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    return tf.cast(x, tf.float32) + tf.cast(bias, tf.float32)


@dataclasses.dataclass(frozen=True)
class Build:
    """Settings that all layers of a model share.

    Attributes:
      stddev: Deviation of the truncated normal that initializes matrices (`initializer_range`).
      precision: "float32", or "bfloat16" for matrix products in bfloat16 (variables stay float32).
      seed: Initial values are a function of this and the variable's name, whatever else the model
        holds and in whatever order it is built. None for zeros, in whose place stored values come.
    """

    stddev: float
    precision: str = "float32"
    seed: int | None = 0


class NamedLayer(tf_keras.layers.Layer):
    """A layer whose variables are called exactly as in an original checkpoint.

    Variables are created in the constructor, outside any Keras name scope. The name of a variable
    (without ":0") is therefore its name in `bert_model.ckpt`.
    """

    def __init__(self, scope: str, build: Build):
        policy = _POLICIES[build.precision]
        # No autocast: each layer casts what it means to compute in low precision.
        super().__init__(name=scope.replace("/", "_") or None, dtype=policy, autocast=False)
        self.scope = scope
        self.build_options = build

    def matrix(self, name: str, rows: int, columns: int) -> tf.Variable:
        """A float32 matrix from the original's truncated normal."""
        full_name, seed = self._full_name(name), self.build_options.seed
        if seed is None:
            return self._variable(full_name, [rows, columns], "zeros")
        seeds = [seed, zlib.crc32(full_name.encode()) & 0x7FFFFFFF]

        def initial_value(shape: tf.TensorShape, dtype: tf.DType, **_: object) -> tf.Tensor:
            return tf.random.stateless_truncated_normal(
                shape, seeds, stddev=self.build_options.stddev, dtype=dtype
            )

        return self._variable(full_name, [rows, columns], initial_value)

    def vector(self, name: str, size: int, value: str = "zeros") -> tf.Variable:
        """A float32 vector of "zeros" or "ones"."""
        return self._variable(self._full_name(name), [size], value)

    def _full_name(self, name: str) -> str:
        return f"{self.scope}/{name}" if self.scope else name

    def _variable(self, name: str, shape: list[int], init: object) -> tf.Variable:
        return self.add_weight(
            name=name, shape=shape, dtype=tf.float32, initializer=init, experimental_autocast=False
        )


@contextlib.contextmanager
def computing_in(precision: str, model: tf_keras.layers.Layer) -> Iterator[None]:
    """The matrix products of `model` in another precision than it was built in.

    A function that is traced meanwhile keeps that precision; the variables are the same.
    """
    layers = [layer for layer in (model, *model.submodules) if isinstance(layer, NamedLayer)]
    before = [layer.dtype_policy for layer in layers]
    try:
        for layer in layers:
            layer._set_dtype_policy(_POLICIES[precision])
        yield
    finally:
        for layer, policy in zip(layers, before, strict=True):
            layer._set_dtype_policy(policy)


@tf.custom_gradient
def add_bias(x: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable[..., tuple]]:
    """Float Tensor [n, size] + [size], which TensorFlow and other runtimes merge into a product x."""
    return tf.nn.bias_add(x, bias), lambda upstream: (upstream, _column_sums(upstream))


@tf.custom_gradient
def add_bias_apart(x: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable[..., tuple]]:
    """`add_bias`, not merged into the product x, for training.

    oneDNN computes a product with a bias by another kernel than one without. On processors with tiles
    (AMX) that takes up to four times as long in bfloat16; elsewhere there is little between them.
    """
    apart = tf.squeeze(tf.expand_dims(x, 1) + bias, 1)  # The shape between them prevents it.
    return apart, lambda upstream: (upstream, _column_sums(upstream))


class Dense(NamedLayer):
    """`x @ kernel + bias` of the rows of a float Tensor [n, in] -> [n, out]."""

    def __init__(self, scope: str, in_size: int, out_size: int, build: Build):
        super().__init__(scope, build)
        self.kernel = self.matrix("kernel", in_size, out_size)
        self.bias = self.vector("bias", out_size)

    def call(self, x: tf.Tensor, finish: Finish = add_bias) -> tf.Tensor:
        """The dense map of x, [n, out].

        Args:
          x: Float Tensor [n, in].
          finish: Adds the bias, and goes on with the sum in the same loop.
        """
        x = tf.cast(x, self.compute_dtype)
        return finish(tf.matmul(x, tf.cast(self.kernel, x.dtype)), tf.cast(self.bias, x.dtype))


def leading_shape(x: tf.Tensor, last: Sequence[int]) -> list[int] | tf.Tensor:
    """The first two axes of x and then `last`, for `tf.reshape`.

    Numbers where one axis at most is unknown: operations that compute a shape take as long to trace
    as others, and a layer would need some forty of them.
    """
    known = x.shape[:2].as_list()
    if known.count(None) > 1:
        return tf.concat([tf.shape(x)[:2], last], axis=0)
    return [*(-1 if size is None else size for size in known), *last]


def _column_sums(x: tf.Tensor) -> tf.Tensor:
    """Sums of the columns of a float Tensor [rows, columns], added up in float32.

    TensorFlow's gradient of a bias adds bfloat16 numbers in bfloat16: 4,096 numbers around one come
    out as a quarter of their sum. In a matrix product the sum is kept in float32.
    """
    ones = tf.ones([1, x.shape[0] or tf.shape(x)[0]], x.dtype)
    return tf.squeeze(tf.matmul(ones, x), 0)


class LayerNorm(NamedLayer):
    """Layer normalization over the last axis, computed in float32 at every precision."""

    def __init__(self, scope: str, size: int, build: Build, epsilon: float = LAYER_NORM_EPSILON):
        super().__init__(scope, build)
        self.epsilon = epsilon
        self.gamma = self.vector("gamma", size, "ones")
        self.beta = self.vector("beta", size)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        normalized, _ = _normalized(tf.cast(x, tf.float32), self.epsilon)
        return tf.cast(normalized * self.gamma + self.beta, self.compute_dtype)

    def of_sum(
        self,
        x: tf.Tensor,
        bias: tf.Tensor,
        residual: tf.Tensor,
        rate: float,
        key: tf.Tensor | None,
    ) -> tf.Tensor:
        """`self(dropout(x + bias) + residual)`, in training compiled into one loop each way.

        Args:
          x: Float Tensor [n, size], the product of a dense map.
          bias: Its bias, [size], of the same type as x, like `residual`.
          residual: [n, size].
          rate: As for `dropout`.
          key: As for `dropout`.

        Returns:
          Float Tensor [n, size].
        """
        if key is None:
            return self(add_bias(x, bias) + residual)

        @tf.custom_gradient
        def value(
            x: tf.Tensor, bias: tf.Tensor, residual: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor
        ) -> tuple[tf.Tensor, Callable[..., tuple]]:
            y, normalized, scale = _norm_of_sum(
                x, bias, residual, gamma, beta, self.epsilon, rate, key
            )

            def gradients(upstream: tf.Tensor) -> tuple:
                of_x, of_residual, of_gamma = _norm_of_sum_gradient(
                    upstream, normalized, scale, gamma, rate, key
                )
                of_norm = [tf.cast(_column_sums(rows), tf.float32) for rows in (of_gamma, upstream)]
                return of_x, _column_sums(of_x), of_residual, *of_norm

            return y, gradients

        gamma, beta = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        return value(x, bias, residual, gamma, beta)


def _normalized(x: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Rows of mean 0 and variance 1, and what they were multiplied by, [..., 1]."""
    centered = x - tf.reduce_mean(x, axis=-1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centered), axis=-1, keepdims=True)
    scale = tf.math.rsqrt(variance + epsilon)
    return centered * scale, scale


@tf.function(jit_compile=True, autograph=False)
def _norm_of_sum(
    x: tf.Tensor,
    bias: tf.Tensor,
    residual: tf.Tensor,
    gamma: tf.Tensor,
    beta: tf.Tensor,
    epsilon: float,
    rate: float,
    key: tf.Tensor,
) -> tuple[tf.Tensor, ...]:
    total = masked(_full_sum(x, bias), rate, key) + tf.cast(residual, tf.float32)
    normalized, scale = _normalized(total, epsilon)
    return tf.cast(normalized * gamma + beta, x.dtype), normalized, scale


@tf.function(jit_compile=True, autograph=False)
def _norm_of_sum_gradient(
    upstream: tf.Tensor,
    normalized: tf.Tensor,
    scale: tf.Tensor,
    gamma: tf.Tensor,
    rate: float,
    key: tf.Tensor,
) -> tuple[tf.Tensor, ...]:
    """For x, residual, and each row's share in gamma."""
    full = tf.cast(upstream, tf.float32)
    of_gamma = full * normalized
    of_normalized = full * gamma
    mean = tf.reduce_mean(of_normalized, axis=-1, keepdims=True)
    along = tf.reduce_mean(of_normalized * normalized, axis=-1, keepdims=True)
    of_total = scale * (of_normalized - mean - normalized * along)
    results = masked(of_total, rate, key), of_total, of_gamma
    return tuple(tf.cast(result, upstream.dtype) for result in results)
