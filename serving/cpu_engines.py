"""Engines beside TensorFlow: a classifier's logits by another runtime, on the CPU of one process.

OpenVINO and ONNX Runtime compute the graph of `serving.onnx_model`, LiteRT the file of
`serving.litert`, both made from the weights in memory. An engine labels or predicts only after its
answers for the first rows were compared with TensorFlow's in float32.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from scipy.special import softmax

from common.errors import UserError
from common.quiet import without_warnings
from modeling.bert import INPUTS
from modeling.config import BertConfig
from serving import litert, onnx_model
from serving.engine import Engine, Forward
from serving.runtime.programs import open_interpreter
from training.devices import describe_devices
from training.strategy import is_single_worker, lengths_may_vary

AUTO, TENSORFLOW = "auto", "tensorflow"
FLOAT32, BFLOAT16, INT8 = "float32", "bfloat16", "int8"

# Largest difference of a probability (of a score: beside the largest score, or 1) from TensorFlow's
# in float32, with which an engine is taken; and the share of rows that must be decided alike. In
# bfloat16 TensorFlow itself differs by 0.014 on SST-2 (docs/measurements.md).
BOUNDS = {FLOAT32: 1e-3, BFLOAT16: 0.03, INT8: 0.2}
EQUAL_DECISIONS = 0.99
# The rows that are compared: the first that have no more tokens than this.
SAMPLE_ROWS, _SAMPLE_TOKENS = 400, 12_000
# Texts of full length in a batch of them.
_SAMPLE_BATCH = 8


class Program(NamedTuple):
    """A classifier in memory, as runtimes get it.

    Attributes:
      config: The architecture.
      weights: Float32 arrays by the original's names.
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


class Agreement(NamedTuple):
    """Agreement of an engine with TensorFlow in float32 on some rows.

    Attributes:
      rows: Number of rows.
      difference: Largest difference of a probability, or of a score (see `BOUNDS`).
      equal: Share of the rows that are decided alike.
    """

    rows: int
    difference: float
    equal: float

    def holds(self, precision: str) -> bool:
        # A value that is no number is beyond every bound.
        return self.difference <= BOUNDS[precision] and self.equal >= EQUAL_DECISIONS

    def __str__(self) -> str:
        return (
            f"on the first {self.rows} rows it differs from TensorFlow in float32 by "
            f"{self.difference:.2g} at most, and {100 * self.equal:.4g} % of decisions are equal"
        )


class Choice:
    """The engine of a model's logits, settled when its first rows are there.

    Attributes:
      names: Other engines than TensorFlow to try, in this order.
      model_precision: Precision of the model in TensorFlow; float32 to compare others with.
      settled: Name and precision of the engine that computes; None as long as that is open.
    """

    def __init__(self, engine: str, precision: str, strategy: tf.distribute.Strategy):
        """Opens nothing yet.

        Args:
          engine: Name of an engine, or "auto" for the fastest that is installed.
          precision: "float32", "bfloat16" or "int8".
          strategy: The devices.

        Raises:
          UserError: The engine is not installed, or does not compute so or there.
        """
        self._engine, self._precision, self._strategy = engine, precision, strategy
        self.names = _candidates(engine, precision, strategy)
        self.model_precision = FLOAT32 if self.names else precision
        self.settled: tuple[str, str] | None = None

    def settle(
        self, program: Callable[[], Program], reference: Forward, features: Mapping[str, np.ndarray]
    ) -> Forward | None:
        """Opens the engine, and says in one line which it is and why.

        Args:
          program: Makes what other runtimes compute.
          reference: The forward pass by TensorFlow, in `model_precision`.
          features: The first rows, int32 `INPUTS` [num_rows, seq_length], one or more.

        Returns:
          The forward pass; None where TensorFlow is to compute.

        Raises:
          UserError: The one engine that was asked for cannot be opened or is not exact enough.
        """
        refused = []
        for name in self.names:
            try:
                forward, agreement = self._opened(name, program(), reference, features)
            except UserError as error:
                if self._engine != AUTO:
                    raise
                refused.append(str(error))
                continue
            self.settled = name, self._precision
            why = ""
            if self._engine == AUTO:
                why = ", the fastest that is installed" + "".join(f" ({text})" for text in refused)
            logging.info("Engine: %s in %s%s; %s.", *self.settled, why, agreement)
            return forward
        self.settled = TENSORFLOW, self.model_precision
        if self._engine == AUTO:
            why = " ".join(refused) or _reason_for_tensorflow(self._precision, self._strategy)
            logging.info("Engine: %s in %s; %s", *self.settled, why)
        return None

    def _opened(
        self,
        name: str,
        program: Program,
        reference: Forward,
        features: Mapping[str, np.ndarray],
    ) -> tuple[Forward, Agreement]:
        """An engine that agrees with TensorFlow on the first rows, and how closely.

        Raises:
          UserError: It does not, or cannot compute the model.
        """
        precision, sample = self._precision, _sample(features)
        try:
            with without_warnings():
                forward = RUNTIMES[name].open(program, precision)
            found = Engine(forward, self._strategy, _SAMPLE_BATCH)(sample)
        except UserError:
            raise
        except Exception as error:  # Each runtime has kinds of its own.
            raise UserError(
                f"{name} cannot compute this model in {precision} ({_first_line(error)}); take "
                "engine=tensorflow."
            ) from error
        agreement = compare(Engine(reference, self._strategy, _SAMPLE_BATCH)(sample), found)
        if not agreement.holds(precision):
            raise UserError(
                f"{name} in {precision} is not exact enough for this model: {agreement}, where "
                f"{BOUNDS[precision]:g} and {100 * EQUAL_DECISIONS:g} % are the bounds; take "
                "engine=tensorflow, or precision=float32."
            )
        return forward, agreement


