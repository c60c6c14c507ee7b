"""A training run before its first update, and its start summary."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import types
from typing import Any

import pytest
import tensorflow as tf
from models import ODD_CONFIG

from common.errors import UserError
from modeling.heads import ClassifierModel
from tests.training.line import STRATEGY, Squares
from training import run as run_module
from training.devices import describe_devices
from training.identity import Identity, Part
from training.kept_models import Programs
from training.options import TrainingOptions
from training.run import Evaluation, Schedule, run_training
from training.run_state import RunState
from training.updates import Updates

ALONE = tf.distribute.OneDeviceStrategy("/device:CPU:0")
ROWS: Any = types.SimpleNamespace(num_examples=30, info={}, num_shards=1)


def test_less_than_one_update(tmp_path: pathlib.Path) -> None:
    options = TrainingOptions(output_dir=str(tmp_path / "out"), train_batch_size=32)
    unused: Any = None
    with pytest.raises(UserError, match="30 training examples in batches of --train_batch_size=32"):
        run_training(unused, ALONE, ROWS, options, Schedule(0, 0), *[unused] * 4)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("planned", "is_discarded"), [(0, False), (10, False), (11, True)])
def test_a_longer_run_is_discarded(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, planned: int, is_discarded: bool
) -> None:
    """Its states and models; records stay."""
    monkeypatch.setattr(run_module, "planned_steps", lambda folder: planned)
    for name in ("model.ckpt-10.index", "train.tf_record", "run_config.json"):
        (tmp_path / name).touch()
    run_module._discard_longer_run(str(tmp_path), 10, ALONE)
    kept = {"train.tf_record", "run_config.json"}
    expected = kept if is_discarded else kept | {"model.ckpt-10.index"}
    assert {path.name for path in tmp_path.iterdir()} == expected


def test_a_best_model_of_an_added_evaluation_is_remembered(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run has ended, and its evaluation came later; the next one may be of a longer run."""
    objective = Squares()
    updates = Updates(objective, STRATEGY, 1)
    updates.begin(0.1, 2, 0, seed=0)
    variables = objective.model.trainable_variables
    state = RunState(str(tmp_path), variables, updates.optimizer, 2, ("loss", "squares"))
    state.step_variable.assign(2)
    state.plan(2)
    state.save()
    monkeypatch.setattr(run_module, "_facts", lambda *unused: {})
    written: list[str] = []
    for score in (0.5, 0.25, 0.75):
        run_training(
            Squares(),
            STRATEGY,
            ROWS,
            TrainingOptions(output_dir=str(tmp_path), train_batch_size=4),
            Schedule(2, 0),
            None,
            Identity(Part({}, {})),
            lambda folder, step: written.append(pathlib.Path(folder).name),
            Programs(),
            functools.partial(Evaluation, {"loss": 1.0}, score),
        )
    assert [name == "best" for name in written] == [False, True, False, False, True]


def test_start_summary() -> None:
    config = dataclasses.replace(ODD_CONFIG, num_hidden_layers=1)
    options = TrainingOptions(output_dir="out", train_batch_size=12, learning_rate=3e-4)
    facts = run_module._facts(
        ClassifierModel(config, 2), ALONE, ROWS, options, Schedule(2500, 250), "random weights"
    )
    assert facts.pop("Model").startswith("1/32, ")
    assert facts == {
        "Device": describe_devices(ALONE),
        "Precision": "float32",
        "Weights from": "random weights",
        "Training data": "30 rows",
        "Batch size": "12",
        "Updates": "2,500 (1e+03 epochs)",
        "Warm-up updates": "250",
        "Learning rate": "0.0003",
        "Output": "out",
    }
