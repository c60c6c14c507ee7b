"""Input of engines, and its readers: bare loops of other runtimes, and ours."""

from __future__ import annotations

import argparse
import dataclasses

import numpy as np
import pytest
from models import ODD_CONFIG, random_model, write_student

from benchmarks.engine_input import EngineInput
from benchmarks.inputs import CompareOptions
from benchmarks.ours import engines
from benchmarks.peers import runtimes
from modeling.vocabulary import read_vocabulary


@pytest.fixture(scope="module")
def setting(
    vocab_file: str, task_dir: str, tmp_path_factory: pytest.TempPathFactory
) -> EngineInput:
    folder = tmp_path_factory.mktemp("engines")
    config = dataclasses.replace(ODD_CONFIG, vocab_size=len(read_vocabulary(vocab_file)))
    teacher = write_student(folder / "teacher", random_model(vocab_file, ("0", "1"), config=config))
    values = dict.fromkeys(field.name for field in dataclasses.fields(CompareOptions))
    given = {"teacher": teacher, "sst2_dir": task_dir, "output_dir": str(folder)}
    given |= {"engine_texts": 30, "batch_size": 4, "engines": ["onnxruntime", "openvino"]}
    given |= {"precisions": ["float32"], "vocab_file": vocab_file}
    options = CompareOptions(**{**values, **given})
    return EngineInput(options, "sentences", 16)


def test_rows_are_those_of_the_texts(setting: EngineInput) -> None:
    assert setting.num_texts == 30
    with np.load(setting.rows) as rows:
        assert {name: rows[name].shape for name in rows} == dict.fromkeys(
            ("input_ids", "input_mask", "segment_ids"), (30, 16)
        )


@pytest.mark.parametrize("mode", ["ONNX Runtime, float32", "ONNX Runtime, int8"])
def test_bare_loop(setting: EngineInput, mode: str) -> None:
    pytest.importorskip("onnxruntime")
    values = dict(setting.bare_loops())[mode]
    work, facts = runtimes.prepare(argparse.Namespace(**values))
    assert work() == 30 and facts["version"]


def test_engine_of_ours(setting: EngineInput) -> None:
    pytest.importorskip("onnxruntime")
    values = dict(setting.engines())["onnxruntime float32"]
    work, facts = engines(argparse.Namespace(**values))
    assert work() == 30 and facts["engine"] == "onnxruntime float32"
    command, output = setting.command(values)
    assert command[0] == "create_soft_labels.py" and f"--output_dir={output}" in command
    assert "--engine=onnxruntime" in command and "--max_seq_length=16" in command


def test_peers_label_the_same_texts(setting: EngineInput) -> None:
    assert setting.config.hidden_size == ODD_CONFIG.hidden_size
    values = setting._options.labelling(setting.texts, 16)
    ours = dict(setting.engines())["onnxruntime float32"]
    for name in ("input", "max_seq_length", "batch_size"):
        assert values[name] == ours[name]


def test_only_engines_and_precisions_that_were_chosen(setting: EngineInput) -> None:
    expected = {("onnxruntime", "float32"), ("onnxruntime", "int8"), ("openvino", "float32")}
    for modes in (setting.bare_loops(), setting.engines()):
        assert {(values["engine"], values["precision"]) for _, values in modes} == expected
