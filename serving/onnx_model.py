"""ONNX programs of trained models, written operation by operation from the weights.

No exporter stands between: none of today's converts every BERT (`tf2onnx` writes an invalid file for
the erf GELU), and a graph written here has the operations that runtimes know (LayerNormalization,
Gelu), dynamic batch and length, and the names that Optimum and transformers.js expect.

Source: Operators.md of onnx, operator set 20.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

from common.errors import UserError
from modeling.bert import MASKED_SCORE
from modeling.config import ACTIVATION_FUNCTIONS, BertConfig
from modeling.heads import CLASSIFIER_BIAS, CLASSIFIER_WEIGHTS
from serving.trained_model import TrainedModel

OPSET = 20
# The format of the file that came with operator set 20; newer ones are refused by older runtimes.
_IR_VERSION = 9
# Of the inputs, in the order of `modeling.bert.INPUTS`.
INPUT_NAMES = ("input_ids", "attention_mask", "token_type_ids")
LOGITS = "logits"
LAST_HIDDEN_STATE, POOLER_OUTPUT = "last_hidden_state", "pooler_output"

# Inputs of a Slice that takes the first token of [batch_size, seq_length, hidden_size].
_FIRST_TOKEN = {"first_token/from": 0, "first_token/to": 1, "first_token/axis": 1}

# `modeling.config.ACTIVATION_FUNCTIONS` -> operator and its attributes.
_ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "gelu_tanh": ("Gelu", {"approximate": "tanh"}),
    "gelu_erf": ("Gelu", {"approximate": "none"}),
    "relu": ("Relu", {}),
    "tanh": ("Tanh", {}),
    "linear": ("Identity", {}),
}


def import_onnx() -> Any:
    """The package onnx.

    Raises:
      UserError: It, or onnxruntime, is not installed.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"ONNX needs the package {error.name}; install it (pip install -e '.[onnx]'), or take "
            "another form."
        ) from error
    return onnx


def write_onnx(path: str, model: TrainedModel, half: bool = False) -> None:
    """Writes a program in ONNX, checked by `onnx.checker`.

    Its inputs are int64 `input_ids`, `attention_mask` and `token_type_ids` [batch_size, seq_length].
    Its outputs are float32 `logits` [batch_size, num_labels]; of an encoder `last_hidden_state`
    [batch_size, seq_length, hidden_size] and `pooler_output` [batch_size, hidden_size].

    Args:
      path: The file.
      model: The model.
      half: Store weights in float16. They are cast to float32 when the file is loaded, so that it
        computes on every processor.

    Raises:
      UserError: A package is missing.
    """
    onnx = import_onnx()
    program = onnx_program(model.config, model.weights, half)
    onnx.helper.set_model_props(program, _properties(model))
    onnx.checker.check_model(program, full_check=True)
    onnx.save(program, path)


