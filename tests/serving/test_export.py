"""Exports as the user makes them: what is kept, what is refused, and what is said."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from models import ODD_CONFIG, random_model, write_classifier, write_student, write_vocabulary
from scripts import run_script

from common.errors import UserError
from modeling.wordpiece import SPECIAL_TOKENS
from serving import Predictor
from serving.comparison import Comparison
from serving.export import ExportOptions, _calibration, _read, _read_texts
from serving.runtime.programs import Program, open_program

WORDS = ["good", "bad", "the", "film", "a", "b"]


@pytest.fixture(scope="module")
def vocab(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_vocabulary(tmp_path_factory.mktemp("vocab") / "vocab.txt", WORDS)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory, vocab: str) -> str:
    return write_student(tmp_path_factory.mktemp("models") / "student", random_model(vocab))


def export(student: str, folder: pathlib.Path, **flags: Any) -> None:
    flags = {"formats": "litert", "quantization": "none", "measure": False, **flags}
    run_script("export_model", input_path=student, output_dir=folder, **flags)


@pytest.mark.parametrize(
    ("after", "before", "agreement", "message"),
    [
        (88.0, 88.5, 99.0, None),
        (87.4, 88.5, 99.0, r"it loses 1.10 points \(88.50 to 87.40\), more than the 1 that "),
        (90.0, 88.5, 94.0, "it decides 6.00 % of the rows differently, more than the 5 % that"),
        (None, None, 96.0, None),
        (None, None, None, None),
    ],
)
def test_gate(
    after: float | None, before: float | None, agreement: float | None, message: str | None
) -> None:
    objection = Comparison(after, before, None, agreement, 0.1).objection(1.0, 5.0)
    assert objection is None if message is None else re.match(message, objection or "")
    assert Comparison(1.0, 1.0, None, 100.0, np.nan).objection(1, 1) == (
        "some of its outputs are NaN or infinite"
    )


def test_what_loses_too_much_is_not_kept(
    tmp_path: pathlib.Path,
    student: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")

    def damaged(path: str) -> Program:
        program = open_program(path)
        return Program(lambda *rows: program(*rows)[:, ::-1]) if "quantized" in path else program

    monkeypatch.setattr("serving.export.open_program", damaged)
    texts = tmp_path / "texts.txt"
    rng = np.random.default_rng(0)
    texts.write_text("".join(" ".join(rng.choice(WORDS, 8)) + "\n" for _ in range(60)))
    both = {"formats": "onnx", "quantization": "none,dynamic_int8", "eval_file": texts}
    with pytest.raises(UserError, match=r"model_quantized.onnx: it decides .* the others are"):
        export(student, tmp_path / "out", **both)
    assert (tmp_path / "out" / "onnx" / "model.onnx").exists()
    assert not (tmp_path / "out" / "onnx" / "model_quantized.onnx").exists()
    assert "Not kept: onnx/model_quantized.onnx: it decides" in caplog.text
    report = json.loads((tmp_path / "out" / "export_report.json").read_text())
    assert [entry["objection"] is None for entry in report["files"]] == [True, False]
    assert json.loads((tmp_path / "out" / "model.json").read_text())["file"] == ("onnx/model.onnx")
    with pytest.raises(UserError, match="none was not written"):
        export(student, tmp_path / "none", **{**both, "quantization": "dynamic_int8"})
    assert not (tmp_path / "none").exists()


def test_rows_are_cut_to_what_a_program_takes(
    tmp_path: pathlib.Path, student: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As its runner cuts them; a row that is cut afterwards has no [SEP]."""
    ends: set[tuple[int, int]] = set()

    def static(path: str) -> Program:
        program = open_program(path)

        def run(ids: np.ndarray, *others: np.ndarray) -> np.ndarray:
            ends.add((ids.shape[1], int(ids[0, -1])))
            return program(ids, *others)

        return Program(run, 6)

    monkeypatch.setattr("serving.export.open_program", static)
    (tmp_path / "texts.txt").write_text("the film " * 9 + "\n")
    limits = {"max_disagreement": 100, "measure": False}
    export(student, tmp_path / "out", formats="onnx", eval_file=tmp_path / "texts.txt", **limits)
    assert ends == {(6, SPECIAL_TOKENS.index("[SEP]"))}


