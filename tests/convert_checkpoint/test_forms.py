"""Conversion between all forms, by flags."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from converted_models import classifier_weights, pretrained_weights, write_model
from models import ODD_CONFIG, random_weights
from runs import contents, filled
from scripts import run_script

from checkpoints.formats import find_weights, open_weights
from checkpoints.weights import CheckpointReader, write_checkpoint
from common.errors import UserError
from modeling.config import BertConfig, named_config
from modeling.heads import ClassifierModel
from modeling.optimization import AdamWeightDecay, WarmupLinearDecay
from modeling.tokenization import FullTokenizer
from training.run_state import RunState

PATH = ["hf", "model_garden", "tf1"]


def regression_weights(config: BertConfig) -> dict[str, np.ndarray]:
    return random_weights(ClassifierModel(config, 1))


def assert_same_weights(folder: str, weights: dict[str, np.ndarray]) -> None:
    reader = open_weights(find_weights(folder))
    assert set(reader.shapes) == set(weights)
    for name, value in weights.items():
        np.testing.assert_array_equal(reader.read(name), value, err_msg=name)


@pytest.mark.parametrize(
    ("make", "labels"),
    [
        (pretrained_weights, None),
        (classifier_weights, ["no", "maybe", "yes"]),
        (regression_weights, []),
    ],
)
def test_round_trip_through_all_forms(
    tmp_path: pathlib.Path, odd_vocab_file: str, make: Any, labels: list[str] | None
) -> None:
    config = dataclasses.replace(
        ODD_CONFIG, num_hidden_layers=2, hidden_act="gelu_erf", extra={"pooler_type": "first"}
    )
    weights = make(config)
    info = {} if labels is None else {"labels": labels}
    start = write_model(
        tmp_path / "start", weights, odd_vocab_file, config, do_lower_case=False, **info
    )
    folder = start
    for form in PATH:
        target = str(tmp_path / form)
        run_script("convert_checkpoint", input_path=folder, output_format=form, output_dir=target)
        assert find_weights(target).form == form
        assert_same_weights(target, weights)
        folder = target
    before, after = (
        json.loads((pathlib.Path(path) / "bert_config.json").read_text())
        for path in (start, folder)
    )
    assert before == after
    description = json.loads((tmp_path / "tf1" / "model_info.json").read_text())
    assert description.get("labels") == labels
    assert description["do_lower_case"] is False
    assert description["vocab_sha256"] == FullTokenizer(odd_vocab_file, False).sha256
    assert (tmp_path / "tf1" / "vocab.txt").read_text() == pathlib.Path(odd_vocab_file).read_text()


def test_round_trip_of_tiny(tmp_path: pathlib.Path) -> None:
    config = named_config("tiny")
    assert config
    weights = pretrained_weights(config)
    folder = write_model(tmp_path / "start", weights, None, config)
    for form in PATH:
        target = str(tmp_path / form)
        run_script("convert_checkpoint", input_path=folder, output_format=form, output_dir=target)
        folder = target
    assert_same_weights(folder, weights)


def test_a_run_with_its_optimizer(tmp_path: pathlib.Path) -> None:
    model = ClassifierModel(ODD_CONFIG, 3)
    optimizer = AdamWeightDecay(WarmupLinearDecay(1e-3, 10, 0))
    state = RunState(str(tmp_path / "run"), model.trainable_variables, optimizer, keep=1)
    for variable, moment in zip(model.trainable_variables, optimizer.first_moments, strict=True):
        moment.assign(tf.random.stateless_normal(variable.shape, [1, 2]))
    state.step_variable.assign(7)
    state.save()
    config_file = tmp_path / "bert_config.json"
    config_file.write_text(ODD_CONFIG.to_json())
    arguments = {
        "input_path": tmp_path / "run",
        "input_format": "run",
        "bert_config_file": config_file,
        "labels": "no,maybe,yes",
    }
    with_optimizer, without = tmp_path / "with", tmp_path / "without"
    run_script("convert_checkpoint", **arguments, include_optimizer=True, output_dir=with_optimizer)
    run_script("convert_checkpoint", **arguments, output_dir=without)
    # What an Estimator asks for: the name in `checkpoint`, three arrays per variable and the step.
    assert tf.train.latest_checkpoint(str(with_optimizer)) == str(
        with_optimizer / "bert_model.ckpt"
    )
    written = tf.train.load_checkpoint(str(with_optimizer))
    names = [v.name.removesuffix(":0") for v in model.trainable_variables]
    assert set(written.get_variable_to_shape_map()) == {
        "global_step",
        *names,
        *(f"{name}/adam_m" for name in names),
        *(f"{name}/adam_v" for name in names),
    }
    assert written.get_tensor("global_step") == 7
    assert written.get_variable_to_dtype_map()["global_step"] == tf.int64
    for name, moment in zip(names, optimizer.first_moments, strict=True):
        np.testing.assert_array_equal(written.get_tensor(f"{name}/adam_m"), moment.numpy())
    assert set(CheckpointReader(str(without / "bert_model.ckpt")).shapes) == set(names)
    assert tf.train.latest_checkpoint(str(without)) is None


@pytest.fixture(scope="module")
def bad_models(tmp_path_factory: pytest.TempPathFactory, odd_vocab_file: str) -> pathlib.Path:
    """A folder of a good model, and of some that are not."""
    tmp_path = tmp_path_factory.mktemp("bad_models")
    weights = pretrained_weights(ODD_CONFIG)
    write_model(tmp_path / "good", weights, odd_vocab_file)
    missing = dict(weights)
    del missing["bert/encoder/layer_2/output/dense/kernel"]
    write_model(tmp_path / "missing", missing, odd_vocab_file)
    transposed = dict(weights)
    name = "bert/encoder/layer_1/output/dense/kernel"
    transposed[name] = transposed[name].T
    write_model(tmp_path / "transposed", transposed, odd_vocab_file)
    other = dataclasses.replace(ODD_CONFIG, num_hidden_layers=2)
    write_model(tmp_path / "other", weights, odd_vocab_file, other)
    (tmp_path / "text").write_text("not a checkpoint")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("kept")
    write_checkpoint(str(tmp_path / "bare"), weights)
    for name, change in (
        ("heads", {"num_attention_heads": 8}),
        ("erf", {"hidden_act": "gelu_erf"}),
    ):
        config = dataclasses.replace(ODD_CONFIG, **change)
        (tmp_path / f"{name}.json").write_text(config.to_json())
    return tmp_path


@pytest.mark.parametrize(
    ("source", "message", "arguments"),
    [
        ("missing", r"layer_2/output/dense/kernel with shape \[37, 32\] is missing", {}),
        ("transposed", r"\[32, 37\].*\[37, 32\]; it is stored transposed", {}),
        ("other", "layer_2/... exist.*num_hidden_layers 2", {}),
        ("text", "--input_path=.*text: no checkpoint found", {}),
        ("bare", "--bert_config_file is missing", {}),
        ("good", "--input_format=hf, but .* has the form tf1", {"input_format": "hf"}),
        ("good", "names 2 labels, there is no classifier", {"labels": "no,yes"}),
        ("good", "holds no optimizer state", {"include_optimizer": True}),
        (
            "good",
            "--pairs has no effect: .*good.* holds no classifier",
            {"pairs": True, "output_format": "saved_model", "include_tokenizer": True},
        ),
        (
            "good",
            "--include_optimizer has no effect without --output_format=tf1; .* optimizer state",
            {"include_optimizer": True, "output_format": "hf"},
        ),
        (
            "good",
            "num_attention_heads 8, but the weights of .* were made with 4",
            {"bert_config_file": "{folder}/heads.json"},
        ),
        (
            "good",
            "hidden_act gelu_erf, but the weights of .* were made with gelu;",
            {"bert_config_file": "{folder}/erf.json"},
        ),
        ("good", "full exists already and is not empty", {"output_dir": "{folder}/full"}),
    ],
)
def test_bad_input_writes_nothing(
    bad_models: pathlib.Path, source: str, message: str, arguments: dict[str, Any]
) -> None:
    before = contents(bad_models)
    run = {"input_path": f"{{folder}}/{source}", "output_dir": "{folder}/out", **arguments}
    with pytest.raises(UserError, match=message):
        run_script("convert_checkpoint", **filled(run, folder=bad_models))
    assert contents(bad_models) == before
