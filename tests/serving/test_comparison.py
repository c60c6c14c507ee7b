"""Figures of programs beside their models, on outputs worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from models import random_model

from classification.tasks import get_task
from modeling.bert import INPUTS
from serving.comparison import EvaluationSet, compare, encoded_rows, model_outputs


def test_classifier(odd_vocab_file: str) -> None:
    model = random_model(odd_vocab_file, ("0", "1"))
    task = get_task("sst-2", "")
    rows = EvaluationSet("dev", [("a", None)] * 100, np.array([0, 1] * 50), task)
    before = np.tile([[0.6, 0.4], [0.3, 0.7]], [50, 1])
    after = before.copy()
    after[:10, :] = [0.45, 0.55]
    found = compare(model, rows, before, after)
    assert (found.metric_before, found.metric, found.agreement) == (100, 95, 95)
    assert found.largest_change == pytest.approx(0.15)
    low, high = found.interval or (0, 0)
    assert 89 < low < 95 < high < 100
    unlabelled = compare(model, EvaluationSet("texts", rows.rows), before, after)
    assert (unlabelled.metric, unlabelled.interval, unlabelled.agreement) == (None, None, 95)


def test_regression(odd_vocab_file: str) -> None:
    model = random_model(odd_vocab_file, ())
    labels = np.linspace(0, 5, 50)
    rows = EvaluationSet("dev", [("a", "b")] * 50, labels, get_task("sts-b", ""))
    noisy = (labels + np.random.default_rng(0).normal(size=50))[:, np.newaxis]
    found = compare(model, rows, labels[:, np.newaxis], noisy)
    assert found.metric_before == pytest.approx(100) and found.agreement is None
    low, high = found.interval or (0, 0)
    assert 50 < low < found.metric < high < 100


def test_rows_are_cut_and_paired(odd_vocab_file: str) -> None:
    model = random_model(odd_vocab_file, ("0", "1"), pairs=True)
    rows = [("a b " * 20, "c"), ("a", "b c"), ("", None)]
    encoded = encoded_rows(model, rows)
    assert [row["input_ids"].shape[1] for row in encoded] == [17, 6, 2]
    assert encoded[1]["segment_ids"].tolist() == [[0, 0, 0, 1, 1, 1]]
    shorter = encoded_rows(model, rows, 8)
    assert [row["input_ids"].shape[1] for row in shorter] == [8, 6, 2]
    assert all(row["input_ids"][0, -1] == model.tokenizer.sep_id for row in shorter)
    assert all(set(row) == set(INPUTS) and row["input_mask"].all() for row in encoded)
    assert model_outputs(model, encoded).sum(axis=1) == pytest.approx([1, 1, 1])
