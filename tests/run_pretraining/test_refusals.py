"""Flags and records that a run does not take."""

from __future__ import annotations

import gzip
import json
import pathlib
import shutil
from typing import Any

import pytest
import tensorflow as tf
from scripts import run_script
from tiny_data import (
    write_other_vocab,
)

from common.errors import UserError
from data.record_sets import open_records
from data.sidecars import sidecar_path
from pretraining.objective import feature_spec


def test_another_setting_is_not_continued(options: dict[str, Any], tmp_path: pathlib.Path) -> None:
    run_script("run_pretraining", **options, output_dir=tmp_path, num_train_steps=2)
    options["learning_rate"] = 1e-3
    with pytest.raises(UserError, match=r"learning_rate=0\.005.*learning_rate=0\.001"):
        run_script("run_pretraining", **options, output_dir=tmp_path, num_train_steps=4)


def test_non_finite_loss_names_the_step_and_saves_nothing(
    options: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    options["learning_rate"] = 1e30
    with pytest.raises(UserError, match="not finite at step"):
        run_script("run_pretraining", **options, output_dir=tmp_path, num_train_steps=30)
    assert not list(tmp_path.glob("*.index"))


@pytest.mark.parametrize("flag", ["input_file", "eval_file"])
def test_records_are_not_written_to(
    options: dict[str, Any], tmp_path: pathlib.Path, flag: str
) -> None:
    """--start_over removes what a run calls eval.tf_record."""
    records = tmp_path / "eval.tf_record"
    shutil.copy(options["input_file"], records)
    flags = {**options, flag: records, "output_dir": tmp_path, "start_over": True}
    with pytest.raises(UserError, match=rf"contains --{flag}=.*eval\.tf_record, and nothing that"):
        run_script("run_pretraining", **flags, do_eval=True, num_train_steps=2)
    assert records.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_seq_length": 32}, "max_seq_length = 24, this run has 32"),
        ({"max_predictions_per_seq": 5}, "max_predictions_per_seq = 4, this run has 5"),
        ({"max_seq_length": 41}, "max_position_embeddings of 40"),
        ({"input_file": "nothing*.tfrecord"}, 'input_file.*"nothing'),
        ({"do_train": False}, "nothing to do"),
        ({"train_batch_size": 16, "gradient_accumulation_steps": 3}, "train_batch_size=16"),
        ({"init_checkpoint": "nowhere"}, "nowhere"),
    ],
)
def test_bad_flags(
    options: dict[str, Any], tmp_path: pathlib.Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run_script(
            "run_pretraining", **{**options, **changes}, output_dir=tmp_path, num_train_steps=2
        )
    assert not list(tmp_path.glob("*.index"))


def test_vocabulary_of_other_records(
    options: dict[str, Any], vocab_file: str, tmp_path: pathlib.Path
) -> None:
    entries = pathlib.Path(vocab_file).read_text().split()
    other = write_other_vocab(vocab_file, tmp_path)
    options["vocab_file"] = other
    with pytest.raises(UserError, match="vocab_sha256"):
        run_script("run_pretraining", **options, output_dir=tmp_path / "out", num_train_steps=2)
    other.write_text("\n".join(entries[:-1]) + "\n")
    with pytest.raises(
        UserError, match=f"vocab_size is {len(entries)}.* {len(entries) - 1} entries"
    ):
        run_script("run_pretraining", **options, output_dir=tmp_path / "out", num_train_steps=2)


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_damaged_records(
    options: dict[str, Any], records_file: str, tmp_path: pathlib.Path, damage: str
) -> None:
    data = bytearray(pathlib.Path(records_file).read_bytes())
    if damage == "truncated":
        data = data[:-100]
    else:
        data[len(data) // 2] ^= 1
    # Without the sidecar the records themselves are read and checked.
    path = tmp_path / "damaged.tfrecord"
    path.write_bytes(data)
    options["input_file"] = path
    with pytest.raises(UserError, match=r"damaged.tfrecord: record \d+ is corrupt or cut off"):
        run_script("run_pretraining", **options, output_dir=tmp_path / "out", num_train_steps=2)
    shutil.copy(sidecar_path(records_file), sidecar_path(str(path)))
    if damage == "truncated":
        with pytest.raises(UserError, match="truncated or was overwritten"):
            run_script("run_pretraining", **options, output_dir=tmp_path / "out", num_train_steps=2)


def test_records_of_the_original_script_are_accepted(
    options: dict[str, Any], records_file: str, tmp_path: pathlib.Path
) -> None:
    """They come without a sidecar, and often compressed."""
    path = tmp_path / "plain.tfrecord"
    path.write_bytes(gzip.compress(pathlib.Path(records_file).read_bytes()))
    options["input_file"] = path
    run_script("run_pretraining", **options, output_dir=tmp_path / "out", num_train_steps=2)
    counted = open_records(str(path), "input_file", feature_spec(24, 4), {})
    expected = json.loads(pathlib.Path(sidecar_path(records_file)).read_text())["num_examples"]
    assert counted.num_examples == expected


@pytest.mark.parametrize(
    ("feature", "value", "expected"),
    [
        ("input_ids", 20_000, "vocab_size"),
        ("segment_ids", 2, "type_vocab_size"),
        ("masked_lm_positions", 24, "max_seq_length"),
        ("masked_lm_ids", -1, "vocab_size"),
        ("next_sentence_labels", 2, "0 to 1"),
        ("masked_lm_weights", float("nan"), "a finite number"),
    ],
)
def test_records_that_the_model_cannot_take(
    options: dict[str, Any],
    records_file: str,
    tmp_path: pathlib.Path,
    feature: str,
    value: float,
    expected: str,
) -> None:
    """On a CPU they were an error in the middle of the run, on other devices silent zeros."""
    path = tmp_path / "other.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number, record in enumerate(tf.data.TFRecordDataset(records_file), 1):
            example = tf.train.Example.FromString(record.numpy())
            if number == 40:
                values = example.features.feature[feature]
                getattr(values, values.WhichOneof("kind")).value[0] = value
            writer.write(example.SerializeToString())
    options["input_file"] = path
    message = rf'other.tfrecord, record 40: feature "{feature}" holds {value} .*{expected}'
    with pytest.raises(UserError, match=message):
        run_script("run_pretraining", **options, output_dir=tmp_path / "out", num_train_steps=2)
