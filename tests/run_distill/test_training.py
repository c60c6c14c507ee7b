"""What a student learns from, and what its run keeps."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from models import random_weights
from runs import (
    assert_same_folders,
    evaluated_model,
    info,
    metrics,
    predictions,
    results,
)
from scripts import run_script

from checkpoints.formats import find_weights
from checkpoints.model_folder import read_model_folder, write_model_folder
from checkpoints.weights import variable_values
from common.errors import UserError
from modeling.config import load_config
from modeling.heads import ClassifierModel, PretrainingModel


def test_student_learns_from_the_teacher_alone(student: pathlib.Path) -> None:
    train = metrics(student, "train")
    assert set(train[0]) == {
        "step",
        "kind",
        "loss",
        "soft_loss",
        "teacher_agreement",
        "teacher_kl",
        "learning_rate",
        "gradient_norm",
    }
    # Cross-entropy does not fall below the teacher's entropy; the divergence can.
    assert train[-1]["soft_loss"] < train[0]["soft_loss"]
    assert train[-1]["teacher_kl"] < train[0]["teacher_kl"] / 2
    assert train[-1]["loss"] == train[-1]["soft_loss"]
    evaluation = results(student)
    assert list(evaluation) == [
        "eval_accuracy",
        "eval_loss",
        "eval_macro_f1",
        "global_step",
        "loss",
        "soft_loss",
        "teacher_agreement",
        "teacher_kl",
    ]
    assert evaluation["global_step"] == 65  # int(350 / 16 * 3)
    assert evaluation["teacher_agreement"] > 0.85
    assert evaluation["eval_accuracy"] > 0.85
    agreement = json.loads((student / "agreement.json").read_text())
    assert agreement["rows"] == sum(label["teacher"] for label in agreement["labels"])
    assert agreement["agreement"] == pytest.approx(evaluation["teacher_agreement"])
    differing = (student / "disagreements.csv").read_text().splitlines()
    assert len(differing) - 1 == min(100, round((1 - agreement["agreement"]) * agreement["rows"]))


def test_model_folder_and_best_model(student: pathlib.Path, teacher: pathlib.Path) -> None:
    assert info(student)["labels"] == ["0", "1"]
    assert info(student)["teacher_weights_sha256"] == info(teacher)["weights_sha256"]
    assert json.loads((student / "bert_config.json").read_text())["intermediate_size"] == 20
    assert (student / "vocab.txt").read_text() == (teacher / "vocab.txt").read_text()
    evaluations = metrics(student, "eval")
    assert [record["step"] for record in evaluations] == [25, 50, 65]
    assert {"eval_accuracy", "teacher_agreement", "teacher_kl"} <= set(evaluations[0])
    best = max(evaluations, key=lambda record: record["eval_accuracy"])
    assert info(student / "best")["global_step"] == best["step"]


def test_fine_tuned_student_keeps_length_and_lineage(
    student: pathlib.Path,
    task: dict[str, Any],
    tmp_path: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In its folder, and on its card after conversions there and back."""
    caplog.set_level("INFO")
    tuned, copy, hub, back = (tmp_path / name for name in ("tuned", "copy", "hub", "back"))
    short = {"do_train": True, "train_batch_size": 16, "num_train_epochs": 0.1}
    run_script("run_classifier", **task, **short, init_checkpoint=student, output_dir=tuned)
    assert info(tuned)["flags"]["max_seq_length"] == 16
    assert "--max_seq_length=16, as in the earlier training of the model." in caplog.messages
    for source, form, target in ((tuned, "tf1", copy), (copy, "hf", hub), (hub, "tf1", back)):
        flags = {"input_path": source, "output_format": form, "output_dir": target}
        run_script("convert_checkpoint", **flags, verify=False)
    assert info(back)["lineage"] == info(copy)["lineage"]
    read = read_model_folder(find_weights(str(back)))
    assert read and read.global_step == info(tuned)["global_step"]
    card = (hub / "README.md").read_text().splitlines()
    digests = info(student)
    lines = (
        "### 1. Distillation",
        f"| teacher (SHA-256 of its weights) | {digests['teacher_weights_sha256']} |",
        f"| transfer set (SHA-256) | {digests['transfer_set_sha256']} |",
        f"| soft labels (SHA-256) | {digests['made_from']['soft labels']['sha256']} |",
        f"| weights at its end (SHA-256) | {digests['weights_sha256']} |",
        "### 2. Fine-tuning",
        f"| start (SHA-256) | {info(tuned)['made_from']['start']['sha256']} |",
        f"| weights at its end (SHA-256) | {info(tuned)['weights_sha256']} |",
    )
    places = [card.index(line) for line in lines]
    assert places == sorted(places) and str(tmp_path) not in "".join(card)


