"""What is refused before anything is trained or written."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from runs import (
    BAD_FLAGS,
    NO_TRAINED_MODEL,
    contents,
    filled,
)
from scripts import run_script
from tiny_data import write_other_vocab

from checkpoints.weights import write_checkpoint
from common.errors import UserError


def without_info(folder: pathlib.Path, copy: pathlib.Path) -> pathlib.Path:
    """A copy of a model folder as another tool would have left it."""
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("model_info.json", "best", "eval"))
    return copy


@pytest.fixture(scope="session")
def models(
    trained: pathlib.Path,
    pretrained: pathlib.Path,
    write_config: Callable[..., str],
    vocab_file: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, object]:
    """Good, foreign and damaged models, and files that do not fit `trained`."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "nothing").mkdir()
    (folder / "other").mkdir()
    other = folder / "other" / "bert_model.ckpt"
    write_checkpoint(str(other), {"generator/kernel": np.zeros((2, 3), np.float32)})

    def damaged(name: str, file: str, keep: float) -> pathlib.Path:
        copy = without_info(trained, folder / name)
        data = (copy / file).read_bytes()
        (copy / file).write_bytes(data[: int(keep * len(data))])
        return copy

    data_file = "bert_model.ckpt.data-00000-of-00001"
    flipped = damaged("flipped", data_file, 1.0)
    content = bytearray((flipped / data_file).read_bytes())
    content[len(content) // 2] ^= 1
    (flipped / data_file).write_bytes(content)
    return {
        "trained": trained,
        "pretrained": pretrained,
        "foreign": without_info(trained, folder / "foreign"),
        "nothing": folder / "nothing",
        "other": other,
        "flipped": flipped,
        "half": damaged("half", data_file, 0.5),
        "index": damaged("index", "bert_model.ckpt.index", 0.5),
        "empty": damaged("empty", "bert_model.ckpt.index", 0.0),
        "narrow": write_config(num_hidden_layers=1, hidden_size=45),
        "other_vocab": write_other_vocab(vocab_file, folder),
    }


TURNED = {"task_name": "tsv", "text_a": "sentence", "label": "label", "labels": "1,0"}
KEEP = {**TURNED, "labels": "0,1,2", "init_head": "keep"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"do_lower_case": False}, "do_lower_case=False, but {trained} .*do_lower_case=True"),
        ({"vocab_file": "{other_vocab}"}, "other_vocab.txt is not the .* use the model's own"),
        (
            {"vocab_file": "{other_vocab}", "init_checkpoint": "{foreign}"},
            "other_vocab.txt is not the vocabulary of {foreign}: id .* use the model's own",
        ),
        (
            KEEP,
            "keep cannot keep .* is for the labels 0, 1, this run for the labels 0, 1, 2; pass",
        ),
        ({**KEEP, "labels": "1,0"}, "is for the labels 0, 1, this run for the labels 1, 0"),
        (
            {**KEEP, "init_checkpoint": "{foreign}"},
            "its classifier has 2 outputs, this run needs 3",
        ),
        ({**KEEP, "init_checkpoint": "{pretrained}"}, "of .*there is no classifier in it"),
        ({**KEEP, "init_strategy": "embeddings_only"}, "keep needs a classifier to keep"),
        (
            {"bert_config_file": "{narrow}"},
            "has hidden_size 48, the student 45; start from a model",
        ),
        ({"max_seq_length": 41}, "max_seq_length=41 .* max_position_embeddings of 40"),
        (
            {"init_checkpoint": "{pretrained}", "do_train": False},
            "variables output_weights, output_bias are missing, so there is no trained model",
        ),
        ({"init_checkpoint": "{nothing}"}, "no checkpoint found"),
    ],
)
def test_flags_that_contradict_the_model_folder(
    models: dict[str, object],
    options: dict[str, Any],
    tmp_path: pathlib.Path,
    changes: dict[str, Any],
    message: str,
) -> None:
    run = {"init_checkpoint": "{trained}", "do_train": True, "do_eval": True, **options, **changes}
    with pytest.raises(UserError, match=message.format(**models)):
        run_script("run_classifier", **filled(run, **models), output_dir=tmp_path)
    # All but the shape of the classifier is known before the task is converted to records.
    assert "output_" in message or not list(tmp_path.glob("*"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other", "none of its 1 variables is in the model; it has generator/kernel, .* wants be"),
        ("half", "half/bert_model.ckpt: variable .* is damaged"),
        ("flipped", "flipped/bert_model.ckpt: variable .* is damaged"),
        ("index", "index/bert_model.ckpt: not a readable"),
        ("empty", "empty/bert_model.ckpt: not a readable"),
    ],
)
def test_bad_checkpoints(
    models: dict[str, object],
    options: dict[str, Any],
    new_model: dict[str, Any],
    tmp_path: pathlib.Path,
    name: str,
    message: str,
) -> None:
    run = {**options, **new_model, "init_checkpoint": models[name], "output_dir": tmp_path}
    with pytest.raises(UserError, match=message):
        run_script("run_classifier", **run, do_train=True)
    assert not list(tmp_path.glob("*.index"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *BAD_FLAGS,
        ({"do_eval": True}, NO_TRAINED_MODEL),
        ({"do_predict": True}, NO_TRAINED_MODEL),
        ({"do_train": True, "task_name": "sst3"}, "sst3 is unknown; expected one of .*sst-2"),
        ({"do_train": True, "text_a": "x"}, "--text_a=x has no effect without --task_name=csv or"),
        ({"do_train": True, "data_dir": "nowhere"}, "nowhere/train.tsv .*is missing"),
        (
            {"do_train": True, "do_eval": True, "early_stopping_patience": 2},
            "--early_stopping_patience=2 has no effect without --evaluate_steps; pass that",
        ),
        ({"do_train": True, "task_name": "ax"}, "--do_train: task ax has no training set"),
        (
            {"do_train": True, "make_glue_submission": True, "submission_dir": "x"},
            "--make_glue_submission has no effect without --do_predict",
        ),
        (
            {"do_train": True, "do_predict": True, "make_glue_submission": True},
            "--make_glue_submission has no effect without --submission_dir",
        ),
        (
            {
                "do_train": True,
                "do_predict": True,
                "make_glue_submission": True,
                "submission_dir": "x",
            },
            "cover the test set of SST-2: .* has 37 of its 1821 .* missing is index 37",
        ),
    ],
)
def test_bad_flags(
    options: dict[str, Any],
    new_model: dict[str, Any],
    tmp_path: pathlib.Path,
    changes: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(UserError, match=message):
        run_script("run_classifier", **{**options, **new_model, **changes}, output_dir=tmp_path)
    assert not list(tmp_path.glob("*.index"))


def test_less_than_one_batch(
    options: dict[str, Any], new_model: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    """200 examples are half of a batch; no model folder of untrained weights is left."""
    with pytest.raises(UserError, match="200 training examples .*--train_batch_size=400 are less"):
        run_script(
            "run_classifier",
            **{**options, "train_batch_size": 400},
            **new_model,
            output_dir=tmp_path,
            do_train=True,
            num_train_epochs=1,
        )
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"train.tf_record", ".train.tf_record.json", "run_config.json"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"vocab_file": "{other_vocab}"},
            "other_vocab.txt is not the vocabulary of {folder}: id ",
        ),
        ({"do_lower_case": False}, "do_lower_case=False, but {folder} .*do_lower_case=True"),
        (TURNED, "{folder} was made for the labels 0, 1, this run has 1, 0"),
    ],
)
def test_flags_that_contradict_the_trained_folder(
    trained: pathlib.Path,
    models: dict[str, object],
    options: dict[str, Any],
    new_model: dict[str, Any],
    tmp_path: pathlib.Path,
    changes: dict[str, Any],
    message: str,
) -> None:
    """Vocabulary, casing and labels are those of the model in --output_dir."""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    before = contents(folder)
    run = {**options, **new_model, **filled(changes, **models), "output_dir": folder}
    with pytest.raises(UserError, match=message.format(folder=folder)):
        run_script("run_classifier", **run, do_eval=True, do_predict=True)
    assert contents(folder) == before


