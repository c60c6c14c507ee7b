"""JAX trains as TensorFlow does, by the exported programs."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf
from accelerator_rows import CONFIG, LENGTH, PREDICTIONS, random_features

from benchmarks.accelerator.export import SCHEDULE, Pretraining, Setting, write_programs
from benchmarks.accelerator.packed_records import pack, unpack
from checkpoints.weights import variable_name

jax = pytest.importorskip("jax", reason="no JAX: pip install -r requirements-tpu.lock")

BATCH_SIZE, STEPS = 4, 6


@pytest.mark.parametrize("precision, tolerance", [("float32", 1e-5), ("bfloat16", 0.02)])
def test_jax_trains_as_tensorflow_does(
    tmp_path: pathlib.Path, precision: str, tolerance: float
) -> None:
    from benchmarks.accelerator.imported import Imported

    setting = Setting(BATCH_SIZE, LENGTH, PREDICTIONS, precision)
    write_programs(str(tmp_path), CONFIG, setting)
    training = Pretraining(CONFIG, setting)
    for name, value in zip(SCHEDULE, (1e-2, STEPS, 2), strict=True):
        training.schedule[name].assign(value)
    imported = Imported(str(tmp_path))
    state = {variable_name(v): jax.numpy.asarray(v.numpy()) for v in training.variables}
    for name, value in imported.start(0).items():
        assert (value.shape, value.dtype) == (state[name].shape, state[name].dtype)

    features = random_features(STEPS * BATCH_SIZE)
    rows = pack(features).reshape(STEPS, BATCH_SIZE, -1)

    def update(state: dict, rows: jax.Array) -> tuple:
        batch = unpack(rows, LENGTH, PREDICTIONS, jax.numpy)
        losses, state = imported.update(batch, state)
        return state, losses

    state, losses = jax.jit(lambda state, rows: jax.lax.scan(update, state, rows))(state, rows)
    step = tf.function(training.update)
    expected = []
    for i in range(STEPS):
        part = {k: v[i * BATCH_SIZE : (i + 1) * BATCH_SIZE] for k, v in features.items()}
        batch = {name: tf.cast(part[name], kind.dtype) for name, kind in training.spec.items()}
        expected.append(float(step(batch)["loss"]))
    np.testing.assert_allclose(losses["loss"], expected, rtol=tolerance)
    for variable in training.variables:
        np.testing.assert_allclose(
            np.asarray(state[variable_name(variable)], np.float64),
            variable.numpy().astype(np.float64),
            atol=tolerance,
            err_msg=variable.name,
        )
