"""Cased models in all scripts, and the one check that keeps a vocabulary from the other casing."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from models import random_weights
from scripts import run_script

from checkpoints.model_folder import write_model_folder
from common.errors import UserError
from modeling.config import load_config
from modeling.heads import ClassifierModel

LENGTH = 24
LETTERS = "abcdefghijklmnopqrstuvwxyz"
UNCASED = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *LETTERS,
    *(f"##{c}" for c in LETTERS),
    ".",
]
CASED = [*UNCASED, *LETTERS.upper(), "The", "London", "film"]


@pytest.fixture(scope="module")
def inputs(
    write_config: Any, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """For both vocabularies: its path, records, a model without recorded casing, soft labels."""
    folder = tmp_path_factory.mktemp("casing")
    text = folder / "text.txt"
    text.write_text("The film was London .\nThe London was the film .\n\n" * 20)
    made = {}
    for name, tokens in (("cased", CASED), ("uncased", UNCASED)):
        vocab_file = folder / f"{name}.txt"
        vocab_file.write_text("\n".join(tokens) + "\n")
        config_file = write_config(vocab_size=len(tokens), num_hidden_layers=1)
        config = load_config(config_file)
        model = str(folder / f"{name}_model")
        weights = random_weights(ClassifierModel(config, 2))
        write_model_folder(model, weights, config, str(vocab_file), {"labels": ["0", "1"]})
        run_script(
            "create_pretraining_data",
            input_file=text,
            output_file=folder / f"{name}.tfrecord",
            vocab_file=vocab_file,
            max_seq_length=LENGTH,
            max_predictions_per_seq=4,
            dupe_factor=1,
            num_processes=1,
        )
        run_script(
            "create_soft_labels",
            init_checkpoint=model,
            input_file=text,
            output_dir=folder / f"{name}_labels",
            max_seq_length=LENGTH,
        )
        made[name] = {
            "text": text,
            "vocab_file": vocab_file,
            "config": config_file,
            "model": model,
            "records": folder / f"{name}.tfrecord",
            "soft_labels": folder / f"{name}_labels" / "*.tfrecord",
        }
    return made


def flags_of(
    script: str, made: dict[str, Any], output: pathlib.Path, task_dir: str
) -> dict[str, Any]:
    """A command of each script that reads text, or what was made of text."""
    return {
        "create_pretraining_data": {
            "input_file": made["text"],
            "output_file": output / "r.tfrecord",
            "vocab_file": made["vocab_file"],
            "dupe_factor": 1,
            "num_processes": 1,
        },
        "run_pretraining": {
            "bert_config_file": made["config"],
            "vocab_file": made["vocab_file"],
            "input_file": made["records"],
            "output_dir": output,
            "max_seq_length": LENGTH,
            "max_predictions_per_seq": 4,
            "train_batch_size": 4,
            "num_train_steps": 1,
            "num_warmup_steps": 0,
            "do_train": True,
        },
        "run_classifier": {
            "task_name": "sst-2",
            "data_dir": task_dir,
            "init_checkpoint": made["model"],
            "output_dir": output,
            "max_seq_length": LENGTH,
            "do_eval": True,
        },
        "create_soft_labels": {
            "init_checkpoint": made["model"],
            "input_file": made["text"],
            "output_dir": output,
            "max_seq_length": LENGTH,
        },
        "run_distill": {
            "input_file": made["soft_labels"],
            "init_checkpoint": made["model"],
            "output_dir": output,
            "max_seq_length": LENGTH,
            "num_train_epochs": 1,
            "train_batch_size": 20,
            "do_train": True,
        },
        "convert_checkpoint": {
            "input_path": made["model"],
            "output_dir": output / "hf",
            "output_format": "hf",
            "verify": False,
        },
    }[script]


SCRIPTS = [
    "create_pretraining_data",
    "run_pretraining",
    "run_classifier",
    "create_soft_labels",
    "run_distill",
    "convert_checkpoint",
]


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(("kind", "other"), [("cased", True), ("uncased", False)])
def test_the_other_casing_is_refused_by_every_script(
    inputs: Any, tmp_path: pathlib.Path, task_dir: str, script: str, kind: str, other: bool
) -> None:
    flags = flags_of(script, inputs[kind], tmp_path / "out", task_dir)
    message = f"{kind}.*txt: do_lower_case={other}, but .* of an? {kind} model, so pass --do_lower"
    with pytest.raises(UserError, match=message):
        run_script(script, **flags, do_lower_case=other)
    assert [path for path in tmp_path.rglob("*") if path.suffix and path.name[0] != "."] == []


@pytest.mark.parametrize("given", [{}, {"do_lower_case": False}])
@pytest.mark.parametrize("script", SCRIPTS)
def test_cased_models_need_no_flag(
    inputs: Any, tmp_path: pathlib.Path, task_dir: str, script: str, given: dict[str, Any]
) -> None:
    """Whatever is written says that it is cased."""
    flags = flags_of(script, inputs["cased"], tmp_path, task_dir)
    run_script(script, **flags, **given)
    contents = (json.loads(path.read_text()) for path in tmp_path.rglob("*.json"))
    said = [content["do_lower_case"] for content in contents if "do_lower_case" in content]
    assert said
    assert not any(said)


def test_pretraining_takes_the_casing_of_its_records(inputs: Any, tmp_path: pathlib.Path) -> None:
    """Without a vocabulary; another one by the flag is a contradiction."""
    flags = flags_of("run_pretraining", inputs["cased"], tmp_path / "out", "")
    del flags["vocab_file"]
    run_script("run_pretraining", **flags)
    info = json.loads((tmp_path / "out" / "model_info.json").read_text())
    assert info["do_lower_case"] is False
    flags["output_dir"] = tmp_path / "other"
    with pytest.raises(UserError, match="made with do_lower_case = False, this run has True"):
        run_script("run_pretraining", **flags, do_lower_case=True)
