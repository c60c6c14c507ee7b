"""Checkpoints by original names, and model folders."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from modeling.checkpoints import (
    CheckpointReader,
    find_checkpoint,
    load_weights,
    variable_values,
    weights_digest,
    write_checkpoint,
)
from modeling.config import BertConfig
from modeling.heads import ClassifierModel, PretrainingModel
from modeling.model_folder import read_model_folder, resolve_model, write_model_folder
from modeling.optimization import AdamWeightDecay, WarmupLinearDecay
from training.run_state import RunState

CONFIG = BertConfig(
    vocab_size=99,
    hidden_size=32,
    num_hidden_layers=5,
    num_attention_heads=4,
    intermediate_size=37,
    max_position_embeddings=17,
)


def random_values(model: tf.keras.Model) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        name: rng.normal(size=value.shape).astype(np.float32)
        for name, value in variable_values(model.trainable_variables).items()
    }


def test_round_trip_is_bit_identical(tmp_path: pathlib.Path) -> None:
    model = PretrainingModel(CONFIG)
    values = random_values(model)
    prefix = str(tmp_path / "bert_model.ckpt")
    write_checkpoint(prefix, values)
    assert {path.name for path in tmp_path.iterdir()} == {
        "bert_model.ckpt.index",
        "bert_model.ckpt.data-00000-of-00001",
    }
    report = load_weights(model.trainable_variables, prefix)
    assert set(report.matched) == set(values) and not report.new and not report.left_over
    for name, value in variable_values(model.trainable_variables).items():
        np.testing.assert_array_equal(value, values[name])
    # TensorFlow's own reader, as every other tool would use it.
    assert dict(tf.train.list_variables(prefix)) == {n: list(v.shape) for n, v in values.items()}


def test_report_of_a_partial_match(tmp_path: pathlib.Path) -> None:
    prefix = str(tmp_path / "bert_model.ckpt")
    write_checkpoint(prefix, random_values(PretrainingModel(CONFIG)))
    classifier = ClassifierModel(CONFIG, 3, seed=7)
    head = classifier.classifier.output_weights.numpy()
    report = load_weights(classifier.trainable_variables, prefix)
    assert set(report.new) == {"output_weights", "output_bias"}
    assert all(name.startswith("cls/") for name in report.left_over) and len(report.left_over) == 7
    np.testing.assert_array_equal(classifier.classifier.output_weights, head)


def test_training_variables_of_an_original_checkpoint_are_left_out(tmp_path: pathlib.Path) -> None:
    model = ClassifierModel(CONFIG, 2)
    values = random_values(model)
    slots = {f"{name}/adam_m": value for name, value in values.items()}
    step = {"global_step": np.array(5, np.int64)}
    prefix = str(tmp_path / "model.ckpt-5")
    write_checkpoint(prefix, {**values, **slots, **step})
    assert set(CheckpointReader(prefix).shapes) == set(values)


def test_nothing_matches_and_wrong_shape(tmp_path: pathlib.Path) -> None:
    model = ClassifierModel(CONFIG, 2)
    before = variable_values(model.trainable_variables)
    prefix = str(tmp_path / "other")
    write_checkpoint(prefix, {"gpt/wte": np.zeros([2, 2], np.float32)})
    with pytest.raises(UserError, match="none of its 1 variables.*gpt/wte"):
        load_weights(model.trainable_variables, prefix)
    values = random_values(model)
    values["bert/pooler/dense/kernel"] = np.zeros([32, 31], np.float32)
    write_checkpoint(prefix, values)
    with pytest.raises(
        UserError, match=r"bert/pooler/dense/kernel has shape \[32, 31\].*\[32, 32\]"
    ):
        load_weights(model.trainable_variables, prefix)
    for name, value in variable_values(model.trainable_variables).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "not a checkpoint"])
def test_damaged_files(tmp_path: pathlib.Path, part: str, damage: str) -> None:
    model = ClassifierModel(CONFIG, 2)
    prefix = str(tmp_path / "bert_model.ckpt")
    write_checkpoint(prefix, random_values(model))
    path = pathlib.Path(f"{prefix}.{part}")
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 0xFF
    path.write_bytes(data[: len(data) // 2] if damage == "truncated" else data)
    if damage == "not a checkpoint":
        path.write_text("hello")
    with pytest.raises(UserError, match="bert_model.ckpt"):
        load_weights(model.trainable_variables, prefix)


def test_finding_checkpoints(tmp_path: pathlib.Path) -> None:
    prefix = str(tmp_path / "bert_model.ckpt")
    write_checkpoint(prefix, {"a": np.zeros(1, np.float32)})
    for path in (str(tmp_path), prefix, f"{prefix}.index", f"{prefix}.data-00000-of-00001"):
        assert find_checkpoint(path) == prefix
    with pytest.raises(UserError, match="nowhere: no checkpoint found"):
        find_checkpoint(str(tmp_path / "nowhere"))


def test_run_state_holds_original_names_and_is_a_checkpoint(tmp_path: pathlib.Path) -> None:
    model = ClassifierModel(CONFIG, 2)
    values = random_values(model)
    for variable in model.trainable_variables:
        variable.assign(values[variable.name.removesuffix(":0")])
    optimizer = AdamWeightDecay(WarmupLinearDecay(1e-3, 10, 0))
    state = RunState(str(tmp_path), model.trainable_variables, optimizer, keep=2)
    state.save()
    reader = CheckpointReader(find_checkpoint(str(tmp_path)))
    assert set(reader.shapes) == set(values)
    for name, value in values.items():
        np.testing.assert_array_equal(reader.read(name), value)


def test_damaged_newest_state_falls_back_to_the_one_before(tmp_path: pathlib.Path) -> None:
    model = ClassifierModel(CONFIG, 2)

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
    values = random_values(ClassifierModel(config, 2))
    folder = str(tmp_path / "model")
    info = {"do_lower_case": False, "labels": ["no", "yes"], "vocab_sha256": "0" * 64}
    write_model_folder(folder, values, config, vocab_file, info)
    found = read_model_folder(folder)
    assert found.config == config
    assert found.labels == ["no", "yes"]
    assert found.info["weights_sha256"] == weights_digest(values)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "bert_config.json",
        "bert_model.ckpt.data-00000-of-00001",
        "bert_model.ckpt.index",
        "model_info.json",
        "vocab.txt",
    ]
    with pytest.raises(UserError, match="do_lower_case=True.*do_lower_case=False"):
        resolve_model(None, None, folder, do_lower_case=True)
    with pytest.raises(UserError, match="SHA-256.*0000"):
        resolve_model(None, None, folder, do_lower_case=False)
    with pytest.raises(UserError, match="--bert_config_file is missing"):
        resolve_model(None, vocab_file, None, do_lower_case=True)
