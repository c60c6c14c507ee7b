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
from training.identity import Part
from training.session import Session


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


def test_batches_of_an_evaluation_are_no_part_of_the_run(
    options: PretrainingOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But the number of records that they hold in all is."""
    found: list[Part] = []

    def stop(session: Session, *arguments: Any) -> None:
        found.append(arguments[-1])
        raise UserError("seen")

    monkeypatch.setattr(Session, "check_run", stop)
    for size, most in ((8, 2), (4, 4), (4, 3), (64, 10**6), (8, 10**6)):
        changed = dataclasses.replace(
            options, do_eval=True, eval_batch_size=size, max_eval_steps=most
        )
        with pytest.raises(UserError, match="seen"):
            run(changed)
        release_locks()
        given = {"eval_batch_size": size, "max_eval_steps": most, "evaluated_records": None}
        assert found[-1].earlier == given
    assert [part.values["evaluated_records"] for part in found[:3]] == [16, 16, 12]
    assert found[3].values == found[4].values


def test_records_of_another_length(options: PretrainingOptions, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="was made with max_seq_length = 24"):
        run(dataclasses.replace(options, max_seq_length=32))
    release_locks()
    assert not (tmp_path / "out").exists()
