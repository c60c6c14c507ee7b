"""Teachers of another vocabulary than the student's, several teachers, and how good they are."""

from __future__ import annotations

import json
import logging
import pathlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from models import write_classifier
from runs import contents, filled, read_set, results
from scipy.special import softmax
from scripts import run_script
from tiny_data import WORDS, column, is_positive

from checkpoints.formats import find_weights, open_weights
from checkpoints.model_folder import read_model_folder, write_model_folder
from common.errors import UserError
from data.classifier_records import encode_rows
from distillation.soft_labels import read_manifest
from modeling.config import load_config
from modeling.tokenization import FullTokenizer
from serving import Predictor


def reordered(
    source: pathlib.Path, path: pathlib.Path, order: list[int], **info: Any
) -> pathlib.Path:
    """A teacher whose outputs stand in another order, without its records but `info`."""
    folder = read_model_folder(find_weights(str(source)))
    assert folder
    reader = open_weights(folder.weights)
    values = {name: reader.read(name) for name in reader.shapes}
    for name in ("output_weights", "output_bias"):
        values[name] = values[name][order]
    write_model_folder(str(path), values, folder.config, folder.vocab_file, info)
    return path


@pytest.fixture(scope="module")
def student_vocab(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The words of the texts in another order, and more, which make it a cased vocabulary."""
    path = tmp_path_factory.mktemp("student") / "vocab.txt"
    special, words = WORDS[:5], WORDS[5:]
    path.write_text("\n".join([*special, *reversed(words), "zebra", "Quagga"]) + "\n")
    return path


@pytest.fixture(scope="module")
def across(
    options: dict[str, Any], student_vocab: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """As `soft_labels`, for a student of another vocabulary and length; with hidden states."""
    folder = tmp_path_factory.mktemp("across")
    flags = {**options, "vocab_file": student_vocab, "max_seq_length": 12}
    run_script("create_soft_labels", **flags, hidden_state_layers="1", output_dir=folder)
    return folder


def test_teacher_reads_in_its_own_vocabulary_and_length(
    across: pathlib.Path,
    soft_labels: pathlib.Path,
    teacher: pathlib.Path,
    student_vocab: pathlib.Path,
    texts: list[str],
) -> None:
    found = read_set(across, length=12)
    tokenizer = FullTokenizer(str(student_vocab), do_lower_case=False)
    expected = encode_rows(tokenizer, [(t, None) for t in texts], 12)
    np.testing.assert_array_equal(found["input_ids"], expected["input_ids"])
    logits = read_set(soft_labels)["teacher_logits"]
    np.testing.assert_allclose(found["teacher_logits"], logits, atol=1e-5)
    manifest = read_manifest(sorted(map(str, across.glob("*.tfrecord"))))
    info = json.loads((teacher / "model_info.json").read_text())
    names = ("vocab_sha256", "do_lower_case", "max_seq_length")
    assert [manifest[name] for name in names] == [tokenizer.sha256, False, 12]
    assert [manifest["teacher_text"][name] for name in names] == [info["vocab_sha256"], True, 16]
    assert manifest["hidden_state_layers"] == [1]
    assert json.loads((soft_labels / "soft_labels.json").read_text())["teacher_text"] is None


def test_own_vocabulary_by_name_changes_nothing(
    options: dict[str, Any], soft_labels: pathlib.Path, vocab_file: str, tmp_path: pathlib.Path
) -> None:
    run_script("create_soft_labels", **options, vocab_file=vocab_file, output_dir=tmp_path)
    assert contents(tmp_path) == contents(soft_labels)


def test_student_of_another_vocabulary_learns(
    fine_tuned: pathlib.Path,
    task_dir: str,
    transfer_file: str,
    student_vocab: pathlib.Path,
    vocab_file: str,
    write_config: Callable[..., str],
    tmp_path: pathlib.Path,
) -> None:
    """From a teacher that is right: its weights say which words are good."""
    labels, student = tmp_path / "labels", tmp_path / "student"
    sizes = {"num_hidden_layers": 1, "hidden_size": 48, "initializer_range": 0.05}
    task = {"task_name": "SST-2", "data_dir": task_dir}
    schedule = {"train_batch_size": 16, "learning_rate": 2e-3, "do_train": True, "do_eval": True}
    run_script(
        "create_soft_labels",
        **task,
        init_checkpoint=fine_tuned,
        input_file=transfer_file,
        vocab_file=student_vocab,
        max_seq_length=14,
        output_dir=labels,
    )
    on_dev = json.loads((labels / "soft_labels.json").read_text())["teacher_on_dev"]
    texts, truth = column(f"{task_dir}/dev.tsv", 0), column(f"{task_dir}/dev.tsv", 1)
    answers = [p.label for p in Predictor.load(str(fine_tuned)).predict(texts)]
    right = sum(a == b for a, b in zip(answers, truth, strict=True)) / len(truth)
    assert on_dev["accuracy"] == pytest.approx(right) and right > 0.85
    assert (on_dev["set"], on_dev["rows"]) == ("dev", 61)
    assert 0 < on_dev["calibration_error"] < 0.5 < on_dev["majority_share"]
    run = {
        **task,
        **schedule,
        "input_file": f"{labels}/*.tfrecord",
        "bert_config_file": write_config(**sizes, vocab_size=len(WORDS) + 2),
        "num_train_epochs": 5,
        "output_dir": student,
    }
    with pytest.raises(UserError, match="was made with vocab_sha256|vocab_size"):
        run_script("run_distill", **run, vocab_file=vocab_file)
    run_script("run_distill", **run, vocab_file=student_vocab)
    assert results(student)["eval_accuracy"] > 0.85


@pytest.fixture(scope="module")
def teachers(
    teacher: pathlib.Path,
    other_teacher: pathlib.Path,
    student_vocab: pathlib.Path,
    write_config: Callable[..., str],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[pathlib.Path]:
    """Three: one with its labels in another order, and one of random weights and other words."""
    folder = tmp_path_factory.mktemp("teachers")
    info = {"do_lower_case": True, "max_seq_length": 16}
    second = reordered(other_teacher, folder / "second", [1, 0], labels=["1", "0"], **info)
    config = load_config(write_config(vocab_size=len(WORDS) + 2, initializer_range=0.3))
    third = folder / "third"
    write_classifier(str(third), config, str(student_vocab), 2, labels=["0", "1"], **info)
    return [teacher, second, third]


@pytest.fixture(scope="module")
def logits_of_each(
    teachers: list[pathlib.Path], other_teacher: pathlib.Path, texts: list[str]
) -> list[np.ndarray]:
    """What the teachers say alone, with their outputs in the same order."""
    return [
        Predictor.load(str(path), max_seq_length=16).logits(texts)
        for path in (teachers[0], other_teacher, teachers[2])
    ]


@pytest.mark.parametrize("kind", ["probabilities", "logits"])
def test_ensemble_is_the_mean(
    options: dict[str, Any],
    teachers: list[pathlib.Path],
    logits_of_each: list[np.ndarray],
    kind: str,
    tmp_path: pathlib.Path,
) -> None:
    names = ",".join(map(str, teachers))
    flags = {**options, "init_checkpoint": names, "ensemble": kind, "teacher_weights": "2,1,1"}
    run_script("create_soft_labels", **flags, output_dir=tmp_path)
    each = logits_of_each
    found = softmax(read_set(tmp_path)["teacher_logits"], axis=1)
    if kind == "probabilities":
        expected = np.average([softmax(logits, axis=1) for logits in each], 0, [2, 1, 1])
    else:
        expected = softmax(np.average(each, 0, [2, 1, 1]), axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    alone = softmax(each[0], axis=1)
    assert np.abs(found - alone).max() > 0.01  # The others have a say.
    manifest = read_manifest(sorted(map(str, tmp_path.glob("*.tfrecord"))))
    assert [t["weight"] for t in manifest["teachers"]] == [0.5, 0.25, 0.25]
    assert ["teacher_text" in t for t in manifest["teachers"]] == [False, False, True]
    assert manifest["ensemble"] == kind
    for change in ({"teacher_weights": "1,1,1"}, {"init_checkpoint": teachers[0]}):
        changed = {**flags, **change}
        if change.get("init_checkpoint"):
            changed = options
        with pytest.raises(UserError, match="was made with .* --start_over"):
            run_script("create_soft_labels", **changed, output_dir=tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher_weights": "1"}, "--teacher_weights=1: 1 weights, but .* names 2 teachers"),
        ({"teacher_weights": "1,-1"}, "--teacher_weights=1,-1: expected numbers above 0"),
        ({"teacher_weights": "1,x"}, "--teacher_weights=1,x: expected numbers above 0"),
        ({"hidden_state_layers": "1"}, "--hidden_state_layers=1: hidden states are .* one teacher"),
        (
            {"bert_config_file": "tiny"},
            "--bert_config_file=tiny is for one teacher, but there are 2",
        ),
        ({"init_checkpoint": "{teacher},{nowhere}"}, "nowhere: no checkpoint found"),
        (
            {"init_checkpoint": "{teacher},{others}"},
            "others was made for the labels good, bad, but the first teacher for the labels 0, 1",
        ),
    ],
)
def test_teachers_that_do_not_go_together(
    options: dict[str, Any],
    teacher: pathlib.Path,
    tmp_path: pathlib.Path,
    changes: dict[str, Any],
    message: str,
) -> None:
    others = reordered(teacher, tmp_path / "others", [0, 1], labels=["good", "bad"])
    names = {"teacher": teacher, "others": others, "nowhere": tmp_path / "nowhere"}
    run = {**options, "init_checkpoint": f"{teacher},{teacher}", **filled(changes, **names)}
    with pytest.raises(UserError, match=message):
        run_script("create_soft_labels", **run, output_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_teacher_that_knows_nothing_is_said_before_labelling(
    options: dict[str, Any],
    teachers: list[pathlib.Path],
    task_dir: str,
    tmp_path: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its outputs are exchanged, so that it is wrong where it was right."""
    caplog.set_level(logging.INFO)
    wrong = reordered(teachers[2], tmp_path / "wrong", [1, 0], labels=["0", "1"])
    values = np.array([is_positive(t) for t in column(f"{task_dir}/dev.tsv", 0)])
    share = max(values.mean(), 1 - values.mean())
    task = {"task_name": "SST-2", "data_dir": task_dir, "max_seq_length": 16}
    found = []
    for path in (teachers[2], wrong):
        caplog.clear()
        run_script(
            "create_soft_labels",
            init_checkpoint=path,
            **task,
            output_dir=tmp_path / "out",
            start_over=True,
        )
        manifest = json.loads((tmp_path / "out" / "soft_labels.json").read_text())
        found.append(manifest["teacher_on_dev"])
        assert "The teacher on dev (61 rows):" in caplog.text
        warned = re.search(r"WARNING: the accuracy of .* is not above", caplog.text)
        assert bool(warned) == (found[-1]["accuracy"] <= share)
    assert found[0]["accuracy"] + found[1]["accuracy"] == pytest.approx(1)
    assert found[0]["majority_share"] == pytest.approx(share)
