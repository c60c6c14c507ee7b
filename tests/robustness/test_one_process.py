"""Runs of one process share what is compiled, and nothing that could change a result."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from runs import assert_same_folders
from scripts import run_script

from common.errors import UserError
from training import kept_models

OTHERS: tuple[dict[str, Any], ...] = (
    {"random_seed": 7, "learning_rate": 1e-3},
    {"train_batch_size": 16, "gradient_accumulation_steps": 2},
)


@pytest.mark.parametrize(
    ("script", "fixture", "length", "others"),
    [
        ("run_pretraining", "pretraining_flags", {"num_train_steps": 6}, OTHERS),
        (
            "run_classifier",
            "fine_tuning_flags",
            {"num_train_epochs": 0.5, "do_train": True, "do_eval": True, "do_predict": True},
            (*OTHERS, {"class_weights": "0:0.3,1:2"}, {"warmup_proportion": 0.5}),
        ),
    ],
)
def test_runs_before_do_not_matter(
    script: str,
    fixture: str,
    length: dict[str, Any],
    others: tuple[dict[str, Any], ...],
    request: pytest.FixtureRequest,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of other seeds, schedules and losses, all with the same model, the last one without success."""
    monkeypatch.setattr(kept_models, "_kept", [])
    flags = {**request.getfixturevalue(fixture), **length}
    run_script(script, **flags, output_dir=tmp_path / "alone")
    (model,) = kept_models._kept
    for number, changed in enumerate(others):
        run_script(script, **{**flags, **changed}, output_dir=tmp_path / str(number))
    with pytest.raises(UserError, match="not finite at step"):
        run_script(script, **{**flags, "learning_rate": 1e30}, output_dir=tmp_path / "failed")
    run_script(script, **flags, output_dir=tmp_path / "after")
    assert kept_models._kept == [model]
    assert_same_folders(tmp_path / "alone", tmp_path / "after")
