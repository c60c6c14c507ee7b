"""A row at a time by an exported program."""

from __future__ import annotations

import argparse
import pathlib
import sys

import numpy as np
import pytest
from models import random_model, write_vocabulary

from benchmarks.peers import exported
from serving.onnx_model import write_onnx


def test_program_of_ids(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(sys, "path", list(sys.path))  # It adds the folder of the runner.
    path = str(tmp_path / "model.onnx")
    write_onnx(path, random_model(write_vocabulary(tmp_path / "vocab.txt", [])))
    work, _ = exported.prepare(
        argparse.Namespace(loop="ids", model=path, max_seq_length=16, batches=3)
    )
    assert work() == 3
    outputs = np.asarray(exported._ids(path, 16)())
    assert outputs.shape == (1, 3)
