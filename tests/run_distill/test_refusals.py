"""What is refused before anything is trained or written."""

from __future__ import annotations

import json
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest
from runs import BAD_FLAGS, NO_TRAINED_MODEL, filled, info, predictions
from scripts import run_script
from tiny_data import write_other_vocab

from common.errors import UserError
from common.json_objects import read_object, write_object


@pytest.fixture(scope="session")
def places(
    soft_labels: pathlib.Path,
    held_out: pathlib.Path,
    teacher: pathlib.Path,
    task_dir: str,
    vocab_file: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, object]:
    """Soft labels, good ones and others that do not fit them, and files that fit neither."""
    folder = tmp_path_factory.mktemp("places")
    opinions, pairs = folder / "opinions", folder / "pairs"
    opinions.mkdir()
    pairs.mkdir()
    for name in ("train", "dev"):
        text = (pathlib.Path(task_dir) / f"{name}.tsv").read_text()
        text = text.replace("\t1\n", "\tyes\n").replace("\t0\n", "\tno\n")
        (opinions / f"{name}.tsv").write_text(text)
    (pairs / "dev.tsv").write_text("first\tsecond\tlabel\ngood film\tbad film\t1\n")
    for name in ("unfinished", "foreign"):
        shutil.copytree(soft_labels, folder / name)
    (folder / "unfinished" / "soft_labels.json").unlink()
    foreign = folder / "foreign"
    shutil.copy(foreign / "soft_labels-00001.tfrecord", foreign / "soft_labels-00002.tfrecord")
    for name, change in (
        ("other_labels", {"labels": ["1", "0"]}),
        ("other_teacher", {"teacher_weights_sha256": "0123"}),
    ):
        shutil.copytree(held_out, folder / name)
        manifest = str(folder / name / "soft_labels.json")
        write_object(manifest, {**read_object(manifest, {}), **change})
    shutil.copytree(teacher, folder / "relabelled")
    relabel(folder / "relabelled")
    return {
        "folder": folder,
        "soft_labels": soft_labels,
        "held_out": held_out,
        "task": task_dir,
        "other_vocab": write_other_vocab(vocab_file, folder),
    }


def relabel(folder: pathlib.Path) -> None:
    """The labels of a model, the other way round."""
    (folder / "model_info.json").write_text(json.dumps({**info(folder), "labels": ["1", "0"]}))


