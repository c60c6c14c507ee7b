"""Engines beside TensorFlow: a classifier's logits by another runtime, on the CPU of one process.

OpenVINO and ONNX Runtime compute the graph of `serving.onnx_model`, LiteRT the file of
`serving.litert`, both made from the weights in memory. `serving.engine_choice` says which computes.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from common.errors import UserError
from modeling.bert import INPUTS
from modeling.config import BertConfig
from serving import litert, onnx_model
from serving.runtime.programs import open_interpreter
from training.engine import Forward

FLOAT32, BFLOAT16, INT8 = "float32", "bfloat16", "int8"


class Program(NamedTuple):
    """A classifier, as runtimes get it.

    Attributes:
      config: The architecture.
      weights: Float32 arrays by the original's names; each is asked for once, and may be a copy.
      threads: Threads to compute with.
    """

    config: BertConfig
    weights: Mapping[str, np.ndarray]
    threads: int


class Runtime(NamedTuple):
    """A runtime that can compute a classifier.

    Attributes:
      packages: Python packages that it needs.
      install: Argument of `pip install` that brings them.
      precisions: Precisions that it computes in.
      open: Makes the forward pass of a program in one of them.
    """

    packages: tuple[str, ...]
    install: str
    precisions: tuple[str, ...]
    open: Callable[[Program, str], Forward]

    def missing(self) -> str | None:
        """The first of the packages that is not installed."""
        return next((name for name in self.packages if not importlib.util.find_spec(name)), None)


def _as_onnx(batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name: batch[ours].astype(np.int64)
        for name, ours in zip(onnx_model.INPUT_NAMES, INPUTS, strict=True)
    }


def _write_onnx(program: Program, precision: str, folder: str) -> str:
    """The path of a file in ONNX, with the weights in a file beside it, one after the other.

    So none is held twice: runtimes read files piece by piece, or map them. Of a whole program, its
    bytes and the runtime's form of it would stand beside it in memory.
    """
    path, data = os.path.join(folder, "model.onnx"), "weights"
    with open(os.path.join(folder, data), "wb") as file:
        made = onnx_model.onnx_program(program.config, program.weights, data=file)
    with open(path, "wb") as file:
        file.write(made.SerializeToString())
    if precision == INT8:
        float_path, path = path, os.path.join(folder, "int8.onnx")
        onnx_model.quantize_onnx(float_path, path)
    return path


def import_openvino() -> Any:
    """OpenVINO, kept from telling its makers that it is imported.

    It does so by a package of its own, and without that by a stub (`openvino.tools.ovc`).
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _open_openvino(program: Program, precision: str) -> Forward:
    openvino = import_openvino()
    core = openvino.Core()
    if precision == BFLOAT16 and "BF16" not in core.get_property(
        "CPU", "OPTIMIZATION_CAPABILITIES"
    ):
        raise UserError(
            "openvino computes in bfloat16 only where the processor multiplies it, and this one does "
            "not; take precision=float32."
        )
    settings = {
        "INFERENCE_PRECISION_HINT": {FLOAT32: "f32", BFLOAT16: "bf16"}[precision],
        "INFERENCE_NUM_THREADS": program.threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    with tempfile.TemporaryDirectory() as folder:
        model = core.read_model(_write_onnx(program, precision, folder))
        compiled = core.compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()

    def forward(batch: Mapping[str, np.ndarray]) -> np.ndarray:
        return request.infer(_as_onnx(batch))[onnx_model.LOGITS]

    return forward


def _open_onnxruntime(program: Program, precision: str) -> Forward:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = program.threads, 1
    options.log_severity_level = 3  # Errors; what is said of int8 graphs helps nobody.
    with tempfile.TemporaryDirectory() as folder:
        path = _write_onnx(program, precision, folder)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def forward(batch: Mapping[str, np.ndarray]) -> np.ndarray:
        return session.run([onnx_model.LOGITS], _as_onnx(batch))[0]

    return forward


def _open_litert(program: Program, precision: str) -> Forward:
    quantization = {FLOAT32: litert.NONE, INT8: litert.DYNAMIC_INT8}[precision]
    content = litert.convert_classifier(program.config, program.weights, quantization)
    interpreter = open_interpreter(program.threads, model_content=content)
    serve = interpreter.get_signature_runner(litert.SIGNATURE)

    def forward(batch: Mapping[str, np.ndarray]) -> np.ndarray:
        return serve(**{name: batch[name] for name in INPUTS})[litert.LOGITS]

    return forward


RUNTIMES = {
    "openvino": Runtime(
        ("openvino", "onnx"), "-e '.[openvino]'", (FLOAT32, BFLOAT16), _open_openvino
    ),
    "onnxruntime": Runtime(
        ("onnxruntime", "onnx"), "-e '.[onnx]'", (FLOAT32, INT8), _open_onnxruntime
    ),
    "litert": Runtime(("ai_edge_litert",), "ai-edge-litert", (FLOAT32, INT8), _open_litert),
}
