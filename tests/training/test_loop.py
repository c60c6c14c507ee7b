"""The loop on a line fitted to points, against the same updates in NumPy."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from tests.training.line import RATE, STEPS, STRATEGY, WEIGHTS, Squares, X, Y
from training import loop
from training.loop import LoopOptions, steps_within_a_call, train
from training.run_state import RunState, saved_steps
from training.updates import Updates


class Reports:
    """Keeps what is reported, and shows nothing."""

    def __init__(self) -> None:
        self.lines: dict[int, Mapping[str, float]] = {}
        self.updates = 0

    def progress(self, step: int, loss: float) -> None:
        pass

    def add_time(self, updates: int, seconds: float) -> None:
        self.updates += updates

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self.lines[step] = values

    def speed(self, step: int) -> None:
        pass


class Run:
    """A run in a folder, which goes on where an earlier one has ended."""

    def __init__(self, folder: pathlib.Path, y: np.ndarray = Y, parts: int = 1, **options: Any):
        self.options = LoopOptions(**{"num_train_steps": STEPS, "log_steps": 2, **options})
        self.objective, self.reports = Squares(), Reports()
        self.y = y
        self.updates = Updates(self.objective, STRATEGY, parts)
        self.updates.begin(RATE, STEPS, 0, seed=0)
        variables = self.objective.model.trainable_variables
        optimizer = self.updates.optimizer
        self.state = RunState(str(folder), variables, optimizer, 9, ("loss", "squares"))
        self.state.restore()

    def batches_from(self, step: int) -> tf.data.Dataset:
        rows = {"x": X[step:], "y": self.y[step:].astype(np.float32)}
        rows["weight"] = np.tile(WEIGHTS, (STEPS - step, 1))
        return tf.data.Dataset.from_tensor_slices(rows)

    def train(
        self,
        evaluate: Callable[[], object] = lambda: None,
        is_terminated: Callable[[], bool] = lambda: False,
    ) -> np.ndarray:
        train(
            self.updates,
            STRATEGY,
            self.batches_from,
            self.options,
            self.state,
            self.reports,
            evaluate,
            is_terminated,
        )
        return self.objective.model.w.numpy()


def in_numpy() -> tuple[np.ndarray, list[float], list[float]]:
    """The weights after all updates, and loss and norm of the gradient at each."""
    w, m, v = np.zeros((3, 2))
    losses, norms = [], []
    for step, (x, y) in enumerate(zip(X.astype(np.float64), Y.astype(np.float64), strict=True)):
        errors = x @ w - y
        losses.append(2 * np.average(errors**2, weights=WEIGHTS))
        gradient = 4 * (WEIGHTS * errors) @ x / WEIGHTS.sum()
        norms.append(np.linalg.norm(gradient))
        gradient /= max(1.0, norms[-1])
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        rate = RATE * (1 - step / STEPS)
        w = w - rate * 0.01 * w - rate * m / (np.sqrt(v) + 1e-6)
    return w, losses, norms


@pytest.mark.parametrize("steps_per_call", [None, 1, 3])
@pytest.mark.parametrize("parts", [1, 2])
def test_updates_are_those_in_numpy(
    tmp_path: pathlib.Path, parts: int, steps_per_call: int | None
) -> None:
    run = Run(tmp_path, parts=parts, steps_per_call=steps_per_call)
    weights, losses, norms = in_numpy()
    np.testing.assert_allclose(run.train(), weights, rtol=1e-4)
    assert run.reports.updates == STEPS
    assert list(run.reports.lines) == [2, 4, 6, 8]
    for step, values in run.reports.lines.items():
        mean = np.mean(losses[step - 2 : step])
        assert values == {
            "loss": pytest.approx(mean, rel=1e-4),
            "squares": pytest.approx(mean / 2, rel=1e-4),
            "learning_rate": pytest.approx(RATE * (1 - (step - 1) / STEPS)),
            "gradient_norm": pytest.approx(norms[step - 1], rel=1e-4),
        }
    assert saved_steps(str(tmp_path)) == [STEPS]


@pytest.mark.parametrize("step", [1, 3, 4, 5, 7])
def test_terminated_run_goes_on(tmp_path: pathlib.Path, step: int) -> None:
    """With the same weights and lines, bit for bit; lines and states are at the same steps."""
    options = {"steps_per_call": 1, "save_checkpoints_steps": 5}
    whole = Run(tmp_path / "whole", **options)
    expected = whole.train()
    assert saved_steps(str(tmp_path / "whole")) == [5, 8]
    first = Run(tmp_path / "parts", **options)
    with pytest.raises(SystemExit) as ended:
        first.train(is_terminated=lambda: first.state.step == step)
    assert ended.value.code == 143
    assert saved_steps(str(tmp_path / "parts")) == ([5, step] if step > 5 else [step])
    second = Run(tmp_path / "parts", **options)
    np.testing.assert_array_equal(second.train(), expected)
    assert saved_steps(str(tmp_path / "parts")) == sorted({step, 5, 8})
    assert {**first.reports.lines, **second.reports.lines} == whole.reports.lines
    assert list(second.reports.lines) == [s for s in (2, 4, 6, 8) if s > step]


def test_terminated_at_the_end_is_a_finished_run(tmp_path: pathlib.Path) -> None:
    run = Run(tmp_path)
    run.train(is_terminated=lambda: run.state.step == STEPS)
    assert saved_steps(str(tmp_path)) == [STEPS]


# At steps 2, 4, 6 and 8.
SCORES = [0.5, 0.6, 0.55, 0.6]


class Scored(Run):
    """A run with these evaluations on the way, in whose `steps` they are noted."""

    def __init__(
        self,
        folder: pathlib.Path,
        patience: int,
        scores: list[float] = SCORES,
        evaluate_steps: int = 2,
    ):
        super().__init__(
            folder,
            steps_per_call=1,
            evaluate_steps=evaluate_steps,
            early_stopping_patience=patience,
            save_checkpoints_steps=1,
        )
        self.steps: list[int] = []
        self.scores = dict(zip((2, 4, 6, 8), scores, strict=True))

    def evaluate(self) -> None:
        self.steps.append(self.state.step)
        self.state.is_best(self.scores[self.state.step])


@pytest.mark.parametrize(
    ("patience", "scores", "end"),
    [
        (0, [0.5, 0.4, 0.3, 0.2], 8),
        (1, [0.5, 0.6, 0.6, 0.9], 6),
        (2, [0.5, 0.4, 0.3, 0.9], 6),
        # A rule that forgot to start again at a new best would stop too early.
        (2, [0.5, 0.4, 0.6, 0.5], 8),
    ],
)
def test_early_stopping(
    tmp_path: pathlib.Path, patience: int, scores: list[float], end: int
) -> None:
    run = Scored(tmp_path, patience, scores)
    run.train(run.evaluate)
    assert run.steps == list(range(2, end + 1, 2)) and run.state.step == end
    # Asked again, it stays where it has ended.
    again = Scored(tmp_path, patience, scores)
    again.train(again.evaluate)
    assert again.steps == [] and again.state.step == end


@pytest.mark.parametrize("step", [1, 3, 4, 5])
def test_interrupted_run_stops_where_the_other_does(tmp_path: pathlib.Path, step: int) -> None:
    """Before, at and after the best evaluation; with more patience it is trained to the end."""
    first = Scored(tmp_path, patience=1)
    with pytest.raises(SystemExit):
        first.train(first.evaluate, lambda: first.state.step == step)
    second = Scored(tmp_path, patience=1)
    second.train(second.evaluate)
    assert first.steps + second.steps == [2, 4, 6] and second.state.step == 6
    assert int(second.state.best_step.numpy()) == 4
    to_the_end = Scored(tmp_path, patience=0)
    weights = to_the_end.train(to_the_end.evaluate)
    assert to_the_end.steps == [8]
    np.testing.assert_array_equal(weights, Run(tmp_path / "whole").train())


def test_only_evaluations_that_took_place_end_a_run(tmp_path: pathlib.Path) -> None:
    """The first half of the run was evaluated at 4 alone, the second after every update."""
    first = Scored(tmp_path, patience=3, evaluate_steps=4)
    with pytest.raises(SystemExit):
        first.train(first.evaluate, lambda: first.state.step == 6)
    second = Scored(tmp_path, patience=3, evaluate_steps=1)
    second.scores = dict.fromkeys((7, 8), 0.1)
    second.train(second.evaluate)
    assert second.steps == [7, 8] and second.state.evaluations_since_best == 2


def test_the_evaluation_at_the_end_counts_where_one_is_due(tmp_path: pathlib.Path) -> None:
    run = Scored(tmp_path, patience=3, evaluate_steps=3)
    run.scores = {3: 0.5, 6: 0.4, 8: 0.3}
    run.train(run.evaluate)
    assert run.steps == [3, 6, 8] and run.state.evaluations_since_best == 1


@pytest.mark.parametrize("steps_per_call", [1, 8])
def test_loss_that_is_not_finite_names_its_step(
    tmp_path: pathlib.Path, steps_per_call: int
) -> None:
    y = Y.copy()
    y[4, 1] = np.inf
    run = Run(tmp_path, y, steps_per_call=steps_per_call, save_checkpoints_steps=3)
    with pytest.raises(UserError, match="the loss, or its gradient, is not finite at step 5;"):
        run.train()
    assert saved_steps(str(tmp_path)) == [3]


@pytest.mark.parametrize(("seconds", "steps"), [(0.001, 500), (0.05, 10), (0.3, 1), (7.0, 1)])
def test_calls_of_half_a_second(seconds: float, steps: int) -> None:
    assert loop.CALL_SECONDS == 0.5
    assert steps_within_a_call(seconds) == steps
