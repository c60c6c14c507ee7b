"""Curves of pre-training as a figure and a table."""

from __future__ import annotations

import json
import pathlib

import pytest
from scripts import run_script

from common.errors import UserError


def point(model: str, millions: int, loss: float) -> dict[str, object]:
    values = {"masked_lm_accuracy": 0.25, "next_sentence_accuracy": 0.9, "seconds": 12.4}
    return {"model": model, "positions": millions * 10**6, "masked_lm_loss": loss, **values}


def test_figure_and_table(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    # The first point below the mark counts.
    curve = [(10, 6.0), (20, 4.9), (30, 5.2), (40, 4.0)]
    points = [*(point("4-128", *p) for p in curve), point("2-128", 20, 5.5)]
    lines = "".join(json.dumps(p) + "\n" for p in points)
    (tmp_path / "curves.jsonl").write_text(lines)
    run_script(
        "experiments/pretraining_curves",
        curves=tmp_path / "curves.jsonl",
        output_dir=tmp_path / "out",
    )
    rows = capsys.readouterr().out.splitlines()
    assert rows[2:] == [
        "| 2/128 | 20 M | 5.500 | 25.0 | 90.0 | not reached | 12 |",
        "| 4/128 | 40 M | 4.000 | 25.0 | 90.0 | 20 M | 12 |",
    ]
    assert (tmp_path / "out" / "pretraining.png").read_bytes().startswith(b"\x89PNG")
    assert list(json.loads((tmp_path / "out" / "pretraining.json").read_text())) == [
        "2/128",
        "4/128",
    ]


def test_other_files_are_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "curves.jsonl").write_text('{"model": "2-128"}\nnonsense\n')
    with pytest.raises(UserError, match="curves.jsonl, line 2: found .nonsense., expected a point"):
        run_script(
            "experiments/pretraining_curves",
            curves=tmp_path / "curves.jsonl",
            output_dir=tmp_path / "out",
        )
