"""ONNX files against the models they were made from, in ONNX Runtime."""

from __future__ import annotations

import json
import pathlib
import sys

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from models import random_model

from common.errors import UserError
from modeling.bert import INPUTS
from serving.onnx_model import INPUT_NAMES, write_onnx, write_quantized_onnx


def outputs(path: pathlib.Path, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(str(path))
    inputs = {n: v.astype(np.int64) for n, v in zip(INPUT_NAMES, batch.values(), strict=True)}
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


@pytest.mark.parametrize("hidden_act", ["gelu", "gelu_erf", "relu"])
def test_classifier(
    tmp_path: pathlib.Path,
    odd_vocab_file: str,
    padded_batch: dict[str, np.ndarray],
    hidden_act: str,
) -> None:
    model = random_model(odd_vocab_file, hidden_act=hidden_act)
    expected = model.network()({n: tf.constant(padded_batch[n]) for n in INPUTS}).numpy()
    write_onnx(str(tmp_path / "model.onnx"), model)
    write_onnx(str(tmp_path / "half.onnx"), model, half=True)
    write_quantized_onnx(str(tmp_path / "int8.onnx"), model)
    for name, tolerance in (("model", 1e-5), ("half", 0.01), ("int8", 0.3)):
        found = outputs(tmp_path / f"{name}.onnx", padded_batch)
        assert set(found) == {"logits"}
        np.testing.assert_allclose(found["logits"], expected, atol=tolerance, err_msg=name)
    properties = onnxruntime.InferenceSession(str(tmp_path / "model.onnx")).get_modelmeta()
    assert json.loads(properties.custom_metadata_map["labels"]) == list(model.labels)


def test_encoder(
    tmp_path: pathlib.Path, odd_vocab_file: str, padded_batch: dict[str, np.ndarray]
) -> None:
    model = random_model(odd_vocab_file, labels=(), has_classifier=False)
    write_onnx(str(tmp_path / "model.onnx"), model)
    expected = model.network().encoder(*map(tf.constant, padded_batch.values()))
    found = outputs(tmp_path / "model.onnx", padded_batch)
    np.testing.assert_allclose(found["pooler_output"], expected.pooled_output, atol=1e-5)
    np.testing.assert_allclose(found["last_hidden_state"], expected.sequence_output, atol=1e-4)


def test_without_the_package(
    tmp_path: pathlib.Path, odd_vocab_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"needs the package onnxruntime; .*\[onnx\]"):
        write_onnx(str(tmp_path / "model.onnx"), random_model(odd_vocab_file))
    assert list(tmp_path.iterdir()) == []
