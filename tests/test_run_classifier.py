"""run_classifier.py through its flags."""

from __future__ import annotations

import json
import logging
import lzma
import pathlib
import random
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import runs
import tensorflow as tf
from conftest import review
from runs import (
    BAD_FLAGS,
    NO_TRAINED_MODEL,
    assert_same_weights,
    evaluated_model,
    info,
    kill_after,
    metrics,
    predictions,
    results,
    saved_steps,
)
from scripts import run_script

from checkpoints.model_folder import write_model_folder
from checkpoints.weights import CheckpointReader, variable_values, write_checkpoint
from classification import glue_submission
from classification.glue_submission import GlueTestSet
from classification.metrics import pearson, spearman
from common.errors import UserError
from data.classifier_records import feature_spec
from modeling.config import load_config
from modeling.heads import PretrainingModel


@pytest.fixture(scope="module")
def options(task_dir: str) -> dict[str, Any]:
    return {
        "task_name": "SST-2",
        "data_dir": task_dir,
        "max_seq_length": 16,
        "train_batch_size": 16,
        "learning_rate": 2e-3,
        "log_steps": 10,
    }


@pytest.fixture(scope="module")
def new_model(write_config: Callable[..., str], vocab_file: str) -> dict[str, Any]:
    """Flags of a model of random weights, of a size that learns the task from any seed."""
    config = write_config(num_hidden_layers=1, hidden_size=48, initializer_range=0.05)
    return {"bert_config_file": config, "vocab_file": vocab_file}


