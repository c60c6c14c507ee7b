"""Input of labelling by engines, for `benchmarks.compare`: a trained model, texts and their ids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.inputs import CompareOptions, write_texts
from benchmarks.serving import read_texts
from data.classifier_records import encode_rows
from modeling.bert import INPUTS
from serving.onnx_model import quantize_onnx, write_onnx
from serving.trained_model import read_trained_model

# Bare loops on ready ids: name, engine and precision; with as many rows in a batch.
_BARE_LOOPS = (
    ("ONNX Runtime", "onnxruntime", "float32"),
    ("ONNX Runtime", "onnxruntime", "int8"),
    ("OpenVINO", "openvino", "float32"),
    ("OpenVINO", "openvino", "bfloat16"),
)
_BARE_ROWS = 64
# Reviews are so much longer.
_SENTENCES_PER_REVIEW = 10
# Engines of ours and their precisions.
_ENGINES = (
    ("tensorflow", "float32"),
    ("tensorflow", "bfloat16"),
    ("onnxruntime", "float32"),
    ("onnxruntime", "int8"),
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
    ("litert", "int8"),
)


class EngineInput:
    """Files of a measurement.

    Attributes:
      texts: File of the texts, one a line.
      rows: npz of the texts' `INPUTS`, as the model reads them.
      num_texts: Number of texts.
      config: The teacher's architecture.

    Args:
      options: Of the comparison.
      kind: "sentences", of SST-2, or "reviews".
      max_seq_length: Length to which texts are cut.
    """

    def __init__(self, options: CompareOptions, kind: str, max_seq_length: int):
        self._options, self._teacher = options, options.need("teacher")
        self.texts = options.path(f"engine_{kind}.txt")
        self.rows = options.path(f"engine_{kind}.npz")
        self._max_seq_length = max_seq_length
        is_table = kind == "sentences"
        source = options.sentences() if is_table else options.need("reviews_file")
        wanted = options.engine_texts // (1 if is_table else _SENTENCES_PER_REVIEW)
        self.num_texts = write_texts(source, self.texts, wanted, is_table)
        model = read_trained_model(self._teacher)
        self.config = model.config
        texts = [(text, None) for text in read_texts(self.texts)]
        encoded = encode_rows(model.tokenizer, texts, max_seq_length)
        arrays: dict[str, Any] = {name: encoded[name] for name in INPUTS}
        np.savez(self.rows, **arrays)
        write_onnx(self._program("float32"), model)
        quantize_onnx(self._program("float32"), self._program("int8"))

    def _program(self, precision: str) -> str:
        """The model's file for the peers, which compute in bfloat16 from float32."""
        kind = "int8" if precision == "int8" else "float32"
        return self._options.path(f"teacher_{kind}.onnx")

    def _is_wanted(self, engine: str, precision: str) -> bool:
        options = self._options
        return engine in options.engines and precision in (*options.precisions, "int8")

    def bare_loops(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and arguments of the peers."""
        for name, engine, precision in _BARE_LOOPS:
            if not self._is_wanted(engine, precision):
                continue
            program = self._program(precision)
            of_loop = {"engine": engine, "precision": precision, "model": program}
            yield f"{name}, {precision}", {**of_loop, "input": self.rows, "batch_size": _BARE_ROWS}

    def engines(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Mode and arguments of ours, from texts to logits."""
        for engine, precision in _ENGINES:
            if not self._is_wanted(engine, precision):
                continue
            yield (
                f"{engine} {precision}",
                {
                    "loop": "engines",
                    "engine": engine,
                    "precision": precision,
                    "model": self._teacher,
                    "input": self.texts,
                    "batch_size": self._options.batch_size,
                    "max_seq_length": self._max_seq_length,
                },
            )

    def command(self, values: dict[str, Any]) -> tuple[list[str], str]:
        """The script with the arguments of `engines`, and the folder that it writes."""
        output = self._options.path("soft_labels")
        flags = {
            "init_checkpoint": self._teacher,
            "input_file": self.texts,
            "output_dir": output,
            "predict_batch_size": self._options.batch_size,
            **{name: values[name] for name in ("engine", "precision", "max_seq_length")},
        }
        arguments = [f"--{name}={value}" for name, value in flags.items()]
        return ["create_soft_labels.py", *arguments], output
