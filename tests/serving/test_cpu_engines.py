"""Engines beside TensorFlow: the same logits."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from models import random_model
from scripts import ROOT

from modeling.bert import INPUTS
from serving.cpu_engines import BFLOAT16, FLOAT32, INT8, RUNTIMES, Program, import_openvino
from training.engine import Forward


def forward_of(model: Any) -> Forward:
    network = model.network()
    return lambda batch: network({name: tf.constant(batch[name]) for name in INPUTS}).numpy()


MODELS: list[tuple[str, tuple[str, ...]]] = [
    ("gelu", ("bad", "fine", "good")),
    ("gelu_erf", ("bad", "good")),
    ("gelu", ()),
]


@pytest.mark.parametrize(
    ("engine", "precision", "tolerance", "hidden_act", "labels"),
    [
        *(("onnxruntime", FLOAT32, 1e-5, *model) for model in MODELS),
        *(("onnxruntime", INT8, 0.3, *model) for model in MODELS),
        *(("openvino", FLOAT32, 1e-5, *model) for model in MODELS),
        *(("openvino", BFLOAT16, 0.1, *model) for model in MODELS),
        # Conversion takes seconds; that of all models is in test_litert.py.
        ("litert", FLOAT32, 1e-5, *MODELS[1]),
        ("litert", INT8, 0.3, *MODELS[2]),
    ],
)
def test_logits_are_those_of_tensorflow(
    odd_vocab_file: str,
    padded_batch: dict[str, np.ndarray],
    engine: str,
    precision: str,
    tolerance: float,
    hidden_act: str,
    labels: tuple[str, ...],
) -> None:
    """Texts and pairs of any length, in batches of any size; a regression has no labels."""
    for package in RUNTIMES[engine].packages:
        pytest.importorskip(package)
    model = random_model(odd_vocab_file, labels, hidden_act)
    if precision == BFLOAT16:
        core = import_openvino().Core()
        if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            pytest.skip("this processor does not multiply bfloat16")
    forward = RUNTIMES[engine].open(Program(model.config, model.weights, 1), precision)
    expected = forward_of(model)(padded_batch)
    for rows, length in ((4, 11), (2, 5), (1, 1), (4, 11)):
        cut = {name: value[:rows, :length] for name, value in padded_batch.items()}
        found = forward(cut)
        assert found.dtype == np.float32
        if length == 11:
            np.testing.assert_allclose(found, expected, atol=tolerance)
        else:
            np.testing.assert_allclose(found, forward_of(model)(cut), atol=tolerance)


def test_openvino_tells_nobody() -> None:
    """In a process of its own, where nothing has imported it."""
    if not importlib.util.find_spec("openvino"):
        pytest.skip("openvino is not installed")
    code = (
        "import sys; from serving.cpu_engines import import_openvino; import_openvino();"
        "from openvino.tools.ovc import telemetry; print(type(telemetry).__module__);"
        "print([name for name in sys.modules if name.startswith('openvino_telemetry.')])"
    )
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == ["openvino.tools.ovc.telemetry_stub", "[]"]
