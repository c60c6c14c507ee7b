"""Checkpoints by original names, and model folders."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from models import ODD_CONFIG, random_weights

from checkpoints.formats import StoredWeights, find_weights, open_weights
from checkpoints.model_folder import read_model_folder, write_model_folder
from checkpoints.model_sources import resolve_model
from checkpoints.weights import (
    CheckpointReader,
    load_weights,
    variable_values,
    weights_digest,
    write_checkpoint,
)
from common.errors import UserError
from modeling.config import BertConfig
from modeling.heads import ClassifierModel, PretrainingModel
from modeling.optimization import AdamWeightDecay, WarmupLinearDecay
from training.run_state import RunState


def test_round_trip_is_bit_identical(tmp_path: pathlib.Path) -> None:
    model = PretrainingModel(ODD_CONFIG)
    values = random_weights(model)
    prefix = str(tmp_path / "bert_model.ckpt")
    write_checkpoint(prefix, values)
    assert {path.name for path in tmp_path.iterdir()} == {
        "bert_model.ckpt.index",
        "bert_model.ckpt.data-00000-of-00001",
    }
    report = load_weights(model.trainable_variables, CheckpointReader(prefix))
    assert set(report.matched) == set(values) and not report.new and not report.left_over
    for name, value in variable_values(model.trainable_variables).items():
        np.testing.assert_array_equal(value, values[name])
    # TensorFlow's own reader, as every other tool would use it.
    assert dict(tf.train.list_variables(prefix)) == {n: list(v.shape) for n, v in values.items()}


def test_report_of_a_partial_match(tmp_path: pathlib.Path) -> None:
    prefix = str(tmp_path / "bert_model.ckpt")
    write_checkpoint(prefix, random_weights(PretrainingModel(ODD_CONFIG)))
    classifier = ClassifierModel(ODD_CONFIG, 3, seed=7)
    head = classifier.classifier.output_weights.numpy()
    report = load_weights(classifier.trainable_variables, CheckpointReader(prefix))
    assert set(report.new) == {"output_weights", "output_bias"}
    assert all(name.startswith("cls/") for name in report.left_over) and len(report.left_over) == 7
    np.testing.assert_array_equal(classifier.classifier.output_weights, head)


def test_training_variables_of_an_original_checkpoint_are_left_out(tmp_path: pathlib.Path) -> None:
    model = ClassifierModel(ODD_CONFIG, 2)
    values = random_weights(model)
    slots = {f"{name}/adam_m": value + 1 for name, value in values.items()}
    step = {"global_step": np.array(5, np.int64)}
    prefix = str(tmp_path / "model.ckpt-5")
    write_checkpoint(prefix, {**values, **slots, **step})
    reader = CheckpointReader(prefix)
    assert set(reader.shapes) == set(values)
    assert reader.global_step == 5
    state = reader.read_training_state()
    assert set(state) == {*slots, *step} and state["global_step"] == 5
    name = "bert/pooler/dense/kernel"
    np.testing.assert_array_equal(state[f"{name}/adam_m"], values[name] + 1)


def test_nothing_matches_and_wrong_shape(tmp_path: pathlib.Path) -> None:
    model = ClassifierModel(ODD_CONFIG, 2)
    before = variable_values(model.trainable_variables)
    prefix = str(tmp_path / "other")
    write_checkpoint(prefix, {"gpt/wte": np.zeros([2, 2], np.float32)})
    with pytest.raises(UserError, match="none of its 1 variables.*gpt/wte"):
        load_weights(model.trainable_variables, CheckpointReader(prefix))
    values = random_weights(model)
    values["bert/pooler/dense/kernel"] = np.zeros([32, 31], np.float32)
    write_checkpoint(prefix, values)
    with pytest.raises(
        UserError, match=r"bert/pooler/dense/kernel has shape \[32, 31\].*\[32, 32\]"
    ):
        load_weights(model.trainable_variables, CheckpointReader(prefix))
    for name, value in variable_values(model.trainable_variables).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "not a checkpoint"])
def test_damaged_files(tmp_path: pathlib.Path, part: str, damage: str) -> None:
    model = ClassifierModel(ODD_CONFIG, 2)
    prefix = str(tmp_path / "bert_model.ckpt")
    write_checkpoint(prefix, random_weights(model))
    path = pathlib.Path(f"{prefix}.{part}")
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 0xFF
    path.write_bytes(data[: len(data) // 2] if damage == "truncated" else data)
    if damage == "not a checkpoint":
        path.write_text("hello")
    with pytest.raises(UserError, match="bert_model.ckpt"):
        load_weights(model.trainable_variables, CheckpointReader(prefix))


def test_run_state_holds_original_names_and_is_a_checkpoint(tmp_path: pathlib.Path) -> None:
    model = ClassifierModel(ODD_CONFIG, 2)
    values = random_weights(model)
    for variable in model.trainable_variables:
        variable.assign(values[variable.name.removesuffix(":0")])
    optimizer = AdamWeightDecay(WarmupLinearDecay(1e-3, 10, 0))
    state = RunState(str(tmp_path), model.trainable_variables, optimizer, keep=2)
    state.save()
    stored = find_weights(str(tmp_path))
    assert stored == StoredWeights("run", str(tmp_path / "model.ckpt-0"))
    reader = open_weights(stored)
    assert set(reader.shapes) == set(values)
    for name, value in values.items():
        np.testing.assert_array_equal(reader.read(name), value)


def test_damaged_newest_state_falls_back_to_the_one_before(tmp_path: pathlib.Path) -> None:
    model = ClassifierModel(ODD_CONFIG, 2)

    def state() -> RunState:
        optimizer = AdamWeightDecay(WarmupLinearDecay(1e-3, 10, 0))
        return RunState(str(tmp_path), model.trainable_variables, optimizer, keep=2)

    first = state()
    for step in (3, 6):
        first.step_variable.assign(step)
        first.save()
    (tmp_path / "model.ckpt-6.index").write_bytes(b"")
    second = state()
    assert second.restore()
    assert second.step == 3
    (tmp_path / "model.ckpt-3.index").write_bytes(b"")
    with pytest.raises(UserError, match="no saved state can be restored.*model.ckpt-3"):
        state().restore()


def test_model_folder_and_what_flags_may_not_contradict(
    tmp_path: pathlib.Path, vocab_file: str
) -> None:
    size = len(pathlib.Path(vocab_file).read_text().split())
    config = BertConfig(size, 32, 1, 4, 37)
    values = random_weights(ClassifierModel(config, 2))
    folder = str(tmp_path / "model")
    info = {"do_lower_case": False, "labels": ["no", "yes"], "vocab_sha256": "0" * 64}
    write_model_folder(folder, values, config, vocab_file, info)
    found = read_model_folder(find_weights(folder))
    assert found and found.config == config
    assert found.labels == ["no", "yes"]
    written = json.loads((tmp_path / "model" / "model_info.json").read_text())
    assert written["weights_sha256"] == weights_digest(values)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "bert_config.json",
        "bert_model.ckpt.data-00000-of-00001",
        "bert_model.ckpt.index",
        "model_info.json",
        "vocab.txt",
    ]
    with pytest.raises(UserError, match="do_lower_case=True.*do_lower_case=False"):
        resolve_model(None, None, folder, do_lower_case=True)
    with pytest.raises(UserError, match="digest of its tokens is .*, recorded there is 0000"):
        resolve_model(None, None, folder, do_lower_case=False)
    with pytest.raises(UserError, match="--bert_config_file is missing"):
        resolve_model(None, vocab_file, None, do_lower_case=True)
