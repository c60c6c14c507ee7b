"""Fine-tuning as a call from Python, without flags."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from runs import assert_same_folders, results

from classification import fine_tuning
from common.errors import UserError
from common.outputs import release_locks


def test_a_call_does_what_the_script_does(
    fine_tuned: pathlib.Path, fine_tuning_flags: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    called = tmp_path / "called"
    options = fine_tuning.FineTuningOptions(
        **fine_tuning_flags,
        output_dir=str(called),
        do_train=True,
        do_eval=True,
        do_predict=True,
        num_train_epochs=5.0,
        evaluate_steps=20,
    )
    result = fine_tuning.run(options)
    release_locks()
    assert_same_folders(fine_tuned, called)
    (evaluation,), (probabilities,) = result.evaluations, result.predictions
    assert evaluation.metrics["eval_accuracy"] == pytest.approx(results(called)["eval_accuracy"])
    assert result.step == results(called)["global_step"] == 62
    assert probabilities.shape == (37, 2)


def test_a_trained_model_on_texts_of_another_kind(
    fine_tuned: pathlib.Path, fine_tuning_flags: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    info = json.loads((fine_tuned / "model_info.json").read_text())
    assert info["pairs"] is False
    (tmp_path / "new.csv").write_text("a,b\ngood,bad\n")
    options = fine_tuning.FineTuningOptions(
        task_name="csv",
        test_file=str(tmp_path / "new.csv"),
        text_a="a",
        text_b="b",
        init_checkpoint=str(fine_tuned),
        output_dir=str(tmp_path / "out"),
        do_predict=True,
    )
    message = r"single texts, but .*new.csv \(columns a and b\) has pairs of texts"
    with pytest.raises(UserError, match=message):
        fine_tuning.run(options)
    release_locks()
