"""run_distill.py through its flags."""

from __future__ import annotations

import json
import pathlib
import random
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import review
from models import random_weights
from runs import BAD_FLAGS, NO_TRAINED_MODEL, info, metrics, predictions, results
from scripts import run_script

from checkpoints.model_folder import write_model_folder
from checkpoints.weights import variable_values
from common.errors import UserError
from common.json_objects import read_object, write_object
from modeling.config import load_config
from modeling.heads import ClassifierModel, PretrainingModel

LENGTH = 16
SIZES = {"num_hidden_layers": 1, "hidden_size": 48, "initializer_range": 0.05}


@pytest.fixture(scope="module")
def teacher(
    task_dir: str,
    write_config: Callable[..., str],
    vocab_file: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("teacher")
    run_script(
        "run_classifier",
        task_name="SST-2",
        data_dir=task_dir,
        bert_config_file=write_config(**SIZES),
        vocab_file=vocab_file,
        output_dir=folder,
        max_seq_length=LENGTH,
        train_batch_size=16,
        learning_rate=2e-3,
        num_train_epochs=4,
        do_train=True,
    )
    return folder


@pytest.fixture(scope="module")
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
        max_seq_length=LENGTH,
        examples_per_shard=180,
        output_dir=folder,
    )
    return folder


@pytest.fixture(scope="module")
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
        max_seq_length=LENGTH,
        output_dir=folder,
    )
    return folder


@pytest.fixture(scope="module")
def new_student(write_config: Callable[..., str], vocab_file: str) -> dict[str, Any]:
    """Flags of a student of random weights, narrower than the teacher."""
    return {
        "bert_config_file": write_config(**SIZES, intermediate_size=20),
        "vocab_file": vocab_file,
    }


@pytest.fixture(scope="module")
def options(soft_labels: pathlib.Path) -> dict[str, Any]:
    return {
        "input_file": f"{soft_labels}/*.tfrecord",
        "max_seq_length": LENGTH,
        "train_batch_size": 16,
        "learning_rate": 2e-3,
        "log_steps": 10,
    }


@pytest.fixture(scope="module")
def task(task_dir: str) -> dict[str, Any]:
    return {"task_name": "SST-2", "data_dir": task_dir}


@pytest.fixture(scope="module")
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
    }
    # Cross-entropy does not fall below the teacher's entropy; the divergence can.
    assert train[-1]["soft_loss"] < train[0]["soft_loss"]
    assert train[-1]["teacher_kl"] < train[0]["teacher_kl"] / 2
    assert train[-1]["loss"] == train[-1]["soft_loss"]
    evaluation = results(student)
    assert list(evaluation) == [
        "eval_accuracy",
        "eval_loss",
        "global_step",
        "loss",
        "soft_loss",
        "teacher_agreement",
        "teacher_kl",
    ]
    assert evaluation["global_step"] == 65  # int(350 / 16 * 3)
    assert evaluation["teacher_agreement"] > 0.85
    assert evaluation["eval_accuracy"] > 0.85


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
            "max_seq_length": LENGTH,
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
    assert info(tmp_path / "best")["global_step"] == 5


