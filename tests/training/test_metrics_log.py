"""What the log of a run says of its best evaluation."""

from __future__ import annotations

import json
import math
import pathlib

import pytest

from common.errors import UserError
from training.metrics_log import best_evaluation, read_metrics


def write(folder: pathlib.Path, *records: dict[str, object], end: str = "") -> None:
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "metrics.jsonl").write_text(lines + end)


def test_best_evaluation(tmp_path: pathlib.Path) -> None:
    scores = [math.nan, -3.0, -1.0, -2.0, -1.0]
    evaluations = [{"step": i, "kind": "eval", "score": score} for i, score in enumerate(scores)]
    train = {"step": 9, "kind": "train", "loss": 1.0, "score": 5.0}
    write(tmp_path, train, *evaluations, end='{"step": 4, "kind": "eval", "sco')
    assert best_evaluation(str(tmp_path)) == evaluations[2]
    assert read_metrics(str(tmp_path))[2:] == evaluations[1:]


def test_no_evaluation(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match=r"Cannot read .*metrics\.jsonl"):
        best_evaluation(str(tmp_path))
    write(tmp_path, {"step": 9, "kind": "train", "loss": 1.0})
    with pytest.raises(
        UserError, match=r"metrics\.jsonl has no evaluation whose score is a number; run"
    ):
        best_evaluation(str(tmp_path))
