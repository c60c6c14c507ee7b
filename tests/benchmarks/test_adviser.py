"""The largest model within a budget."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import onnx
import pytest
from models import ODD_CONFIG, random_model, write_student
from scripts import run_script

from benchmarks.adviser import AdviserOptions, Row, short_name, verdict
from common.errors import UserError
from modeling.vocabulary import read_vocabulary


def row(model: str, parameters: int, file: str, megabytes: float, ms: float, threads: int) -> Row:
    return Row(model, parameters, file, megabytes, threads, 1, ms, 2 * ms, 50.0)


ROWS = [
    row("tiny", 4, "a.tflite", 4.5, 0.1, 1),
    row("tiny", 4, "a.tflite", 4.5, 0.05, 2),
    row("mini", 11, "a.tflite", 11.0, 0.5, 1),
    row("mini", 11, "b.onnx", 11.5, 0.4, 1),
    row("small", 29, "a.tflite", 29.0, 2.0, 1),
]


@pytest.mark.parametrize(
    ("limits", "answer"),
    [
        ({}, "Largest within your limits: small as a.tflite, 2.00 ms, 29.0 MB."),
        ({"max_ms": 1.0}, "Largest within your limits: mini as b.onnx, 0.40 ms, 11.5 MB."),
        ({"max_mb": 11.2}, "Largest within your limits: mini as a.tflite, 0.50 ms, 11.0 MB."),
        ({"max_ms": 0.07}, "No model is within your limits; the fastest, tiny as a.tflite, takes "),
    ],
)
def test_verdict(limits: dict[str, Any], answer: str) -> None:
    assert verdict(ROWS, AdviserOptions(**limits)).startswith(answer)


def test_names_in_the_plot() -> None:
    names = [short_name(model) for model in ("tiny", "4/128", "runs/student", "runs/student/")]
    assert names == ["tiny", "4/128", "student", "student"]


def test_measured(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_script(
        "benchmark_models",
        output_dir=tmp_path,
        formats="onnx",
        models="1/64",
        seq_length=16,
        batch_sizes="1,4",
        max_mb=100,
    )
    table = capsys.readouterr().out
    assert table == (tmp_path / "models.md").read_text()
    assert table.splitlines()[-1].startswith("Largest within your limits: 1/64 as onnx/model_quan")
    rows = json.loads((tmp_path / "models.json").read_text())["rows"]
    assert [row["batch_size"] for row in rows] == [1, 4]
    assert all(row["megabytes"] < 1.1 * row["parameters"] / 1e6 for row in rows)
    assert (tmp_path / "models.png").stat().st_size > 1000


def test_a_model_is_measured_with_its_own_weights(
    tmp_path: pathlib.Path, vocab_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its labels and vocabulary too; two of one architecture are two models."""
    config = dataclasses.replace(ODD_CONFIG, vocab_size=len(read_vocabulary(vocab_file)))
    students = {
        str(tmp_path / name): random_model(vocab_file, labels, config=config)
        for name, labels in (("first", ("a", "b", "c")), ("second", ("d", "e", "f")))
    }
    for path, model in students.items():
        write_student(pathlib.Path(path), model)
    programs = []

    def read_program(path: str, *_: object) -> dict[str, Any]:
        programs.append(onnx.load(path))
        return {"times": [{"batch_size": 1, "median_ms": 1, "p95_ms": 1}], "peak_mb": 1}

    monkeypatch.setattr("benchmarks.adviser.probe", read_program)
    flags = {"formats": "onnx", "quantization": "none", "models": ",".join(students)}
    run_script("benchmark_models", output_dir=tmp_path / "out", seq_length=16, **flags)
    for program, model in zip(programs, students.values(), strict=True):
        properties = {item.key: item.value for item in program.metadata_props}
        assert json.loads(properties["labels"]) == list(model.labels)
        stored = {item.name: onnx.numpy_helper.to_array(item) for item in program.graph.initializer}
        bias = stored["output_bias"]
        np.testing.assert_array_equal(bias, model.weights["output_bias"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            {"models": "nothing"},
            "--models: nothing is no model with its configuration, nor one of tiny",
        ),
        ({"threads": "0"}, "--threads: found 0, expected whole numbers from 1 on"),
        ({"formats": "tflite"}, "--formats: tflite is not one of"),
        ({"formats": "", "max_ms": 1}, "--max_ms=1.0 has no effect without --formats"),
        ({"batch_size": 2}, "--batch_size=2 has no effect with --formats"),
    ],
)
def test_bad_flags(tmp_path: pathlib.Path, flags: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run_script("benchmark_models", output_dir=tmp_path, **{"formats": "onnx", **flags})