OPINIONS = {
    "task_name": "tsv",
    "data_dir": "{folder}/opinions",
    "text_a": "sentence",
    "label": "label",
    "do_eval": True,
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_file": "{other_vocab}"}, "00000.tfrecord was made with vocab_sha256 = "),
        ({"max_seq_length": 24}, "was made with max_seq_length = 16, this run has 24"),
        ({"do_lower_case": False}, "do_lower_case=False, but none of its entries has a capital"),
        ({"input_file": "{folder}/unfinished/*.tfrecord"}, "no soft_labels.json .*unfinished"),
        ({"input_file": "{folder}/foreign/*.tfrecord"}, "00002.tfrecord is not part of the set"),
        ({"input_file": "{folder}/none*"}, '--input_file: no file matches ".*none'),
        (OPINIONS, 'unknown label "no"; the labels of the teacher are 0, 1'),
        (
            {"init_checkpoint": "{folder}/relabelled", "init_head": "keep"},
            "is for the labels 1, 0, this run for the labels 0, 1",
        ),
        (
            {"eval_file": "{task}/dev.tsv", "do_eval": True},
            "dev.tsv: no soft_labels.json beside it",
        ),
        (
            {"eval_file": "{folder}/unfinished/*.tfrecord", "do_eval": True},
            "unfinished/soft_labels-00000.tfrecord: no soft_labels.json .*unfinished",
        ),
        (
            {"eval_file": "{folder}/other_labels/*.tfrecord", "do_eval": True},
            "eval_file=.*other_labels.* made for the labels 1, 0, this run has 0, 1",
        ),
        (
            {"input_file": "{soft_labels}/*.tfrecord,{folder}/other_teacher/*.tfrecord"},
            "has teacher_weights_sha256 .*distill from sets that one teacher labelled",
        ),
        (
            {"input_file": "{held_out}/*.tfrecord", "hard_label_weight": 0.5},
            "hard_label_weight=0.5, but --input_file=.*held_out.* has no true labels",
        ),
    ],
)
def test_records_of_other_settings(
    places: dict[str, object],
    options: dict[str, Any],
    new_student: dict[str, Any],
    tmp_path: pathlib.Path,
    changes: dict[str, Any],
    message: str,
) -> None:
    out = tmp_path / "out"
    run = {**options, **new_student, **filled(changes, **places), "output_dir": out}
    with pytest.raises(UserError, match=message):
        run_script("run_distill", **run, do_train=True)
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
    with pytest.raises(UserError, match="350 training examples .*--train_batch_size=400 are less"):
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
    tmp_path: pathlib.Path,
) -> None:
    """The student in --output_dir, unless another model is asked for."""
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_file": "{other_vocab}"}, "other_vocab.txt is not the vocabulary of {run}: id "),
        ({"do_lower_case": False}, "do_lower_case=False, but {run} .*do_lower_case=True"),
        (None, "{run} was made for the labels 1, 0, this run has 0"),
    ],
)
def test_flags_that_contradict_the_trained_folder(
    student: pathlib.Path,
    places: dict[str, object],
    options: dict[str, Any],
    task: dict[str, Any],
    tmp_path: pathlib.Path,
    changes: dict[str, Any] | None,
    message: str,
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(student, folder)
    if changes is None:
        relabel(folder)
    before = files(folder)
    run = {"input_file": options["input_file"], "max_seq_length": 16, **task}
    run |= {**filled(changes or {}, **places), "output_dir": folder}
    with pytest.raises(UserError, match=message.format(run=folder)):
        run_script("run_distill", **run, do_predict=True)
    assert files(folder) == before


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


_REGRESSION = r"a regression \(a score, no labels\)"
_LABELS = "a classification with the labels 0, 1"
_SST2 = {"task_name": "SST-2", "data_dir": "{task}"}
_STS_B = {"task_name": "STS-B", "data_dir": "{scores_task}"}
_PAIRS = {"task_name": "tsv", "data_dir": "{folder}/pairs", "text_a": "first", "text_b": "second"}
_SCORES = {"input_file": "{score_labels}/*.tfrecord", "max_seq_length": 32}
_CLASSES = {"input_file": "{soft_labels}/*.tfrecord", "max_seq_length": 16}


@pytest.mark.parametrize(
    ("script", "flags", "message"),
    [
        (
            "create_soft_labels",
            {"init_checkpoint": "{score_teacher}", **_SST2, "max_seq_length": 16},
            f"made for {_REGRESSION}, this run is {_LABELS}",
        ),
        (
            "create_soft_labels",
            {"init_checkpoint": "{teacher}", **_STS_B, "max_seq_length": 16},
            f"made for {_LABELS}, this run is {_REGRESSION}",
        ),
        (
            "run_distill",
            {**_SCORES, **_SST2, "do_eval": True},
            f"input_file=.*score_labels.* made for {_REGRESSION}, this run is {_LABELS}",
        ),
        (
            "run_distill",
            {**_CLASSES, **_STS_B, "do_eval": True},
            f"input_file=.*soft_labels.* made for {_LABELS}, this run is {_REGRESSION}",
        ),
        (
            "run_distill",
            {**_SCORES, "init_checkpoint": "{teacher}", "init_head": "keep"},
            r"keep cannot keep .*tuned.* is for the labels 0, 1, this run for a regression \(a score",
        ),
        ("run_distill", {**_SCORES, "temperature": 2}, "temperature=2.0, but .* has scores of a"),
        (
            "run_distill",
            {**_CLASSES, **_PAIRS, "label": "label", "labels": "0,1", "do_eval": True},
            "input_file=.*soft_labels.* holds single texts, task tsv pairs of texts",
        ),
    ],
)
def test_scores_and_labels_do_not_mix(
    places: dict[str, object],
    similarity: tuple[dict[str, Any], pathlib.Path],
    score_labels: pathlib.Path,
    teacher: pathlib.Path,
    new_student: dict[str, Any],
    tmp_path: pathlib.Path,
    script: str,
    flags: dict[str, Any],
    message: str,
) -> None:
    known = {
        **places,
        "teacher": teacher,
        "score_labels": score_labels,
        "score_teacher": similarity[1],
        "scores_task": similarity[0]["data_dir"],
    }
    out = tmp_path / "out"
    run = {**filled(flags, **known), "output_dir": out}
    if script == "run_distill":
        run |= {**new_student, "do_train": True}
    with pytest.raises(UserError, match=message):
        run_script(script, **run)
    assert not out.exists()
