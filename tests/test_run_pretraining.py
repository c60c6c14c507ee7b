"""run_pretraining.py through its flags."""

from __future__ import annotations

import json
import logging
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scripts import run_script

from checkpoints.weights import CheckpointReader
from common.errors import UserError
from data.record_sets import open_records
from data.tfrecords import sidecar_path


@pytest.fixture
def options(write_config: Callable[..., str], records_file: str, vocab_file: str) -> dict[str, Any]:
    return {
        "bert_config_file": write_config(),
        "vocab_file": vocab_file,
        "input_file": records_file,
        "max_seq_length": 24,
        "max_predictions_per_seq": 4,
        "train_batch_size": 16,
        "learning_rate": 5e-3,
        "num_warmup_steps": 2,
        "log_steps": 5,
        "do_train": True,
    }


def metrics(folder: pathlib.Path, kind: str) -> list[dict[str, float]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


def weights(folder: pathlib.Path) -> dict[str, np.ndarray]:
    reader = CheckpointReader(str(folder / "bert_model.ckpt"))
    return {name: reader.read(name) for name in reader.shapes}


def test_trains_evaluates_and_leaves_a_model_folder(
    options: dict[str, Any], tmp_path: pathlib.Path, vocab_file: str
) -> None:
    run_script(
        "run_pretraining",
        **options,
        output_dir=tmp_path,
        do_eval=True,
        num_train_steps=60,
        evaluate_steps=20,
        max_eval_steps=3,
        save_checkpoints_steps=25,
    )
    train = metrics(tmp_path, "train")
    assert train[-1]["loss"] < train[0]["loss"] - 0.3
    assert train[-1]["loss"] == pytest.approx(
        train[-1]["masked_lm_loss"] + train[-1]["next_sentence_loss"], rel=1e-5
    )
    assert [record["step"] for record in metrics(tmp_path, "eval")] == [20, 40, 60]
    results = dict(
        line.split(" = ") for line in (tmp_path / "eval_results.txt").read_text().splitlines()
    )
    assert sorted(results) == [
        "checkpoint",
        "global_step",
        "loss",
        "masked_lm_accuracy",
        "masked_lm_loss",
        "next_sentence_accuracy",
        "next_sentence_loss",
    ]
    assert results["global_step"] == "60"
    names = {path.name for path in tmp_path.iterdir()}
    assert {
        "bert_config.json",
        "vocab.txt",
        "bert_model.ckpt.index",
        "model.ckpt-60.index",
    } <= names
    assert not any("tmp" in name for name in names)
    assert (tmp_path / "vocab.txt").read_text() == pathlib.Path(vocab_file).read_text()
    assert (tmp_path / "best" / "bert_model.ckpt.index").exists()
    # The exchange form: original names only, no optimizer slots.
    shapes = CheckpointReader(str(tmp_path / "bert_model.ckpt")).shapes
    assert len(shapes) == 5 + 16 * 2 + 2 + 7
    assert shapes["cls/seq_relationship/output_weights"] == (2, 24)
    # TensorBoard scalars.
    events = [path for path in tmp_path.iterdir() if path.name.startswith("events.")]
    tags = {
        value.tag
        for path in events
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
    }
    assert {"loss", "masked_lm_loss", "learning_rate"} <= tags


def test_accumulation_does_not_change_the_result(
    options: dict[str, Any], write_config: Callable[..., str], tmp_path: pathlib.Path
) -> None:
    # Without dropout, whose masks belong to the parts.
    options["bert_config_file"] = write_config(
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    for parts in (1, 4):
        run_script(
            "run_pretraining",
            **options,
            output_dir=tmp_path / str(parts),
            num_train_steps=6,
            gradient_accumulation_steps=parts,
        )
    whole, parted = weights(tmp_path / "1"), weights(tmp_path / "4")
    for name, value in whole.items():
        np.testing.assert_allclose(parted[name], value, atol=2e-5, err_msg=name)


def test_resumed_run_repeats_the_uninterrupted_one(
    options: dict[str, Any], tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    options["save_checkpoints_steps"] = 7
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    run_script("run_pretraining", **options, output_dir=whole, num_train_steps=20)
    shutil.copytree(whole, resumed)
    # As if the run had been killed between step 14 and the end.
    for path in resumed.glob("model.ckpt-20*"):
        path.unlink()
    (resumed / "checkpoint").write_text(
        'model_checkpoint_path: "model.ckpt-14"\nall_model_checkpoint_paths: "model.ckpt-14"\n'
    )
    for path in resumed.glob("bert_model.ckpt*"):
        path.unlink()
    with caplog.at_level(logging.INFO):
        run_script("run_pretraining", **options, output_dir=resumed, num_train_steps=20)
    # A run from the start would end with the same weights.
    assert "model.ckpt-14 (step 14)" in caplog.text
    first, second = weights(whole), weights(resumed)
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value, err_msg=name)
    assert metrics(whole, "train") == metrics(resumed, "train")


def test_another_setting_is_not_continued(options: dict[str, Any], tmp_path: pathlib.Path) -> None:
    run_script("run_pretraining", **options, output_dir=tmp_path, num_train_steps=2)
    options["learning_rate"] = 1e-3
    with pytest.raises(UserError, match=r"learning_rate=0\.005.*learning_rate=0\.001"):
        run_script("run_pretraining", **options, output_dir=tmp_path, num_train_steps=4)


def test_trained_folder_is_used_without_training(
    options: dict[str, Any], vocab_file: str, tmp_path: pathlib.Path
) -> None:
    """The model in --output_dir, which names its vocabulary, unless another one is asked for."""
    ours, other = tmp_path / "ours", tmp_path / "other"
    for folder, steps in ((ours, 6), (other, 2)):
        run_script(
            "run_pretraining", **options, output_dir=folder, num_train_steps=steps, do_eval=True
        )
    expected = (ours / "eval_results.txt").read_text()
    assert expected != (other / "eval_results.txt").read_text()
    (ours / "eval_results.txt").unlink()
    shared = {
        k: v for k, v in options.items() if k not in ("do_train", "bert_config_file", "vocab_file")
    }
    run_script("run_pretraining", **shared, output_dir=ours, do_eval=True)
    assert (ours / "eval_results.txt").read_text() == expected
    run_script("run_pretraining", **shared, init_checkpoint=other, output_dir=ours, do_eval=True)
    found = (ours / "eval_results.txt").read_text()
    assert found.replace(str(other), ".") == (other / "eval_results.txt").read_text() != expected

    entries = pathlib.Path(vocab_file).read_text().split()
    other_vocab = tmp_path / "other_vocab.txt"
    other_vocab.write_text("\n".join([*entries[:-2], entries[-1], entries[-2]]) + "\n")
    with pytest.raises(UserError, match=f"other_vocab.txt is not the vocabulary of {ours}: id "):
        run_script(
            "run_pretraining", **shared, vocab_file=other_vocab, output_dir=ours, do_eval=True
        )
    with pytest.raises(UserError, match="holds no trained model; train first"):
        run_script("run_pretraining", **shared, output_dir=tmp_path / "empty", do_eval=True)


def test_bfloat16_learns_too(options: dict[str, Any], tmp_path: pathlib.Path) -> None:
    run_script(
        "run_pretraining", **options, output_dir=tmp_path, num_train_steps=40, precision="bfloat16"
    )
    train = metrics(tmp_path, "train")
    assert train[-1]["loss"] < train[0]["loss"] - 0.3


def test_non_finite_loss_names_the_step_and_saves_nothing(
    options: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    options["learning_rate"] = 1e30
    with pytest.raises(UserError, match="not finite at step"):
        run_script("run_pretraining", **options, output_dir=tmp_path, num_train_steps=30)
    assert not list(tmp_path.glob("*.index"))


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
    other = tmp_path / "vocab.txt"
    other.write_text("\n".join([*entries[:-2], entries[-1], entries[-2]]) + "\n")
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
    import gzip

    path = tmp_path / "plain.tfrecord"
    path.write_bytes(gzip.compress(pathlib.Path(records_file).read_bytes()))
    options["input_file"] = path
    run_script("run_pretraining", **options, output_dir=tmp_path / "out", num_train_steps=2)
    from pretraining.objective import feature_spec

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
    import tensorflow as tf

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


@pytest.fixture(scope="module")
def deep(
    write_config: Callable[..., str],
    records_file: str,
    vocab_file: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> pathlib.Path:
    """A model of four layers to start from and to learn from."""
    folder = tmp_path_factory.mktemp("deep")
    run_script(
        "run_pretraining",
        bert_config_file=write_config(num_hidden_layers=4),
        vocab_file=vocab_file,
        input_file=records_file,
        max_seq_length=24,
        max_predictions_per_seq=4,
        train_batch_size=16,
        learning_rate=5e-3,
        num_warmup_steps=2,
        num_train_steps=30,
        output_dir=folder,
        do_train=True,
    )
    return folder


@pytest.mark.parametrize(
    ("flags", "layers"),
    [
        ({"init_strategy": "truncate_bottom"}, [0, 1]),
        ({"init_strategy": "truncate_every_other"}, [0, 2]),
        ({"init_layers": "3,1"}, [3, 1]),
        ({"init_strategy": "embeddings_only"}, []),
        ({"init_strategy": "random"}, None),
    ],
)
def test_start_from_a_part_of_a_deeper_model(
    options: dict[str, Any],
    deep: pathlib.Path,
    tmp_path: pathlib.Path,
    flags: dict[str, Any],
    layers: list[int] | None,
) -> None:
    # With a rate of next to nothing the weights of the model folder are those of the start.
    run_script(
        "run_pretraining",
        **{**options, "learning_rate": 1e-30, "num_train_steps": 1, "num_warmup_steps": 0},
        init_checkpoint=deep,
        **flags,
        output_dir=tmp_path,
    )
    before, after = weights(deep), weights(tmp_path)
    name = "bert/encoder/layer_{}/attention/output/dense/kernel"
    for new, old in enumerate(layers or ()):
        np.testing.assert_array_equal(after[name.format(new)], before[name.format(old)])
    if not layers:
        assert not np.array_equal(after[name.format(0)], before[name.format(0)])
    embeddings = "bert/embeddings/word_embeddings"
    assert np.array_equal(after[embeddings], before[embeddings]) == (layers is not None)


def test_a_deeper_model_needs_a_strategy(
    options: dict[str, Any], deep: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(UserError, match="4 layers, the model 2; .*--init_strategy"):
        run_script("run_pretraining", **options, init_checkpoint=deep, output_dir=tmp_path / "a")
    with pytest.raises(UserError, match="--init_layers=0,two: expected numbers"):
        run_script(
            "run_pretraining",
            **options,
            init_checkpoint=deep,
            init_layers="0,two",
            output_dir=tmp_path / "b",
        )
    with pytest.raises(UserError, match="--init_strategy=random has no effect without --init"):
        run_script("run_pretraining", **options, init_strategy="random", output_dir=tmp_path / "c")


def test_a_teacher_makes_the_loss_that_of_distilbert(
    options: dict[str, Any], deep: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run_script(
        "run_pretraining",
        **options,
        num_train_steps=60,
        teacher=deep,
        init_checkpoint=deep,
        init_strategy="truncate_every_other",
        output_dir=tmp_path,
        do_eval=True,
        max_eval_steps=3,
    )
    train = metrics(tmp_path, "train")
    for name in ("soft_masked_lm_loss", "masked_lm_loss", "cosine_loss"):
        assert train[-1][name] < train[0][name], name
    for line in train:
        parts = 5 * line["soft_masked_lm_loss"] + 2 * line["masked_lm_loss"] + line["cosine_loss"]
        assert line["loss"] == pytest.approx(parts, rel=1e-5)
    # The teacher is no part of what is left behind.
    assert set(weights(tmp_path)) < set(weights(deep))
    assert "bert/encoder/layer_2/output/dense/kernel" not in weights(tmp_path)
    results = (tmp_path / "eval_results.txt").read_text()
    assert "masked_lm_accuracy" in results and "next_sentence_loss" in results
    with pytest.raises(UserError, match=f"another teacher: none, now it is {deep} with"):
        plain = {**options, "output_dir": tmp_path / "plain", "num_train_steps": 2}
        run_script("run_pretraining", **plain)
        run_script("run_pretraining", **plain, teacher=deep)
