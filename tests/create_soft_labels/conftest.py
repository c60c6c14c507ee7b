"""A teacher, texts and soft labels that the tests of create_soft_labels.py share."""

from __future__ import annotations

import lzma
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scripts import run_script
from tiny_data import (
    column,
)

from checkpoints.formats import find_weights, open_weights
from checkpoints.model_folder import read_model_folder, write_model_folder


@pytest.fixture(scope="session")
def texts(transfer_file: str, task_dir: str) -> list[str]:
    """What the transfer set of `soft_labels` holds: 150 and 61 texts."""
    return [
        *pathlib.Path(transfer_file).read_text().splitlines(),
        *column(f"{task_dir}/dev.tsv", 0),
    ]


@pytest.fixture(scope="session")
def teacher(
    task_dir: str,
    texts: list[str],
    write_config: Callable[..., str],
    vocab_file: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> pathlib.Path:
    """A fine-tuned classifier, with its predictions for `texts`."""
    data, folder = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("teacher")
    shutil.copy(f"{task_dir}/train.tsv", data)
    lines = [f"{i}\t{text}" for i, text in enumerate(texts)]
    (data / "test.tsv").write_text("\n".join(["index\tsentence", *lines]) + "\n")
    run_script(
        "run_classifier",
        task_name="SST-2",
        data_dir=data,
        bert_config_file=write_config(num_hidden_layers=1, hidden_size=48, initializer_range=0.05),
        vocab_file=vocab_file,
        output_dir=folder,
        max_seq_length=16,
        train_batch_size=16,
        learning_rate=2e-3,
        num_train_epochs=2,
        do_train=True,
        do_predict=True,
    )
    return folder


@pytest.fixture(scope="session")
def options(
    teacher: pathlib.Path,
    texts: list[str],
    transfer_file: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """Flags for `texts` in a plain and a compressed file, with blank lines and no last line end."""
    folder = tmp_path_factory.mktemp("texts")
    shutil.copy(transfer_file, folder)
    content = "\n\n" + "\n".join(texts[150:])
    (folder / "s.txt.xz").write_bytes(lzma.compress(content.encode()))
    return {
        "init_checkpoint": teacher,
        "input_file": f"{folder}/*.txt,{folder}/*.xz",
        "max_seq_length": 16,
        "examples_per_shard": 80,
    }


@pytest.fixture(scope="session")
def soft_labels(options: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("soft_labels")
    run_script("create_soft_labels", **options, output_dir=folder)
    return folder


@pytest.fixture(scope="session")
def other_teacher(teacher: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The same but for the bias of its outputs."""
    path = tmp_path_factory.mktemp("other")
    folder = read_model_folder(find_weights(str(teacher)))
    assert folder
    reader = open_weights(folder.weights)
    values = {name: reader.read(name) for name in reader.shapes}
    values["output_bias"] = values["output_bias"] + np.float32(0.5)
    info = {"labels": folder.labels, "do_lower_case": folder.do_lower_case}
    write_model_folder(str(path), values, folder.config, folder.vocab_file, info)
    return path
