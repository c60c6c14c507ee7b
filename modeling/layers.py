"""The parts a BERT layer is made of: dense map, layer normalization, dropout, activations.

Own code rather than Model Garden's layers, for three reasons: every variable carries the exact name
and shape of the original checkpoint (Model Garden's are `[H, A, H/A]` under other names), dropout is
a function of a seed that is passed in, so that a resumed run repeats an uninterrupted one, and the
matrix products see two-dimensional operands, which is the fast path of the CPU kernels.

Variables are float32; with a `mixed_bfloat16` policy the matrix products run in bfloat16 while
layer normalization is computed in float32.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable

import tensorflow as tf
import tf_keras

from modeling.config import ACTIVATION_FUNCTIONS

# Added to the variance, as in the original (`tf.contrib.layers.layer_norm`).
LAYER_NORM_EPSILON = 1e-12


Activation = Callable[[tf.Tensor], tf.Tensor]


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


def one_pass(function: Activation) -> Activation:
    """An elementwise function for training: XLA makes one loop of it, and one of its gradient.

    A GELU of TensorFlow operations goes over its input some ten times, its gradient as often; on a
    CPU that is a tenth of a training step. (Without gradients TensorFlow merges it into the matrix
    product before it, so inference takes the plain function.) Computed in float32, rounded once.

    Args:
      function: Of a float Tensor of any shape.
    """

    @tf.function(jit_compile=True)
    def value(x: tf.Tensor) -> tf.Tensor:
        return tf.cast(function(tf.cast(x, tf.float32)), x.dtype)

    @tf.function(jit_compile=True)
    def gradient(x: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        full = tf.cast(x, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(full)
            y = function(full)
        result = tape.gradient(y, full, output_gradients=tf.cast(upstream, tf.float32))
        return tf.cast(result, x.dtype)

    @tf.custom_gradient
    def compiled(x: tf.Tensor) -> tuple[tf.Tensor, Activation]:
        return value(x), lambda upstream: gradient(x, upstream)

    return compiled


@dataclasses.dataclass(frozen=True)
class Build:
    """What all layers of one model are made with.

    Attributes:
      stddev: Deviation of the truncated normal that initializes matrices (`initializer_range`).
      precision: "float32", or "bfloat16" for matrix products in bfloat16 (variables stay float32).
      seed: Initial values are a function of this and the variable's name, whatever else the model
        holds and in whatever order it is built.
    """

    stddev: float
    precision: str = "float32"
    seed: int = 0


class NamedLayer(tf_keras.layers.Layer):
    """A layer whose variables are called exactly as in an original checkpoint.

    Variables are created in the constructor, outside any Keras name scope. The name of a variable
    (without ":0") is therefore its name in `bert_model.ckpt`.
    """

    def __init__(self, scope: str, build: Build):
        policy = {"float32": "float32", "bfloat16": "mixed_bfloat16"}[build.precision]
        # No autocast: each layer casts what it means to compute in low precision.
        super().__init__(name=scope.replace("/", "_") or None, dtype=policy, autocast=False)
        self.scope = scope
        self.build_options = build

    def matrix(self, name: str, rows: int, columns: int) -> tf.Variable:
        """A float32 matrix from the original's truncated normal."""
        full_name = self._full_name(name)
        seed = [self.build_options.seed, zlib.crc32(full_name.encode()) & 0x7FFFFFFF]

        def initial_value(shape: tf.TensorShape, dtype: tf.DType, **_: object) -> tf.Tensor:
            return tf.random.stateless_truncated_normal(
                shape, seed, stddev=self.build_options.stddev, dtype=dtype
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


class Dense(NamedLayer):
    """`f(x @ kernel + bias)` over the last axis of a float Tensor [..., in] -> [..., out]."""

    def __init__(self, scope: str, in_size: int, out_size: int, build: Build):
        super().__init__(scope, build)
        self.kernel = self.matrix("kernel", in_size, out_size)
        self.bias = self.vector("bias", out_size)

    def call(self, x: tf.Tensor, activate: Activation = tf.identity) -> tf.Tensor:
        x = tf.cast(x, self.compute_dtype)
        in_size, out_size = self.kernel.shape
        flat = tf.matmul(tf.reshape(x, [-1, in_size]), tf.cast(self.kernel, x.dtype))
        # Directly behind the product, or TensorFlow does not merge a GELU into it (in inference).
        flat = activate(tf.nn.bias_add(flat, tf.cast(self.bias, x.dtype)))
        return tf.reshape(flat, tf.concat([tf.shape(x)[:-1], [out_size]], axis=0))


class LayerNorm(NamedLayer):
    """Layer normalization over the last axis, computed in float32 at every precision."""

    def __init__(self, scope: str, size: int, build: Build):
        super().__init__(scope, build)
        self.gamma = self.vector("gamma", size, "ones")
        self.beta = self.vector("beta", size)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        x = tf.cast(x, tf.float32)
        centered = x - tf.reduce_mean(x, axis=-1, keepdims=True)
        variance = tf.reduce_mean(tf.square(centered), axis=-1, keepdims=True)
        normalized = centered * tf.math.rsqrt(variance + LAYER_NORM_EPSILON)
        return tf.cast(normalized * self.gamma + self.beta, self.compute_dtype)


def dropout(x: tf.Tensor, rate: float, seed: tf.Tensor | None, site: int) -> tf.Tensor:
    """Zeroes each element with probability `rate` and scales the others by 1 / (1 - rate).

    The mask is a pure function of (seed, site, shape): no random state exists that a checkpoint
    could miss. One random byte decides each element, because random bits are what a dropout costs:
    it is zero below a threshold, and the threshold itself is drawn from the two whole numbers
    around 256 * rate so that each element is zero with exactly the given probability.

    Args:
      x: Float Tensor of any shape.
      rate: Probability of zero, at least 0 and below 255 / 256.
      seed: int32 Tensor [2] of this step, or None outside training (`x` is returned).
      site: A number that tells the dropouts of one model apart.

    Raises:
      ValueError: The rate is higher.
    """
    if seed is None or rate == 0.0:
        return x
    whole, above = divmod(rate * 256, 1)
    if whole == 255:
        raise ValueError(f"a dropout rate of {rate} is above 255 / 256")
    size = tf.size(x)
    # Four bytes each; the last number is for the threshold.
    words = tf.random.stateless_uniform(
        [(size + 3) // 4 + 1],
        seed=seed + [0, site],
        minval=None,
        maxval=None,
        dtype=tf.int32,
        alg="philox",
    )
    is_above = words[-1] < min(round((above - 0.5) * 2**32), 2**31 - 1)
    threshold = tf.cast(whole, tf.uint8) + tf.cast(is_above, tf.uint8)
    random_bytes = tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:size]
    keep = tf.reshape(random_bytes >= threshold, tf.shape(x))
    return x * (tf.cast(keep, x.dtype) * tf.constant(1 / (1 - rate), x.dtype))
