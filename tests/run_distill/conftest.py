"""Teachers, soft labels and students that the tests of run_distill.py share."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from scripts import run_script
from tiny_data import write_similarity

SIZES = {"num_hidden_layers": 1, "hidden_size": 48, "initializer_range": 0.05}


@pytest.fixture(scope="session")
def teacher(fine_tuned: pathlib.Path) -> pathlib.Path:
    return fine_tuned


@pytest.fixture(scope="session")
def soft_labels(
    teacher: pathlib.Path,
    task_dir: str,
    transfer_file: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> pathlib.Path:
    """200 labelled and 150 unlabelled texts in two shards."""
    folder = tmp_path_factory.mktemp("soft_labels")
    run_script(
        "create_soft_labels",
        init_checkpoint=teacher,
        task_name="SST-2",
        data_dir=task_dir,
        input_file=transfer_file,
        max_seq_length=16,
        examples_per_shard=180,
        output_dir=folder,
    )
    return folder


@pytest.fixture(scope="session")
def held_out(
    teacher: pathlib.Path, task_dir: str, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """Soft labels of 61 texts that are not in `soft_labels`."""
    folder = tmp_path_factory.mktemp("held_out")
    run_script(
        "create_soft_labels",
        init_checkpoint=teacher,
        input_file=f"{task_dir}/dev.tsv",
        text_a="sentence",
        max_seq_length=16,
        output_dir=folder,
    )
    return folder


@pytest.fixture(scope="session")
def new_student(write_config: Callable[..., str], vocab_file: str) -> dict[str, Any]:
    """Flags of a student of random weights, narrower than the teacher."""
    return {
        "bert_config_file": write_config(**SIZES, intermediate_size=20),
        "vocab_file": vocab_file,
    }


@pytest.fixture(scope="session")
def options(soft_labels: pathlib.Path) -> dict[str, Any]:
    return {
        "input_file": f"{soft_labels}/*.tfrecord",
        "max_seq_length": 16,
        "train_batch_size": 16,
        "learning_rate": 2e-3,
        "log_steps": 10,
    }


@pytest.fixture(scope="session")
def task(task_dir: str) -> dict[str, Any]:
    return {"task_name": "SST-2", "data_dir": task_dir}


@pytest.fixture(scope="session")
def student(
    options: dict[str, Any],
    new_student: dict[str, Any],
    task: dict[str, Any],
    held_out: pathlib.Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> pathlib.Path:
    """The folder of a run from random weights, with all three modes."""
    folder = tmp_path_factory.mktemp("student")
    run_script(
        "run_distill",
        **options,
        **new_student,
        **task,
        eval_file=f"{held_out}/*.tfrecord",
        output_dir=folder,
        do_train=True,
        do_eval=True,
        do_predict=True,
        num_train_epochs=3,
        evaluate_steps=25,
    )
    return folder


@pytest.fixture(scope="session")
def similarity(
    new_student: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], pathlib.Path]:
    """STS-B in small, 2.5 points for each positive text of a pair: its flags, and a teacher."""
    data, folder = tmp_path_factory.mktemp("STS-B"), tmp_path_factory.mktemp("regression_teacher")
    write_similarity(data, train=150, dev=50, test=30, transfer=300)
    lines = (data / "transfer.tsv").read_text().splitlines()
    pairs = [line.split("\t")[7:9] for line in lines[1:]]
    (data / "transfer.tsv").write_text("".join("\t".join(pair) + "\n" for pair in pairs))
    flags = {
        "task_name": "STS-B",
        "data_dir": data,
        "max_seq_length": 32,
        "train_batch_size": 16,
        "learning_rate": 1e-3,
    }
    run_script(
        "run_classifier",
        **flags,
        **new_student,
        output_dir=folder,
        do_train=True,
        num_train_epochs=20,
    )
    return flags, folder


@pytest.fixture(scope="session")
def score_labels(
    similarity: tuple[dict[str, Any], pathlib.Path], tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """The teacher's scores, and layers' states, of 150 labelled and 300 unlabelled pairs."""
    flags, teacher = similarity
    folder = tmp_path_factory.mktemp("score_labels")
    task = {name: flags[name] for name in ("task_name", "data_dir", "max_seq_length")}
    run_script(
        "create_soft_labels",
        **task,
        init_checkpoint=teacher,
        input_file=flags["data_dir"] / "transfer.tsv",
        hidden_state_layers="1",
        output_dir=folder,
    )
    return folder
