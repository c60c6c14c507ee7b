"""No script writes to what it reads, however the path is spelled."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from scripts import run_script

from checkpoints.model_folder import write_model_folder
from checkpoints.weights import variable_values
from common.errors import UserError
from modeling.config import load_config
from modeling.heads import PretrainingModel


@pytest.fixture(scope="module")
def inputs(
    tmp_path_factory: pytest.TempPathFactory,
    write_config: Callable[..., str],
    vocab_file: str,
    records_file: str,
    task_dir: str,
    corpus_file: str,
) -> pathlib.Path:
    """A model, a link to it, a task, records and text, as a user may have them in one folder."""
    folder = tmp_path_factory.mktemp("inputs")
    config = load_config(write_config(num_hidden_layers=1))
    values = variable_values(PretrainingModel(config, seed=7).trainable_variables)
    write_model_folder(str(folder / "model"), values, config, vocab_file, {"do_lower_case": True})
    (folder / "model" / "best").mkdir()
    (folder / "link").symlink_to("model")
    shutil.copytree(task_dir, folder / "task")
    shutil.copy(records_file, folder / "records.tfrecord")
    shutil.copy(vocab_file, folder / "vocab.txt")
    shutil.copy(corpus_file, folder / "text.txt")
    shutil.copy(vocab_file, folder / "task" / "words.tsv")
    shutil.copy(folder / "model" / "bert_config.json", folder / "task" / "config.tsv")
    return folder


TASK = {"task_name": "SST-2", "data_dir": "task", "max_seq_length": 16}
FINE_TUNING = {**TASK, "init_checkpoint": "model", "do_train": True, "num_train_epochs": 0.5}
PRETRAINING = {"input_file": "records.tfrecord", "max_seq_length": 24, "max_predictions_per_seq": 4}
ADAPTATION = {**PRETRAINING, "init_checkpoint": "model", "do_train": True, "num_train_steps": 2}
FEATURES = {"init_checkpoint": "model", "input_file": "text.txt", "vocab_file": "vocab.txt"}
RECORDS = {"max_seq_length": 24, "max_predictions_per_seq": 4, "vocab_file": "vocab.txt"}

CASES: list[tuple[str, dict[str, Any], str]] = [
    ("run_classifier", {**FINE_TUNING, "output_dir": "model"}, "is the same folder as --init_ch"),
    ("run_classifier", {**FINE_TUNING, "output_dir": "link/"}, "is the same folder as --init_ch"),
    ("run_classifier", {**FINE_TUNING, "output_dir": "task/../model"}, "is the same folder as"),
    ("run_classifier", {**FINE_TUNING, "output_dir": "model/best"}, "lies inside --init_check"),
    ("run_classifier", {**FINE_TUNING, "output_dir": "task"}, "is the same folder as --data_dir"),
    ("run_classifier", {**FINE_TUNING, "output_dir": "."}, "contains --data_dir=task"),
    (
        "run_classifier",
        {**FINE_TUNING, "init_checkpoint": "model/bert_model.ckpt", "output_dir": "model"},
        "contains --init_checkpoint=model/bert_model.ckpt",
    ),
    (
        "run_classifier",
        {**TASK, "init_checkpoint": "model", "do_eval": True, "output_dir": "task/out"},
        "lies inside --data_dir",
    ),
    ("run_pretraining", {**ADAPTATION, "output_dir": "link"}, "is the same folder as --init_ch"),
    ("run_pretraining", {**ADAPTATION, "output_dir": "."}, "contains --input_file=records"),
    (
        "run_pretraining",
        {**ADAPTATION, "init_checkpoint": "", "bert_config_file": "model/bert_config.json"}
        | {"vocab_file": "model/vocab.txt", "output_dir": "model"},
        "contains --vocab_file=model/vocab.txt",
    ),
    (
        "create_soft_labels",
        {"init_checkpoint": "model", "labels": "0,1", "input_file": "text.txt"}
        | {"max_seq_length": 16, "output_dir": "model/soft_labels"},
        "lies inside --init_checkpoint",
    ),
    (
        "create_pretraining_data",
        {**RECORDS, "input_file": "text.txt", "output_file": "task/../vocab.txt"},
        "is an input file as well",
    ),
    ("create_transfer_set", {"input_file": "text.txt", "output_file": "./text.txt"}, "is an input"),
    (
        "measure_similarity",
        {"corpus_a": "text.txt", "corpus_b": "vocab.txt", "output_file": "text.txt"},
        "is an input file as well",
    ),
    (
        "convert_checkpoint",
        {"input_path": "model", "output_dir": "model/hf"},
        "lies inside --input",
    ),
    ("export_model", {"input_path": "model", "output_dir": "model/out"}, "lies inside --input"),
    ("extract_features", {**FEATURES, "output_file": "vocab.txt"}, "is an input file as well"),
    *(
        (
            "extract_features",
            {**FEATURES, "output_file": f"link/{name}"},
            "is an input file as well",
        )
        for name in (
            "bert_config.json",
            "model_info.json",
            "vocab.txt",
            "bert_model.ckpt.index",
            "bert_model.ckpt.data-00000-of-00001",
        )
    ),
    (
        "extract_features",
        {**FEATURES, "bert_config_file": "task/config.tsv", "output_file": "task/config.tsv"},
        "is an input file as well",
    ),
    (
        "predict",
        {"init_checkpoint": "model", "input_file": "text.txt", "vocab_file": "task/words.tsv"}
        | {"output_file": "task/words.tsv"},
        "is an input file as well",
    ),
    (
        "create_pretraining_data",
        {**RECORDS, "vocab_file": "model/vocab.txt", "input_file": "text.txt"}
        | {"output_file": "model/model_info.json"},
        "is an input file as well",
    ),
]


@pytest.mark.parametrize(
    ("script", "flags", "message"), CASES, ids=[f"{s}-{i}" for i, (s, _, _) in enumerate(CASES)]
)
def test_inputs_are_left_alone(
    inputs: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    flags: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.chdir(inputs)
    before = state(inputs)
    with pytest.raises(UserError, match=message):
        run_script(script, **flags)
    assert state(inputs) == before


def state(folder: pathlib.Path) -> dict[pathlib.Path, tuple[int, int]]:
    """File number and time of the last change of everything in a folder."""
    found = {path: path.stat() for path in sorted(folder.rglob("*"))}
    return {path: (status.st_ino, status.st_mtime_ns) for path, status in found.items()}
