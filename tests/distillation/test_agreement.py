"""Labels and texts of which student and teacher say different things."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from data.classifier_records import encode_rows
from distillation.agreement import disagreements, label_agreements
from modeling.tokenization import FullTokenizer

LABELS = ("no", "yes", "never")
TEACHER = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.6, 0.4, 0.0], [0.05, 0.95, 0.0]])
STUDENT = np.array([[0.1, 0.9, 0.0], [0.3, 0.7, 0.0], [0.4, 0.6, 0.0], [0.02, 0.98, 0.0]])


def test_agreement_by_the_teachers_label() -> None:
    found = [tuple(figure) for figure in label_agreements(LABELS, TEACHER, STUDENT)]
    assert found == [("no", 2, 0, 0.0), ("yes", 2, 4, 1.0), ("never", 0, 0, None)]


@pytest.mark.parametrize("pairs", [False, True])
def test_the_most_certain_disagreements_come_first(vocab_file: str, pairs: bool) -> None:
    tokenizer = FullTokenizer(vocab_file)
    texts = [f"good {word}" for word in ("film", "story", "scene", "actor")]
    rows = [(text, "bad films ." if pairs else None) for text in texts]
    features = {
        **encode_rows(tokenizer, rows, 16),
        "label_ids": np.array([0, 1, 1, 1]),
        "has_label": np.array([0, 0, 1, 1]),
    }
    table = disagreements(LABELS, tokenizer, features, TEACHER, STUDENT)
    found = list(csv.DictReader(io.StringIO(table)))
    column = "text_a" if pairs else "text"
    assert [row[column] for row in found] == ["good film", "good scene"]
    assert [row["label"] for row in found] == ["", "yes"]
    assert [(row["teacher"], row["student"]) for row in found] == [("no", "yes")] * 2
    assert (found[0]["teacher_p_no"], found[1]["student_p_yes"]) == ("0.9000", "0.6000")
    if pairs:
        assert found[0]["text_b"] == "bad films ."
