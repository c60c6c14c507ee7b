"""Pre-training on a machine without TensorFlow: what goes there, runs there and comes back."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from models import ODD_CONFIG
from safetensors.numpy import save_file

from benchmarks.accelerator.export import (
    METRICS,
    SCHEDULE,
    UPDATE,
    Pretraining,
    Setting,
    write_programs,
)
from benchmarks.accelerator.model_folders import unpack, write_folder
from benchmarks.accelerator.packed_records import (
    HELD_OUT_ROWS,
    PASS_ENDS,
    TRAINING_ROWS,
    batches,
    pack,
    split_documents,
    write_rows,
)
from checkpoints.formats import find_weights
from checkpoints.weights import CheckpointReader, variable_name, variable_values
from modeling.tokenization import FullTokenizer
from pretraining.record_writing import InstanceOptions

needs_jax = pytest.mark.skipif(
    not importlib.util.find_spec("jax"), reason="no JAX: pip install -r requirements-tpu.lock"
)

LENGTH, PREDICTIONS, BATCH_SIZE, STEPS = 16, 3, 4, 6
CONFIG = dataclasses.replace(ODD_CONFIG, num_hidden_layers=2)


def random_features(count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    positions = np.arange(LENGTH)
    lengths = rng.integers(6, LENGTH + 1, [count, 1])
    first = rng.integers(2, 5, [count, 1])
    is_real = positions < lengths
    weights = np.arange(PREDICTIONS) < rng.integers(1, PREDICTIONS + 1, [count, 1])
    return {
        "input_ids": (rng.integers(1, 99, [count, LENGTH]) * is_real).astype(np.int32),
        "input_mask": is_real,
        "segment_ids": is_real & (positions >= first),
        "masked_lm_positions": (rng.integers(1, 6, weights.shape) * weights).astype(np.int32),
        "masked_lm_ids": (rng.integers(1, 99, weights.shape) * weights).astype(np.int32),
        "masked_lm_weights": weights.astype(np.float32),
        "next_sentence_labels": rng.integers(0, 2, [count, 1]) > 0,
    }


def test_packing_loses_nothing() -> None:
    features = random_features(50)
    rows = pack(features)
    assert rows.dtype == np.uint8 and rows.shape == (50, 2 * LENGTH + 3 * PREDICTIONS + 4)
    for name, values in unpack(rows, LENGTH, PREDICTIONS).items():
        np.testing.assert_array_equal(values, features[name], err_msg=name)
        assert values.dtype == features[name].dtype


def test_documents(tmp_path: pathlib.Path) -> None:
    """Every fiftieth document of each file is held out, whichever way its ends are marked."""
    paragraphs, reviews = tmp_path / "text.txt", tmp_path / "reviews.txt"
    paragraphs.write_text("\n\n\n".join(f"a{i}\nb{i}" for i in range(51)))
    reviews.write_text("".join(f"c{i}\n" for i in range(102)))
    training, held_out = split_documents([str(paragraphs)], [str(reviews)], str(tmp_path))
    assert pathlib.Path(held_out).read_text() == "a49\nb49\n\nc49\n\nc99\n\n"
    documents = pathlib.Path(training).read_text().split("\n\n")
    assert documents[:50][-1] == "a50\nb50" and len(documents) == 50 + 100 + 1


def test_rows_of_text(tmp_path: pathlib.Path, vocab_file: str) -> None:
    reviews = tmp_path / "reviews.txt"
    reviews.write_text("The men ran. They want the low.\n" * 200)
    options = InstanceOptions(LENGTH, PREDICTIONS, dupe_factor=2)
    write_rows([], [str(reviews)], vocab_file, options, str(tmp_path / "rows"), 1)
    read = {name: np.load(tmp_path / "rows" / name) for name in (TRAINING_ROWS, HELD_OUT_ROWS)}
    ends = np.load(tmp_path / "rows" / PASS_ENDS)
    assert len(ends) == 2 and ends[-1] == len(read[TRAINING_ROWS]) >= 2 * 196
    cls_id = FullTokenizer(vocab_file).cls_id
    for rows in read.values():
        assert (unpack(rows, LENGTH, PREDICTIONS)["input_ids"][:, 0] == cls_id).all()


def test_batches_go_through_one_pass_after_the_other() -> None:
    rows = np.arange(20, dtype=np.uint8)[:, np.newaxis]
    calls = batches(rows, np.array([8, 20]), 2, 2, seed=0)
    read = np.concatenate([next(calls).ravel() for _ in range(7)])
    assert sorted(read[:8]) == list(range(8)) and sorted(read[8:20]) == list(range(8, 20))
    assert set(read[20:28]) == set(range(8)) and list(read[20:28]) != list(read[:8])


def test_programs() -> None:
    """All that training changes is a result, and what stays the same is the schedule."""
    training = Pretraining(CONFIG, Setting(BATCH_SIZE, LENGTH, PREDICTIONS))
    programs = training.programs()
    names = sorted(variable_name(v) for v in training.variables)
    assert sorted(programs[UPDATE].variables) == names == sorted(set(names))
    assert sorted([*programs[UPDATE].updated, *SCHEDULE]) == names
    assert not programs[METRICS].updated
    assert set(programs[METRICS].variables) == set(
        map(variable_name, training.model.trainable_variables)
    )


def test_weights_come_back_as_a_model_folder(tmp_path: pathlib.Path, vocab_file: str) -> None:
    tokenizer = FullTokenizer(vocab_file)
    config = dataclasses.replace(CONFIG, vocab_size=tokenizer.vocab_size)
    values = variable_values(
        Pretraining(config, Setting(1, LENGTH, PREDICTIONS)).model.trainable_variables
    )
    small = {name: value.astype(np.float16) for name, value in values.items()}
    metadata = {"config": json.dumps(config.to_dict()), "point": json.dumps({"update": 7})}
    save_file(small, tmp_path / "2-32.safetensors", metadata)
    write_folder(str(tmp_path / "2-32.safetensors"), str(tmp_path / "model"), tokenizer)
    reader = CheckpointReader(find_weights(str(tmp_path / "model")).path)
    assert set(reader.shapes) == set(values)
    for name, value in small.items():
        np.testing.assert_array_equal(reader.read(name), value.astype(np.float32))


@needs_jax
@pytest.mark.parametrize("precision, tolerance", [("float32", 1e-5), ("bfloat16", 0.02)])
def test_jax_trains_as_tensorflow_does(
    tmp_path: pathlib.Path, precision: str, tolerance: float
) -> None:
    import jax

    from benchmarks.accelerator.imported import Imported, unpacker

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
    unpack_rows = unpacker(LENGTH, PREDICTIONS)

    def update(state: dict, rows: jax.Array) -> tuple:
        losses, state = imported.update(unpack_rows(rows), state)
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
