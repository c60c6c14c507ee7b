"""The trainings that a model went through, by what its runs have recorded."""

from __future__ import annotations

from typing import Any

import pytest

from checkpoints.lineage import _SETTINGS, STAGES, lineage_of
from classification.fine_tuning import FineTuningOptions
from distillation.student_training import DistillationOptions
from pretraining.training_run import PretrainingOptions

RUN: dict[str, Any] = {
    "made_from": {
        "soft labels": {"sha256": "aaa", "source": "/home/someone/labels"},
        "start": {"sha256": None, "source": "random"},
    },
    "flags": {"learning_rate": 3e-4, "input_file": "/home/someone/x", "temperature": None},
    "teacher_weights_sha256": "bbb",
    "global_step": 70,
    "weights_sha256": "ccc",
}
STAGE = {
    "training": "distillation",
    "teacher_weights_sha256": "bbb",
    "contents": {"soft labels": "aaa"},
    "settings": {"learning_rate": 3e-4},
    "updates": 70,
    "weights_sha256": "ccc",
}


def test_a_run_stands_behind_those_before_it() -> None:
    before = {"training": "pre-training", "contents": {"training records": "ddd"}}
    assert lineage_of(RUN) == [STAGE]
    assert lineage_of({**RUN, "lineage": [before]}) == [before, STAGE]
    # Of a conversion, which is no training.
    assert lineage_of({"lineage": [before], "weights_sha256": "e"}) == [before]
    assert lineage_of({}) == []


@pytest.mark.parametrize(
    ("content", "training"),
    [
        ("training records", "pre-training"),
        ("soft labels", "distillation"),
        ("training data", "fine-tuning"),
        ("another", None),
    ],
)
def test_kind_of_training(content: str, training: str | None) -> None:
    (stage,) = lineage_of({"made_from": {content: {"sha256": "a"}}})
    assert stage.get("training") == training


@pytest.mark.parametrize(
    ("options", "length"),
    [
        (PretrainingOptions, "num_train_steps"),
        (DistillationOptions, "num_train_epochs"),
        (FineTuningOptions, "num_train_epochs"),
    ],
)
def test_the_length_is_recorded_and_a_run_may_be_made_longer(
    options: type[PretrainingOptions | DistillationOptions | FineTuningOptions], length: str
) -> None:
    assert {length, "learning_rate"} <= {*options.RECORDED}
    assert length not in options.DECISIVE
    flags = options().values(options.RECORDED)
    (stage,) = lineage_of({"made_from": {"start": {"sha256": "a"}}, "flags": flags})
    assert stage["settings"][length] == getattr(options(), length)


def test_every_setting_is_recorded_by_some_training() -> None:
    recorded = {
        name
        for options in (PretrainingOptions, DistillationOptions, FineTuningOptions)
        for name in options.RECORDED
    }
    assert set(_SETTINGS) <= recorded


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ([], True),
        ([STAGE, {}], True),
        ({}, False),
        (["training"], False),
        ([{**STAGE, "updates": -1}], False),
        ([{**STAGE, "contents": ["a"]}], False),
        ([{**STAGE, "training": 3}], False),
    ],
)
def test_what_a_file_may_hold(value: Any, fits: bool) -> None:
    assert STAGES.fits(value) == fits
