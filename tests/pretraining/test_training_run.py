"""Pre-training as a call from Python."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import pytest
from runs import metrics

from common.errors import UserError
from common.outputs import release_locks
from pretraining.training_run import PretrainingOptions, run


@pytest.fixture
def options(pretraining_flags: dict[str, Any], tmp_path: pathlib.Path) -> PretrainingOptions:
    return PretrainingOptions(
        **{**pretraining_flags, "train_batch_size": 16, "do_eval": False},
        learning_rate=5e-3,
        num_train_steps=40,
        num_warmup_steps=2,
        log_steps=5,
        output_dir=str(tmp_path / "out"),
    )


def test_bfloat16_learns_too(options: PretrainingOptions, tmp_path: pathlib.Path) -> None:
    run(dataclasses.replace(options, precision="bfloat16"))
    release_locks()
    train = metrics(tmp_path / "out", "train")
    assert train[-1]["loss"] < train[0]["loss"] - 0.3


def test_records_of_another_length(options: PretrainingOptions, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="was made with max_seq_length = 24"):
        run(dataclasses.replace(options, max_seq_length=32))
    release_locks()
    assert not (tmp_path / "out").exists()