def onnx_program(
    config: BertConfig,
    weights: Mapping[str, np.ndarray],
    half: bool = False,
    data: BinaryIO | None = None,
) -> Any:
    """The program of a model, as in `write_onnx`, without metadata and not checked.

    Args:
      config: The architecture.
      weights: Float32 arrays by the original's names, with a classifier or without.
      half: As in `write_onnx`.
      data: A file beside that of the program, into which the weights are written.

    Returns:
      `onnx.ModelProto`.
    """
    import onnx

    helper, types = onnx.helper, onnx.TensorProto
    axes = ["batch_size", "sequence_length"]
    width = config.hidden_size
    outputs: dict[str, list[Any]] = {
        LAST_HIDDEN_STATE: [*axes, width],
        POOLER_OUTPUT: ["batch_size", width],
    }
    if CLASSIFIER_WEIGHTS in weights:
        outputs = {LOGITS: ["batch_size", len(weights[CLASSIFIER_WEIGHTS])]}
    program = helper.make_model(
        helper.make_graph(
            [],
            "bert",
            [helper.make_tensor_value_info(name, types.INT64, axes) for name in INPUT_NAMES],
            [helper.make_tensor_value_info(n, types.FLOAT, s) for n, s in outputs.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        producer_name="pretrained-distillation",
    )
    # Only now: each step above copies what it is given.
    _add_network(_Graph(onnx, program.graph, half, data), config, weights)
    return program


def quantize_onnx(source: Any, target: str) -> None:
    """Writes a float32 program with weights in int8, one scale per channel; activations on the fly.

    `source` is its file, or an `onnx.ModelProto`.

    Weights have 7 bits: on processors without VNNI instructions the sums of two products of 8 bits
    overflow, and predictions are wrong (onnxruntime, issues 5849 and 6004).
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        source, target, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True
    )


def write_quantized_onnx(path: str, model: TrainedModel) -> None:
    """`write_onnx` and `quantize_onnx`."""
    import_onnx()
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "model.onnx")
        write_onnx(source, model)
        quantize_onnx(source, path)


def _properties(model: TrainedModel) -> dict[str, str]:
    """Metadata in the file, for programs that read nothing else."""
    return {
        "labels": json.dumps(model.labels, ensure_ascii=False),
        "do_lower_case": json.dumps(model.tokenizer.do_lower_case),
        "max_seq_length": str(model.max_seq_length),
        "vocab_sha256": model.tokenizer.sha256,
    }


class _Graph:
    """Nodes and constants of a graph, in the order in which they are added."""

    def __init__(self, onnx: Any, graph: Any, half: bool, data: BinaryIO | None):
        self._onnx, self._graph, self._half, self._data = onnx, graph, half, data
        self.float_type = onnx.TensorProto.FLOAT

    def constant(self, name: str, value: Any) -> str:
        """A constant, which is not stored in float16 in any case."""
        # np.ascontiguousarray would make a vector of a scalar.
        array = np.asarray(value, order="C")
        self._graph.initializer.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def _external(self, name: str, value: np.ndarray) -> str:
        """A constant whose bytes are in `data`."""
        assert self._data
        types, start = self._onnx.TensorProto, self._data.tell()
        self._data.write(np.ascontiguousarray(value, "<f4").tobytes())
        tensor = self._graph.initializer.add()
        tensor.name, tensor.data_type, tensor.data_location = name, types.FLOAT, types.EXTERNAL
        tensor.dims.extend(value.shape)
        place = {
            "location": os.path.basename(self._data.name),
            "offset": start,
            "length": self._data.tell() - start,
        }
        for key, entry in place.items():
            tensor.external_data.add(key=key, value=str(entry))
        return name

    def weight(self, name: str, value: np.ndarray) -> str:
        if self._data:
            return self._external(name, value)
        if not self._half:
            return self.constant(name, np.asarray(value, np.float32))
        stored = self.constant(f"{name}/float16", value.astype(np.float16))
        return self.add("Cast", [stored], name, to=self.float_type)

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Adds an operation and returns the name of its output."""
        node = self._onnx.helper.make_node(kind, inputs, [output], name=output, **attributes)
        self._graph.node.append(node)
        return output


def _add_network(graph: _Graph, config: BertConfig, weights: Mapping[str, np.ndarray]) -> None:
    function, attributes = _ACTIVATIONS[ACTIVATION_FUNCTIONS[config.hidden_act]]
    heads = config.num_attention_heads
    by_head = graph.constant("by_head", np.array([0, 0, heads, config.head_size], np.int64))
    joined = graph.constant("joined", np.array([0, 0, config.hidden_size], np.int64))

    def dense(x: str, scope: str, scale: float = 1.0) -> str:
        kernel = graph.weight(f"{scope}/kernel", weights[f"{scope}/kernel"] * np.float32(scale))
        bias = graph.weight(f"{scope}/bias", weights[f"{scope}/bias"] * np.float32(scale))
        return graph.add("Add", [graph.add("MatMul", [x, kernel], f"{scope}/product"), bias], scope)

    def norm(x: str, scope: str) -> str:
        gamma, beta = (
            graph.weight(name, weights[name]) for name in (f"{scope}/gamma", f"{scope}/beta")
        )
        return graph.add(
            "LayerNormalization", [x, gamma, beta], scope, axis=-1, epsilon=config.layer_norm_eps
        )

    def split(x: str, order: list[int]) -> str:
        shaped = graph.add("Reshape", [x, by_head], f"{x}/by_head")
        return graph.add("Transpose", [shaped], f"{x}/split", perm=order)

    is_classifier = CLASSIFIER_WEIGHTS in weights
    mask = _add_mask(graph)
    x = norm(_add_embeddings(graph, weights), "bert/embeddings/LayerNorm")
    for i in range(config.num_hidden_layers):
        scope = f"bert/encoder/layer_{i}"
        own = f"{scope}/attention/self"
        selected = x
        if is_classifier and i == config.num_hidden_layers - 1:
            # Of the last layer a classifier reads [CLS] alone (`modeling.bert.select_first`).
            bounds = (graph.constant(n, np.array([v], np.int64)) for n, v in _FIRST_TOKEN.items())
            selected = graph.add("Slice", [x, *bounds], f"{x}/first_token")
        query = split(dense(selected, f"{own}/query", config.head_size**-0.5), [0, 2, 1, 3])
        key = split(dense(x, f"{own}/key"), [0, 2, 3, 1])
        value = split(dense(x, f"{own}/value"), [0, 2, 1, 3])
        scores = graph.add("MatMul", [query, key], f"{own}/scores")
        masked = graph.add("Add", [scores, mask], f"{own}/masked")
        shares = graph.add("Softmax", [masked], f"{own}/shares", axis=-1)
        context = graph.add("MatMul", [shares, value], f"{own}/context")
        context = graph.add("Transpose", [context], f"{own}/by_token", perm=[0, 2, 1, 3])
        context = graph.add("Reshape", [context, joined], f"{own}/joined")
        attended = dense(context, f"{scope}/attention/output/dense")
        total = graph.add("Add", [attended, selected], f"{scope}/attention/output/sum")
        x = norm(total, f"{scope}/attention/output/LayerNorm")
        hidden = dense(x, f"{scope}/intermediate/dense")
        hidden = graph.add(function, [hidden], f"{scope}/intermediate/activation", **attributes)
        total = graph.add("Add", [dense(hidden, f"{scope}/output/dense"), x], f"{scope}/output/sum")
        x = norm(total, f"{scope}/output/LayerNorm")
    first = graph.add(
        "Gather", [x, graph.constant("first", np.array(0, np.int64))], "first_token", axis=1
    )
    pooled = dense(first, "bert/pooler/dense")
    if not is_classifier:
        graph.add("Identity", [x], LAST_HIDDEN_STATE)
        graph.add("Tanh", [pooled], POOLER_OUTPUT)
        return
    pooled = graph.add("Tanh", [pooled], "pooled")
    kernel = graph.weight(CLASSIFIER_WEIGHTS, weights[CLASSIFIER_WEIGHTS])
    bias = graph.weight(CLASSIFIER_BIAS, weights[CLASSIFIER_BIAS])
    graph.add("Gemm", [pooled, kernel, bias], LOGITS, transB=1)


def _add_embeddings(graph: _Graph, weights: Mapping[str, np.ndarray]) -> str:
    scope = "bert/embeddings"
    words, types, positions = (
        graph.weight(f"{scope}/{kind}_embeddings", weights[f"{scope}/{kind}_embeddings"])
        for kind in ("word", "token_type", "position")
    )
    ids, _, type_ids = INPUT_NAMES
    length = graph.add("Shape", [ids], "length", start=1, end=2)
    zero = graph.constant("zero", np.array([0], np.int64))
    used = graph.add("Slice", [positions, zero, length], f"{scope}/positions")
    total = graph.add(
        "Add",
        [
            graph.add("Gather", [words, ids], f"{scope}/words"),
            graph.add("Gather", [types, type_ids], f"{scope}/types"),
        ],
        f"{scope}/words_and_types",
    )
    return graph.add("Add", [total, used], f"{scope}/sum")


def _add_mask(graph: _Graph) -> str:
    """Mask that is added to the attention scores, [batch_size, 1, 1, seq_length]."""
    mask = graph.add("Cast", [INPUT_NAMES[1]], "mask", to=graph.float_type)
    axes = graph.constant("mask_axes", np.array([1, 2], np.int64))
    mask = graph.add("Unsqueeze", [mask, axes], "mask/unsqueezed")
    padding = graph.add(
        "Sub", [graph.constant("one", np.array(1, np.float32)), mask], "mask/padding"
    )
    score = graph.constant("masked_score", np.array(MASKED_SCORE, np.float32))
    return graph.add("Mul", [padding, score], "mask/scores")
