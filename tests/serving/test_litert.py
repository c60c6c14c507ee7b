"""LiteRT files against the models they were made from, in LiteRT's own runtime."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated
from ai_edge_litert.interpreter import Interpreter
from models import random_model

from common.errors import UserError
from modeling.config import named_config
from serving.litert import convert, padded, static_lengths
from serving.trained_model import TrainedModel, network_outputs


def outputs(content: bytes, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return Interpreter(model_content=content).get_signature_runner("serve")(**inputs)


def expected(model: TrainedModel, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    tensors = map(tf.constant, inputs.values())
    found = network_outputs(model, model.network(), *tensors)
    return {name: value.numpy() for name, value in found.items()}


@pytest.mark.parametrize(
    ("quantization", "hidden_act", "tolerance"),
    [("none", "gelu", 1e-5), ("float16", "gelu_erf", 1e-3), ("dynamic_int8", "gelu", 0.02)],
)
def test_classifier(
    odd_vocab_file: str,
    padded_batch: dict[str, np.ndarray],
    quantization: str,
    hidden_act: str,
    tolerance: float,
) -> None:
    model = random_model(odd_vocab_file, hidden_act=hidden_act)
    content = convert(model, quantization)
    found = outputs(content, padded_batch)
    wanted = expected(model, padded_batch)
    assert set(found) == {"probabilities"}
    np.testing.assert_allclose(found["probabilities"], wanted["probabilities"], atol=tolerance)
    assert np.ptp(wanted["probabilities"], axis=0).max() > 10 * tolerance
    longer = {name: padded(value, 17) for name, value in padded_batch.items()}
    one = {name: value[2:3, :9] for name, value in padded_batch.items()}
    for inputs, rows in ((longer, slice(None)), (one, slice(2, 3))):
        again = outputs(content, inputs)["probabilities"]
        np.testing.assert_allclose(again, wanted["probabilities"][rows], atol=tolerance)


def test_int8_is_a_byte_a_parameter(vocab_file: str) -> None:
    """No matrix of Tiny stays in float32; the rest is scales, biases, norms and the graph."""
    config = named_config("tiny")
    assert config
    model = random_model(vocab_file, config=config)
    content = convert(model, "dynamic_int8")
    assert len(content) < 1.025 * model.num_parameters
    program = schema_py_generated.ModelT.InitFromPackedBuf(content)
    (graph,) = program.subgraphs
    in_float = [t for t in graph.tensors if t.type == schema_py_generated.TensorType.FLOAT32]
    stored = [program.buffers[tensor.buffer].data for tensor in in_float]
    assert max(len(data) for data in stored if data is not None) <= 4 * 512


@pytest.mark.parametrize("has_classifier", [True, False])
def test_regression_and_encoder(
    odd_vocab_file: str, padded_batch: dict[str, np.ndarray], has_classifier: bool
) -> None:
    model = random_model(odd_vocab_file, labels=(), has_classifier=has_classifier)
    found = outputs(convert(model), padded_batch)
    wanted = expected(model, padded_batch)
    assert set(found) == ({"score"} if has_classifier else {"pooled_output", "sequence_output"})
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, atol=1e-4)


def test_full_int8(odd_vocab_file: str, padded_batch: dict[str, np.ndarray]) -> None:
    pytest.importorskip("ai_edge_quantizer")
    model = random_model(odd_vocab_file)
    rows = [{name: value[i : i + 1] for name, value in padded_batch.items()} for i in range(4)]
    (length,) = static_lengths(model)
    interpreter = Interpreter(model_content=convert(model, "full_int8", rows))
    runner = interpreter.get_signature_runner(f"len_{length}")
    found = [runner(**{n: padded(v, length) for n, v in row.items()}) for row in rows]
    wanted = expected(model, padded_batch)["probabilities"]
    close = np.concatenate([output["probabilities"] for output in found])
    # Weights of this size are no task for int8 (a trained student loses little): the same trend.
    assert np.corrcoef(close.ravel(), wanted.ravel())[0, 1] > 0.7
    with pytest.raises(UserError, match="needs texts to measure activations on"):
        convert(model, "full_int8")


def test_without_the_quantizer(odd_vocab_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_quantizer", None)
    with pytest.raises(UserError, match=r"needs the package ai-edge-quantizer.*\[litert\]"):
        convert(random_model(odd_vocab_file), "full_int8")
