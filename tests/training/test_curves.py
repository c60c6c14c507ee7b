"""plot_runs.py: what it draws of the logs of runs."""

from __future__ import annotations

import json
import pathlib

import pytest
from scripts import run_script

from common.errors import UserError
from training.curves import plot, read_curves


@pytest.fixture
def runs(tmp_path: pathlib.Path) -> pathlib.Path:
    """Two runs of the same name; the second was made before speeds were put on record."""
    for run, rate in (("a/student", 1.0), ("b/student", 2.0)):
        records: list[dict[str, object]] = [
            {"step": step, "kind": "train", "loss": rate * step, "gradient_norm": 1.0}
            for step in (10, 20)
        ]
        records.append({"step": 20, "kind": "eval", "eval_accuracy": 0.5, "loss": 3, "score": 0.5})
        (tmp_path / run).mkdir(parents=True)
        text = "".join(json.dumps(record) + "\n" for record in records)
        (tmp_path / run / "metrics.jsonl").write_text(text + '{"step": 30, "kin')
    speed = {"step": 10, "kind": "train", "examples_per_second": 7.0}
    (tmp_path / "a/student/speed.jsonl").write_text(json.dumps(speed) + "\n")
    return tmp_path


def test_values_of_training_and_evaluation_are_told_apart(runs: pathlib.Path) -> None:
    assert read_curves(f"{runs}/a/student") == {
        "loss": [(10, 10), (20, 20)],
        "gradient_norm": [(10, 1), (20, 1)],
        "eval_accuracy": [(20, 0.5)],
        "eval_loss": [(20, 3)],
        "eval_score": [(20, 0.5)],
        "examples_per_second": [(10, 7)],
    }


def test_axes_and_lines(runs: pathlib.Path) -> None:
    curves = {name: read_curves(f"{runs}/{name}/student") for name in ("a", "b")}
    figure = plot(curves, ["loss", "eval_accuracy", "examples_per_second", "gradient_norm"])
    drawn = [
        (axes.get_title(), [line.get_xydata().tolist() for line in axes.get_lines()])
        for axes in figure.axes
    ]
    assert drawn == [
        ("loss", [[[10, 10], [20, 20]], [[10, 20], [20, 40]]]),
        ("eval accuracy", [[[20, 0.5]], [[20, 0.5]]]),
        ("examples per second", [[[10, 7]], []]),
        ("gradient norm", [[[10, 1], [20, 1]], [[10, 1], [20, 1]]]),
    ]


@pytest.mark.parametrize(
    ("flags", "shown"),
    [
        ({}, ["loss", "gradient norm", "examples per second", "eval accuracy", "eval loss"]),
        ({"metrics": "eval_score"}, ["eval score"]),
    ],
)
def test_picture(runs: pathlib.Path, flags: dict[str, str], shown: list[str]) -> None:
    both = f"{runs}/a/student,{runs}/b/student/"
    run_script("plot_runs", runs=both, output_file=runs / "curves.svg", **flags)
    text = (runs / "curves.svg").read_text()
    titles = [name for name in shown if f"<!-- {name} -->" in text]
    assert titles == shown and ("<!-- loss -->" in text) == ("loss" in shown)
    assert "<!-- a/student -->" in text and "<!-- b/student -->" in text
    run_script("plot_runs", runs=both, output_file=runs / "curves.png", **flags)
    assert (runs / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("names", "flags", "message"),
    [
        ("none", {}, r"Cannot read .*none/metrics\.jsonl"),
        ("empty", {}, r"no line in metrics\.jsonl yet; wait"),
        (
            "a/student",
            {"metrics": "los"},
            "no run has los on record; they have loss, gradient_norm",
        ),
        ("a/student,a/./student", {}, "names a run twice"),
        ("a/student", {"output_file": "curves.pdf"}, r"curves\.pdf: expected .*\.png or \.svg"),
    ],
)
def test_refusals(runs: pathlib.Path, names: str, flags: dict[str, str], message: str) -> None:
    (runs / "empty").mkdir()
    (runs / "empty" / "metrics.jsonl").touch()
    folders = ",".join(f"{runs}/{name}" for name in names.split(","))
    values = {"output_file": str(runs / "curves.png"), **flags}
    before = sorted(runs.iterdir())
    with pytest.raises(UserError, match=message):
        run_script("plot_runs", runs=folders, **values)
    assert sorted(runs.iterdir()) == before