def test_student_alone_is_evaluated_and_predicts_the_same(
    student: pathlib.Path,
    options: dict[str, Any],
    task: dict[str, Any],
    held_out: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    """By run_distill.py, and by run_classifier.py for the task."""
    for script in ("run_distill", "run_classifier"):
        out = tmp_path / script
        flags = {
            "init_checkpoint": student,
            "max_seq_length": 16,
            "output_dir": out,
            "do_eval": True,
            "do_predict": True,
        }
        if script == "run_distill":
            flags.update(input_file=options["input_file"], eval_file=f"{held_out}/*.tfrecord")
        run_script(script, **flags, **task)
        for name, value in results(out).items():
            assert value == pytest.approx(results(student)[name], rel=1e-4), name
        np.testing.assert_allclose(predictions(out), predictions(student), rtol=1e-4)
    assert set(results(tmp_path / "run_distill")) == set(results(student))


def test_pretrained_student_with_temperature_and_true_labels(
    options: dict[str, Any],
    new_student: dict[str, Any],
    held_out: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    """Evaluated on held-out soft labels alone, by which the best model is chosen too."""
    pretrained, out = tmp_path / "pretrained", tmp_path / "out"
    config = load_config(new_student["bert_config_file"])
    values = variable_values(PretrainingModel(config, seed=7).trainable_variables)
    write_model_folder(str(pretrained), values, config, new_student["vocab_file"], {})
    run_script(
        "run_distill",
        **options,
        init_checkpoint=pretrained,
        eval_file=f"{held_out}/*.tfrecord",
        output_dir=out,
        do_train=True,
        do_eval=True,
        num_train_epochs=5,
        temperature=2,
        hard_label_weight=0.5,
        evaluate_steps=40,
    )
    train = metrics(out, "train")
    for record in train:
        mixed = 0.5 * record["soft_loss"] + 0.5 * record["hard_loss"]
        assert record["loss"] == pytest.approx(mixed, rel=1e-4)
    assert train[-1]["soft_loss"] < train[0]["soft_loss"]
    for name in ("hard_loss", "teacher_kl"):
        assert train[-1][name] < train[0][name] / 2, name
    evaluation = results(out)
    assert list(evaluation) == ["global_step", "soft_loss", "teacher_agreement", "teacher_kl"]
    assert evaluation["teacher_agreement"] > 0.85
    best = min(metrics(out, "eval"), key=lambda record: record["teacher_kl"])
    assert info(out / "best")["global_step"] == best["step"]


def test_early_stopping(
    options: dict[str, Any],
    new_student: dict[str, Any],
    held_out: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    """A student that does not learn is measured twice."""
    run_script(
        "run_distill",
        **{**options, "learning_rate": 1e-30},
        **new_student,
        eval_file=f"{held_out}/*.tfrecord",
        output_dir=tmp_path,
        do_train=True,
        do_eval=True,
        num_train_epochs=1,
        evaluate_steps=5,
        early_stopping_patience=1,
    )
    evaluations = metrics(tmp_path, "eval")
    assert [record["step"] for record in evaluations] == [5, 10]
    assert [record["score"] for record in evaluations] == [-evaluations[0]["teacher_kl"]] * 2
    assert results(tmp_path)["global_step"] == 10
    numbers = json.loads((tmp_path / "eval_results.json").read_text())
    assert numbers.pop("checkpoint") == evaluated_model(tmp_path)
    assert numbers == pytest.approx(results(tmp_path))
    assert info(tmp_path / "best")["global_step"] == 5


def test_patience_follows_the_hidden_states_of_the_teacher(
    soft_labels: pathlib.Path,
    transfer_file: str,
    options: dict[str, Any],
    write_config: Callable[..., str],
    vocab_file: str,
    tmp_path: pathlib.Path,
) -> None:
    """Patient KD from flags: states stored beside the soft labels, a truncated start, their loss."""
    config = load_config(write_config(num_hidden_layers=2))
    teacher, with_states = tmp_path / "teacher", tmp_path / "soft_labels"
    write_model_folder(
        str(teacher),
        random_weights(ClassifierModel(config, 2)),
        config,
        vocab_file,
        {"labels": ["0", "1"], "do_lower_case": True},
    )
    run_script(
        "create_soft_labels",
        init_checkpoint=teacher,
        input_file=transfer_file,
        max_seq_length=16,
        hidden_state_layers="2,1",
        output_dir=with_states,
    )
    common = {**options, "input_file": f"{with_states}/*.tfrecord", "do_train": True}
    run_script(
        "run_distill",
        **common,
        init_checkpoint=teacher,
        init_strategy="embeddings_only",
        patience_weight=5.0,
        num_train_epochs=6,
        output_dir=tmp_path / "student",
    )
    lines = metrics(tmp_path / "student", "train")
    assert lines[-1]["patience_loss"] < 0.7 * lines[0]["patience_loss"]
    for line in lines:
        expected = line["soft_loss"] + 5 * line["patience_loss"]
        assert line["loss"] == pytest.approx(expected, rel=1e-5)
    for message, flags in (
        (
            "no more than the teacher's 1; this one has 2",
            {**common, "input_file": f"{soft_labels}/*.tfrecord", "init_checkpoint": teacher},
        ),
        (
            "24 .teacher. and 12 numbers",
            {
                **common,
                "bert_config_file": write_config(hidden_size=12, num_hidden_layers=2),
                "vocab_file": vocab_file,
            },
        ),
    ):
        never = tmp_path / "never"
        with pytest.raises(UserError, match=message):
            run_script("run_distill", **flags, patience_weight=5.0, output_dir=never)
        assert not never.exists()


def test_runs_before_do_not_matter(
    options: dict[str, Any],
    new_student: dict[str, Any],
    task: dict[str, Any],
    tmp_path: pathlib.Path,
) -> None:
    """Of another seed and temperature, in the same process: all files are the same."""
    short = {"do_train": True, "do_eval": True, "num_train_epochs": 0.3}
    changes: dict[str, dict[str, Any]] = {
        "one": {},
        "other": {"random_seed": 5, "temperature": 2.0},
        "again": {},
    }
    for name, changed in changes.items():
        flags = {**options, **new_student, **task, **short, **changed}
        run_script("run_distill", **flags, output_dir=tmp_path / name)
    assert_same_folders(tmp_path / "one", tmp_path / "again")
    agreements = [(tmp_path / name / "agreement.json").read_bytes() for name in ("one", "other")]
    assert agreements[0] != agreements[1]
