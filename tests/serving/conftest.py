"""A vocabulary and inputs for models of odd sizes."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import pytest
from models import ODD_CONFIG, random_model, write_student, write_vocabulary
from scripts import run_script

from modeling.vocabulary import read_vocabulary

WORDS = ["un", "##aff", "##able", "the", "a", "b", "c", "naive", ".", "σ", "ς"]


@pytest.fixture(scope="package")
def odd_vocab_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_vocabulary(tmp_path_factory.mktemp("vocab") / "vocab.txt", WORDS)


@pytest.fixture(scope="package")
def padded_batch() -> dict[str, np.ndarray]:
    """int32 [4, 11], rows of different lengths."""
    rng = np.random.default_rng(3)
    mask = (np.arange(11) < np.array([[1], [4], [9], [11]])).astype(np.int32)
    ids, segments = rng.integers(0, ODD_CONFIG.vocab_size, [4, 11]), rng.integers(0, 2, [4, 11])
    return {
        "input_ids": (ids * mask).astype(np.int32),
        "input_mask": mask,
        "segment_ids": (segments * mask).astype(np.int32),
    }


@pytest.fixture(scope="package")
def review_student(tmp_path_factory: pytest.TempPathFactory, vocab_file: str) -> str:
    """A model folder for `task_dir`, with random weights."""
    config = dataclasses.replace(ODD_CONFIG, vocab_size=len(read_vocabulary(vocab_file)))
    model = random_model(vocab_file, ("0", "1"), config=config)
    return write_student(tmp_path_factory.mktemp("student") / "reviews", model)


@pytest.fixture(scope="package")
def shipped(
    tmp_path_factory: pytest.TempPathFactory, review_student: str, task_dir: str
) -> pathlib.Path:
    """It, exported in several forms that were compared on the task."""
    folder = tmp_path_factory.mktemp("export") / "shipped"
    run_script(
        "export_model",
        input_path=review_student,
        output_dir=folder,
        label_names="negative,positive",
        quantization="none,dynamic_int8",
        task_name="SST-2",
        data_dir=task_dir,
        max_disagreement=20,
        max_accuracy_drop=20,
        measure=False,
    )
    return folder
