"""Fine-tuning as a call from Python, without flags."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest
from runs import assert_same_weights, results
from scripts import run_script

from classification import fine_tuning
from common.outputs import release_locks


def test_a_call_does_what_the_script_does(
    task_dir: str, vocab_file: str, write_config: Callable[..., str], tmp_path: pathlib.Path
) -> None:
    values = {
        "task_name": "SST-2",
        "data_dir": task_dir,
        "bert_config_file": write_config(num_hidden_layers=1),
        "vocab_file": vocab_file,
        "max_seq_length": 16,
        "do_train": True,
        "do_eval": True,
        "do_predict": True,
        "num_train_epochs": 0.5,
    }
    run_script("run_classifier", **values, output_dir=tmp_path / "script")
    called = tmp_path / "called"
    options = fine_tuning.FineTuningOptions(**values, output_dir=str(called))
    result = fine_tuning.run(options)
    release_locks()
    assert_same_weights(tmp_path / "script", called)
    (evaluation,), (probabilities,) = result.evaluations, result.predictions
    assert evaluation.metrics["eval_accuracy"] == pytest.approx(results(called)["eval_accuracy"])
    assert result.step == results(called)["global_step"] == 3
    assert probabilities.shape == (37, 2)
