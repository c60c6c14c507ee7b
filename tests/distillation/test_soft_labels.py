"""Soft-label shards, the manifest that makes them a set, and what is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from wrong_types import check_reader

from common.errors import UserError
from data.sidecars import read_sidecar, sidecar_path
from distillation import soft_labels
from distillation.patience import make_patience
from distillation.soft_labels import (
    MANIFEST,
    ScoredExample,
    TransferExample,
    check_earlier_shards,
    check_same_kind,
    examples_digest,
    feature_spec,
    is_finished,
    read_manifest,
    remove_manifest,
    shard_path,
    write_manifest,
    write_shard,
)
from modeling.config import BertConfig

LENGTH = 8
DESCRIPTION = {
    "labels": ["no", "yes"],
    "hidden_state_layers": [],
    "max_seq_length": LENGTH,
    "teacher_weights_sha256": "abc",
    "flags": {"input_file": "a.txt"},
}


def examples(count: int, pairs: bool = False) -> Iterator[TransferExample]:
    """Every third has a true label."""
    for i in range(count):
        label_id = (i // 3) % 2 if i % 3 == 0 else None
        yield TransferExample(f"a.txt:{i + 1}", f"text {i}", "b" if pairs else None, label_id)


def features(count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(count)
    return {
        "input_ids": rng.integers(0, 1000, (count, LENGTH), dtype=np.int32),
        "input_mask": np.ones((count, LENGTH), np.int32),
        "segment_ids": np.zeros((count, LENGTH), np.int32),
        "label_ids": np.zeros(count, np.int32),
        "is_real_example": np.ones(count, np.int32),
    }


def logits(count: int) -> np.ndarray:
    return np.random.default_rng(count).normal(0, 2, (count, 2)).astype(np.float32)


def write_set(
    folder: Path, counts: tuple[int, ...] = (5, 3), description: dict[str, Any] = DESCRIPTION
) -> list[str]:
    paths = [shard_path(str(folder), i) for i in range(len(counts))]
    for path, count in zip(paths, counts, strict=True):
        write_shard(path, list(examples(count)), features(count), logits(count), description)
    num_labelled = sum(e.label_id is not None for count in counts for e in examples(count))
    write_manifest(str(folder), counts, num_labelled, False, description, {"tensorflow": "x"})
    return paths


def test_single_texts_beside_pairs() -> None:
    for recorded, wanted in ((True, True), (False, False), (None, True)):
        check_same_kind(recorded, wanted, "a", "b")
    with pytest.raises(UserError, match="^a holds pairs of texts, b single texts;"):
        check_same_kind(True, False, "a", "b")
    with pytest.raises(UserError, match="^a holds single texts, b pairs of texts;"):
        check_same_kind(False, True, "a", "b")


def test_records_hold_what_was_written(tmp_path: Path) -> None:
    rows = list(examples(7))
    path = shard_path(str(tmp_path), 12)
    assert path == str(tmp_path / "soft_labels-00012.tfrecord")
    write_shard(path, rows, features(7), logits(7), DESCRIPTION)

    spec = {
        **feature_spec(LENGTH, ["no", "yes"]),
        "example_id": tf.io.FixedLenFeature([], tf.string),
    }
    serialized = list(tf.data.TFRecordDataset(path).as_numpy_iterator())
    parsed = {k: v.numpy() for k, v in tf.io.parse_example(serialized, spec).items()}
    assert parsed["teacher_logits"].dtype == np.float32
    np.testing.assert_array_equal(parsed["teacher_logits"], logits(7))
    for name in ("input_ids", "input_mask", "segment_ids", "is_real_example"):
        np.testing.assert_array_equal(parsed[name], features(7)[name])
    assert parsed["has_label"].tolist() == [1, 0, 0, 1, 0, 0, 1]
    assert parsed["label_ids"].tolist() == [0, 0, 0, 1, 0, 0, 0]
    assert parsed["example_id"].tolist() == [e.example_id.encode() for e in rows]

    sidecar = read_sidecar(path)
    assert sidecar is not None
    assert {**DESCRIPTION, "num_examples": 7, "num_labelled": 3}.items() <= sidecar.items()
    assert len(sidecar["examples_sha256"]) == 64


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite(tmp_path: Path, value: float) -> None:
    (path,) = write_set(tmp_path, counts=(4,))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    bad = logits(4)
    bad[2, 1] = value
    with pytest.raises(UserError, match=r"outputs for a\.txt:3 are not finite"):
        write_shard(path, list(examples(4)), features(4), bad, DESCRIPTION)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_manifest_of_a_finished_set(tmp_path: Path) -> None:
    paths = write_set(tmp_path)
    manifest = read_manifest(paths)
    assert manifest == {
        "num_examples": 8,
        "num_labelled": 3,
        "are_pairs": False,
        "is_regression": False,
        "shards": {"soft_labels-00000.tfrecord": 5, "soft_labels-00001.tfrecord": 3},
        "transfer_set_sha256": None,
        **DESCRIPTION,
        "versions": {"tensorflow": "x"},
    }
    # Of the shards that are read, the second has one true label.
    assert read_manifest(paths[1:]) == {**manifest, "num_labelled": 1}


def test_scores_of_a_regression(tmp_path: Path) -> None:
    description = {**DESCRIPTION, "labels": [], "hidden_state_layers": [1]}
    rows = [
        TransferExample("train-1", "a", "b", 2.75),
        TransferExample("train-2", "a", "c", 0.0),
        TransferExample("a.txt:1", "a", "d"),
    ]
    outputs = np.array([[2.5, 1, 2], [-0.5, 3, 4], [5.25, 5, 6]], np.float32)
    path = shard_path(str(tmp_path), 0)
    write_shard(path, rows, features(3), outputs, description)
    write_manifest(str(tmp_path), [3], 2, True, description, {})
    serialized = list(tf.data.TFRecordDataset(path).as_numpy_iterator())
    parsed = tf.io.parse_example(serialized, feature_spec(LENGTH, [], (1, 2)))
    assert parsed["teacher_logits"].numpy().tolist() == [[2.5], [-0.5], [5.25]]
    assert parsed["teacher_states"].numpy().tolist() == [[[1, 2]], [[3, 4]], [[5, 6]]]
    assert parsed["label_ids"].numpy().tolist() == [2.75, 0.0, 0.0]
    assert parsed["has_label"].numpy().tolist() == [1, 1, 0]
    manifest = read_manifest([path])
    assert (manifest["labels"], manifest["is_regression"]) == ([], True)
    assert manifest["are_pairs"] is True


def test_sets_of_several_folders(tmp_path: Path) -> None:
    files = [path for name in "ab" for path in write_set(tmp_path / name)]
    assert read_manifest(files)["labels"] == ["no", "yes"]


def test_manifest_of_many_shards_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [*write_set(tmp_path / "a"), *write_set(tmp_path / "b")]
    read: list[str] = []

    def read_object(path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        read.append(path)
        return original(path, *args, **kwargs)

    original = soft_labels.read_object
    monkeypatch.setattr(soft_labels, "read_object", read_object)
    assert read_manifest(paths)["num_labelled"] == 2 * read_manifest(paths[:2])["num_labelled"]
    assert read == [str(tmp_path / name / MANIFEST) for name in ("a", "b", "a")]


def test_values_of_any_type(tmp_path: Path) -> None:
    teacher = {"num_hidden_layers": 4, "hidden_size": 8}
    paths = write_set(
        tmp_path, description={**DESCRIPTION, "teacher_config": teacher, "hidden_state_layers": [2]}
    )
    path = tmp_path / MANIFEST
    values = json.loads(path.read_text())
    del values["content_sha256"]
    path.write_text(json.dumps(values))
    student = BertConfig(9, 8, 2, 2, 8)
    check_reader(path, lambda: make_patience(0.5, "skip", read_manifest(paths), student))


def test_missing_manifest(tmp_path: Path) -> None:
    paths = write_set(tmp_path)
    (tmp_path / MANIFEST).unlink()
    with pytest.raises(UserError, match=r"00000\.tfrecord: no soft_labels\.json.*unfinished"):
        read_manifest(paths)


def test_file_that_is_not_of_the_set(tmp_path: Path) -> None:
    paths = write_set(tmp_path)
    foreign = tmp_path / "soft_labels-00002.tfrecord"
    foreign.write_bytes(Path(paths[0]).read_bytes())
    with pytest.raises(UserError, match=r"00002\.tfrecord is not part of the set"):
        read_manifest([*paths, str(foreign)])


def test_count_that_differs_from_the_manifest(tmp_path: Path) -> None:
    paths = write_set(tmp_path)
    write_shard(paths[1], list(examples(2)), features(2), logits(2), DESCRIPTION)
    with pytest.raises(UserError, match=r"00001\.tfrecord holds 2 examples by its sidecar, 3 by"):
        read_manifest(paths)
    (tmp_path / ".soft_labels-00001.tfrecord.json").unlink()
    with pytest.raises(UserError, match=r"00001\.tfrecord has no sidecar"):
        read_manifest(paths)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("labels", ["yes", "no"], r"has labels \['yes', 'no'\], .*has \['no', 'yes'\]"),
        ("teacher_weights_sha256", "def", "has teacher_weights_sha256 def, .*has abc"),
        (
            "teacher_text",
            {"max_seq_length": 9},
            "has teacher_text {'max_seq_length': 9}, .*has None",
        ),
        ("hidden_state_layers", [2], r"has hidden_state_layers \[2\], .*has \[\]"),
    ],
)
def test_sets_of_different_teachers(tmp_path: Path, key: str, value: Any, message: str) -> None:
    other = {**DESCRIPTION, key: value}
    files = [*write_set(tmp_path / "a"), *write_set(tmp_path / "b", description=other)]
    with pytest.raises(UserError, match=rf"b/soft_labels-00000\.tfrecord {message}; .*one teacher"):
        read_manifest(files)


def test_shard_of_an_earlier_run_is_kept_when_it_is_whole(tmp_path: Path) -> None:
    path, _ = write_set(tmp_path)
    assert is_finished(path, examples_digest(list(examples(5))))
    # The same input has more lines by now.
    assert not is_finished(path, examples_digest(list(examples(6))))
    assert not is_finished(shard_path(str(tmp_path), 2), examples_digest(list(examples(5))))


@pytest.mark.parametrize(
    ("position", "changes"),
    [
        (1, {"text_a": "another text"}),
        (1, {"text_b": "a second text"}),
        (1, {"example_id": "a.txt:9"}),
        (1, {"label_id": 0}),
        (3, {"label_id": 0}),
        (3, {"label_id": None}),
    ],
)
def test_shard_of_other_examples_is_made_again(
    tmp_path: Path, position: int, changes: dict[str, Any]
) -> None:
    path, _ = write_set(tmp_path)
    changed = list(examples(5))
    changed[position] = dataclasses.replace(changed[position], **changes)
    assert changed != list(examples(5))
    assert not is_finished(path, examples_digest(changed))
    assert not is_finished(path, examples_digest(list(examples(5))[::-1]))


def test_digest_stays_what_it_was() -> None:
    """Shards of earlier versions are recognized by it."""
    given = [
        TransferExample("a.txt:1", "gut", None),
        ScoredExample("b.csv:2", "ein\udce4", "zwei", 1, (0.5, -2.0)),
    ]
    expected = hashlib.sha256()
    for example in given:
        expected.update(repr(dataclasses.astuple(example)).encode("utf-8", "surrogatepass"))
    assert examples_digest(given) == expected.hexdigest()


@pytest.mark.parametrize(
    ("before", "now"), [(None, {"max_seq_length": 9}), ({"max_seq_length": 9}, None)]
)
def test_shards_of_a_teacher_that_read_otherwise(tmp_path: Path, before: Any, now: Any) -> None:
    """Sets of earlier versions do not name its reading where it is that of the records."""
    earlier = {**DESCRIPTION, "teacher_text": before} if before else DESCRIPTION
    write_set(tmp_path, description=earlier)
    check_earlier_shards(str(tmp_path), {**DESCRIPTION, "teacher_text": before})
    with pytest.raises(UserError, match="was made with teacher_text = .*, this run has "):
        check_earlier_shards(str(tmp_path), {**DESCRIPTION, "teacher_text": now})


@pytest.mark.parametrize("damage", ["no sidecar", "cut short", "no records"])
def test_damaged_shard_is_made_again(tmp_path: Path, damage: str) -> None:
    path, _ = write_set(tmp_path)
    if damage == "no sidecar":
        Path(sidecar_path(path)).unlink()
    elif damage == "cut short":
        Path(path).write_bytes(Path(path).read_bytes()[:-1])
    else:
        Path(path).unlink()
    assert not is_finished(path, examples_digest(list(examples(5))))


def test_shard_of_another_setting_is_refused(tmp_path: Path) -> None:
    path, _ = write_set(tmp_path)
    changes = {
        "max_seq_length": 16,
        "flags": {"input_file": "b.txt"},
        "teacher_weights_sha256": "def",
    }
    for key, value in changes.items():
        with pytest.raises(UserError, match=f"00000.tfrecord was made with {key} = "):
            check_earlier_shards(str(tmp_path), {**DESCRIPTION, key: value})
    check_earlier_shards(str(tmp_path), DESCRIPTION)
    assert is_finished(path, examples_digest(list(examples(5))))


def test_every_earlier_shard_is_looked_at(tmp_path: Path) -> None:
    """Also one that this run would come to only after hours."""
    write_set(tmp_path)
    last = shard_path(str(tmp_path), 7)
    other = {**DESCRIPTION, "max_seq_length": 16}
    write_shard(last, list(examples(2)), features(2), logits(2), other)
    with pytest.raises(UserError, match="00007.tfrecord was made with max_seq_length = 16, .* 8"):
        check_earlier_shards(str(tmp_path), DESCRIPTION)


def test_nothing_to_compare_with(tmp_path: Path) -> None:
    check_earlier_shards(str(tmp_path / "nowhere"), DESCRIPTION)
    path, _ = write_set(tmp_path)
    Path(sidecar_path(path)).unlink()
    (tmp_path / "notes.txt").write_text("not a shard")
    check_earlier_shards(str(tmp_path), DESCRIPTION)


def test_set_without_its_manifest_is_unfinished(tmp_path: Path) -> None:
    remove_manifest(str(tmp_path))  # Nothing to remove is no error.
    (tmp_path / MANIFEST).write_text("{}")
    remove_manifest(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
