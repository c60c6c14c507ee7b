"""The optimizer and schedule against NumPy."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from modeling.optimization import AdamWeightDecay, WarmupLinearDecay, is_decayed

PEAK, STEPS, WARMUP = 0.05, 20, 4
NAMES = (
    "bert/embeddings/word_embeddings",
    "bert/encoder/layer_0/output/dense/kernel",
    "bert/encoder/layer_0/output/dense/bias",
    "bert/encoder/layer_0/output/LayerNorm/gamma",
    "cls/predictions/output_bias",
    "output_weights",
)
DECAYED = {NAMES[0], NAMES[1], NAMES[5]}


def reference_rate(step: int) -> float:
    if step < WARMUP:
        return PEAK * step / WARMUP
    return PEAK * (1 - min(step, STEPS) / STEPS)


def test_schedule_is_warmup_over_decay() -> None:
    schedule = WarmupLinearDecay(PEAK, STEPS, WARMUP)
    rates = [float(schedule(tf.constant(step, tf.int64))) for step in range(STEPS + 3)]
    np.testing.assert_allclose(rates, [reference_rate(s) for s in range(STEPS + 3)], rtol=1e-6)
    assert rates[0] == 0 and rates[STEPS] == 0
    # The drop where the warm-up ends.
    assert rates[WARMUP] == pytest.approx(PEAK * (1 - WARMUP / STEPS))


def test_schedule_without_warmup_starts_at_the_peak() -> None:
    assert float(WarmupLinearDecay(PEAK, STEPS, 0)(tf.constant(0))) == pytest.approx(PEAK)


def test_schedule_of_variables() -> None:
    numbers = [tf.Variable(PEAK), tf.Variable(STEPS), tf.Variable(WARMUP)]
    schedule = WarmupLinearDecay(*numbers)
    for step in range(STEPS + 1):
        expected = WarmupLinearDecay(PEAK, STEPS, WARMUP)(tf.constant(step))
        assert float(schedule(tf.constant(step))) == float(expected)
    numbers[2].assign(0)
    assert float(schedule(tf.constant(0))) == pytest.approx(PEAK)


def test_decay_exclusions() -> None:
    assert {name for name in NAMES if is_decayed(name)} == DECAYED


def test_ten_steps_follow_numpy() -> None:
    rng = np.random.default_rng(0)
    shapes = [(7, 5), (5, 3), (3,), (3,), (7,), (2, 5)]
    weights = [rng.normal(size=shape) for shape in shapes]
    variables = [
        tf.Variable(w, name=name, dtype=tf.float32) for w, name in zip(weights, NAMES, strict=True)
    ]
    optimizer = AdamWeightDecay(WarmupLinearDecay(PEAK, STEPS, WARMUP))
    m = [np.zeros(shape) for shape in shapes]
    v = [np.zeros(shape) for shape in shapes]
    for step in range(10):
        # Alternate between gradients that are clipped and gradients that are not.
        scale = 3.0 if step % 2 else 0.01
        grads = [rng.normal(size=shape) * scale for shape in shapes]
        optimizer.apply_gradients(
            [(tf.constant(g, tf.float32), var) for g, var in zip(grads, variables, strict=True)]
        )
        norm = np.sqrt(sum((g**2).sum() for g in grads))
        grads = [g / max(norm, 1.0) for g in grads]
        rate = reference_rate(step)
        for i, name in enumerate(NAMES):
            m[i] = 0.9 * m[i] + 0.1 * grads[i]
            v[i] = 0.999 * v[i] + 0.001 * grads[i] ** 2
            update = m[i] / (np.sqrt(v[i]) + 1e-6)
            if name in DECAYED:
                update = update + 0.01 * weights[i]
            weights[i] = weights[i] - rate * update
        for weight, variable in zip(weights, variables, strict=True):
            np.testing.assert_allclose(variable.numpy(), weight, rtol=2e-4, atol=2e-5)
    slots = optimizer.slots(variables)
    np.testing.assert_allclose(slots[f"{NAMES[0]}/adam_m"].numpy(), m[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(slots[f"{NAMES[2]}/adam_v"].numpy(), v[2], rtol=1e-4, atol=1e-7)


def test_bias_correction_is_that_of_keras() -> None:
    rng = np.random.default_rng(0)
    start = rng.normal(size=(7, 5)).astype(np.float32)
    ours, theirs = tf.Variable(start, name="bias"), tf.Variable(start)
    optimizer = AdamWeightDecay(WarmupLinearDecay(PEAK, STEPS, 0), bias_correction=True)
    keras = tf_keras.optimizers.Adam(WarmupLinearDecay(PEAK, STEPS, 0), epsilon=1e-6)
    for _ in range(10):
        gradient = tf.constant(rng.normal(size=start.shape) * 0.01, tf.float32)  # never clipped
        optimizer.apply_gradients([(gradient, ours)])
        keras.apply_gradients([(gradient, theirs)])
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-6)


def test_the_first_update_is_smaller_by_the_correction() -> None:
    changes = []
    for corrected in (False, True):
        variable = tf.Variable([0.0], name="bias")
        optimizer = AdamWeightDecay(WarmupLinearDecay(PEAK, STEPS, 0), corrected)
        optimizer.apply_gradients([(tf.constant([0.5]), variable)])
        changes.append(float(variable[0]))
    # The moments are 0.1 g and 0.001 g² with g = 0.5; corrected, g and g².
    assert changes[0] == pytest.approx(-PEAK * 0.05 / (0.001**0.5 * 0.5 + 1e-6), rel=1e-4)
    assert changes[1] == pytest.approx(-PEAK, rel=1e-3)


def test_weights_are_decayed_once_and_no_others_are_gone_over() -> None:
    variables = [tf.Variable(tf.ones([2, 2]), name=name) for name in NAMES]
    optimizer = AdamWeightDecay(WarmupLinearDecay(PEAK, STEPS, WARMUP))
    optimizer.build(variables)

    @tf.function
    def update(gradients: list[tf.Tensor]) -> None:
        optimizer.apply_gradients(zip(gradients, variables, strict=True))

    graph = update.get_concrete_function([tf.ones([2, 2]) for _ in variables]).graph
    kinds = [op.type for op in graph.get_operations()]
    assert kinds.count("AssignSubVariableOp") == len(DECAYED)
    # Numbers that are the same for all variables are there once.
    adam = [op for op in graph.get_operations() if op.type == "ResourceApplyAdam"]
    for position in (3, 4, 6, 7, 8):
        assert len({op.inputs[position].name for op in adam}) == 1
    assert kinds.count("ResourceApplyAdam") == len(variables)