def test_report_and_files(shipped: pathlib.Path) -> None:
    report = json.loads((shipped / "export_report.json").read_text())
    assert [entry["path"] for entry in report["files"]] == [
        "model_float32.tflite",
        "model_dynamic_int8.tflite",
        "onnx/model.onnx",
        "onnx/model_quantized.onnx",
        "saved_model/1",
    ]
    for entry in report["files"]:
        found = entry["comparison"]
        assert (shipped / entry["path"]).exists()
        assert found["interval"][0] <= found["metric"] <= found["interval"][1]
        if "int8" not in entry["path"] and "quantized" not in entry["path"]:
            assert (found["agreement"], found["metric"]) == (100, found["metric_before"])
            assert found["largest_change"] < 1e-5
    assert (report["num_rows"], report["labels"]) == (61, ["negative", "positive"])
    assert json.loads((shipped / "config.json").read_text())["id2label"]["1"] == "positive"
    loaded = tf.saved_model.load(str(shipped / "saved_model" / "1")).signatures
    labels = loaded["labels"]()["labels"].numpy().tolist()
    assert labels == [b"negative", b"positive"]
    table = (shipped / "export_report.md").read_text()
    assert "| onnx/model.onnx | " in table and "61 rows of sst-2 dev" in table


def test_pairs_and_regression(tmp_path: pathlib.Path, vocab: str) -> None:
    """Without metadata for MediaPipe, which has neither; the runner of the folder has both."""
    model = random_model(vocab, labels=())
    student = write_student(tmp_path / "student", model)
    export(student, tmp_path / "out", pairs=True, measure=True)
    info = json.loads((tmp_path / "out" / "model.json").read_text())
    assert (info["output"], info["pairs"], info["labels"]) == ("score", True, [])
    content = (tmp_path / "out" / "model_float32.tflite").read_bytes()
    assert b"TFLITE_METADATA" not in content
    answer = subprocess.run(
        [sys.executable, "predict.py", "the film\tgood a b"],
        cwd=tmp_path / "out",
        capture_output=True,
        text=True,
        check=True,
    )
    (expected,) = Predictor.load(student).predict([("the film", "good a b")])
    assert json.loads(answer.stdout)["score"] == pytest.approx(expected.score, abs=1e-4)
    (measured, *_) = json.loads((tmp_path / "out" / "export_report.json").read_text())["files"]
    for result in measured["measured"].values():
        assert result["times"][0]["median_ms"] > 0 and result["peak_mb"] < 200


def test_labels_of_the_model_stand_for_a_training_set(tmp_path: pathlib.Path, student: str) -> None:
    dev = tmp_path / "dev.csv"
    dev.write_text("text,label\nthe good film,so so\nbad,bad\n")
    flags = {"formats": "onnx", "task_name": "csv", "dev_file": dev, "text_a": "text"}
    export(student, tmp_path / "out", **flags, label="label")
    report = json.loads((tmp_path / "out" / "export_report.json").read_text())
    assert (report["num_rows"], report["labels"]) == (2, ["bad", "so so", "gut für mich"])
    with pytest.raises(UserError, match="no development set to compare on without --label"):
        export(student, tmp_path / "x", **flags)


@pytest.mark.parametrize("label_names", [None, ["no", "perhaps", "yes"]])
@pytest.mark.parametrize("name", [None, "texts.txt", "texts.tsv", "texts.csv"])
def test_texts_beside_tables_of_ones_own(
    tmp_path: pathlib.Path, student: str, name: str | None, label_names: list[str] | None
) -> None:
    """Calibration and pruning, on the task's training set or on files that its columns may suit."""
    for part in ("train", "dev"):
        (tmp_path / f"{part}.csv").write_text("text,label\nthe good film,bad\nbad,so so\n")
    if name:
        header = "text\n" if name.endswith(".csv") else ""
        (tmp_path / name).write_text(f"{header}good\nbad\n")
    options = ExportOptions(
        input_path=student,
        output_dir=str(tmp_path / "out"),
        quantization=["full_int8"],
        task_name="csv",
        data_dir=str(tmp_path),
        text_a="text",
        label="label",
        label_names=label_names,
        calibration_file=name and str(tmp_path / name),
    )
    model, rows = _read(options)
    lengths = [row["input_ids"].shape[1] for row in _calibration(options, model, rows.task)]
    assert lengths == ([3, 3] if name else [5, 3])
    if name:
        texts = [text for _, text, _ in _read_texts([str(tmp_path / name)], options)]
        assert texts == ["good", "bad"]


