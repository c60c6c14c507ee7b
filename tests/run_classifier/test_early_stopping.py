"""Early stopping: where it ends, interrupted or not."""

from __future__ import annotations

import logging
import pathlib
import shutil
from typing import Any

import pytest
from runs import (
    assert_same_weights,
    info,
    kill_after,
    metrics,
    results,
    saved_steps,
)
from scripts import run_script


def test_early_stopping(
    trained: pathlib.Path,
    options: dict[str, Any],
    new_model: dict[str, Any],
    tmp_path: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It ends where the rule says, also when interrupted before, and not again when run again."""

    def run(folder: pathlib.Path, patience: int) -> None:
        caplog.clear()
        with caplog.at_level(logging.INFO):
            run_script(
                "run_classifier",
                **options,
                **new_model,
                output_dir=folder,
                do_train=True,
                do_eval=True,
                num_train_epochs=5,
                evaluate_steps=6,
                save_checkpoints_steps=10,
                keep_checkpoint_max=30,
                early_stopping_patience=patience,
            )

    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run(whole, patience=0)
    assert_same_weights(trained, whole)  # Evaluations on the way change nothing.
    evaluations = metrics(whole, "eval")

    def rule(patience: int) -> tuple[dict[str, float], dict[str, float]]:
        """The best and the last evaluation."""
        best = last = evaluations[0]
        for last in evaluations[1:]:
            if last["eval_accuracy"] > best["eval_accuracy"]:
                best = last
            elif last["step"] == best["step"] + patience * 6:
                break
        return best, last

    # A rule that forgot to start again at a new best would stop too early.
    patience, (best, last) = next(
        (number, (best, last))
        for number in range(2, 8)
        for best, last in [rule(number)]
        if number * 6 < best["step"] < last["step"] <= 60
    )
    run(stopped, patience)
    assert (
        f"Early stopping at step {last['step']:.0f}: the last {patience} evaluations were no better "
        f"than that of step {best['step']:.0f}." in caplog.text
    )
    until = [record for record in evaluations if record["step"] <= last["step"]]
    assert metrics(stopped, "eval") == until
    assert metrics(stopped, "train")[-1]["step"] == last["step"]
    assert results(stopped)["global_step"] == info(stopped)["global_step"] == last["step"]
    assert results(stopped)["eval_accuracy"] == last["eval_accuracy"]
    assert info(stopped / "best")["global_step"] == best["step"]
    steps = saved_steps(stopped)
    assert steps[-1] == last["step"] and steps[-2] < last["step"]

    # Killed after the best evaluation. Where else it may be interrupted is in
    # tests/training/test_loop.py; finished runs are in test_training.py.
    step = steps[-2]
    assert best["step"] <= step
    resumed = tmp_path / "resumed"
    shutil.copytree(stopped, resumed)
    kill_after(resumed, step)
    run(resumed, patience)
    assert f"model.ckpt-{step} (step {step})" in caplog.text
    assert saved_steps(resumed) == steps
    assert_same_weights(stopped, resumed)
    assert results(resumed) == results(stopped)
    assert (resumed / "metrics.jsonl").read_text() == (stopped / "metrics.jsonl").read_text()
    assert info(resumed / "best")["global_step"] == best["step"]
