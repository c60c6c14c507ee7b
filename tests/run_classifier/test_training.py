"""What a run learns, keeps and starts from."""

from __future__ import annotations

import logging
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest
import runs
import tensorflow as tf
from runs import (
    evaluated_model,
    info,
    metrics,
    predictions,
    results,
)
from scripts import run_script
from tiny_data import column, is_positive

from checkpoints.weights import CheckpointReader
from common.errors import UserError
from data.classifier_records import feature_spec


def test_learns_the_task(trained: pathlib.Path) -> None:
    evaluation = results(trained)
    # The keys of the original, sorted as it writes them.
    assert list(evaluation) == [
        "eval_accuracy",
        "eval_loss",
        "eval_macro_f1",
        "global_step",
        "loss",
    ]
    assert evaluation["eval_accuracy"] > 0.9
    assert evaluation["loss"] == evaluation["eval_loss"] < 0.4
    assert evaluation["global_step"] == 62  # int(200 / 16 * 5)
    train = metrics(trained, "train")
    assert train[-1]["loss"] < train[0]["loss"] / 2
    assert train[-1]["loss"] == train[-1]["label_loss"]


def test_predictions_are_probabilities_in_the_order_of_the_test_file(
    trained: pathlib.Path, task_dir: str
) -> None:
    probabilities = predictions(trained)
    assert probabilities.shape == (37, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-6)
    assert (trained / "labels.txt").read_text() == "0\n1\n"
    truth = [is_positive(text) for text in column(f"{task_dir}/test.tsv", 1)]
    assert np.mean(probabilities.argmax(axis=1) == truth) > 0.9


def test_files_of_the_run(trained: pathlib.Path, vocab_file: str, task_dir: str) -> None:
    names = {path.name for path in trained.iterdir()}
    assert {
        "bert_config.json",
        "vocab.txt",
        "bert_model.ckpt.index",
        "model.ckpt-62.index",
    } <= names
    assert not any("tmp" in name for name in names)
    assert (trained / "vocab.txt").read_text() == pathlib.Path(vocab_file).read_text()
    for name, count in (("train", 200), ("eval", 61), ("predict", 37)):
        path = trained / f"{name}.tf_record"
        records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
        assert len(records) == count
        labels = tf.io.parse_example(records, feature_spec(16))["label_ids"].numpy().tolist()
        if name == "predict":
            assert set(labels) == {0}
        else:
            table = f"{task_dir}/{name.replace('eval', 'dev')}.tsv"
            assert labels == list(map(int, column(table, 1)))
    # The exchange form: original names only, no optimizer slots.
    shapes = CheckpointReader(str(trained / "bert_model.ckpt")).shapes
    assert len(shapes) == 5 + 16 + 2 + 2
    assert shapes["output_weights"] == (2, 48) and shapes["output_bias"] == (2,)
    assert info(trained)["labels"] == ["0", "1"]
    assert info(trained)["do_lower_case"] is True


