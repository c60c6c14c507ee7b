"""The run in the middle of the scores, and the files that are taken of it."""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Callable

import pytest
from scripts import load_script, run_script

from common.errors import UserError


@pytest.fixture
def run(tmp_path: pathlib.Path) -> Callable[[str, float], str]:
    """Makes the folder of a run with the score of its only evaluation."""

    def make(name: str, score: float) -> str:
        folder = tmp_path / name
        folder.mkdir()
        record = {"step": 1, "kind": "eval", "score": score}
        (folder / "metrics.jsonl").write_text(json.dumps(record) + "\n")
        (folder / "eval_results.txt").write_text(f"eval_accuracy = {score}\n")
        return str(folder)

    return make


@pytest.mark.parametrize(
    ("scores", "median"),
    [
        ((0.5,), 0.5),
        ((0.9, 0.5, 0.7), 0.7),
        ((0.9, 0.5), 0.5),
        # Of two in the middle, the worse.
        ((0.1, 0.4, 0.8, 0.6), 0.4),
    ],
)
def test_the_one_in_the_middle(
    run: Callable[[str, float], str], scores: tuple[float, ...], median: float
) -> None:
    folders = {run(f"run_{score}", score): score for score in scores}
    load_script("experiments/median_run")
    chosen = sys.modules["experiments/median_run"].median_run(list(folders))
    assert folders[chosen] == median


def test_files_of_the_median(run: Callable[[str, float], str], tmp_path: pathlib.Path) -> None:
    runs = [run(name, score) for name, score in (("one", 0.9), ("two", 0.5), ("three", 0.7))]
    for folder in map(pathlib.Path, runs):
        (folder / "bert_model.ckpt.index").write_text(folder.name)
        (folder / "checkpoint").write_text("a saved state")
    out = tmp_path / "out"
    run_script("experiments/median_run", runs=",".join(runs), output_dir=out)
    contents = {path.name: path.read_text() for path in out.iterdir() if path.name[0] != "."}
    assert set(contents) == {"metrics.jsonl", "eval_results.txt", "bert_model.ckpt.index"}
    assert contents["bert_model.ckpt.index"] == "three"
    assert contents["eval_results.txt"] == "eval_accuracy = 0.7\n"


def test_the_output_is_none_of_the_runs(run: Callable[[str, float], str]) -> None:
    folder = run("one", 0.5)
    with pytest.raises(UserError, match="--output_dir"):
        run_script("experiments/median_run", runs=folder, output_dir=folder)


def test_scores_are_those_of_the_models_that_are_taken(
    run: Callable[[str, float], str], tmp_path: pathlib.Path
) -> None:
    """A run's folder holds its final model, whose evaluation need not be the best one."""
    folders = [run(name, score) for name, score in (("one", 0.5), ("two", 0.7), ("three", 0.9))]
    lines = [{"step": step, "kind": "eval", "score": score} for step, score in ((1, 0.8), (2, 0.3))]
    (tmp_path / "three" / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    load_script("experiments/median_run")
    assert sys.modules["experiments/median_run"].median_run(folders) == folders[0]
