"""The trainings that a model went through, by what its runs have recorded."""

from __future__ import annotations

from typing import Any

import pytest

from checkpoints.lineage import STAGES, lineage_of

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