def test_best_model_is_kept(
    trained: pathlib.Path, options: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    evaluations = metrics(trained, "eval")
    assert [record["step"] for record in evaluations] == [20, 40, 60, 62]
    best = max(evaluations, key=lambda record: record["eval_accuracy"])  # The first of equal ones.
    assert info(trained / "best")["global_step"] == best["step"]
    run_script(
        "run_classifier",
        **options,
        init_checkpoint=trained / "best",
        output_dir=tmp_path,
        do_eval=True,
    )
    evaluation = results(tmp_path)
    assert evaluation["global_step"] == best["step"]
    assert evaluation["eval_accuracy"] == pytest.approx(best["eval_accuracy"])
    assert evaluation["eval_loss"] == pytest.approx(best["eval_loss"], rel=1e-4)


def test_finished_run_is_neither_trained_nor_logged_again(
    trained: pathlib.Path,
    options: dict[str, Any],
    new_model: dict[str, Any],
    tmp_path: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    written = {path: path.stat().st_mtime_ns for path in (folder / "best").iterdir()}
    (folder / "eval_results.txt").unlink()
    with caplog.at_level(logging.INFO):
        run_script(
            "run_classifier",
            **options,
            **new_model,
            output_dir=folder,
            do_train=True,
            do_eval=True,
            num_train_epochs=5,
            evaluate_steps=20,
        )
    assert "Training has already ended at step 62." in caplog.text
    assert (folder / "metrics.jsonl").read_text() == (trained / "metrics.jsonl").read_text()
    assert results(folder) == results(trained)
    # The saved state knows the last evaluation, so the best model is not taken for a new one.
    assert {path: path.stat().st_mtime_ns for path in (folder / "best").iterdir()} == written


def test_model_folder_alone_predicts_the_same(
    trained: pathlib.Path, options: dict[str, Any], task_dir: str, tmp_path: pathlib.Path
) -> None:
    """On the test set turned round, so that batches differ too."""
    header, *lines = (pathlib.Path(task_dir) / "test.tsv").read_text().splitlines()
    data = tmp_path / "data"
    data.mkdir()
    (data / "test.tsv").write_text("\n".join([header, *reversed(lines)]) + "\n")
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in (
        "bert_config.json",
        "vocab.txt",
        "model_info.json",
        "bert_model.ckpt.index",
        "bert_model.ckpt.data-00000-of-00001",
    ):
        shutil.copy(trained / name, moved / name)
    out = tmp_path / "out"
    run_script(
        "run_classifier",
        **{**options, "data_dir": data},
        init_checkpoint=moved,
        output_dir=out,
        do_predict=True,
        predict_batch_size=5,
    )
    np.testing.assert_allclose(predictions(out)[::-1], predictions(trained), rtol=2e-5)
    names = {path.name for path in out.iterdir() if not path.name.endswith(".json")}
    assert names == {"labels.txt", "predict.tf_record", "test_results.tsv"}


def test_starts_from_a_pretrained_model_folder(
    pretrained: pathlib.Path,
    options: dict[str, Any],
    tmp_path: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At a learning rate of 0, the encoder stays what it was."""
    caplog.set_level(logging.INFO)
    run_script(
        "run_classifier",
        **{**options, "learning_rate": 0},
        init_checkpoint=pretrained,
        output_dir=tmp_path,
        do_train=True,
        num_train_epochs=0.1,
    )
    assert f"Weights from {pretrained}/bert_model.ckpt: 23 variables matched." in caplog.messages
    assert "  2 new, keep initial values: output_weights, output_bias" in caplog.messages
    (left_over,) = (m for m in caplog.messages if "not used" in m)
    assert left_over.startswith("  7 not used: cls/predictions/output_bias, ")
    assert left_over.endswith("cls/seq_relationship/output_weights")
    before, after = (CheckpointReader(str(p / "bert_model.ckpt")) for p in (pretrained, tmp_path))
    encoder = [name for name in after.shapes if name.startswith("bert/")]
    assert len(encoder) == 23
    for name in encoder:
        np.testing.assert_array_equal(after.read(name), before.read(name), err_msg=name)
    for name in ("vocab.txt", "bert_config.json"):
        assert (tmp_path / name).read_text() == (pretrained / name).read_text()


def test_trained_folder_is_used_without_training(
    trained: pathlib.Path,
    pretrained: pathlib.Path,
    options: dict[str, Any],
    tmp_path: pathlib.Path,
) -> None:
    """The model in --output_dir is used, and brings all it needs, unless another one is asked for."""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    for name in ("test_results.tsv", "eval_results.txt"):
        (folder / name).unlink()
    model = (folder / "model_info.json").read_bytes()
    run = {**options, "output_dir": folder, "do_eval": True, "do_predict": True}
    run_script("run_classifier", **run)
    np.testing.assert_allclose(predictions(folder), predictions(trained), rtol=2e-5)
    assert results(folder) == pytest.approx(results(trained), rel=1e-4)
    assert evaluated_model(folder) == "."

    run_script("run_classifier", **run, init_checkpoint=folder / "best")
    assert results(folder)["global_step"] == info(folder / "best")["global_step"] < 62
    assert evaluated_model(folder) == "best"
    message = "output_weights, output_bias are missing.* without that flag, the model in --out"
    with pytest.raises(UserError, match=message):
        run_script("run_classifier", **run, init_checkpoint=pretrained)
    assert evaluated_model(folder) == "best"
    run_script("run_classifier", **{**run, "output_dir": tmp_path / "out"}, init_checkpoint=folder)
    assert evaluated_model(tmp_path / "out") == str(folder)
    assert (folder / "model_info.json").read_bytes() == model


def test_start_from_a_model_with_other_labels(
    trained: pathlib.Path, options: dict[str, Any], tmp_path: pathlib.Path, caplog: Any
) -> None:
    """The classifier is new, the encoder is not; to ask for that by name is the same run."""
    caplog.set_level(logging.INFO)
    turned = {"task_name": "tsv", "text_a": "sentence", "label": "label", "labels": "1,0"}
    flags = {**options, **turned, "init_checkpoint": trained, "output_dir": tmp_path}
    flags.update(do_train=True, learning_rate=0.0)
    run_script("run_classifier", **flags)
    assert "is for the labels 0, 1, this run for the labels 1, 0 (--init_head=auto)" in caplog.text
    before, after = runs.weights(trained), runs.weights(tmp_path)
    for name, value in before.items():
        assert np.array_equal(after[name], value) is not name.startswith("output_"), name
    run_script("run_classifier", **flags, init_head="new")