def test_records_of_other_settings(
    soft_labels: pathlib.Path,
    held_out: pathlib.Path,
    teacher: pathlib.Path,
    options: dict[str, Any],
    new_student: dict[str, Any],
    task: dict[str, Any],
    vocab_file: str,
    tmp_path: pathlib.Path,
) -> None:
    entries = pathlib.Path(vocab_file).read_text().split()
    other_vocab = tmp_path / "other_vocab.txt"
    other_vocab.write_text("\n".join([*entries[:-2], entries[-1], entries[-2]]) + "\n")
    other_task = tmp_path / "opinions"
    other_task.mkdir()
    for name in ("train", "dev"):
        table = pathlib.Path(task["data_dir"]) / f"{name}.tsv"
        text = table.read_text().replace("\t1\n", "\tyes\n").replace("\t0\n", "\tno\n")
        (other_task / f"{name}.tsv").write_text(text)
    opinions = {
        "task_name": "tsv",
        "data_dir": other_task,
        "text_a": "sentence",
        "label": "label",
        "do_eval": True,
    }
    unfinished, foreign = tmp_path / "unfinished", tmp_path / "foreign"
    for folder in (unfinished, foreign):
        shutil.copytree(soft_labels, folder)
    (unfinished / "soft_labels.json").unlink()
    shutil.copy(foreign / "soft_labels-00001.tfrecord", foreign / "soft_labels-00002.tfrecord")
    other_labels, other_teacher = tmp_path / "other_labels", tmp_path / "other_teacher"
    for folder, change in (
        (other_labels, {"labels": ["1", "0"]}),
        (other_teacher, {"teacher_weights_sha256": "0123"}),
    ):
        shutil.copytree(held_out, folder)
        manifest = str(folder / "soft_labels.json")
        write_object(manifest, {**read_object(manifest, {}), **change})
    relabelled = tmp_path / "relabelled"
    shutil.copytree(teacher, relabelled)
    (relabelled / "model_info.json").write_text(json.dumps({**info(teacher), "labels": ["1", "0"]}))
    cases: list[tuple[dict[str, Any], str]] = [
        ({"vocab_file": other_vocab}, "00000.tfrecord was made with vocab_sha256 = "),
        ({"max_seq_length": 24}, "was made with max_seq_length = 16, this run has 24"),
        ({"do_lower_case": False}, "do_lower_case=False, but none of its entries has a capital"),
        ({"input_file": f"{unfinished}/*.tfrecord"}, "no soft_labels.json .*unfinished"),
        ({"input_file": f"{foreign}/*.tfrecord"}, "00002.tfrecord is not part of the set"),
        ({"input_file": f"{tmp_path}/none*"}, '--input_file: no file matches ".*none'),
        (opinions, "was made for the labels 0, 1, this run has no, yes"),
        (
            {"init_checkpoint": relabelled, "init_head": "keep"},
            "is for the labels 1, 0, this run for the labels 0, 1",
        ),
        (
            {"eval_file": f"{task['data_dir']}/dev.tsv", "do_eval": True},
            "dev.tsv: no soft_labels.json beside it",
        ),
        (
            {"eval_file": f"{unfinished}/*.tfrecord", "do_eval": True},
            "unfinished/soft_labels-00000.tfrecord: no soft_labels.json .*unfinished",
        ),
        (
            {"eval_file": f"{other_labels}/*.tfrecord", "do_eval": True},
            "eval_file=.*other_labels.* made for the labels 1, 0, this run has 0, 1",
        ),
        (
            {"input_file": f"{soft_labels}/*.tfrecord,{other_teacher}/*.tfrecord"},
            "has teacher_weights_sha256 .*distill from sets that one teacher labelled",
        ),
        (
            {"input_file": f"{held_out}/*.tfrecord", "hard_label_weight": 0.5},
            "hard_label_weight=0.5, but --input_file=.*held_out.* has no true labels",
        ),
    ]
    for changes, message in cases:
        out = tmp_path / "out"
        with pytest.raises(UserError, match=message):
            run_script(
                "run_distill",
                **{**options, **new_student, **changes},
                output_dir=out,
                do_train=True,
            )
        assert not out.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *BAD_FLAGS,
        ({"do_train": True, "temperature": 0}, "temperature=0.0 must be above 0"),
        ({"do_predict": True}, "--do_predict needs the task"),
        ({"do_train": True, "do_eval": True}, "--do_eval needs --task_name .* or --eval_file"),
        ({"do_train": True, "task_name": "SST-2"}, "task_name=SST-2 needs --data_dir"),
        (
            {"do_train": True, "do_eval": True, "eval_file": "none*"},
            '--eval_file: no file matches "none',
        ),
        (
            {"do_eval": True, "eval_file": "none*"},
            NO_TRAINED_MODEL,
        ),
    ],
)
def test_bad_flags(
    options: dict[str, Any],
    new_student: dict[str, Any],
    tmp_path: pathlib.Path,
    changes: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(UserError, match=message):
        run_script("run_distill", **{**options, **new_student, **changes}, output_dir=tmp_path)
    assert not list(tmp_path.glob("*.index"))


def test_less_than_one_batch(
    options: dict[str, Any], new_student: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    with pytest.raises(UserError, match="350 training examples .*--train_batch_size=400 make no"):
        run_script(
            "run_distill",
            **{**options, **new_student, "train_batch_size": 400},
            output_dir=tmp_path,
            do_train=True,
            num_train_epochs=1,
        )
    assert {path.name for path in tmp_path.iterdir()} <= {"run_config.json"}


def files(folder: pathlib.Path) -> dict[pathlib.Path, tuple[int, bytes]]:
    """Content and time of every file: writing the same again shows, too."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def test_earlier_run_is_left_alone(
    student: pathlib.Path,
    options: dict[str, Any],
    new_student: dict[str, Any],
    task: dict[str, Any],
    tmp_path: pathlib.Path,
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(student, folder)
    before = files(folder)
    with pytest.raises(UserError, match=r"holds a run with temperature=1\.0.*temperature=2\.0"):
        run_script(
            "run_distill",
            **{**options, **new_student, **task, "temperature": 2},
            output_dir=folder,
            do_train=True,
            do_eval=True,
            do_predict=True,
        )
    assert files(folder) == before


def test_trained_folder_is_used_without_training(
    student: pathlib.Path,
    teacher: pathlib.Path,
    options: dict[str, Any],
    task: dict[str, Any],
    vocab_file: str,
    tmp_path: pathlib.Path,
) -> None:
    """The student in --output_dir, unless another model is asked for; no flag may contradict it."""
    folder = tmp_path / "run"
    shutil.copytree(student, folder)
    (folder / "test_results.tsv").unlink()
    flags = {
        "input_file": options["input_file"],
        "max_seq_length": LENGTH,
        "output_dir": folder,
        "do_predict": True,
        **task,
    }
    run_script("run_distill", **flags, init_checkpoint=teacher)
    assert not np.allclose(predictions(folder), predictions(student), rtol=1e-4)
    run_script("run_distill", **flags)
    np.testing.assert_allclose(predictions(folder), predictions(student), rtol=1e-4)

    before = files(folder)
    entries = pathlib.Path(vocab_file).read_text().split()
    other_vocab = tmp_path / "other_vocab.txt"
    other_vocab.write_text("\n".join([*entries[:-2], entries[-1], entries[-2]]) + "\n")
    relabelled = json.dumps({**info(folder), "labels": ["1", "0"]})
    cases: list[tuple[dict[str, Any], str]] = [
        ({"vocab_file": other_vocab}, f"other_vocab.txt is not the vocabulary of {folder}: id "),
        ({"do_lower_case": False}, f"do_lower_case=False, but {folder} .*do_lower_case=True"),
    ]
    for changes, message in cases:
        with pytest.raises(UserError, match=message):
            run_script("run_distill", **{**flags, **changes})
        assert files(folder) == before
    (folder / "model_info.json").write_text(relabelled)
    with pytest.raises(UserError, match=f"{folder} was made for the labels 1, 0, this run has 0"):
        run_script("run_distill", **flags)


def test_records_damaged_since_they_were_made(
    soft_labels: pathlib.Path,
    options: dict[str, Any],
    new_student: dict[str, Any],
    tmp_path: pathlib.Path,
) -> None:
    """One bit in the middle of a file whose size still agrees with its sidecar."""
    folder, out = tmp_path / "damaged", tmp_path / "out"
    shutil.copytree(soft_labels, folder)
    path = folder / "soft_labels-00001.tfrecord"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"00001\.tfrecord.*corrupt"):
        run_script(
            "run_distill",
            **{**options, **new_student, "input_file": f"{folder}/*.tfrecord"},
            output_dir=out,
            do_train=True,
        )
    assert not list(out.glob("*.index"))


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
        max_seq_length=LENGTH,
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


@pytest.fixture(scope="module")
def similarity(
    new_student: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], pathlib.Path]:
    """STS-B in small, 2.5 points for each positive text of a pair: its flags, and a teacher."""
    data, folder = tmp_path_factory.mktemp("STS-B"), tmp_path_factory.mktemp("regression_teacher")
    rng = random.Random(3)
    for name, count in (("train", 150), ("dev", 50), ("test", 30), ("transfer", 300)):
        lines = ["\t".join(f"column {i}" for i in range(9)) + "\tscore" * (name != "test")]
        for i in range(count):
            positive = rng.choice([(0, 0), (0, 1), (1, 0), (1, 1)])
            cells = [str(i), *["-"] * 6, *(review(rng, label) for label in positive)]
            lines.append("\t".join(cells + [f"{2.5 * sum(positive):.3f}"] * (name != "test")))
        (data / f"{name}.tsv").write_text("\n".join(lines) + "\n")
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


@pytest.fixture(scope="module")
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
    assert set(train[0]) == {"step", "kind", "loss", "soft_loss", "hard_loss", "learning_rate"}
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
        max_seq_length=LENGTH,
        output_dir=labelled,
    )
    run_script(
        "run_distill",
        input_file=f"{labelled}/*.tfrecord",
        init_checkpoint=teacher,
        init_strategy="embeddings_only",
        max_seq_length=LENGTH,
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


def test_scores_and_labels_do_not_mix(
    similarity: tuple[dict[str, Any], pathlib.Path],
    score_labels: pathlib.Path,
    soft_labels: pathlib.Path,
    teacher: pathlib.Path,
    new_student: dict[str, Any],
    task: dict[str, Any],
    tmp_path: pathlib.Path,
) -> None:
    sts_b, score_teacher = similarity
    scores = {"input_file": f"{score_labels}/*.tfrecord", "max_seq_length": 32, **new_student}
    classes = {"input_file": f"{soft_labels}/*.tfrecord", "max_seq_length": LENGTH, **new_student}
    regression = r"a regression \(a score, no labels\)"
    labels = "a classification with the labels 0, 1"
    (tmp_path / "dev.tsv").write_text("first\tsecond\tlabel\ngood film\tbad film\t1\n")
    pairs = {"data_dir": tmp_path, "text_a": "first", "text_b": "second"}
    as_classes = {"task_name": "tsv", **pairs, "label": "label", "labels": "0,1"}
    sts_b_task = {name: sts_b[name] for name in ("task_name", "data_dir")}
    cases: list[tuple[str, dict[str, Any], str]] = [
        (
            "create_soft_labels",
            {"init_checkpoint": score_teacher, **task, "max_seq_length": LENGTH},
            f"made for {regression}, this run is {labels}",
        ),
        (
            "create_soft_labels",
            {"init_checkpoint": teacher, **sts_b_task, "max_seq_length": LENGTH},
            f"made for {labels}, this run is {regression}",
        ),
        (
            "run_distill",
            {**scores, **task, "do_eval": True},
            f"input_file=.*score_labels.* made for {regression}, this run is {labels}",
        ),
        (
            "run_distill",
            {**classes, **sts_b_task, "do_eval": True},
            f"input_file=.*soft_labels.* made for {labels}, this run is {regression}",
        ),
        (
            "run_distill",
            {**scores, "init_checkpoint": teacher, "init_head": "keep"},
            r"keep, but of .*teacher.* is for the labels 0, 1, this run for a regression \(a score",
        ),
        ("run_distill", {**scores, "temperature": 2}, "temperature=2.0, but .* has scores of a"),
        (
            "run_distill",
            {**classes, **as_classes, "do_eval": True},
            "input_file=.*soft_labels.* holds single texts, task tsv pairs of texts",
        ),
    ]
    for script, flags, message in cases:
        out = tmp_path / "out"
        if script == "run_distill":
            flags["do_train"] = True
        with pytest.raises(UserError, match=message):
            run_script(script, **flags, output_dir=out)
        assert not out.exists()
