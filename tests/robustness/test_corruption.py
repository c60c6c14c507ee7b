"""Damage to the newest state of a run: it is named, and the state before is used."""

from __future__ import annotations

import logging
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from runs import assert_same_folders
from scripts import run_script

from common.errors import UserError
from modeling.optimization import AdamWeightDecay, WarmupLinearDecay
from training.run_state import RunState, saved_steps

NEWEST = ["model.ckpt-6.index", "model.ckpt-6.data-00000-of-00001", "checkpoint"]


def make_state(folder: pathlib.Path, keep: int = 5) -> tuple[RunState, tf.Variable]:
    variable = tf.Variable(np.zeros(100, np.float32), name="bert/x")
    optimizer = AdamWeightDecay(WarmupLinearDecay(1e-3, 10, 0))
    return RunState(str(folder), [variable], optimizer, keep, ["loss"]), variable


def save_steps(folder: pathlib.Path, steps: list[int], keep: int = 5) -> None:
    state, variable = make_state(folder, keep)
    for step in steps:
        state.step_variable.assign(step)
        variable.assign(np.full(100, step, np.float32))
        state.save()


def restored_step(folder: pathlib.Path) -> int:
    """The step of the state that is restored, whose values must be those of that step."""
    state, variable = make_state(folder)
    assert state.restore()
    np.testing.assert_array_equal(variable.numpy(), np.full(100, state.step, np.float32))
    return state.step


@pytest.mark.parametrize("name", NEWEST)
def test_each_file_flipped_cut_or_deleted(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    good = tmp_path / "good"
    save_steps(good, [3, 6])
    data = (good / name).read_bytes()
    places = sorted({int(x) for x in np.linspace(0, len(data) - 1, 40)})
    damaged: list[bytes | None] = [None, b"", *(data[:place] for place in places[1::4])]
    for place in places:
        flipped = bytearray(data)
        flipped[place] ^= 0x10
        damaged.append(bytes(flipped))
    num_older = 0
    for content in damaged:
        folder = tmp_path / "damaged"
        shutil.copytree(good, folder)
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_bytes(content)
        caplog.clear()
        step = restored_step(folder)
        assert step in ((6,) if name == "checkpoint" else (3, 6))
        # Some bytes of the index are padding and mean nothing.
        if step == 3:
            num_older += 1
            assert "model.ckpt-6" in caplog.text
        shutil.rmtree(folder)
    assert num_older >= (0 if name == "checkpoint" else len(damaged) - 5)


def test_unfinished_first_state_is_no_state(tmp_path: pathlib.Path) -> None:
    """A run that is killed while it saves its first state starts again."""
    save_steps(tmp_path, [3])
    (tmp_path / "model.ckpt-3.index").unlink()
    state, _ = make_state(tmp_path)
    assert not state.restore()


def test_all_states_damaged(tmp_path: pathlib.Path) -> None:
    save_steps(tmp_path, [3, 6])
    for path in tmp_path.glob("*.data-*"):
        path.write_bytes(b"")
    state, _ = make_state(tmp_path)
    with pytest.raises(UserError, match="no saved state .*model.ckpt-6, .*model.ckpt-3"):
        state.restore()


def test_states_are_rotated_and_damaged_ones_go(tmp_path: pathlib.Path) -> None:
    save_steps(tmp_path, [1, 2, 3, 8], keep=2)
    assert saved_steps(str(tmp_path)) == [3, 8]
    (tmp_path / "model.ckpt-8.index").write_bytes(b"")
    state, _ = make_state(tmp_path, keep=2)
    assert state.restore() and state.step == 3
    state.step_variable.assign(5)
    state.save()
    assert saved_steps(str(tmp_path)) == [3, 5]
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / "model.ckpt-5")
    assert {path.name for path in tmp_path.iterdir()} == {
        "checkpoint",
        *(f"model.ckpt-{n}.{end}" for n in (3, 5) for end in ("index", "data-00000-of-00001")),
    }


def test_leftovers_of_a_killed_run_go(tmp_path: pathlib.Path) -> None:
    (tmp_path / ".files.12345.tmp").mkdir()
    (tmp_path / ".files.12345.tmp" / "model.ckpt-9.data-00000-of-00001").touch()
    (tmp_path / ".checkpoint.12345.tmp").touch()
    save_steps(tmp_path, [3])
    assert not [path for path in tmp_path.iterdir() if "tmp" in path.name]


def test_a_shorter_run_is_another_run(
    pretraining_flags: dict[str, Any], tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is refused, or takes the place of the longer one; what others left there stays."""
    flags = {**pretraining_flags, "num_warmup_steps": 1, "do_eval": False, "output_dir": tmp_path}
    run_script("run_pretraining", **flags, num_train_steps=4)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match="num_train_steps=4, .*num_train_steps=2 .*--start_over"):
        run_script("run_pretraining", **flags, num_train_steps=2)
    run_script("run_pretraining", **flags, num_train_steps=2, start_over=True)
    assert "held a run of 4 updates; it is discarded" in caplog.text
    assert saved_steps(str(tmp_path)) == [2]
    assert (tmp_path / "notes.txt").exists() and (tmp_path / "run_config.json").exists()
    # Not once more: it is the same run now.
    run_script("run_pretraining", **flags, num_train_steps=2, start_over=True)
    assert caplog.text.count("it is discarded") == 1


def test_a_run_goes_on_from_the_state_before(
    pretraining_flags: dict[str, Any],
    tmp_path: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    flags: dict[str, Any] = {
        **pretraining_flags,
        "num_train_steps": 12,
        "save_checkpoints_steps": 5,
        "evaluate_steps": 6,
        "max_eval_steps": 2,
        "log_steps": 4,
    }
    whole, damaged = tmp_path / "whole", tmp_path / "damaged"
    run_script("run_pretraining", **flags, output_dir=whole)
    shutil.copytree(whole, damaged)
    newest = damaged / "model.ckpt-12.data-00000-of-00001"
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    with caplog.at_level(logging.INFO):
        run_script("run_pretraining", **flags, output_dir=damaged)
    assert "model.ckpt-12 (" in caplog.text
    assert "model.ckpt-10 (step 10)" in caplog.text
    assert_same_folders(whole, damaged)
