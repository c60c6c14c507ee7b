"""The table over tasks, from what evaluations leave."""

from __future__ import annotations

import pathlib

import pytest
from scripts import run_script

from common.errors import UserError

SCORES = {
    "sst-2": {"accuracy": 0.9},
    "mrpc": {"f1": 0.88, "accuracy": 0.84},
    "qqp": {"f1": 0.7, "accuracy": 0.8},
    "qnli": {"accuracy": 0.87},
    "rte": {"accuracy": 0.6},
    "mnli": {"accuracy": 0.81},
}


@pytest.fixture
def runs(tmp_path: pathlib.Path) -> dict[str, str]:
    """Task -> TASK:FOLDER."""

    def write(path: pathlib.Path, scores: dict[str, float]) -> None:
        path.parent.mkdir(exist_ok=True)
        lines = [f"eval_{name} = {value}\n" for name, value in scores.items()]
        path.write_text("".join([*lines, "loss = 0.5\n"]))

    for task, scores in SCORES.items():
        write(tmp_path / task / "eval_results.txt", scores)
    write(tmp_path / "mnli" / "eval_results_dev_mismatched.txt", {"accuracy": 0.83})
    return {task: f"{task}:{tmp_path / task}" for task in SCORES}


def test_meta_score(runs: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    run_script("experiments/glue_table", runs=",".join(runs.values()))
    header, _, row = capsys.readouterr().out.splitlines()
    assert header == "| sst-2 | mrpc | qqp | qnli | rte | mnli | Meta score |"
    mean = (90 + 86 + 75 + 87 + 60 + 82) / 6
    assert row == f"| 90.0 | 88.0/84.0 | 70.0/80.0 | 87.0 | 60.0 | 81.0/83.0 | {mean:.1f} |"
    run_script("experiments/glue_table", runs=runs["rte"])
    assert "score" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("rte", '"rte" must be TASK:FOLDER'),
        ("ax:folder", '"ax:folder" must be .* one of cola, sst-2'),
        ("cola:{}/rte", "has no eval_matthews_correlation, but eval_accuracy, loss"),
        ("rte:{0}/rte,RTE:{0}/rte", "--runs names rte twice"),
        ("wnli:{}", "eval_results.txt is missing; evaluate task wnli"),
    ],
)
def test_bad_runs(runs: dict[str, str], tmp_path: pathlib.Path, run: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        run_script("experiments/glue_table", runs=run.format(tmp_path))
