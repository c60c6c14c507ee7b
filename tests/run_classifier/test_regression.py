"""Scores in place of labels."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import pytest
from runs import (
    info,
    metrics,
    predictions,
    results,
)
from scripts import run_script
from tiny_data import is_positive, write_similarity

from checkpoints.weights import CheckpointReader
from classification.metrics import pearson, spearman
from common.errors import UserError


def test_scores_of_ones_own(
    similarity: tuple[dict[str, Any], pathlib.Path],
    new_model: dict[str, Any],
    tmp_path: pathlib.Path,
) -> None:
    """The rows of `similarity` as JSON Lines: the same regression, from the same records."""
    flags, glue = similarity
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
    mode = {"do_train": True, "do_eval": True, "do_predict": True, "num_train_epochs": 0.2}
    run_script(
        "run_classifier",
        **{**flags, **own, "regression": True},
        **new_model,
        **mode,
        output_dir=tmp_path / "own",
    )
    for name in ("train", "eval", "predict"):
        records = f"{name}.tf_record"
        assert (tmp_path / "own" / records).read_bytes() == (glue / records).read_bytes(), name
    assert results(tmp_path / "own").keys() == results(glue).keys()
    assert predictions(tmp_path / "own").shape == (30, 1)
    assert info(tmp_path / "own")["labels"] == []
    with pytest.raises(UserError, match=r"which look like scores; pass --regression to predict"):
        run_script(
            "run_classifier", **{**flags, **own}, **new_model, **mode, output_dir=tmp_path / "none"
        )
    assert not (tmp_path / "none").exists()


@pytest.fixture(scope="session")
def similarity(
    options: dict[str, Any], new_model: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], pathlib.Path]:
    """STS-B in small, 2.5 points for each positive text of a pair: its flags, and a run."""
    data = tmp_path_factory.mktemp("STS-B")
    write_similarity(data, train=300, dev=50, test=30)
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
