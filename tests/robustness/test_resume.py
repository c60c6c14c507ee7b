"""An interrupted run ends as an uninterrupted one, however and wherever it was interrupted."""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import shutil
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import tensorflow as tf
from runs import assert_same_folders, metrics
from scripts import run_script

from common.errors import UserError
from training.loop import LoopOptions
from training.reporting import Reporter
from training.run_state import RunState, saved_steps


@pytest.fixture(scope="module")
def options(pretraining_flags: dict[str, Any]) -> dict[str, Any]:
    return {
        **pretraining_flags,
        "gradient_accumulation_steps": 2,
        "learning_rate": 5e-3,
        "num_warmup_steps": 2,
        "num_train_steps": 12,
        "save_checkpoints_steps": 100,
        "keep_checkpoint_max": 1,
        "evaluate_steps": 5,
        "max_eval_steps": 2,
        "log_steps": 4,
    }


@pytest.fixture(scope="module")
def whole(options: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("whole")
    run_script("run_pretraining", **options, output_dir=folder)
    return folder


def test_sigterm_saves_and_the_run_goes_on(
    options: dict[str, Any],
    whole: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    progress = Reporter.progress
    before = signal.getsignal(signal.SIGTERM)
    # At an evaluation between two lines of the log; tests/training/test_loop.py has every step.
    step = 5

    def terminated(self: Reporter, done: int, loss: float) -> None:
        progress(self, done, loss)
        if done == step:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as exit_info:
        patch.setattr(Reporter, "progress", terminated)
        patch.setattr("training.loop.CALL_SECONDS", 0.0)  # Else it may not stand at `step`.
        run_script("run_pretraining", **options, output_dir=tmp_path)
    assert exit_info.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before
    assert saved_steps(str(tmp_path)) == [step]
    run_script("run_pretraining", **options, output_dir=tmp_path)
    assert_same_folders(whole, tmp_path)


def test_steps_per_call_and_saves_do_not_matter(
    options: dict[str, Any],
    whole: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By default the clock says how many updates make a call; a save ends a call early."""

    def calls_of(**values: Any) -> LoopOptions:
        return LoopOptions(**{**values, "steps_per_call": 3})

    monkeypatch.setattr("training.loop.LoopOptions", calls_of)
    run_script("run_pretraining", **{**options, "save_checkpoints_steps": 2}, output_dir=tmp_path)
    assert_same_folders(whole, tmp_path)


def test_interruption_at_other_intervals(
    options: dict[str, Any],
    whole: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A save that fails ends a run; the next one may save, log and predict in other steps."""
    save = RunState.save

    def fail_at_7(self: RunState) -> None:
        if self.step == 7:
            raise UserError("no more")
        save(self)

    with monkeypatch.context() as patch, pytest.raises(UserError, match="no more"):
        patch.setattr(RunState, "save", fail_at_7)
        changed = {**options, "save_checkpoints_steps": 1}
        run_script("run_pretraining", **changed, output_dir=tmp_path)
    assert (tmp_path / "model.ckpt-6.index").exists()
    # A half line, and a line of a step that is about to be repeated.
    with open(tmp_path / "metrics.jsonl", "a") as log:
        log.write('{"step": 7, "kind": "train", "loss": 9}\n{"step": 4, "ki')
    run_script("run_pretraining", **options, output_dir=tmp_path)
    assert_same_folders(whole, tmp_path)


def test_a_finished_run_adds_nothing(
    options: dict[str, Any], whole: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    again = tmp_path / "again"
    shutil.copytree(whole, again)
    # As if it had been killed while it wrote its model.
    (again / "bert_model.ckpt.index").unlink()
    (again / "eval_results.txt").unlink()
    (again / ".files.99999999.tmp").mkdir()
    run_script("run_pretraining", **options, output_dir=again)
    assert_same_folders(whole, again)


def test_more_steps_follow_the_longer_schedule(
    options: dict[str, Any],
    whole: pathlib.Path,
    tmp_path: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    longer = tmp_path / "longer"
    shutil.copytree(whole, longer)
    with caplog.at_level(logging.INFO):
        run_script("run_pretraining", **{**options, "num_train_steps": 20}, output_dir=longer)
    assert "num_train_steps=12 and goes on to 20. From step 12 on" in caplog.text
    rates = {line["step"]: line["learning_rate"] for line in metrics(longer, "train")}
    assert rates[12] == pytest.approx(5e-3 * (1 - 11 / 12), rel=1e-4)
    assert rates[16] == pytest.approx(5e-3 * (1 - 15 / 20), rel=1e-4)
    assert [line["step"] for line in metrics(longer, "eval")] == [5, 10, 12, 15, 20]
    with pytest.raises(UserError, match="num_train_steps=20, .*num_train_steps=12"):
        run_script("run_pretraining", **options, output_dir=longer)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"random_seed": 2}, "random_seed=12345, .*random_seed=2"),
        ({"num_warmup_steps": 3}, "num_warmup_steps=2, .*num_warmup_steps=3"),
        ({"dropout_prob": 0.0}, "dropout_prob=None, .*dropout_prob=0.0"),
        ({"adam_bias_correction": True}, "adam_bias_correction=False, .*adam_bias_correction=True"),
    ],
)
def test_other_mathematics_is_refused(
    options: dict[str, Any], whole: pathlib.Path, changes: dict[str, Any], message: str
) -> None:
    before = {path.name: path.read_bytes() for path in whole.iterdir() if path.is_file()}
    with pytest.raises(UserError, match=message):
        run_script("run_pretraining", **{**options, **changes}, output_dir=whole)
    after = {path.name: path.read_bytes() for path in whole.iterdir() if path.is_file()}
    assert before == after


def test_tensorboard_forgets_repeated_steps(tmp_path: pathlib.Path) -> None:
    for start, steps in ((0, range(1, 8)), (4, range(5, 10))):
        reporter = Reporter(str(tmp_path), 10, 1, start)
        for step in steps:
            reporter.scalars(step, {"loss": step + start / 100})
        [newest] = sorted(tmp_path.glob("events.*"))[-1:]
        with open(newest, "ab") as events:
            events.write(b"an event that a kill cut off")
    found = [
        (event.step, round(float(tf.make_ndarray(value.tensor)), 2))
        for path in sorted(tmp_path.glob("events.*"))
        for event in _events(path)
        for value in event.summary.value
    ]
    assert sorted(found) == [(1, 1), (2, 2), (3, 3), (4, 4), *((n, n + 0.04) for n in range(5, 10))]


def _events(path: pathlib.Path) -> Iterator[Any]:
    with contextlib.suppress(tf.errors.DataLossError):
        for record in tf.data.TFRecordDataset(str(path)):
            yield tf.compat.v1.Event.FromString(record.numpy())
