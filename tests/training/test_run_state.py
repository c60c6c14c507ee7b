"""What a run leaves of itself, and finds again."""

from __future__ import annotations

import math
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from modeling.optimization import AdamWeightDecay, WarmupLinearDecay
from training.run_state import RunState, planned_steps, saved_steps


def new_state(folder: pathlib.Path, keep: int = 2, size: int = 2) -> tuple[RunState, tf.Variable]:
    variable = tf.Variable(tf.zeros([size]), name="w")
    optimizer = AdamWeightDecay(WarmupLinearDecay(0.1, 10, 0))
    return RunState(str(folder), [variable], optimizer, keep, ("loss",)), variable


def at_step(state: RunState, step: int) -> RunState:
    state.step_variable.assign(step)
    return state


def test_everything_comes_back(tmp_path: pathlib.Path) -> None:
    state, variable = new_state(tmp_path)
    state.plan(10)
    variable.assign([1.5, -2.5])
    at_step(state, 4)
    assert state.is_best(0.75)
    at_step(state, 5).add_losses({"loss": 7.5})
    state.count_evaluation()
    state.save()
    again, found = new_state(tmp_path)
    assert again.restore()
    assert again.step == 5 and found.numpy().tolist() == [1.5, -2.5]
    assert int(again.best_step.numpy()) == 4 and float(again.best_value.numpy()) == 0.75
    assert again.evaluations_since_best == 1
    assert again.take_mean_losses() == {"loss": 1.5}
    assert planned_steps(str(tmp_path)) == 10
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / "model.ckpt-5")


def test_state_of_an_earlier_version(tmp_path: pathlib.Path) -> None:
    """It has no count of evaluations; a state that lacks anything else is damaged."""
    state, variable = new_state(tmp_path)
    variable.assign([1.5, -2.5])
    del state._parts["evaluations_since_best"]
    at_step(state, 4).save()
    again, found = new_state(tmp_path)
    assert again.restore() and found.numpy().tolist() == [1.5, -2.5]
    assert again.step == 4 and again.evaluations_since_best == 0
    del state._parts["best_step"]
    at_step(state, 6).save()
    assert again.restore() and again.step == 4


def test_nothing_to_restore(tmp_path: pathlib.Path) -> None:
    state, _ = new_state(tmp_path)
    assert not state.restore()
    assert planned_steps(str(tmp_path)) == 0 and saved_steps(str(tmp_path / "none")) == []


def test_a_truncated_state_tells_nothing(tmp_path: pathlib.Path) -> None:
    state, _ = new_state(tmp_path)
    for step, planned in ((1, 10), (2, 20)):
        state.plan(planned)
        at_step(state, step).save()
    assert planned_steps(str(tmp_path)) == 20
    for step, planned in ((2, 10), (1, 0)):
        (data,) = tmp_path.glob(f"model.ckpt-{step}.data-*")
        data.write_bytes(data.read_bytes()[:4])
        assert planned_steps(str(tmp_path)) == planned


@pytest.mark.parametrize(("keep", "kept"), [(1, [3]), (2, [2, 3]), (5, [1, 2, 3])])
def test_newest_states_are_kept(tmp_path: pathlib.Path, keep: int, kept: list[int]) -> None:
    state, _ = new_state(tmp_path, keep)
    for step in (1, 2, 3):
        at_step(state, step).save()
    assert saved_steps(str(tmp_path)) == kept
    (tmp_path / "model.ckpt-7.data-00000-of-00001").touch()
    assert saved_steps(str(tmp_path)) == kept, "a state without its index is none"


def test_states_of_another_model(tmp_path: pathlib.Path) -> None:
    state, _ = new_state(tmp_path)
    at_step(state, 1).save()
    other, _ = new_state(tmp_path, size=3)
    with pytest.raises(UserError, match="no saved state can be restored .*ckpt-1"):
        other.restore()


def test_length_of_the_run(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    state, _ = new_state(tmp_path)
    state.plan(10)
    state.plan(10)
    assert not caplog.messages
    state.plan(12)
    assert "planned with num_train_steps=10 and goes on to 12" in caplog.text
    with pytest.raises(UserError, match="num_train_steps=12, this command has num_train_steps=11"):
        state.plan(11)


def test_mean_losses_are_those_since_the_last_time(tmp_path: pathlib.Path) -> None:
    state, _ = new_state(tmp_path)
    for step, total in ((2, 3.0), (5, 9.0)):
        at_step(state, step).add_losses({"loss": total})
    assert state.take_mean_losses() == {"loss": 12 / 5}
    at_step(state, 6).add_losses({"loss": 4.0})
    assert state.take_mean_losses() == {"loss": 4.0}


def test_best_evaluation(tmp_path: pathlib.Path) -> None:
    """The first of equal ones; what is no number never is."""
    state, _ = new_state(tmp_path)
    state.count_evaluation()
    assert state.evaluations_since_best == 0
    values = [(2, math.nan, False), (4, -3.0, True), (6, -3.0, False), (8, -2.5, True)]
    for step, value, is_best in [*values, (10, math.nan, False), (12, -2.6, False)]:
        assert at_step(state, step).is_best(value) == is_best, step
        state.count_evaluation()
    assert state.evaluations_since_best == 2
    np.testing.assert_equal(float(state.best_value.numpy()), -2.5)
