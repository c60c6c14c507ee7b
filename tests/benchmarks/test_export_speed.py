"""The table of exported programs, and the lengths that a folder can be measured at."""

from __future__ import annotations

import json
import pathlib

import pytest
from scripts import run_script

from benchmarks import contestants
from benchmarks.contestants import Result, Server
from common.errors import UserError


@pytest.fixture
def shipped(tmp_path: pathlib.Path) -> pathlib.Path:
    for name in ("onnx", "saved_model/1"):
        (tmp_path / name).mkdir(parents=True)
    files = ("model_dynamic_int8.tflite", "model_float32.tflite")
    for name in (*files, "onnx/model_quantized.onnx", "onnx/model.onnx"):
        (tmp_path / name).touch()
    (tmp_path / "model.json").write_text(json.dumps({"max_seq_length": 64}))
    return tmp_path


def test_texts_that_would_be_cut_are_refused(shipped: pathlib.Path) -> None:
    with pytest.raises(UserError, match="cut texts at 64 tokens, so 128 .*--max_seq_length=128"):
        run_script("benchmarks/export_speed", folder=shipped, output_dir=shipped / "speed")
    assert not (shipped / "speed").exists()


def test_table(shipped: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each program the fastest round counts, and the first program is compared with the others."""

    def run_rounds(servers: list[Server], rounds: int, **_: float) -> list[Result]:
        results = [
            Result(s.result.name, [500 / (i + 1), 1000 / (i + 1)]) for i, s in enumerate(servers)
        ]
        return [*results[:-1], Result(servers[-1].result.name, problem="no interpreter")]

    monkeypatch.setattr(contestants, "run_rounds", run_rounds)
    run_script(
        "benchmarks/export_speed", folder=shipped, output_dir=shipped / "speed", lengths="32"
    )
    lines = (shipped / "speed" / "export_speed.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert rows[2] == ["LiteRT int8", "1.000", "1.0"]
    assert rows[4] == ["LiteRT float32", "3.000", "3.0"]
    assert rows[9] == ["Hugging Face, PyTorch eager", "no interpreter", ""]
    assert "fastest of 2 rounds of 30 rows" in lines[-1]