@pytest.fixture(scope="module")
def trained(
    options: dict[str, Any], new_model: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """The folder of a run with all three modes."""
    folder = tmp_path_factory.mktemp("classifier")
    run_script(
        "run_classifier",
        **options,
        **new_model,
        output_dir=folder,
        do_train=True,
        do_eval=True,
        do_predict=True,
        num_train_epochs=5,
        evaluate_steps=20,
    )
    return folder


@pytest.fixture(scope="module")
def pretrained(new_model: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A model folder as run_pretraining.py leaves it."""
    folder = tmp_path_factory.mktemp("pretrained")
    config = load_config(new_model["bert_config_file"])
    values = variable_values(PretrainingModel(config, seed=7).trainable_variables)
    info = {"do_lower_case": True, "global_step": 7}
    write_model_folder(str(folder), values, config, new_model["vocab_file"], info)
    return folder


def texts(task_dir: str, name: str, column: int) -> list[str]:
    lines = (pathlib.Path(task_dir) / f"{name}.tsv").read_text().splitlines()[1:]
    return [line.split("\t")[column] for line in lines]


def is_positive(text: str) -> bool:
    """What the reviews of the task are labelled by."""
    return any(word in text.split() for word in ("good", "great", "fine", "superb"))


def test_learns_the_task(trained: pathlib.Path) -> None:
    evaluation = results(trained)
    # The keys of the original, sorted as it writes them.
    assert list(evaluation) == ["eval_accuracy", "eval_loss", "global_step", "loss"]
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
    truth = [is_positive(text) for text in texts(task_dir, "test", 1)]
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
            assert labels == [
                int(label) for label in texts(task_dir, name.replace("eval", "dev"), 1)
            ]
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


def test_early_stopping(
    trained: pathlib.Path,
    options: dict[str, Any],
    new_model: dict[str, Any],
    tmp_path: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It ends where the rule says, also when interrupted before, and not again when run again."""

    def run(folder: pathlib.Path, patience: int) -> None:
        caplog.clear()
        with caplog.at_level(logging.INFO):
            run_script(
                "run_classifier",
                **options,
                **new_model,
                output_dir=folder,
                do_train=True,
                do_eval=True,
                num_train_epochs=5,
                evaluate_steps=4,
                save_checkpoints_steps=3,
                keep_checkpoint_max=30,
                early_stopping_patience=patience,
            )

    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run(whole, patience=0)
    assert_same_weights(trained, whole)  # Evaluations on the way change nothing.
    evaluations = metrics(whole, "eval")

    def rule(patience: int) -> tuple[dict[str, float], dict[str, float]]:
        """The best and the last evaluation."""
        best = last = evaluations[0]
        for last in evaluations[1:]:
            if last["eval_accuracy"] > best["eval_accuracy"]:
                best = last
            elif last["step"] == best["step"] + patience * 4:
                break
        return best, last

    # A rule that forgot to start again at a new best would stop too early.
    patience, (best, last) = next(
        (number, (best, last))
        for number in range(2, 8)
        for best, last in [rule(number)]
        if number * 4 < best["step"] < last["step"] <= 60
    )
    run(stopped, patience)
    assert (
        f"Early stopping at step {last['step']:.0f}: the last {patience} evaluations were no better "
        f"than that of step {best['step']:.0f}." in caplog.text
    )
    until = [record for record in evaluations if record["step"] <= last["step"]]
    assert metrics(stopped, "eval") == until
    assert metrics(stopped, "train")[-1]["step"] == last["step"]
    assert results(stopped)["global_step"] == info(stopped)["global_step"] == last["step"]
    assert results(stopped)["eval_accuracy"] == last["eval_accuracy"]
    assert info(stopped / "best")["global_step"] == best["step"]
    steps = saved_steps(stopped)
    assert steps[-1] == last["step"] and steps[-2] < last["step"]

    # Killed before and after the best evaluation.
    after = steps[-2]
    before = max(step for step in steps if step < best["step"])
    assert before < best["step"] <= after
    for step in (before, after):
        resumed = tmp_path / f"resumed_{step}"
        shutil.copytree(stopped, resumed)
        kill_after(resumed, step)
        run(resumed, patience)
        assert f"model.ckpt-{step} (step {step})" in caplog.text
        assert saved_steps(resumed) == steps
        assert_same_weights(stopped, resumed)
        assert (resumed / "metrics.jsonl").read_text() == (stopped / "metrics.jsonl").read_text()
        assert info(resumed / "best")["global_step"] == best["step"]

    # Run again it stays as it is; with more patience it is trained to the end.
    run(resumed, patience)
    assert f"Training has already ended at step {last['step']:.0f}." in caplog.text
    assert saved_steps(resumed) == steps
    assert results(resumed) == results(stopped)
    assert (resumed / "metrics.jsonl").read_text() == (stopped / "metrics.jsonl").read_text()
    run(resumed, patience=0)
    assert_same_weights(whole, resumed)
    assert metrics(resumed, "eval") == evaluations


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


def test_scores_of_ones_own(
    similarity: tuple[dict[str, Any], pathlib.Path],
    new_model: dict[str, Any],
    tmp_path: pathlib.Path,
) -> None:
    """The rows of `similarity` as JSON Lines: the same regression, bit for bit."""
    flags, _ = similarity
    data = tmp_path / "data"
    data.mkdir()
    for name in ("train", "dev", "test"):
        rows = [
            row.split("\t") for row in (flags["data_dir"] / f"{name}.tsv").read_text().split("\n")
        ]
        lines = [
            json.dumps(dict(zip(("a", "b", "score"), row[7:], strict=False))) for row in rows[1:-1]
        ]
        (data / f"{name}.jsonl").write_text("\n".join(lines))
    own = {"task_name": "jsonl", "text_a": "a", "text_b": "b", "label": "score", "data_dir": data}
    mode = {"do_train": True, "do_eval": True, "do_predict": True, "num_train_epochs": 1}
    for name, task in (("glue", {}), ("own", {**own, "regression": True})):
        run_script(
            "run_classifier", **{**flags, **task}, **new_model, **mode, output_dir=tmp_path / name
        )
    assert results(tmp_path / "own") == results(tmp_path / "glue")
    assert results(tmp_path / "own").keys() >= {"eval_pearson", "eval_spearman", "eval_loss"}
    np.testing.assert_array_equal(predictions(tmp_path / "own"), predictions(tmp_path / "glue"))
    assert info(tmp_path / "own")["labels"] == []
    with pytest.raises(UserError, match=r"which look like scores; pass --regression to predict"):
        run_script(
            "run_classifier", **{**flags, **own}, **new_model, **mode, output_dir=tmp_path / "none"
        )
    assert not (tmp_path / "none").exists()


def test_any_table_with_a_header(
    options: dict[str, Any], new_model: dict[str, Any], task_dir: str, tmp_path: pathlib.Path
) -> None:
    """Named columns in any order, words for labels, compressed tables, no label in test.tsv."""
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    for name in ("train", "dev"):
        rows = zip(texts(task_dir, name, 1), texts(task_dir, name, 0), strict=True)
        lines = [f"{'for' if label == '1' else 'against'}\t7\t{text}" for label, text in rows]
        content = "\n".join(["opinion\tstars\treview", *lines]) + "\n"
        with lzma.open(data / f"{name}.tsv.xz", "wt", encoding="utf-8") as f:
            f.write(content)
    (data / "test.tsv").write_text("\n".join(["review", *texts(task_dir, "test", 1)]))
    run_script(
        "run_classifier",
        **{**options, "task_name": "tsv", "data_dir": data},
        **new_model,
        text_a="review",
        label="opinion",
        output_dir=out,
        do_train=True,
        do_eval=True,
        do_predict=True,
        num_train_epochs=5,
    )
    assert results(out)["eval_accuracy"] > 0.9
    assert (out / "labels.txt").read_text() == "against\nfor\n"
    assert info(out)["labels"] == ["against", "for"]
    truth = [is_positive(text) for text in texts(task_dir, "test", 1)]
    assert np.mean(predictions(out).argmax(axis=1) == truth) > 0.9


@pytest.fixture(scope="module")
def similarity(
    options: dict[str, Any], new_model: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], pathlib.Path]:
    """STS-B in small, 2.5 points for each positive text of a pair: its flags, and a run."""
    data = tmp_path_factory.mktemp("STS-B")
    rng = random.Random(3)
    for name, count in (("train", 300), ("dev", 50), ("test", 30)):
        lines = ["\t".join(f"column {i}" for i in range(9)) + "\tscore" * (name != "test")]
        for i in range(count):
            positive = rng.choice([(0, 0), (0, 1), (1, 0), (1, 1)])
            cells = [str(i), *["-"] * 6, *(review(rng, label) for label in positive)]
            lines.append("\t".join(cells + [f"{2.5 * sum(positive):.3f}"] * (name != "test")))
        (data / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    flags = {
        **options,
        "task_name": "STS-B",
        "data_dir": data,
        "max_seq_length": 32,
        "learning_rate": 5e-4,
    }
    folder = tmp_path_factory.mktemp("similarity")
    run_script(
        "run_classifier",
        **flags,
        **new_model,
        output_dir=folder,
        do_train=True,
        do_eval=True,
        do_predict=True,
        num_train_epochs=16,
        evaluate_steps=80,
    )
    return flags, folder


def test_regression_learns_the_scores(similarity: tuple[dict[str, Any], pathlib.Path]) -> None:
    flags, folder = similarity
    evaluation = results(folder)
    assert list(evaluation) == ["eval_loss", "eval_pearson", "eval_spearman", "global_step", "loss"]
    assert evaluation["eval_pearson"] > 0.8 and evaluation["eval_spearman"] > 0.8
    # The error is that of the raw scores, whose variance is about 3.
    assert evaluation["loss"] == evaluation["eval_loss"] < 1.0
    assert metrics(folder, "train")[0]["label_loss"] > 2.0
    rows = [line.split("\t") for line in (flags["data_dir"] / "test.tsv").read_text().splitlines()]
    truth = np.array([2.5 * sum(map(is_positive, row[7:9])) for row in rows[1:]])
    scores = predictions(folder)
    assert scores.shape == (30, 1)
    assert np.mean((scores[:, 0] - truth) ** 2) < 1.0
    assert not (folder / "labels.txt").exists()
    assert info(folder)["labels"] == []
    shapes = CheckpointReader(str(folder / "bert_model.ckpt")).shapes
    assert shapes["output_weights"] == (1, 48) and shapes["output_bias"] == (1,)


def test_regression_metrics_are_those_of_the_model_and_choose_the_best(
    similarity: tuple[dict[str, Any], pathlib.Path], tmp_path: pathlib.Path
) -> None:
    flags, folder = similarity
    evaluations = metrics(folder, "eval")
    assert [record["step"] for record in evaluations] == [80, 160, 240, 300]
    best = max(evaluations, key=lambda e: e["eval_pearson"] + e["eval_spearman"])
    assert info(folder / "best")["global_step"] == best["step"]
    # The development set as a test set: its predictions give the metrics again.
    data = tmp_path / "data"
    data.mkdir()
    rows = [line.split("\t") for line in (flags["data_dir"] / "dev.tsv").read_text().splitlines()]
    (data / "test.tsv").write_text("\n".join("\t".join(row[:9]) for row in rows) + "\n")
    run_script(
        "run_classifier",
        **{**flags, "data_dir": data},
        init_checkpoint=folder / "best",
        output_dir=tmp_path / "out",
        do_predict=True,
    )
    scores = predictions(tmp_path / "out")[:, 0]
    truth = np.array([float(row[9]) for row in rows[1:]])
    assert best["eval_pearson"] == pytest.approx(pearson(truth, scores), abs=1e-5)
    assert best["eval_spearman"] == pytest.approx(spearman(truth, scores), abs=1e-3)
    assert best["eval_loss"] == pytest.approx(np.mean((scores - truth) ** 2), rel=1e-4)


def test_mnli_and_ax_make_their_files_of_a_glue_submission(
    options: dict[str, Any],
    new_model: dict[str, Any],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two development and two test sets; then another task with the same model."""
    rng = random.Random(4)
    words = ("contradiction", "entailment", "neutral")
    columns = [f"column {i}" for i in range(12)]
    data = tmp_path / "data"
    data.mkdir()

    def write(name: str, count: int, first_text: int, label: bool) -> None:
        rows = []
        for i in range(count):
            pair = [review(rng, rng.randint(0, 1)) for _ in range(2)]
            cells = [str(count - 1 - i), *["-"] * (first_text - 1), *pair]
            rows.append([*cells, "-", rng.choice(words)] if label else cells)
        lines = [columns[: len(rows[0])], *rows]
        (data / f"{name}.tsv").write_text("".join("\t".join(line) + "\n" for line in lines))

    write("train", 40, 8, label=True)
    for kind, count in (("matched", 7), ("mismatched", 5)):
        write(f"dev_{kind}", count, 8, label=True)
        write(f"test_{kind}", count + 1, 8, label=False)
    write("diagnostic", 4, 1, label=False)
    sizes = {
        "mnli": (GlueTestSet("MNLI-m", 8), GlueTestSet("MNLI-mm", 6)),
        "ax": (GlueTestSet("AX", 4),),
    }
    monkeypatch.setattr(glue_submission, "TEST_SETS", sizes)
    flags = {
        **options,
        "data_dir": data,
        "max_seq_length": 32,
        "make_glue_submission": True,
        "submission_dir": tmp_path / "submission",
        "do_predict": True,
    }
    mnli, ax = tmp_path / "mnli", tmp_path / "ax"
    run_script(
        "run_classifier",
        **{**flags, "task_name": "mnli", "num_train_epochs": 2},
        **new_model,
        output_dir=mnli,
        do_train=True,
        do_eval=True,
    )
    run_script(
        "run_classifier", **{**flags, "task_name": "ax"}, init_checkpoint=mnli, output_dir=ax
    )
    assert results(mnli)["eval_accuracy"] in np.arange(8) / 7
    mismatched = results(mnli, "eval_results_dev_mismatched")["eval_accuracy"]
    assert mismatched == pytest.approx(np.round(5 * mismatched) / 5)
    assert (mnli / "labels.txt").read_text() == "contradiction\nentailment\nneutral\n"
    outputs = {
        "MNLI-m": predictions(mnli),
        "MNLI-mm": predictions(mnli, "test_results_test_mismatched"),
        "AX": predictions(ax),
    }
    submission = tmp_path / "submission"
    for name, probabilities in outputs.items():
        _, *lines = (submission / f"{name}.tsv").read_text().splitlines()
        # The tables count backwards.
        expected = [words[i] for i in probabilities.argmax(axis=1)[::-1]]
        assert lines == [f"{i}\t{word}" for i, word in enumerate(expected)]
    assert sorted(path.name for path in submission.iterdir()) == [
        "AX.tsv",
        "MNLI-m.tsv",
        "MNLI-mm.tsv",
        "glue_submission.zip",
    ]


def test_tensorflow_datasets_in_place_of_files(
    trained: pathlib.Path, options: dict[str, Any], task_dir: str, tmp_path: pathlib.Path
) -> None:
    """The same rows give the same evaluation and, row by row, the same predictions."""
    tfds = pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("importlib_resources")
    data = tmp_path / "data"
    dev = zip(texts(task_dir, "dev", 0), texts(task_dir, "dev", 1), strict=True)
    rows = {
        "validation": [(text, int(label)) for text, label in dev],
        "test": [(text, -1) for text in texts(task_dir, "test", 1)],
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        name="glue",
        config="sst2",
        version=str(tfds.builder("glue/sst2", data_dir=str(data)).version),
        data_dir=str(data),
        features=tfds.features.FeaturesDict(
            {
                "sentence": tfds.features.Text(),
                "label": tfds.features.ClassLabel(names=["negative", "positive"]),
                "idx": np.int32,
            }
        ),
        split_datasets={
            split: [
                (i, {"sentence": text, "label": label, "idx": i})
                for i, (text, label) in enumerate(examples)
            ]
            for split, examples in rows.items()
        },
    )
    out = tmp_path / "out"
    run_script(
        "run_classifier",
        **{**options, "data_dir": data, "data_source": "tfds"},
        init_checkpoint=trained,
        output_dir=out,
        do_eval=True,
        do_predict=True,
    )
    assert results(out) == pytest.approx(results(trained), rel=1e-4)
    builder = tfds.builder("glue/sst2", data_dir=str(data))
    order = [int(row["idx"]) for row in tfds.as_numpy(builder.as_dataset(split="test"))]
    assert order != sorted(order)
    np.testing.assert_allclose(predictions(out), predictions(trained)[order], rtol=2e-5)


def test_json_lines(
    trained: pathlib.Path, options: dict[str, Any], task_dir: str, tmp_path: pathlib.Path
) -> None:
    """The development set of SST-2 as JSON Lines, with numbers for labels."""
    rows = zip(texts(task_dir, "dev", 0), texts(task_dir, "dev", 1), strict=True)
    lines = [json.dumps({"stars": int(label), "review": text}) for text, label in rows]
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    (data / "dev.jsonl").write_text("\n".join(lines))
    flags = {"text_a": "review", "label": "stars", "labels": "0,1", "do_eval": True}
    run_script(
        "run_classifier",
        **{**options, "task_name": "jsonl", "data_dir": data},
        **flags,
        init_checkpoint=trained,
        output_dir=out,
    )
    assert results(out) == pytest.approx(results(trained), rel=1e-4)


def changed_vocab(vocab_file: str, folder: pathlib.Path) -> pathlib.Path:
    """As many entries, the last two in the other order."""
    entries = pathlib.Path(vocab_file).read_text().split()
    path = folder / "other_vocab.txt"
    path.write_text("\n".join([*entries[:-2], entries[-1], entries[-2]]) + "\n")
    return path


def without_info(folder: pathlib.Path, copy: pathlib.Path) -> pathlib.Path:
    """A copy of a model folder as another tool would have left it."""
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("model_info.json", "best", "eval"))
    return copy


def test_flags_that_contradict_the_model_folder(
    trained: pathlib.Path,
    pretrained: pathlib.Path,
    options: dict[str, Any],
    write_config: Callable[..., str],
    vocab_file: str,
    tmp_path: pathlib.Path,
) -> None:
    keep = {"task_name": "tsv", "text_a": "sentence", "label": "label", "labels": "0,1,2"}
    keep["init_head"] = "keep"
    other_vocab = changed_vocab(vocab_file, tmp_path)
    foreign = without_info(trained, tmp_path / "foreign")
    narrow = write_config(num_hidden_layers=1, hidden_size=45)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"do_lower_case": False}, f"do_lower_case=False, but {trained} .*do_lower_case=True"),
        ({"vocab_file": other_vocab}, "other_vocab.txt is not the .* use the model's own"),
        (
            {"vocab_file": other_vocab, "init_checkpoint": foreign},
            f"other_vocab.txt is not the vocabulary of {foreign}: id .* use the model's own",
        ),
        (keep, "keep, but of .* is for the labels 0, 1, this run for the labels 0, 1, 2; --init_h"),
        ({**keep, "labels": "1,0"}, "is for the labels 0, 1, this run for the labels 1, 0"),
        ({**keep, "init_checkpoint": foreign}, "its classifier has 2 outputs, this run needs 3"),
        ({**keep, "init_checkpoint": pretrained}, "of .*there is no classifier in it"),
        ({**keep, "init_strategy": "embeddings_only"}, "keep needs a classifier to keep"),
        ({"bert_config_file": narrow}, "has hidden_size 48, the student 45; start from a model of"),
        ({"max_seq_length": 41}, "max_seq_length=41 .* max_position_embeddings of 40"),
        (
            {"init_checkpoint": pretrained, "do_train": False},
            "variables output_weights, output_bias are missing, so there is no trained model",
        ),
        ({"init_checkpoint": tmp_path}, "no checkpoint found"),
    ]
    for i, (changes, message) in enumerate(cases):
        out = tmp_path / f"out{i}"
        with pytest.raises(UserError, match=message):
            run_script(
                "run_classifier",
                **{
                    "init_checkpoint": trained,
                    "do_train": True,
                    "do_eval": True,
                    **options,
                    **changes,
                },
                output_dir=out,
            )
        # All but the shape of the classifier is known before the task is converted to records.
        assert "output_" in message or not list(out.glob("*"))


def test_bad_tables(
    options: dict[str, Any], new_model: dict[str, Any], task_dir: str, tmp_path: pathlib.Path
) -> None:
    cases = [
        ("train", "good film\t2", r'train\.tsv, line 202: unknown label "2".*are 0, 1'),
        ("dev", "good film\t", r'dev\.tsv, line 63: unknown label ""'),
        ("dev", "good film", r"dev\.tsv, line 63: found 1 column, expected at least 2"),
        ("dev", "good\tfilm\t1", r"dev\.tsv, line 63: found 3 columns"),
        ("test", "37", r"test\.tsv, line 39: found 1 column, expected at least 2"),
        ("test", None, r"test\.tsv \(or test\.tsv\.gz, test\.tsv\.xz, .*\) is missing"),
    ]
    for i, (name, line, message) in enumerate(cases):
        data, out = tmp_path / f"data{i}", tmp_path / f"out{i}"
        shutil.copytree(task_dir, data)
        table = data / f"{name}.tsv"
        if line is None:
            table.unlink()
        else:
            table.write_text(table.read_text() + line + "\n")
        with pytest.raises(UserError, match=message):
            run_script(
                "run_classifier",
                **{**options, "data_dir": data},
                **new_model,
                output_dir=out,
                do_train=True,
                do_eval=True,
                do_predict=True,
            )
        assert not (out / f"{name}.tf_record").exists()
        assert not list(out.glob("*.index"))


def test_bad_checkpoints(
    trained: pathlib.Path,
    options: dict[str, Any],
    new_model: dict[str, Any],
    tmp_path: pathlib.Path,
) -> None:
    other = tmp_path / "other" / "bert_model.ckpt"
    other.parent.mkdir()
    write_checkpoint(str(other), {"generator/kernel": np.zeros((2, 3), np.float32)})

    def damaged(name: str, file: str, keep: float) -> pathlib.Path:
        folder = without_info(trained, tmp_path / name)
        data = (folder / file).read_bytes()
        (folder / file).write_bytes(data[: int(keep * len(data))])
        return folder

    data_file = "bert_model.ckpt.data-00000-of-00001"
    flipped = damaged("flipped", data_file, 1.0) / data_file
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 1
    flipped.write_bytes(content)
    cases = [
        (other, "none of its 1 variables is in the model; it has generator/kernel, .* wants bert/"),
        (damaged("half", data_file, 0.5), "half/bert_model.ckpt: variable .* is damaged"),
        (flipped.parent, "flipped/bert_model.ckpt: variable .* is damaged"),
        (damaged("index", "bert_model.ckpt.index", 0.5), "index/bert_model.ckpt: not a readable"),
        (damaged("empty", "bert_model.ckpt.index", 0.0), "empty/bert_model.ckpt: not a readable"),
    ]
    for checkpoint, message in cases:
        out = tmp_path / "out"
        with pytest.raises(UserError, match=message):
            run_script(
                "run_classifier",
                **options,
                **new_model,
                init_checkpoint=checkpoint,
                output_dir=out,
                do_train=True,
            )
        assert not list(out.glob("*.index"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *BAD_FLAGS,
        ({"do_eval": True}, NO_TRAINED_MODEL),
        ({"do_predict": True}, NO_TRAINED_MODEL),
        ({"do_train": True, "task_name": "sst3"}, "sst3 is unknown; expected one of .*sst-2"),
        ({"do_train": True, "text_a": "x"}, "--text_a=x has no effect without --task_name=tsv or"),
        ({"do_train": True, "data_dir": "nowhere"}, "nowhere/train.tsv .*is missing"),
        (
            {"do_train": True, "do_eval": True, "early_stopping_patience": 2},
            "--early_stopping_patience=2 has no effect without --evaluate_steps; pass that",
        ),
        ({"do_train": True, "task_name": "ax"}, "--do_train: task ax has no training set"),
        (
            {"do_train": True, "make_glue_submission": True, "submission_dir": "x"},
            "--make_glue_submission has no effect without --do_predict",
        ),
        (
            {"do_train": True, "do_predict": True, "make_glue_submission": True},
            "--make_glue_submission has no effect without --submission_dir",
        ),
        (
            {
                "do_train": True,
                "do_predict": True,
                "make_glue_submission": True,
                "submission_dir": "x",
            },
            "cover the test set of SST-2: .* has 37 of its 1821 .* missing is index 37",
        ),
    ],
)
def test_bad_flags(
    options: dict[str, Any],
    new_model: dict[str, Any],
    tmp_path: pathlib.Path,
    changes: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(UserError, match=message):
        run_script("run_classifier", **{**options, **new_model, **changes}, output_dir=tmp_path)
    assert not list(tmp_path.glob("*.index"))


def test_less_than_one_batch(
    options: dict[str, Any], new_model: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    """200 examples are half of a batch; no model folder of untrained weights is left."""
    with pytest.raises(UserError, match="200 training examples .*--train_batch_size=400 make no"):
        run_script(
            "run_classifier",
            **{**options, "train_batch_size": 400},
            **new_model,
            output_dir=tmp_path,
            do_train=True,
            num_train_epochs=1,
        )
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"train.tf_record", ".train.tf_record.json", "run_config.json"}


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
    message = "output_weights, output_bias are missing.* without --init_checkpoint is that of --out"
    with pytest.raises(UserError, match=message):
        run_script("run_classifier", **run, init_checkpoint=pretrained)
    assert evaluated_model(folder) == "best"
    run_script("run_classifier", **{**run, "output_dir": tmp_path / "out"}, init_checkpoint=folder)
    assert evaluated_model(tmp_path / "out") == str(folder)
    assert (folder / "model_info.json").read_bytes() == model


def test_start_from_a_model_with_other_labels(
    trained: pathlib.Path, options: dict[str, Any], tmp_path: pathlib.Path, caplog: Any
) -> None:
    """The classifier is new, the encoder is not; and the choice belongs to the run."""
    caplog.set_level(logging.INFO)
    turned = {"task_name": "tsv", "text_a": "sentence", "label": "label", "labels": "1,0"}
    flags = {**options, **turned, "init_checkpoint": trained, "output_dir": tmp_path}
    flags.update(do_train=True, learning_rate=0.0)
    run_script("run_classifier", **flags)
    assert "is for the labels 0, 1, this run for the labels 1, 0 (--init_head=auto)" in caplog.text
    before, after = runs.weights(trained), runs.weights(tmp_path)
    for name, value in before.items():
        assert np.array_equal(after[name], value) is not name.startswith("output_"), name
    with pytest.raises(UserError, match="init_head=auto, this command has init_head=new"):
        run_script("run_classifier", **flags, init_head="new")


def test_flags_that_contradict_the_trained_folder(
    trained: pathlib.Path,
    options: dict[str, Any],
    new_model: dict[str, Any],
    tmp_path: pathlib.Path,
) -> None:
    """Vocabulary, casing and labels are those of the model in --output_dir."""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    turned = {"task_name": "tsv", "text_a": "sentence", "label": "label", "labels": "1,0"}
    other_vocab = changed_vocab(new_model["vocab_file"], tmp_path)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"vocab_file": other_vocab}, f"other_vocab.txt is not the vocabulary of {folder}: id "),
        ({"do_lower_case": False}, f"do_lower_case=False, but {folder} .*do_lower_case=True"),
        (turned, f"{folder} was made for the labels 0, 1, this run has 1, 0"),
    ]
    for changes, message in cases:
        with pytest.raises(UserError, match=message):
            run_script(
                "run_classifier",
                **{**options, **new_model, **changes},
                output_dir=folder,
                do_eval=True,
                do_predict=True,
            )
        after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert after == before


def test_earlier_run_is_left_alone(
    trained: pathlib.Path,
    options: dict[str, Any],
    new_model: dict[str, Any],
    tmp_path: pathlib.Path,
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=r"holds a run with max_seq_length=16.*max_seq_length=24"):
        run_script(
            "run_classifier",
            **{**options, "max_seq_length": 24},
            **new_model,
            output_dir=folder,
            do_train=True,
            do_eval=True,
            do_predict=True,
        )
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_pairs_need_a_model_with_two_segments(
    options: dict[str, Any],
    write_config: Callable[..., str],
    vocab_file: str,
    tmp_path: pathlib.Path,
) -> None:
    """On a CPU the look-up would fail in the middle of training, elsewhere it would give zeros."""
    with pytest.raises(UserError, match=r'"segment_ids" holds 1 .* 0 to 0 .*type_vocab_size'):
        run_script(
            "run_classifier",
            **{**options, "task_name": "tsv"},
            text_a="sentence",
            text_b="sentence",
            label="label",
            bert_config_file=write_config(num_hidden_layers=1, type_vocab_size=1),
            vocab_file=vocab_file,
            output_dir=tmp_path,
            do_train=True,
        )
