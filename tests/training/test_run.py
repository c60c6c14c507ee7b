"""A training run before its first update, and its start summary."""

from __future__ import annotations

import dataclasses
import pathlib
import types
from typing import Any

import pytest
import tensorflow as tf
from models import ODD_CONFIG

from common.errors import UserError
from modeling.heads import ClassifierModel
from training import run as run_module
from training.devices import describe_devices
from training.options import TrainingOptions
from training.run import Schedule, run_training

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
