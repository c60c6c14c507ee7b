"""Bare loops of ONNX Runtime and OpenVINO on ready ids, for `benchmarks.compare`.

What a program of one's own would do: rows sorted by length, batches cut to their longest row, dynamic
shapes, all cores; nothing is read, tokenized or written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.serving import arguments, serve


def prepare(args: argparse.Namespace) -> tuple[Callable[[], int], Mapping[str, Any]]:
    """See `benchmarks.serving.serve`."""
    import numpy as np

    with np.load(args.input) as file:
        rows = [file[name].astype(np.int64) for name in ("input_ids", "input_mask", "segment_ids")]
    lengths = rows[1].sum(axis=1)
    order = np.argsort(-lengths, kind="stable")
    names = ("input_ids", "attention_mask", "token_type_ids")
    batches = []
    for start in range(0, len(order), args.batch_size):
        picked = order[start : start + args.batch_size]
        longest = lengths[picked].max()
        batches.append({n: x[picked, :longest] for n, x in zip(names, rows, strict=True)})
    opened, version = {"onnxruntime": _onnxruntime, "openvino": _openvino}[args.engine](args)

    def work() -> int:
        return sum(len(opened(batch)) for batch in batches)

    work()
    return work, {"version": version}


def _onnxruntime(args: argparse.Namespace) -> tuple[Callable[[Any], Any], str]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(args.model, options, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(["logits"], batch)[0], onnxruntime.__version__


def _openvino(args: argparse.Namespace) -> tuple[Callable[[Any], Any], str]:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # As we do.
    import openvino

    core = openvino.Core()
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if args.precision == "bfloat16" and "BF16" not in capabilities:
        raise RuntimeError("this processor does not multiply bfloat16")
    precision = {"float32": "f32", "bfloat16": "bf16"}[args.precision]
    settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    compiled = core.compile_model(args.model, "CPU", settings)
    request = compiled.create_infer_request()
    return lambda batch: request.infer(batch)["logits"], openvino.__version__


if __name__ == "__main__":
    serve(prepare, arguments())
