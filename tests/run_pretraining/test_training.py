"""What a run learns, keeps and goes on from."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from runs import assert_same_weights, info, metrics, weights
from scripts import run_script
from tiny_data import (
    write_other_vocab,
)

from checkpoints.weights import CheckpointReader
from common.errors import UserError


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
    assert len(shapes) == 5 + 16 + 2 + 7
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

    other_vocab = write_other_vocab(vocab_file, tmp_path)
    with pytest.raises(UserError, match=f"other_vocab.txt is not the vocabulary of {ours}: id "):
        run_script(
            "run_pretraining", **shared, vocab_file=other_vocab, output_dir=ours, do_eval=True
        )
    with pytest.raises(UserError, match="holds no trained model; train first"):
        run_script("run_pretraining", **shared, output_dir=tmp_path / "empty", do_eval=True)


def test_dropout_of_a_training_is_not_the_models(
    options: dict[str, Any], write_config: Callable[..., str], tmp_path: pathlib.Path
) -> None:
    """Without dropout it is the training of a model that has none; the configuration stays."""
    rates = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    short = {**options, "num_train_steps": 3}
    without = {**short, "bert_config_file": write_config(num_hidden_layers=1, **rates)}
    folders = [tmp_path / name for name in ("flag", "config", "with")]
    run_script("run_pretraining", **short, dropout_prob=0, output_dir=folders[0])
    run_script("run_pretraining", **without, output_dir=folders[1])
    run_script("run_pretraining", **short, output_dir=folders[2])
    assert_same_weights(folders[0], folders[1])
    name = "bert/embeddings/word_embeddings"
    assert (weights(folders[0])[name] != weights(folders[2])[name]).any()
    configs = [(folder / "bert_config.json").read_bytes() for folder in folders]
    assert configs[0] == configs[2] != configs[1]
    assert info(folders[0])["flags"]["dropout_prob"] == 0.0


def test_local_attention_is_another_start(options: dict[str, Any], tmp_path: pathlib.Path) -> None:
    """Of the same run but for what the flag says, and refused for a model that is there."""
    short = {**options, "num_train_steps": 3, "learning_rate": 0.0}
    local, original = tmp_path / "local", tmp_path / "original"
    run_script("run_pretraining", **short, init_local_attention=True, output_dir=local)
    run_script("run_pretraining", **short, output_dir=original)
    assert {
        name
        for name, value in weights(local).items()
        if not np.array_equal(value, weights(original)[name])
    } == {
        "bert/embeddings/position_embeddings",
        "bert/encoder/layer_0/attention/self/query/kernel",
        "bert/encoder/layer_0/attention/self/key/kernel",
    }
    assert info(local)["flags"]["init_local_attention"] is True
    with pytest.raises(UserError, match="another start: none, now it is --init_local_attention"):
        run_script("run_pretraining", **short, init_local_attention=True, output_dir=original)