def test_encoder(tmp_path: pathlib.Path, vocab: str) -> None:
    student = write_student(tmp_path / "student", random_model(vocab, (), has_classifier=False))
    export(student, tmp_path / "out", formats="onnx,saved_model")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["architectures"] == [
        "BertModel"
    ]
    with pytest.raises(UserError, match="--label_names=a,b: .* is an encoder, which has no labels"):
        export(student, tmp_path / "x", label_names="a,b")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"formats": "litert,tflite"}, "--formats: tflite is not one of litert, onnx, saved_model"),
        ({"quantization": "int8"}, "--quantization: int8 is not one of none, float16"),
        ({"formats": "onnx", "quantization": "full_int8"}, "ONNX has no full_int8; add another"),
        ({"quantization": "full_int8"}, "measures activations on texts .* --calibration_file"),
        ({"label_names": "a,b"}, "--label_names=a,b: expected 3 different names"),
        ({"max_seq_length": 18}, "--max_seq_length=18 is more than the model's"),
        ({"max_disagreement": 1}, "--max_disagreement=1.0 has no effect without --task_name"),
        ({"eval_file": "missing.txt"}, "Cannot read missing.txt: No such file"),
        ({"calibration_file": "a.txt"}, "--calibration_file=a.txt has no effect"),
        ({"formats": "saved_model"}, "a SavedModel is float32"),
    ],
)
def test_bad_flags_write_nothing(
    tmp_path: pathlib.Path, student: str, flags: dict[str, Any], message: str
) -> None:
    if flags == {"formats": "saved_model"}:
        flags["quantization"] = "float16"
    with pytest.raises(UserError, match=message):
        export(student, tmp_path / "out", **flags)
    assert list(tmp_path.iterdir()) == []


def test_transformers_js_loads_the_folder(shipped: pathlib.Path, review_student: str) -> None:
    """With Node, and the package @huggingface/transformers in the folder TRANSFORMERS_JS."""
    modules = os.environ.get("TRANSFORMERS_JS")
    if not (modules and shutil.which("node")):
        pytest.skip("Node, or the folder TRANSFORMERS_JS with the package, is not there")
    program = f"""
import {{ pipeline, env }} from '@huggingface/transformers';
env.allowRemoteModels = false;
env.localModelPath = '{shipped.parent}/';
const answers = {{}};
for (const dtype of ['fp32', 'q8']) {{
  const classify = await pipeline('text-classification', '{shipped.name}', {{ dtype }});
  answers[dtype] = await classify(['good film .', 'bad'], {{ top_k: 2 }});
}}
console.log(JSON.stringify(answers));
"""
    result = subprocess.run(
        ["node", "--input-type=module", "-e", program],
        cwd=modules,
        capture_output=True,
        text=True,
        check=True,
    )
    answers = json.loads(result.stdout.splitlines()[-1])
    expected = Predictor.load(review_student).predict(["good film .", "bad"])
    for answer in answers.values():
        for found, wanted in zip(answer, expected, strict=True):
            probabilities = {entry["label"]: entry["score"] for entry in found}
            for label, number in (("negative", "0"), ("positive", "1")):
                assert probabilities[label] == pytest.approx(wanted.probabilities[number], abs=0.05)


def test_pairs_need_a_model_of_two_segments(tmp_path: pathlib.Path, vocab: str) -> None:
    student, texts = str(tmp_path / "student"), tmp_path / "two.tsv"
    config = dataclasses.replace(ODD_CONFIG, type_vocab_size=1)
    write_classifier(student, config, vocab, 2, labels=["0", "1"])
    texts.write_text("good\tbad\n")
    options = ExportOptions(
        input_path=student, output_dir=str(tmp_path / "out"), eval_file=str(texts)
    )
    with pytest.raises(UserError, match="two.tsv.*: found a pair .*student has one segment only"):
        _read(options)


@pytest.mark.parametrize("recorded", [True, False, None])
def test_pairs_as_in_the_training(
    tmp_path: pathlib.Path, vocab: str, recorded: bool | None
) -> None:
    student = str(tmp_path / "student")
    write_classifier(student, ODD_CONFIG, vocab, 2, labels=["0", "1"], pairs=recorded)
    (tmp_path / "one.txt").write_text("good\n")
    (tmp_path / "two.tsv").write_text("good\tbad\n")
    options = ExportOptions(input_path=student, output_dir=str(tmp_path / "out"))
    model, _ = _read(options)
    assert model.pairs == bool(recorded)
    for name, are_pairs in (("one.txt", False), ("two.tsv", True)):
        of_file = dataclasses.replace(options, eval_file=str(tmp_path / name))
        if recorded in (None, are_pairs):
            assert _read(of_file)[0].pairs == are_pairs
            continue
        with pytest.raises(UserError, match=f"{student} was trained on .*, but .*{name}"):
            _read(of_file)
        calibrated = dataclasses.replace(options, calibration_file=of_file.eval_file)
        with pytest.raises(UserError, match=f"{student} was trained on .*, but .*{name}"):
            _calibration(calibrated, model, None)
