"""Runs of run_classifier.py that its tests share."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from checkpoints.model_folder import write_model_folder
from checkpoints.weights import variable_values
from modeling.config import load_config
from modeling.heads import PretrainingModel

MODEL = ("bert_config_file", "vocab_file")


@pytest.fixture(scope="session")
def options(fine_tuning_flags: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fine_tuning_flags.items() if name not in MODEL}


@pytest.fixture(scope="session")
def new_model(fine_tuning_flags: dict[str, Any]) -> dict[str, Any]:
    """Flags of a model of random weights."""
    return {name: fine_tuning_flags[name] for name in MODEL}


@pytest.fixture(scope="session")
def trained(fine_tuned: pathlib.Path) -> pathlib.Path:
    """The folder of a run with all three modes."""
    return fine_tuned


@pytest.fixture(scope="session")
def pretrained(new_model: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A model folder as run_pretraining.py leaves it."""
    folder = tmp_path_factory.mktemp("pretrained")
    config = load_config(new_model["bert_config_file"])
    values = variable_values(PretrainingModel(config, seed=7).trainable_variables)
    info = {"do_lower_case": True, "global_step": 7}
    write_model_folder(str(folder), values, config, new_model["vocab_file"], info)
    return folder
