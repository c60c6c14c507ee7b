"""Prediction files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from classification.predictions import write_predictions


def test_predictions_and_their_labels(tmp_path: Path) -> None:
    path = tmp_path / "test_results.tsv"
    probabilities = np.array([[0.1, 0.9], [1e-7, 0.9999999]], np.float32)
    write_predictions(str(path), probabilities, ("entailment", "not_entailment"))
    assert path.read_text() == "0.1\t0.9\n1e-07\t0.9999999\n"
    assert (tmp_path / "labels.txt").read_text() == "entailment\nnot_entailment\n"


def test_an_interrupted_prediction_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "test_results.tsv"
    write_predictions(str(path), np.ones((1, 1), np.float32), ("only",))

    def failing() -> Iterator[np.ndarray]:
        yield np.zeros(1, np.float32)
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        write_predictions(str(path), failing(), ("only",))
    assert path.read_text() == "1.0\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["labels.txt", "test_results.tsv"]


def test_scores_have_no_labels(tmp_path: Path) -> None:
    path = tmp_path / "test_results.tsv"
    write_predictions(str(path), np.array([[2.5], [-0.25]], np.float32), ())
    assert path.read_text() == "2.5\n-0.25\n"
    assert [p.name for p in tmp_path.iterdir()] == ["test_results.tsv"]


def test_a_label_with_a_line_end_is_one_line(tmp_path: Path) -> None:
    write_predictions(str(tmp_path / "p.tsv"), np.ones((1, 2), np.float32), ("a\r\nb", "c"))
    assert (tmp_path / "labels.txt").read_text() == "a b\nc\n"
