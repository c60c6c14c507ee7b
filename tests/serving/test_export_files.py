"""Which files an export is made of."""

from __future__ import annotations

import json
import os
import pathlib

import pytest
from models import random_model

from checkpoints.formats import find_weights
from checkpoints.model_folder import read_model_folder
from common.errors import UserError
from serving.export_files import check_choices, planned_forms, write_companions
from serving.trained_model import TrainedModel


@pytest.fixture(scope="module")
def model(odd_vocab_file: str) -> TrainedModel:
    return random_model(odd_vocab_file)


@pytest.mark.parametrize(
    ("formats", "quantizations", "paths"),
    [
        (["litert"], ["none", "float16"], ["model_float32.tflite", "model_float16.tflite"]),
        (
            ["onnx", "litert"],
            ["none", "dynamic_int8"],
            [
                *("model_float32.tflite", "model_dynamic_int8.tflite"),
                *("onnx/model.onnx", "onnx/model_quantized.onnx"),
            ],
        ),
        # A SavedModel has one precision; ONNX has no form in full int8.
        (["saved_model"], ["dynamic_int8", "none"], ["saved_model/1"]),
        (["onnx", "saved_model"], ["full_int8"], ["saved_model/1"]),
        (["onnx"], ["float16"], ["onnx/model_fp16.onnx"]),
    ],
)
def test_programs(
    model: TrainedModel, formats: list[str], quantizations: list[str], paths: list[str]
) -> None:
    forms = planned_forms(model, formats, quantizations, ())
    assert [form.path for form in forms] == paths
    assert all(form.runs for form in forms)


def test_nothing_to_write(model: TrainedModel) -> None:
    with pytest.raises(UserError, match="--formats=onnx --quantization=full_int8: ONNX has no"):
        planned_forms(model, ["onnx"], ["full_int8"], ())


@pytest.mark.parametrize(
    ("formats", "quantizations", "message"),
    [
        (["litert", "coreml"], ["none"], "--formats: coreml is not one of litert, onnx, saved"),
        (["litert"], ["int4"], "--quantization: int4 is not one of none, float16"),
    ],
)
def test_choices(formats: list[str], quantizations: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_choices(formats, quantizations)
    check_choices(["onnx"], ["none"])


def test_model_folder_beside_the_programs(model: TrainedModel, tmp_path: pathlib.Path) -> None:
    form, *_ = planned_forms(model, ["onnx"], ["none"], (), with_model_folder=True)
    assert (form.path, form.runs) == ("model", False)
    form.write(str(tmp_path / "model"))
    folder = read_model_folder(find_weights(str(tmp_path / "model")))
    assert folder and folder.labels == list(model.labels)
    assert (folder.max_seq_length, folder.config) == (17, model.config)


@pytest.mark.parametrize(
    ("written", "default", "requirement"),
    [
        (["model_float32.tflite", "onnx/model.onnx"], "model_float32.tflite", "ai-edge-litert"),
        (
            ["model_float32.tflite", "model_dynamic_int8.tflite"],
            "model_dynamic_int8.tflite",
            "ai-edge-litert",
        ),
        (["onnx/model.onnx", "onnx/model_quantized.onnx"], "onnx/model.onnx", "onnxruntime"),
    ],
)
def test_runner(
    model: TrainedModel, tmp_path: pathlib.Path, written: list[str], default: str, requirement: str
) -> None:
    write_companions(str(tmp_path), model, written, "mein Modell für 1")
    info = json.loads((tmp_path / "model.json").read_text())
    assert (info["file"], info["name"], info["output"]) == (
        default,
        "mein_Modell_f_r_1",
        "probabilities",
    )
    assert info["vocab_sha256"] == model.tokenizer.sha256 and info["max_seq_length"] == 17
    assert (tmp_path / "requirements.txt").read_text().startswith(requirement)
    assert (tmp_path / "labels.txt").read_text() == "bad\nso so\ngut für mich\n"
    assert (tmp_path / "vocab.txt").read_text().split("\n")[:-1] == model.tokenizer.tokens
    runner = {"predict.py", "programs.py", "measure.py", "server.py", "page.html", "wordpiece.py"}
    assert runner <= set(os.listdir(tmp_path))
    assert (tmp_path / "config.json").exists() == ("onnx/model.onnx" in written)


@pytest.mark.parametrize("data", ["{}", "\ufeff{}\n", "{}\r\n"])
def test_vocabulary_of_any_line_ends(
    odd_vocab_file: str, tmp_path: pathlib.Path, data: str
) -> None:
    """The library's files beside an ONNX program do not bring it back as it was."""
    tokens = pathlib.Path(odd_vocab_file).read_text().split()
    source = tmp_path / "source.txt"
    line_end = "\r\n" if "\r" in data else "\n"
    source.write_bytes(data.format(line_end.join(tokens)).encode())
    write_companions(str(tmp_path), random_model(str(source)), ["onnx/model.onnx"], "x")
    assert (tmp_path / "vocab.txt").read_bytes() == pathlib.Path(odd_vocab_file).read_bytes()


def test_no_runner_for_a_saved_model_alone(model: TrainedModel, tmp_path: pathlib.Path) -> None:
    write_companions(str(tmp_path), model, ["saved_model/1"], "x")
    assert sorted(os.listdir(tmp_path)) == ["labels.txt", "vocab.txt"]
