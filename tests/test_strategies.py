"""Every strategy of the paper, and the two concurrent systems, from flags alone.

Their starts are compared with models that were put together by hand. Each way of learning trains one
step on a whole set, so that the loss it logs is that of its start, and is computed here in NumPy.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from models import random_weights
from runs import metrics, weights
from scipy.special import log_softmax, softmax
from scripts import run_script

from checkpoints.model_folder import write_model_folder
from checkpoints.weights import CheckpointReader, variable_values
from modeling.config import load_config
from modeling.heads import ClassifierModel, PretrainingModel

LENGTH, SEED = 16, 5
LABELLED, TRANSFER = 200, 150
NO_DROPOUT = {
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "classifier_dropout": 0.0,
}


@pytest.fixture(scope="module")
def folders(
    write_config: Callable[..., str],
    vocab_file: str,
    task_dir: str,
    transfer_file: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """What the strategies start from: pre-trained and fine-tuned models, soft labels."""
    root = tmp_path_factory.mktemp("strategies")
    config_file = write_config(**NO_DROPOUT)
    info = {"do_lower_case": True}
    for name, depth in (("one_layer", 1), ("pretrained", 2), ("deep", 4)):
        config = load_config(write_config(**NO_DROPOUT, num_hidden_layers=depth))
        values = random_weights(PretrainingModel(config))
        write_model_folder(str(root / name), values, config, vocab_file, info)
    config = load_config(write_config(**NO_DROPOUT, num_hidden_layers=4))
    labels = {**info, "labels": ["0", "1"]}
    values = random_weights(ClassifierModel(config, 2))
    write_model_folder(str(root / "teacher"), values, config, vocab_file, labels)
    config = load_config(config_file)
    values = random_weights(ClassifierModel(config, 2))
    write_model_folder(str(root / "distilled"), values, config, vocab_file, labels)
    run_script(
        "create_soft_labels",
        init_checkpoint=root / "teacher",
        task_name="SST-2",
        data_dir=task_dir,
        input_file=transfer_file,
        max_seq_length=LENGTH,
        hidden_state_layers="1,2",
        output_dir=root / "soft_labels",
    )
    names = ("one_layer", "pretrained", "deep", "teacher", "distilled", "soft_labels")
    return {"config": config_file, **{name: str(root / name) for name in names}}


def read_records(path: str) -> dict[str, np.ndarray]:
    """All features of a record file, each with one row an example."""
    rows: list[dict[str, Any]] = []
    for serialized in tf.data.TFRecordDataset(path):
        features = tf.train.Example.FromString(serialized.numpy()).features.feature
        kinds = {name: feature.WhichOneof("kind") for name, feature in features.items()}
        rows.append({name: getattr(features[name], kind).value for name, kind in kinds.items()})
    return {name: np.array([list(row[name]) for row in rows]) for name in rows[0]}


def started(
    folders: Mapping[str, str], start: str | None, layers: list[int] | None
) -> ClassifierModel:
    """A student with its initial weights.

    Args:
      folders: The fixture.
      start: Folder of the weights it takes, None for random ones.
      layers: Layer of the start for each of its own; None takes the embeddings alone.
    """
    student = ClassifierModel(load_config(folders["config"]), 2, "float32", SEED)
    if start is None:
        return student
    reader = CheckpointReader(f"{folders[start]}/bert_model.ckpt")
    names = variable_values(student.trainable_variables)
    for name, variable in zip(names, student.trainable_variables, strict=True):
        source = name
        if match := re.match(r"bert/encoder/layer_(\d)/", name):
            if layers is None:
                continue
            source = f"bert/encoder/layer_{layers[int(match[1])]}/{name[match.end() :]}"
        elif layers is None and not name.startswith("bert/embeddings/"):
            continue
        if source in reader.shapes:
            variable.assign(reader.read(source))
    return student


def inputs(records: Mapping[str, np.ndarray]) -> dict[str, tf.Tensor]:
    names = ("input_ids", "input_mask", "segment_ids")
    return {name: tf.constant(records[name], tf.int32) for name in names}


def cross_entropy(logits: np.ndarray, targets: np.ndarray) -> float:
    return float(-np.mean(np.sum(targets * log_softmax(logits, axis=-1), axis=-1)))


STARTS: dict[str, tuple[dict[str, Any], str | None, list[int] | None]] = {
    "random weights": ({}, None, None),
    "pre-trained": ({"init_checkpoint": "pretrained"}, "pretrained", [0, 1]),
    "bottom layers": (
        {"init_checkpoint": "deep", "init_strategy": "truncate_bottom"},
        "deep",
        [0, 1],
    ),
    "every other layer": (
        {"init_checkpoint": "deep", "init_strategy": "truncate_every_other"},
        "deep",
        [0, 2],
    ),
    "chosen layers": ({"init_checkpoint": "deep", "init_layers": "3,0"}, "deep", [3, 0]),
    "embeddings": (
        {"init_checkpoint": "one_layer", "init_strategy": "embeddings_only"},
        "one_layer",
        None,
    ),
    "a distilled student": ({"init_checkpoint": "distilled"}, "distilled", [0, 1]),
}


def start_flags(folders: Mapping[str, str], name: str, vocab_file: str) -> dict[str, Any]:
    flags, _, _ = STARTS[name]
    flags = {
        key: folders[value] if key == "init_checkpoint" else value for key, value in flags.items()
    }
    return {**flags, "bert_config_file": folders["config"], "vocab_file": vocab_file}


# Basic, PF, TF (truncated and fine-tuned) and its variants, PD-F; KD, and PD from every start.
@pytest.mark.parametrize("script", ["run_classifier", "run_distill"])
@pytest.mark.parametrize("start", STARTS)
def test_starts(
    folders: dict[str, str],
    vocab_file: str,
    task_dir: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    start: str,
) -> None:
    """Without updates, so that the weights of the model folder are those of the start."""
    monkeypatch.setattr("training.run.train", lambda *_: None)
    data = {
        "run_classifier": {"task_name": "SST-2", "data_dir": task_dir},
        "run_distill": {"input_file": f"{folders['soft_labels']}/*.tfrecord"},
    }
    run_script(
        script,
        **data[script],
        **start_flags(folders, start, vocab_file),
        max_seq_length=LENGTH,
        random_seed=SEED,
        output_dir=tmp_path,
        do_train=True,
    )
    expected = variable_values(started(folders, *STARTS[start][1:]).trainable_variables)
    found = weights(tmp_path)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.mark.parametrize("start", ["random weights", "bottom layers"])
def test_learning_from_labels(
    folders: dict[str, str], vocab_file: str, task_dir: str, tmp_path: pathlib.Path, start: str
) -> None:
    run_script(
        "run_classifier",
        task_name="SST-2",
        data_dir=task_dir,
        **start_flags(folders, start, vocab_file),
        max_seq_length=LENGTH,
        train_batch_size=LABELLED,
        num_train_epochs=1,
        random_seed=SEED,
        output_dir=tmp_path,
        do_train=True,
    )
    records = read_records(str(tmp_path / "train.tf_record"))
    logits = started(folders, *STARTS[start][1:])(inputs(records)).numpy()
    expected = cross_entropy(logits, np.eye(2)[records["label_ids"][:, 0]])
    (line,) = metrics(tmp_path, "train")
    assert line["loss"] == pytest.approx(expected, rel=1e-5)


# KD, and Hinton's mix with true labels.
@pytest.mark.parametrize(
    ("start", "temperature", "hard_label_weight"),
    [("random weights", 1.0, 0.0), ("pre-trained", 3.0, 0.3)],
)
def test_learning_from_a_teacher(
    folders: dict[str, str],
    vocab_file: str,
    tmp_path: pathlib.Path,
    start: str,
    temperature: float,
    hard_label_weight: float,
) -> None:
    run_script(
        "run_distill",
        input_file=f"{folders['soft_labels']}/*.tfrecord",
        **start_flags(folders, start, vocab_file),
        max_seq_length=LENGTH,
        train_batch_size=LABELLED + TRANSFER,
        num_train_epochs=1,
        random_seed=SEED,
        temperature=temperature,
        hard_label_weight=hard_label_weight,
        output_dir=tmp_path,
        do_train=True,
    )
    records = read_records(f"{folders['soft_labels']}/soft_labels-00000.tfrecord")
    logits = started(folders, *STARTS[start][1:])(inputs(records)).numpy()
    soft_labels = softmax(records["teacher_logits"] / temperature, axis=-1)
    soft = temperature**2 * cross_entropy(logits / temperature, soft_labels)
    labelled = records["has_label"][:, 0] == 1
    assert labelled.sum() == LABELLED
    hard = cross_entropy(logits[labelled], np.eye(2)[records["label_ids"][labelled, 0]])
    (line,) = metrics(tmp_path, "train")
    expected = (1 - hard_label_weight) * soft + hard_label_weight * hard
    assert line["loss"] == pytest.approx(expected, rel=1e-5)


def test_patient_knowledge_distillation(
    folders: dict[str, str], vocab_file: str, tmp_path: pathlib.Path
) -> None:
    run_script(
        "run_distill",
        input_file=f"{folders['soft_labels']}/*.tfrecord",
        **start_flags(folders, "bottom layers", vocab_file),
        max_seq_length=LENGTH,
        train_batch_size=LABELLED + TRANSFER,
        num_train_epochs=1,
        random_seed=SEED,
        temperature=5,
        hard_label_weight=0.5,
        patience_weight=100,
        patience_layers="skip",
        output_dir=tmp_path,
        do_train=True,
    )
    records = read_records(f"{folders['soft_labels']}/soft_labels-00000.tfrecord")
    student = started(folders, "deep", [0, 1])
    logits, states = student.logits_and_states(inputs(records))
    logits, state = logits.numpy(), states[1].numpy()
    soft = 25 * cross_entropy(logits / 5, softmax(records["teacher_logits"] / 5, axis=-1))
    labelled = records["has_label"][:, 0] == 1
    hard = cross_entropy(logits[labelled], np.eye(2)[records["label_ids"][labelled, 0]])
    # Layer 1 of a student of two layers follows layer 2 of a teacher of four; stored are 1 and 2.
    teacher_state = records["teacher_states"].reshape(len(state), 2, -1)[:, 1]
    unit = [x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (state, teacher_state)]
    distance = np.mean(np.sum((unit[0] - unit[1]) ** 2, axis=-1))
    (line,) = metrics(tmp_path, "train")
    assert line["patience_loss"] == pytest.approx(distance, rel=1e-4)
    assert line["loss"] == pytest.approx(0.5 * soft + 0.5 * hard + 100 * distance, rel=1e-4)


def test_distilbert_is_fine_tuned_after_its_pretraining(
    folders: dict[str, str],
    records_file: str,
    vocab_file: str,
    task_dir: str,
    tmp_path: pathlib.Path,
) -> None:
    """The loss of its pre-training: `tests/pretraining/test_distillation_objective.py`."""
    student = tmp_path / "student"
    run_script(
        "run_pretraining",
        teacher=folders["deep"],
        **start_flags(folders, "every other layer", vocab_file),
        input_file=records_file,
        max_seq_length=24,
        max_predictions_per_seq=4,
        train_batch_size=16,
        learning_rate=1e-3,
        num_warmup_steps=1,
        num_train_steps=3,
        output_dir=student,
        do_train=True,
    )
    run_script(
        "run_classifier",
        task_name="SST-2",
        data_dir=task_dir,
        init_checkpoint=student,
        max_seq_length=LENGTH,
        train_batch_size=LABELLED,
        num_train_epochs=1,
        random_seed=SEED,
        output_dir=tmp_path / "fine_tuned",
        do_train=True,
    )
    records = read_records(str(tmp_path / "fine_tuned" / "train.tf_record"))
    model = started({**folders, "student": str(student)}, "student", [0, 1])
    expected = cross_entropy(model(inputs(records)).numpy(), np.eye(2)[records["label_ids"][:, 0]])
    (line,) = metrics(tmp_path / "fine_tuned", "train")
    assert line["loss"] == pytest.approx(expected, rel=1e-5)
    moved = CheckpointReader(f"{student}/bert_model.ckpt").read("bert/embeddings/word_embeddings")
    before = CheckpointReader(f"{folders['deep']}/bert_model.ckpt")
    assert not np.array_equal(moved, before.read("bert/embeddings/word_embeddings"))
