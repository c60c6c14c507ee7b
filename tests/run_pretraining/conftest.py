"""Flags and models that the tests of run_pretraining.py share."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from scripts import run_script


@pytest.fixture
def options(write_config: Callable[..., str], records_file: str, vocab_file: str) -> dict[str, Any]:
    return {
        "bert_config_file": write_config(num_hidden_layers=1),
        "vocab_file": vocab_file,
        "input_file": records_file,
        "max_seq_length": 24,
        "max_predictions_per_seq": 4,
        "train_batch_size": 16,
        "learning_rate": 5e-3,
        "num_warmup_steps": 2,
        "log_steps": 5,
        "do_train": True,
    }


@pytest.fixture(scope="session")
def deep(
    write_config: Callable[..., str],
    records_file: str,
    vocab_file: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> pathlib.Path:
    """A model of four layers to start from and to learn from."""
    folder = tmp_path_factory.mktemp("deep")
    run_script(
        "run_pretraining",
        bert_config_file=write_config(num_hidden_layers=4),
        vocab_file=vocab_file,
        input_file=records_file,
        max_seq_length=24,
        max_predictions_per_seq=4,
        train_batch_size=16,
        learning_rate=5e-3,
        num_warmup_steps=2,
        num_train_steps=30,
        output_dir=folder,
        do_train=True,
    )
    return folder
