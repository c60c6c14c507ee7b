"""What is refused before anything is trained or written."""

from __future__ import annotations

import json
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest
from runs import BAD_FLAGS, NO_TRAINED_MODEL, info, predictions
from scripts import run_script
from tiny_data import write_other_vocab

from common.errors import UserError
from common.json_objects import read_object, write_object


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
    other_vocab = write_other_vocab(vocab_file, tmp_path)
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
        "max_seq_length": 16,
        "output_dir": folder,
        "do_predict": True,
        **task,
    }
    run_script("run_distill", **flags, init_checkpoint=teacher)
    assert not np.allclose(predictions(folder), predictions(student), rtol=1e-4)
    run_script("run_distill", **flags)
    np.testing.assert_allclose(predictions(folder), predictions(student), rtol=1e-4)

    before = files(folder)
    other_vocab = write_other_vocab(vocab_file, tmp_path)
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
    classes = {"input_file": f"{soft_labels}/*.tfrecord", "max_seq_length": 16, **new_student}
    regression = r"a regression \(a score, no labels\)"
    labels = "a classification with the labels 0, 1"
    (tmp_path / "dev.tsv").write_text("first\tsecond\tlabel\ngood film\tbad film\t1\n")
    pairs = {"data_dir": tmp_path, "text_a": "first", "text_b": "second"}
    as_classes = {"task_name": "tsv", **pairs, "label": "label", "labels": "0,1"}
    sts_b_task = {name: sts_b[name] for name in ("task_name", "data_dir")}
    cases: list[tuple[str, dict[str, Any], str]] = [
        (
            "create_soft_labels",
            {"init_checkpoint": score_teacher, **task, "max_seq_length": 16},
            f"made for {regression}, this run is {labels}",
        ),
        (
            "create_soft_labels",
            {"init_checkpoint": teacher, **sts_b_task, "max_seq_length": 16},
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
