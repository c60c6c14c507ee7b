"""Runs of run_classifier.py that its tests share."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from scripts import run_script

from checkpoints.model_folder import write_model_folder
from checkpoints.weights import variable_values
from modeling.config import load_config
from modeling.heads import PretrainingModel


@pytest.fixture(scope="session")
def options(task_dir: str) -> dict[str, Any]:
    return {
        "task_name": "SST-2",
        "data_dir": task_dir,
        "max_seq_length": 16,
        "train_batch_size": 16,
        "learning_rate": 2e-3,
        "log_steps": 10,
    }


@pytest.fixture(scope="session")
def new_model(write_config: Callable[..., str], vocab_file: str) -> dict[str, Any]:
    """Flags of a model of random weights, of a size that learns the task from any seed."""
    config = write_config(num_hidden_layers=1, hidden_size=48, initializer_range=0.05)
    return {"bert_config_file": config, "vocab_file": vocab_file}


@pytest.fixture(scope="session")
def trained(
    options: dict[str, Any], new_model: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """The folder of a run with all three modes."""
    folder = tmp_path_factory.mktemp("classifier")
    run_script(
        "run_classifier",
        **options,
        **new_model,
        output_dir=folder,
        do_train=True,
        do_eval=True,
        do_predict=True,
        num_train_epochs=5,
        evaluate_steps=20,
    )
    return folder


@pytest.fixture(scope="session")
def pretrained(new_model: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A model folder as run_pretraining.py leaves it."""
    folder = tmp_path_factory.mktemp("pretrained")
    config = load_config(new_model["bert_config_file"])
    values = variable_values(PretrainingModel(config, seed=7).trainable_variables)
    info = {"do_lower_case": True, "global_step": 7}
    write_model_folder(str(folder), values, config, new_model["vocab_file"], info)
    return folder
