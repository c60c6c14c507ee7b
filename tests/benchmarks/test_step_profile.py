"""The table of a profile; the step is ended before it begins."""

from __future__ import annotations

import argparse
import collections

import pytest
from scripts import run_script

from benchmarks import ours, timing


def test_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[argparse.Namespace] = []
    calls: list[int] = []

    def training(arguments: argparse.Namespace) -> tuple:
        asked.append(arguments)
        return lambda: calls.append(1), {}

    times = collections.Counter({"Sum": 1.0, "MatMul": 38.9, "NoOp": 0.1})
    monkeypatch.setattr(ours, "training", training)
    monkeypatch.setattr(timing, "operation_times", lambda work: times)
    run_script("benchmarks/step_profile", input="rows.npz", size="6/512", steps=10, batch_size=4)
    assert vars(asked[0]) == {
        "loop": "pretraining",
        "input": "rows.npz",
        "model": "6,512",
        "precision": "bfloat16",
        "batch_size": 4,
        "batches": 10,
    }
    assert len(calls) == 2  # The first of them is not measured.
    summary, *lines = capsys.readouterr().out.splitlines()
    assert summary.endswith("its operations 4.0 ms:")
    assert lines == [
        "| Operation | ms per step | share |",
        "|---|---|---|",
        "| MatMul | 3.89 | 97 % |",
        "| Sum | 0.10 | 2 % |",
    ]
