"""Trained models out of folders, and into them."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from models import ODD_CONFIG, write_classifier, write_vocabulary
from runs import info

from checkpoints.model_folder import write_model_folder
from checkpoints.model_sources import resolve_model
from checkpoints.weights import variable_values
from common.content import Content
from common.errors import UserError
from modeling.bert import BertEncoder
from modeling.heads import ClassifierModel
from modeling.layers import Build
from training.identity import Identity, Part
from training.trained_models import (
    load_trained_encoder,
    load_trained_weights,
    software_versions,
    write_trained_model,
)


@pytest.fixture
def vocab(tmp_path: pathlib.Path) -> str:
    return write_vocabulary(tmp_path / "vocab.txt", [])


def test_written_model_is_loaded(tmp_path: pathlib.Path, vocab: str) -> None:
    folder = str(tmp_path / "first")
    model = write_classifier(folder, ODD_CONFIG, vocab, 3, labels=["a", "b", "c"])
    sources = resolve_model(None, None, folder, None)
    data = {"training data": Content("0" * 64, "somewhere")}
    identity = Identity(Part({}, data), None)
    out = tmp_path / "out"
    write_trained_model(str(out), model, sources, 17, {"learning_rate": 0.5}, identity, {"x": 1})
    written = info(out)
    assert (written["global_step"], written["flags"], written["x"]) == (
        17,
        {"learning_rate": 0.5},
        1,
    )
    assert written["made_from"]["training data"]["sha256"] == "0" * 64
    assert written["versions"] == software_versions()
    assert written["vocab_sha256"] == sources.vocab_sha256
    other = ClassifierModel(ODD_CONFIG, 3, seed=9)
    assert load_trained_weights(other, str(out)) == 17
    expected = variable_values(model.trainable_variables)
    for name, value in variable_values(other.trainable_variables).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_model_without_its_head_is_no_trained_one(tmp_path: pathlib.Path, vocab: str) -> None:
    values = variable_values(BertEncoder(ODD_CONFIG, Build(0.02)).trainable_variables)
    write_model_folder(str(tmp_path / "encoder"), values, ODD_CONFIG, vocab, {})
    model = ClassifierModel(ODD_CONFIG, 3)
    message = "variables output_weights, output_bias are missing, .*; do something else"
    with pytest.raises(UserError, match=message):
        load_trained_weights(model, str(tmp_path / "encoder"), "do something else")


def test_encoder_needs_no_pooler(tmp_path: pathlib.Path, vocab: str) -> None:
    encoder = BertEncoder(ODD_CONFIG, Build(0.02, seed=3))
    values = variable_values(encoder.trainable_variables)
    kept = {name: value for name, value in values.items() if "pooler" not in name}
    write_model_folder(str(tmp_path / "whole"), kept, ODD_CONFIG, vocab, {})
    other = BertEncoder(ODD_CONFIG, Build(0.02, seed=4))
    load_trained_encoder(other, str(tmp_path / "whole"))
    found = variable_values(other.trainable_variables)
    name = "bert/encoder/layer_2/output/dense/kernel"
    np.testing.assert_array_equal(found[name], values[name])
    assert not np.array_equal(found["bert/pooler/dense/kernel"], values["bert/pooler/dense/kernel"])
    del kept["bert/embeddings/LayerNorm/beta"]
    write_model_folder(str(tmp_path / "part"), kept, ODD_CONFIG, vocab, {})
    with pytest.raises(UserError, match="bert/embeddings/LayerNorm/beta"):
        load_trained_encoder(other, str(tmp_path / "part"))
