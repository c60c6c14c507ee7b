"""Input of labelling by engines, for `benchmarks.compare`: a trained model, texts and their ids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from benchmarks.inputs import CompareOptions, write_texts
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


class EngineInput(NamedTuple):
    """Files of a measurement.

    Attributes:
      teacher: The model.
      programs: Its ONNX files by precision, float32 and int8.
      texts: File of texts, one a line.
      rows: npz of their `INPUTS`, as the model reads them.
      num_texts: Number of texts.
      max_seq_length: Length to which they are cut.
      batch_size: Rows of full length in a batch of ours.
      output: Folder for soft labels.
    """

    teacher: str
    programs: dict[str, str]
    texts: str
    rows: str
    num_texts: int
    max_seq_length: int
    batch_size: int
    output: str

    @classmethod
    def write(cls, options: CompareOptions, kind: str, max_seq_length: int) -> EngineInput:
        """Writes the files; `kind` is "sentences", of SST-2, or "reviews"."""
        is_table = kind == "sentences"
        texts, rows = options.path(f"engine_{kind}.txt"), options.path(f"engine_{kind}.npz")
        source = options.sentences() if is_table else options.need("reviews_file")
        wanted = options.engine_texts // (1 if is_table else _SENTENCES_PER_REVIEW)
        count = write_texts(source, texts, wanted, is_table)
        teacher = options.need("teacher")
        model = read_trained_model(teacher)
        with open(texts, encoding="utf-8") as file:
            lines = [(line, None) for line in file.read().splitlines()]
        encoded = encode_rows(model.tokenizer, lines, max_seq_length)
        arrays: dict[str, Any] = {name: encoded[name] for name in INPUTS}
        np.savez(rows, **arrays)
        programs = {p: options.path(f"teacher_{p}.onnx") for p in ("float32", "int8")}
        write_onnx(programs["float32"], model)
        quantize_onnx(programs["float32"], programs["int8"])
        output = options.path("soft_labels")
        size = options.batch_size
        return cls(teacher, programs, texts, rows, count, max_seq_length, size, output)

    def bare_loops(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and arguments of the peers."""
        for name, engine, precision in _BARE_LOOPS:
            program = self.programs["int8" if precision == "int8" else "float32"]
            yield (
                f"{name}, {precision}",
                {
                    "engine": engine,
                    "precision": precision,
                    "model": program,
                    "input": self.rows,
                    "batch_size": _BARE_ROWS,
                },
            )

    def engines(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Mode and arguments of ours, from texts to logits."""
        for engine, precision in _ENGINES:
            yield (
                f"{engine} {precision}",
                {
                    "loop": "engines",
                    "engine": engine,
                    "precision": precision,
                    "model": self.teacher,
                    "input": self.texts,
                    "batch_size": self.batch_size,
                    "max_seq_length": self.max_seq_length,
                },
            )

    def command(self, values: dict[str, Any]) -> tuple[list[str], str]:
        """The script with the arguments of `engines`, and the folder that it writes."""
        flags = {
            "init_checkpoint": self.teacher,
            "input_file": self.texts,
            "output_dir": self.output,
            "predict_batch_size": self.batch_size,
            **{name: values[name] for name in ("engine", "precision", "max_seq_length")},
        }
        arguments = [f"--{name}={value}" for name, value in flags.items()]
        return ["create_soft_labels.py", *arguments], self.output
