"""A run is what its result depends on; a folder with another run is not continued."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import pytest
import tensorflow as tf
from wrong_types import check_reader

from common.errors import UserError
from training.identity import Content, Identity, Part, check_identity, discard_run, read_run_config

TRAINING = Part(
    {"learning_rate": 0.1, "labels": ("a", "b")},
    {"training data": Content("0" * 64, "train in task (9 rows)"), "start": Content("1" * 64, "m")},
)
DEV = Part({"metrics": ("accuracy",)}, {"development data": Content("2" * 64, "dev in task (3)")})
RUN = Identity(TRAINING, DEV)


def check(folder: pathlib.Path, identity: Identity, start_over: bool = False) -> None:
    check_identity(str(folder), identity, tf.distribute.get_strategy(), start_over)


def changed(part: Part, **changes: Any) -> Part:
    """With other values, or other contents where the change is a digest."""
    contents = {
        name.replace("_", " "): Content(digest, "elsewhere")
        for name, digest in changes.items()
        if isinstance(digest, str) and len(digest) == 64
    }
    values = {k: v for k, v in changes.items() if k.replace("_", " ") not in contents}
    return Part({**part.values, **values}, {**part.contents, **contents})


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """Of a run with a saved state."""
    check(tmp_path, RUN)
    (tmp_path / "model.ckpt-3.index").write_bytes(b"x")
    return tmp_path


OTHER_RUNS = [
    (
        Identity(changed(TRAINING, learning_rate=0.2), DEV),
        "learning_rate=0.1, .* learning_rate=0.2",
    ),
    (Identity(changed(TRAINING, labels=("b", "a")), DEV), r"labels=\['a', 'b'\], .*\['b', 'a'\]"),
    (Identity(changed(TRAINING, new_flag=1), DEV), "new_flag=None, this command has new_flag=1"),
    (
        Identity(changed(TRAINING, training_data="3" * 64), DEV),
        r"another training data: train in task \(9 rows\) with the digest 0{12}\.\.\., now it is "
        r"elsewhere with the digest 3{12}\.\.\.",
    ),
    (
        Identity(Part(TRAINING.values, {"training data": TRAINING.contents["training data"]}), DEV),
        "another start: m with the digest 1.*, now it is none",
    ),
    (Identity(TRAINING, changed(DEV, metrics=("f1",))), r"metrics=\['accuracy'\]"),
    (Identity(TRAINING, changed(DEV, development_data="4" * 64)), "another development data"),
]


@pytest.mark.parametrize(("other", "message"), OTHER_RUNS)
def test_another_run_is_refused_or_discarded(
    folder: pathlib.Path, other: Identity, message: str
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(
        UserError, match=f"output_dir=.* holds a run with .*{message}.*--start_over"
    ):
        check(folder, other)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    check(folder, other, start_over=True)
    assert [path.name for path in folder.iterdir()] == ["run_config.json"]
    (folder / "bert_model.ckpt.index").write_bytes(b"x")
    check(folder, other)
    with pytest.raises(UserError, match="holds a run with"):
        check(folder, RUN)


def test_names_and_places_do_not_matter(folder: pathlib.Path) -> None:
    contents = {name: Content(c.sha256, "moved") for name, c in TRAINING.contents.items()}
    check(folder, Identity(Part(TRAINING.values, contents), DEV))
    check(folder, RUN, start_over=True)
    assert (folder / "model.ckpt-3.index").exists()


def test_a_run_begun_before_a_flag_existed_goes_on_without_it(folder: pathlib.Path) -> None:
    check(folder, Identity(changed(TRAINING, adam_bias_correction=False), DEV))
    with pytest.raises(UserError, match="adam_bias_correction=False, this command has .*=True"):
        check(folder, Identity(changed(TRAINING, adam_bias_correction=True), DEV))


def test_a_run_as_an_earlier_version_recorded_it_goes_on(tmp_path: pathlib.Path) -> None:
    """With the flags it had; what is written now is compared as it is."""
    flags = {"weights": ["a:2"], "batch": 8, "rows": None}
    check(tmp_path, Identity(Part({"weights": ["a:2"], "batch": 8}, {})))
    (tmp_path / "model.ckpt-3.index").write_bytes(b"x")
    now = Part({"weights": {"a": 2.0}, "rows": 9}, {}, earlier=flags)
    check(tmp_path, Identity(now))
    with pytest.raises(UserError, match=r"weights=\['a:2'\], .* has weights=\{'a': 3.0\}"):
        changes = {"weights": {"a": 3.0}}
        check(tmp_path, Identity(Part({**now.values, **changes}, {}, {**flags, **changes})))
    with pytest.raises(UserError, match="batch=8, this command has batch=4"):
        check(tmp_path, Identity(Part(now.values, {}, earlier={**flags, "batch": 4})))
    check(tmp_path / "new", Identity(now))
    assert read_run_config(str(tmp_path / "new"))["training"]["values"] == now.values
    (tmp_path / "new" / "model.ckpt-3.index").write_bytes(b"x")
    check(tmp_path / "new", Identity(Part(now.values, {}, earlier={**flags, "batch": 4})))


def test_evaluation_may_be_added_but_not_changed(tmp_path: pathlib.Path) -> None:
    check(tmp_path, Identity(TRAINING))
    (tmp_path / "model.ckpt-3.index").write_bytes(b"x")
    check(tmp_path, RUN)
    check(tmp_path, Identity(TRAINING))
    with pytest.raises(UserError, match="another development data"):
        check(
            tmp_path, dataclasses.replace(RUN, evaluation=changed(DEV, development_data="4" * 64))
        )


def test_a_run_without_a_state_yet(tmp_path: pathlib.Path) -> None:
    """Nothing was trained, so another run may begin; what is there of results stays."""
    check(tmp_path, RUN)
    (tmp_path / "test_results.tsv").write_bytes(b"x")
    check(tmp_path, OTHER_RUNS[0][0])
    assert read_run_config(str(tmp_path))["training"] == OTHER_RUNS[0][0].training.to_json()
    assert (tmp_path / "test_results.tsv").exists()


def test_a_best_model_alone_is_kept(folder: pathlib.Path) -> None:
    """Whoever needs room deletes all but the best model; another run may not take its place."""
    (folder / "model.ckpt-3.index").unlink()
    (folder / "best").mkdir()
    (folder / "best" / "bert_model.ckpt.index").write_bytes(b"x")
    with pytest.raises(UserError, match="holds a run with learning_rate=0.1"):
        check(folder, OTHER_RUNS[0][0])
    assert (folder / "best" / "bert_model.ckpt.index").exists()


@pytest.mark.parametrize("start_over", [False, True])
def test_a_model_that_was_not_trained_there(tmp_path: pathlib.Path, start_over: bool) -> None:
    (tmp_path / "bert_model.ckpt.index").write_bytes(b"downloaded")
    with pytest.raises(UserError, match="holds a model that was not trained there"):
        check(tmp_path, RUN, start_over)
    assert (tmp_path / "bert_model.ckpt.index").read_bytes() == b"downloaded"


@pytest.mark.parametrize("start_over", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "pytorch_model.bin",
        "tf_model.h5",
        "ckpt-1000.index",
        "biobert_model.ckpt.index",
        "saved_model.pb",
        "model.onnx",
        "best/model.safetensors",
    ],
)
def test_a_model_of_another_form_keeps_its_files(
    tmp_path: pathlib.Path, name: str, start_over: bool
) -> None:
    """Its vocabulary and configuration have the names of a run's."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    for file in (name, "vocab.txt", "run_config.json"):
        (tmp_path / file).write_bytes(b"downloaded")
    with pytest.raises(UserError, match=rf"was not trained there \({name}\); use another folder"):
        check(tmp_path, RUN, start_over)
    for file in (name, "vocab.txt", "run_config.json"):
        assert (tmp_path / file).read_bytes() == b"downloaded"


