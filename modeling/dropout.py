"""Dropout as a function of a key, alone and behind a softmax.

In training XLA compiles each into one loop over its input, and its gradient into another; TensorFlow
goes over the input once per operation.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def mask_keys(seed: tf.Tensor | None, count: int) -> list[tf.Tensor | None]:
    """Keys for `count` dropouts of one step, each 64 random bits, an int32 Tensor [2].

    Args:
      seed: int32 Tensor [2] of this step, or None outside training, where there are no keys.
      count: Number of keys.
    """
    if seed is None:
        return [None] * count
    return tf.unstack(_random_bits(seed, count))


@tf.function(autograph=False)
def _random_bits(seed: tf.Tensor, count: int) -> tf.Tensor:
    """[count, 2]. A function, as it is fifty operations to trace for every model."""
    return tf.random.stateless_uniform(
        [count, 2], seed, minval=None, maxval=None, dtype=tf.int32, alg="philox"
    )


def dropout(x: tf.Tensor, rate: float, key: tf.Tensor | None) -> tf.Tensor:
    """Zeroes each element with probability `rate` and scales the others by 1 / (1 - rate).

    The mask is a pure function of (key, shape): no random state exists that a checkpoint could
    miss, and no mask is kept for the gradient, which draws it again.

    Args:
      x: Float Tensor of any shape.
      rate: Probability of zero, at least 0 and below 1.
      key: One of `mask_keys`, or None outside training (`x` is returned).
    """
    if key is None or rate == 0.0:
        return x

    @tf.custom_gradient
    def value(x: tf.Tensor) -> tuple[tf.Tensor, Callable[..., tf.Tensor]]:
        return _compiled_mask(x, rate, key), lambda upstream: _compiled_mask(upstream, rate, key)

    return value(x)


def softmax_dropout(
    scores: tf.Tensor, mask: tf.Tensor, rate: float, key: tf.Tensor | None
) -> tf.Tensor:
    """`dropout(softmax(scores + mask))` over the last axis; in training the gradient is one loop.

    Args:
      scores: Float Tensor [..., n].
      mask: Of the same type, of a shape that broadcasts to that of the scores; not differentiated.
      rate: As for `dropout`.
      key: As for `dropout`.
    """
    if key is None:
        return tf.nn.softmax(scores + mask)

    @tf.custom_gradient
    def value(scores: tf.Tensor) -> tuple[tf.Tensor, Callable[..., tf.Tensor]]:
        probs = tf.nn.softmax(scores + mask)
        return _compiled_mask(probs, rate, key), lambda upstream: _softmax_dropout_gradient(
            probs, upstream, rate, key
        )

    return value(scores)


@tf.function(jit_compile=True, autograph=False)
def _softmax_dropout_gradient(
    probs: tf.Tensor, upstream: tf.Tensor, rate: float, key: tf.Tensor
) -> tf.Tensor:
    full = tf.cast(probs, tf.float32)
    weighted = full * masked(tf.cast(upstream, tf.float32), rate, key)
    total = tf.reduce_sum(weighted, axis=-1, keepdims=True)
    return tf.cast(weighted - full * total, probs.dtype)


def masked(x: tf.Tensor, rate: float, key: tf.Tensor) -> tf.Tensor:
    """Dropout of a Tensor of any shape, to be compiled: its passes over `x` are one loop then.

    An element's random number is a hash of its index with a key of 64 bits: Wellons' "lowbias32",
    each of whose output bits depends on every bit of the input, with the second half of the key
    between its two multiplications. It costs a third of TensorFlow's generator (Philox).
    """
    first, second = tf.unstack(tf.bitcast(key, tf.uint32))
    h = _indices(tf.shape(x), first) ^ first
    h = ((h ^ tf.bitwise.right_shift(h, 16)) * 0x7FEB352D) ^ second
    h = (h ^ tf.bitwise.right_shift(h, 15)) * 0x846CA68B
    h = h ^ tf.bitwise.right_shift(h, 16)
    keep = tf.reshape(h >= tf.constant(round(rate * 2**32), tf.uint32), tf.shape(x))
    return tf.cast(tf.where(keep, tf.cast(x, tf.float32) / (1 - rate), 0.0), x.dtype)


def _indices(shape: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """0, 1, 2, ... as uint32 [rows, columns], for an array of this shape cut into its rows.

    Of a plain range TensorFlow makes a constant: a program would hold one as large as the array for
    every dropout, and read it from memory. A zero that it cannot know to be one leaves the sum to
    XLA, in whose loop it costs nothing.
    """
    size, columns = tf.reduce_prod(shape), shape[-1]
    starts = tf.cast(tf.range(0, size, columns), tf.uint32) + (key ^ key)
    return starts[:, tf.newaxis] + tf.cast(tf.range(columns), tf.uint32)


_compiled_mask = tf.function(masked, jit_compile=True, autograph=False)
