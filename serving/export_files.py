"""The files of an exported model: programs in their forms, and what lies beside them."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import modeling.wordpiece
import serving.runtime
from checkpoints.hugging_face import write_configuration
from checkpoints.model_folder import tokenizer_info, write_model_folder
from classification.predictions import LABELS_FILE, label_lines
from common.atomic import copy_file, write_json, write_text
from common.errors import UserError
from common.files import open_binary
from modeling.vocabulary import VOCAB_FILE
from serving import litert, litert_metadata, onnx_model
from serving.saved_model import write_model_program
from serving.trained_model import TrainedModel

LITERT, ONNX, SAVED_MODEL = "litert", "onnx", "saved_model"
FORMATS = (LITERT, ONNX, SAVED_MODEL)
RUNTIME_FOLDER = os.path.dirname(serving.runtime.__file__)
_RUNNER_FILES = ("predict.py", "programs.py", "measure.py", "server.py", "page.html")
# Packages that the runner needs, by the ending of the program that it runs.
_REQUIREMENTS = {".tflite": "ai-edge-litert>=2.0\nnumpy\n", ".onnx": "onnxruntime\nnumpy\n"}
# transformers.js and Optimum look for these.
_ONNX_NAMES = {
    litert.NONE: "model.onnx",
    litert.FLOAT16: "model_fp16.onnx",
    litert.DYNAMIC_INT8: "model_quantized.onnx",
}


@dataclasses.dataclass(frozen=True)
class Form:
    """A program to write.

    Attributes:
      path: Place in the exported folder.
      write: Writes it, given a path.
      runs: Whether it is a program; a model folder is none.
    """

    path: str
    write: Callable[[str], None]
    runs: bool = True


def check_choices(formats: Sequence[str], quantizations: Sequence[str]) -> None:
    """Raises a UserError where --formats or --quantization name something that there is not."""
    for flag, given, known in (
        ("formats", formats, FORMATS),
        ("quantization", quantizations, litert.QUANTIZATIONS),
    ):
        if unknown := [value for value in given if value not in known]:
            raise UserError(f"--{flag}: {unknown[0]} is not one of {', '.join(known)}.")


def planned_forms(
    model: TrainedModel,
    formats: Sequence[str],
    quantizations: Sequence[str],
    calibration: Sequence[Mapping[str, np.ndarray]],
    with_model_folder: bool = False,
) -> list[Form]:
    """Programs to write of a model.

    Args:
      model: The model.
      formats: Some of `FORMATS`.
      quantizations: Some of `litert.QUANTIZATIONS`.
      calibration: As for `litert.convert`.
      with_model_folder: Whether the model is written as a model folder as well.

    Raises:
      UserError: A package is missing, or no form has these quantizations.
    """
    forms: list[Form] = []
    if LITERT in formats:
        forms += _litert_forms(model, quantizations, calibration)
    if ONNX in formats:
        onnx_model.import_onnx()
        forms += _onnx_forms(model, quantizations)
    if SAVED_MODEL in formats:
        forms.append(
            Form(os.path.join("saved_model", "1"), lambda path: write_model_program(path, model))
        )
    if with_model_folder:
        forms.insert(0, Form("model", lambda path: _write_model_folder(path, model), runs=False))
    if not forms:
        raise UserError(
            f"--formats={','.join(formats)} --quantization={','.join(quantizations)}: "
            "ONNX has no full_int8; add another format or quantization."
        )
    return forms


def _write_model_folder(path: str, model: TrainedModel) -> None:
    info: dict[str, Any] = {
        **tokenizer_info(model.tokenizer),
        "max_seq_length": model.max_seq_length,
    }
    if model.lineage:
        info["lineage"] = model.lineage
    if model.has_classifier:
        info |= {"labels": list(model.labels), "pairs": model.known_pairs}
    write_model_folder(path, model.weights, model.config, model.tokenizer.vocab_file, info)


def _litert_forms(
    model: TrainedModel,
    quantizations: Sequence[str],
    calibration: Sequence[Mapping[str, np.ndarray]],
) -> Iterator[Form]:
    reason = litert_metadata.reason_against(model)
    if reason:
        logging.info("The LiteRT files get no metadata for MediaPipe: %s.", reason)
    for quantization in quantizations:
        if quantization == litert.FULL_INT8:
            litert.import_quantizer()

        def write(path: str, quantization: str = quantization) -> None:
            content = litert.convert(model, quantization, calibration)
            if reason is None and quantization != litert.FULL_INT8:
                content = litert_metadata.with_metadata(content, model)
            with open_binary(path, "wb") as file:
                file.write(content)

        name = "float32" if quantization == litert.NONE else quantization
        yield Form(f"model_{name}.tflite", write)


def _onnx_forms(model: TrainedModel, quantizations: Sequence[str]) -> Iterator[Form]:
    for quantization in quantizations:
        if quantization not in _ONNX_NAMES:
            logging.info("ONNX has no form in %s; it is left out.", quantization)
            continue

        def write(path: str, quantization: str = quantization) -> None:
            if quantization == litert.DYNAMIC_INT8:
                onnx_model.write_quantized_onnx(path, model)
            else:
                onnx_model.write_onnx(path, model, half=quantization == litert.FLOAT16)

        yield Form(os.path.join("onnx", _ONNX_NAMES[quantization]), write)


def write_companions(folder: str, model: TrainedModel, written: Sequence[str], name: str) -> None:
    """Writes what programs need beside them: tokenizer, labels, runner and server.

    Args:
      folder: The exported folder.
      model: The model.
      written: Paths of the programs in the folder.
      name: Name of the model for the server.
    """
    tokenizer = model.tokenizer
    write_text(os.path.join(folder, VOCAB_FILE), "".join(f"{x}\n" for x in tokenizer.tokens))
    if model.labels:
        write_text(os.path.join(folder, LABELS_FILE), label_lines(model.labels))
    if any(path.endswith(".onnx") for path in written):
        write_configuration(
            folder,
            model.weights,
            model.config,
            tokenizer.vocab_file,
            tokenizer.do_lower_case,
            model.labels,
            tokenizer.settings,
            model.max_seq_length,
        )
    files = [path for path in written if path.endswith((".tflite", ".onnx"))]
    if not files:
        return
    for file in _RUNNER_FILES:
        copy_file(os.path.join(RUNTIME_FOLDER, file), os.path.join(folder, file))
    source = modeling.wordpiece.__file__
    copy_file(source, os.path.join(folder, os.path.basename(source)))
    default = min(files, key=lambda path: (path.endswith(".onnx"), "dynamic_int8" not in path))
    requirements = _REQUIREMENTS[os.path.splitext(default)[1]]
    write_text(os.path.join(folder, "requirements.txt"), requirements)
    write_json(os.path.join(folder, "model.json"), _runner_info(model, default, name))


def _runner_info(model: TrainedModel, default: str, name: str) -> dict[str, Any]:
    """Content of `model.json`, for `runtime/predict.py`."""
    return {
        "name": re.sub(r"[^A-Za-z0-9_.-]", "_", name),  # It is a part of an address.
        "file": default,
        "output": model.output,
        "labels": list(model.labels),
        "pairs": model.pairs,
        "max_seq_length": model.max_seq_length,
        "do_lower_case": model.tokenizer.do_lower_case,
        "tokenizer_settings": model.tokenizer.settings.to_dict(),
        "vocab_sha256": model.tokenizer.sha256,
    }
