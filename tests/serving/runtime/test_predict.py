"""The runner of an exported model, in its folder alone."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from serving import Predictor

TEXTS = ["good film .", "bad", "", "Great, GREAT story\tunknownword " * 20]


# Keeps everything of the project, and TensorFlow, from being imported.
ALONE = """
import sys
sys.modules["tensorflow"] = None
sys.path[:] = [path for path in sys.path if path not in ({root!r}, "")] + [{folder!r}]
"""


def run_alone(shipped: pathlib.Path, code: str) -> str:
    root = str(pathlib.Path(__file__).resolve().parents[3])
    code = ALONE.format(root=root, folder=str(shipped)) + code
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=shipped.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


@pytest.mark.parametrize("model", ["model_float32.tflite", "onnx/model.onnx"])
def test_answers_are_those_of_the_model(
    shipped: pathlib.Path, review_student: str, model: str
) -> None:
    code = (
        "import json; from predict import Classifier\n"
        f"print(json.dumps(Classifier(model={model!r}).predict({TEXTS!r})))"
    )
    found = json.loads(run_alone(shipped, code))
    expected = Predictor.load(review_student).predict(TEXTS)
    for answer, wanted in zip(found, expected, strict=True):
        probabilities = list((wanted.probabilities or {}).values())
        np.testing.assert_allclose(answer["probabilities"], probabilities, atol=1e-5)
        assert answer["label"] == ["negative", "positive"][int(wanted.label or 0)]


def test_command_line(shipped: pathlib.Path) -> None:
    command = [sys.executable, "predict.py"]
    by_argument = subprocess.run(
        [*command, *TEXTS[:2]], cwd=shipped, capture_output=True, text=True, check=True
    )
    by_input = subprocess.run(
        command, cwd=shipped, input="good film .\nbad\n", capture_output=True, text=True, check=True
    )
    assert by_argument.stdout == by_input.stdout
    assert (by_argument.stderr, by_input.stderr) == ("", "")
    assert [set(json.loads(line)) for line in by_input.stdout.splitlines()] == [
        {"label", "probabilities"}
    ] * 2


def test_vocabulary_with_other_line_ends(shipped: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """As some ways to copy a folder leave it."""
    plain = (shipped / "vocab.txt").read_bytes()
    folder = shutil.copytree(shipped, tmp_path / "copy", ignore=shutil.ignore_patterns("saved_*"))
    changed = b"\xef\xbb\xbf" + plain.rstrip(b"\n").replace(b"\n", b"\r\n")
    (folder / "vocab.txt").write_bytes(changed)
    code = (
        "import json; from predict import Classifier\n"
        "print(json.dumps(Classifier().tokenizer.tokens))"
    )
    assert json.loads(run_alone(folder, code)) == plain.decode().splitlines()


def test_rows_are_no_longer_than_the_program_takes_them(shipped: pathlib.Path) -> None:
    """They are cut before they get their [SEP]."""
    code = (
        "import numpy, predict, programs, types; rows = []\n"
        "run = lambda ids, mask, segments: rows.append([ids, segments]) or numpy.zeros([1, 2])\n"
        "predict.open_program = lambda *_: programs.Program(run, 9)\n"
        "classifier = predict.Classifier(); classifier.outputs('good ' * 30, 'bad ' * 3)\n"
        "print(*(rows[0][0][0] == classifier.tokenizer.sep_id).nonzero()[0], rows[0][1].sum())"
    )
    assert run_alone(shipped, code).split() == ["4", "8", "4"]


def test_requirements_are_two_lines(shipped: pathlib.Path) -> None:
    lines = (shipped / "requirements.txt").read_text().splitlines()
    assert [re.match(r"[\w-]+", line)[0] for line in lines] == ["ai-edge-litert", "numpy"]


def run_in(folder: pathlib.Path, *arguments: str, given: bytes = b"") -> tuple[str, str]:
    result = subprocess.run(
        [sys.executable, *arguments], cwd=folder, input=given, capture_output=True, check=False
    )
    return result.stdout.decode(), result.stderr.decode()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("nothere.onnx", "there is no .*nothere.onnx; this folder has .*model_float32.tflite"),
        ("nothere.tflite", "there is no .*nothere.tflite; this folder has"),
        ("model_float32.tflit", "there is no "),
        ("model.json", "model.json is no .tflite or .onnx file and no folder of a SavedModel"),
    ],
)
def test_models_that_are_not_there(shipped: pathlib.Path, model: str, message: str) -> None:
    answers, errors = run_in(shipped, "predict.py", f"--model={model}", "good")
    assert not answers and re.match(f"ERROR: --model={model}: .*{message}", errors)
    assert errors.count("\n") == 1


def test_a_runtime_that_is_not_installed(shipped: pathlib.Path) -> None:
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from predict import open_classifier; open_classifier('onnx/model.onnx', 1)"
    )
    _, errors = run_in(shipped, "-c", code)
    assert re.match("ERROR: onnx/model.onnx needs a package .*; pip install onnxruntime.", errors)


def test_lines_that_are_no_utf_8(shipped: pathlib.Path) -> None:
    answers, errors = run_in(shipped, "predict.py", given=b"match goal\ncaf\xe9\nbread\n")
    assert answers.count("\n") == 1
    assert errors.startswith("ERROR: line 2: byte 14 of the input (0xe9) is not valid UTF-8; ")
    assert errors.count("\n") == 1
    _, errors = run_in(shipped, "predict.py", "good", os.fsdecode(b"caf\xe9"))
    assert errors.startswith("ERROR: line 2: byte 7 of the input (0xe9) is not valid UTF-8; ")
    _, errors = run_in(shipped, "predict.py", given="good".encode("utf-16"))
    assert "line 1: byte 0 of" in errors and "`iconv -f utf-16 -t utf-8`" in errors
    found, errors = run_in(shipped, "predict.py", given=b"\xef\xbb\xbfgood\r\nbad")
    assert not errors and found == run_in(shipped, "predict.py", "good", "bad")[0]