def _is_one_cpu(strategy: tf.distribute.Strategy) -> bool:
    """Whether other runtimes can take the place of TensorFlow's devices."""
    return (
        is_single_worker(strategy)
        and lengths_may_vary(strategy)
        and strategy.num_replicas_in_sync == 1
        and not any("GPU" in device for device in strategy.extended.worker_devices)
    )


def _candidates(engine: str, precision: str, strategy: tf.distribute.Strategy) -> list[str]:
    """Other engines than TensorFlow to try, in their order; errors as of `Choice`."""
    if engine not in ENGINES or precision not in BOUNDS:
        raise UserError(
            f"found engine={engine} and precision={precision}, expected one of {', '.join(ENGINES)}, "
            f"and one of {', '.join(BOUNDS)}."
        )
    if engine == AUTO:
        names = [
            name
            for name in FASTEST[precision]
            if _is_one_cpu(strategy) and not RUNTIMES[name].missing()
        ]
        if not names and precision == INT8:
            raise UserError(
                "precision=int8 is computed by LiteRT or ONNX Runtime, on the CPU of one process; "
                "there, install LiteRT (pip install ai-edge-litert), or take another precision."
            )
        return names
    if engine == TENSORFLOW:
        if precision == INT8:
            raise UserError(
                "engine=tensorflow computes in float32 or bfloat16, found precision=int8; take "
                "engine=litert, or another precision."
            )
        return []
    if not _is_one_cpu(strategy):
        raise UserError(
            f"engine={engine} computes on the CPU of one process, but the devices are "
            f"{describe_devices(strategy)}; take engine=auto, with which TensorFlow computes there."
        )
    runtime = RUNTIMES[engine]
    if precision not in runtime.precisions:
        raise UserError(
            f"engine={engine} computes in {' or '.join(runtime.precisions)}, found "
            f"precision={precision}; take one of these, or engine=auto."
        )
    if missing := runtime.missing():
        raise UserError(
            f"engine={engine} needs the package {missing}; install it (pip install "
            f"{runtime.install}), or take engine=auto."
        )
    return [engine]


def _reason_for_tensorflow(precision: str, strategy: tf.distribute.Strategy) -> str:
    if not _is_one_cpu(strategy):
        return "others compute on the CPU of one process alone."
    fastest = RUNTIMES[FASTEST[precision][0]]
    return f"no faster one is installed for {precision} (pip install {fastest.install})."


def _sample(features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The first rows."""
    tokens = features["input_mask"][:SAMPLE_ROWS].sum(axis=1).cumsum()
    rows = max(1, int(np.searchsorted(tokens, _SAMPLE_TOKENS, side="right")))
    return {name: features[name][:rows] for name in INPUTS}


def compare(expected: np.ndarray, found: np.ndarray) -> Agreement:
    """Agreement of logits, or of the scores of a regression, float32 [num_rows, num_outputs]."""
    if expected.shape[1] == 1:
        scale = max(1.0, float(np.abs(expected).max()))
        return Agreement(len(expected), float(np.abs(found - expected).max()) / scale, 1.0)
    before, after = (softmax(x.astype(np.float64), axis=1) for x in (expected, found))
    equal = (before.argmax(axis=1) == after.argmax(axis=1)).mean()
    return Agreement(len(expected), float(np.abs(after - before).max()), float(equal))


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))


def _as_onnx(batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name: batch[ours].astype(np.int64)
        for name, ours in zip(onnx_model.INPUT_NAMES, INPUTS, strict=True)
    }


def _open_openvino(program: Program, precision: str) -> Forward:
    import openvino

    core = openvino.Core()
    if precision == BFLOAT16 and "BF16" not in core.get_property(
        "CPU", "OPTIMIZATION_CAPABILITIES"
    ):
        raise UserError(
            "openvino computes in bfloat16 only where the processor multiplies it, and this one does "
            "not; take precision=float32."
        )
    content = onnx_model.onnx_program(program.config, program.weights).SerializeToString()
    settings = {
        "INFERENCE_PRECISION_HINT": {FLOAT32: "f32", BFLOAT16: "bf16"}[precision],
        "INFERENCE_NUM_THREADS": program.threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = core.compile_model(core.read_model(content), "CPU", settings)
    request = compiled.create_infer_request()

    def forward(batch: Mapping[str, np.ndarray]) -> np.ndarray:
        return request.infer(_as_onnx(batch))[onnx_model.LOGITS]

    return forward


def _open_onnxruntime(program: Program, precision: str) -> Forward:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = program.threads, 1
    options.log_severity_level = 3  # Errors; what is said of int8 graphs helps nobody.
    made = onnx_model.onnx_program(program.config, program.weights)
    with tempfile.TemporaryDirectory() as folder:
        source: Any = made.SerializeToString() if precision == FLOAT32 else None
        if precision == INT8:
            source = os.path.join(folder, "int8.onnx")
            onnx_model.quantize_onnx(made, source)
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])

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
ENGINES: Sequence[str] = (AUTO, TENSORFLOW, *RUNTIMES)
# Those that are faster than TensorFlow, the fastest first (docs/measurements.md). LiteRT in float32
# is not, and takes seconds to convert.
FASTEST = {
    FLOAT32: ("openvino", "onnxruntime"),
    BFLOAT16: ("openvino",),
    INT8: ("litert", "onnxruntime"),
}
