"""Teachers of scores."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from models import random_weights
from runs import info, metrics, predictions, results
from scripts import run_script

from checkpoints.model_folder import write_model_folder
from modeling.config import load_config
from modeling.heads import ClassifierModel


def test_regression_teacher(
    similarity: tuple[dict[str, Any], pathlib.Path],
    score_labels: pathlib.Path,
    new_student: dict[str, Any],
    tmp_path: pathlib.Path,
) -> None:
    """A student of scores, with a share of the true ones; evaluated on task and teacher."""
    flags, teacher = similarity
    manifest = json.loads((score_labels / "soft_labels.json").read_text())
    assert (manifest["labels"], manifest["is_regression"]) == ([], True)
    assert (manifest["num_examples"], manifest["num_labelled"]) == (450, 150)
    assert manifest["are_pairs"] is True
    run_script(
        "run_distill",
        **flags,
        **new_student,
        input_file=f"{score_labels}/*.tfrecord",
        eval_file=f"{score_labels}/*.tfrecord",
        output_dir=tmp_path,
        do_train=True,
        do_eval=True,
        do_predict=True,
        hard_label_weight=0.25,
        num_train_epochs=12,
        evaluate_steps=150,
        log_steps=20,
    )
    train = metrics(tmp_path, "train")
    losses = {"loss", "soft_loss", "hard_loss"}
    assert set(train[0]) == {"step", "kind", "learning_rate", "gradient_norm", *losses}
    for line in train:
        mixed = 0.75 * line["soft_loss"] + 0.25 * line["hard_loss"]
        assert line["loss"] == pytest.approx(mixed, rel=1e-4)
    assert train[-1]["soft_loss"] < train[0]["soft_loss"] / 4
    evaluation = results(tmp_path)
    assert list(evaluation) == [
        "eval_loss",
        "eval_pearson",
        "eval_spearman",
        "global_step",
        "loss",
        "teacher_mse",
        "teacher_pearson",
    ]
    assert evaluation["teacher_mse"] < 0.5 and evaluation["teacher_pearson"] > 0.9
    assert evaluation["eval_pearson"] > 0.8
    assert predictions(tmp_path).shape == (30, 1)
    assert (info(tmp_path)["labels"], info(tmp_path)["is_regression"]) == ([], True)
    assert info(tmp_path)["teacher_weights_sha256"] == info(teacher)["weights_sha256"]


def test_patience_with_a_regression_teacher(
    similarity: tuple[dict[str, Any], pathlib.Path],
    score_labels: pathlib.Path,
    write_config: Callable[..., str],
    vocab_file: str,
    tmp_path: pathlib.Path,
) -> None:
    """On a teacher of two layers that no label was ever shown to."""
    config = load_config(write_config(num_hidden_layers=2))
    teacher, labelled, out = (tmp_path / name for name in ("teacher", "labelled", "out"))
    values = random_weights(ClassifierModel(config, 1))
    write_model_folder(str(teacher), values, config, vocab_file, {"labels": []})
    data_dir = similarity[0]["data_dir"]
    run_script(
        "create_soft_labels",
        init_checkpoint=teacher,
        input_file=data_dir / "transfer.tsv",
        hidden_state_layers="1",
        max_seq_length=16,
        output_dir=labelled,
    )
    run_script(
        "run_distill",
        input_file=f"{labelled}/*.tfrecord",
        init_checkpoint=teacher,
        init_strategy="embeddings_only",
        max_seq_length=16,
        train_batch_size=16,
        learning_rate=2e-3,
        log_steps=10,
        patience_weight=5.0,
        num_train_epochs=4,
        do_train=True,
        output_dir=out,
    )
    lines = metrics(out, "train")
    assert lines[-1]["patience_loss"] < 0.7 * lines[0]["patience_loss"]
    for line in lines:
        expected = line["soft_loss"] + 5 * line["patience_loss"]
        assert line["loss"] == pytest.approx(expected, rel=1e-5)