def test_earlier_run_is_left_alone(
    trained: pathlib.Path,
    options: dict[str, Any],
    new_model: dict[str, Any],
    tmp_path: pathlib.Path,
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    before = contents(folder)
    with pytest.raises(UserError, match=r"holds a run with max_seq_length=16.*max_seq_length=24"):
        run_script(
            "run_classifier",
            **{**options, "max_seq_length": 24},
            **new_model,
            output_dir=folder,
            do_train=True,
            do_eval=True,
            do_predict=True,
        )
    assert contents(folder) == before


def test_pairs_need_a_model_with_two_segments(
    options: dict[str, Any],
    write_config: Callable[..., str],
    vocab_file: str,
    tmp_path: pathlib.Path,
) -> None:
    rows = "film\t\ta\ngood film\tbad film\tb\n"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.tsv").write_text(f"first\tsecond\tlabel\n{rows}")
    with pytest.raises(UserError, match=r"train.tsv, line 3: found a pair .*type_vocab_size 1"):
        run_script(
            "run_classifier",
            **{**options, "task_name": "tsv", "data_dir": tmp_path / "data"},
            text_a="first",
            text_b="second",
            label="label",
            bert_config_file=write_config(num_hidden_layers=1, type_vocab_size=1),
            vocab_file=vocab_file,
            output_dir=tmp_path / "out",
            do_train=True,
        )