def test_a_run_beside_another_model_goes_on_but_is_not_discarded(folder: pathlib.Path) -> None:
    for name in ("model.safetensors", "vocab.txt"):
        (folder / name).write_bytes(b"copied")
    check(folder, RUN)
    with pytest.raises(UserError, match=r"not trained there \(model.safetensors\)"):
        check(folder, OTHER_RUNS[0][0], start_over=True)
    assert (folder / "model.ckpt-3.index").exists() and (folder / "vocab.txt").exists()


@pytest.mark.parametrize("content", ["[]", "{", "{}", '{"learning_rate": 0.1}'])
def test_damaged_description(folder: pathlib.Path, content: str) -> None:
    (folder / "run_config.json").write_text(content)
    with pytest.raises(UserError, match=r"run_config\.json"):
        check(folder, RUN)
    check(folder, RUN, start_over=True)
    assert not (folder / "model.ckpt-3.index").exists()


def test_values_of_any_type(folder: pathlib.Path) -> None:
    path = folder / "run_config.json"
    values = json.loads(path.read_text())
    del values["content_sha256"]  # As it was in earlier versions.
    path.write_text(json.dumps(values))
    check_reader(path, lambda: check(folder, RUN))


def test_missing_description(folder: pathlib.Path) -> None:
    (folder / "run_config.json").unlink()
    with pytest.raises(UserError, match=r"run_config\.json is missing"):
        check(folder, RUN)


def test_only_what_a_run_has_written_is_discarded(tmp_path: pathlib.Path) -> None:
    written = ["run_config.json", "model_info.json", "bert_config.json", "vocab.txt", "labels.txt"]
    written += [
        "checkpoint",
        "metrics.jsonl",
        "speed.jsonl",
        "eval_results.txt",
        "eval_results_dev_mismatched.txt",
    ]
    written += ["test_results.tsv", "events.out.tfevents.1.host.v2", "model.ckpt-3.index"]
    written += ["model.ckpt-12.data-00000-of-00001", "bert_model.ckpt.index", "eval.tf_record"]
    written += ["train.tf_record", ".train.tf_record.json", "predict_test_mismatched.tf_record"]
    kept = ["notes.txt", "train.tsv", "my_model.ckpt-3.index", "vocab.txt.bak", ".lock"]
    for name in written + kept:
        (tmp_path / name).write_text("")
    for name in ("best", "eval", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vocab.txt").write_text("")
    discard_run(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*kept, "mine"])
    assert (tmp_path / "mine" / "vocab.txt").exists()
