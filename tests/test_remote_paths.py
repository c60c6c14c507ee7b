"""Scripts whose inputs and outputs are all on a file system that only TensorFlow knows."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf
from scripts import run_script

from common.errors import UserError

# In the memory of this process, so a plain file call finds nothing there.
ROOT = "ram://remote"


def upload(path: str, name: str) -> str:
    target = f"{ROOT}/{name}"
    tf.io.gfile.makedirs(target.rpartition("/")[0])
    tf.io.gfile.copy(path, target, overwrite=True)
    return target


def read(name: str) -> str:
    with tf.io.gfile.GFile(f"{ROOT}/{name}") as file:
        return file.read()


def test_everything_on_a_remote_file_system(
    write_config: Callable[..., str],
    vocab_file: str,
    corpus_file: str,
    task_dir: str,
    transfer_file: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Here a plain file call would make a folder `ram:`.
    monkeypatch.chdir(tmp_path)
    model = {
        "bert_config_file": upload(write_config(num_hidden_layers=1), "bert_config.json"),
        "vocab_file": upload(vocab_file, "vocab.txt"),
    }
    for name in ("train", "dev", "test"):
        upload(f"{task_dir}/{name}.tsv", f"SST-2/{name}.tsv")
    task = {"task_name": "SST-2", "data_dir": f"{ROOT}/SST-2", "max_seq_length": 16}
    training: dict[str, Any] = {
        "train_batch_size": 16,
        "eval_batch_size": 32,
        "do_train": True,
        "do_eval": True,
    }
    lengths = {"max_seq_length": 24, "max_predictions_per_seq": 4}
    run_script(
        "create_pretraining_data",
        input_file=upload(corpus_file, "text.txt"),
        output_file=f"{ROOT}/records.tfrecord",
        vocab_file=model["vocab_file"],
        dupe_factor=1,
        num_processes=1,
        **lengths,
    )
    for steps in (2, 3):  # The second run goes on from the first.
        run_script(
            "run_pretraining",
            **model,
            **training,
            **lengths,
            input_file=f"{ROOT}/rec*.tfrecord",
            output_dir=f"{ROOT}/pretrained",
            num_train_steps=steps,
            num_warmup_steps=1,
            max_eval_steps=1,
        )
    fine_tuning = {**task, **training, "num_train_epochs": 0.3, "do_predict": True}
    run_script(
        "run_classifier",
        **fine_tuning,
        init_checkpoint=f"{ROOT}/pretrained",
        output_dir=f"{ROOT}/teacher",
        evaluate_steps=2,
    )
    run_script(
        "create_transfer_set",
        input_file=upload(transfer_file, "reviews.txt"),
        output_file=f"{ROOT}/transfer_set.txt",
    )
    run_script(
        "create_soft_labels",
        init_checkpoint=f"{ROOT}/teacher",
        input_file=f"{ROOT}/transfer_set.txt",
        max_seq_length=16,
        examples_per_shard=100,
        output_dir=f"{ROOT}/soft_labels",
    )
    run_script(
        "run_distill",
        **fine_tuning,
        **model,
        input_file=f"{ROOT}/soft_labels/*.tfrecord",
        output_dir=f"{ROOT}/student",
    )
    assert json.loads(read("pretrained/model_info.json"))["global_step"] == 3
    assert "eval_accuracy" in read("student/eval_results.txt")
    assert len(read("student/test_results.tsv").splitlines()) == 37
    names = {name.rstrip("/") for name in tf.io.gfile.listdir(f"{ROOT}/teacher")}
    assert {"bert_model.ckpt.index", "vocab.txt", "metrics.jsonl", "best"} <= names
    assert not any(name.endswith("tmp") for name in names)
    assert list(tmp_path.iterdir()) == []


def test_missing_remote_file(vocab_file: str) -> None:
    with pytest.raises(UserError, match=f'--input_file: no file matches "{ROOT}/nothing"'):
        run_script(
            "create_pretraining_data",
            input_file=f"{ROOT}/nothing",
            output_file=f"{ROOT}/records.tfrecord",
            vocab_file=vocab_file,
        )
