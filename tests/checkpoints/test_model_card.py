"""The card of a converted model says what is recorded, and nothing that is not."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from models import ODD_CONFIG

from checkpoints.lineage import Lineage
from checkpoints.model_card import model_card
from modeling.heads import CLASSIFIER_WEIGHTS

CLASSIFIER = {CLASSIFIER_WEIGHTS: None}
LINEAGE: Lineage = [
    {"training": "pre-training", "contents": {"training records": "aaa"}, "updates": 700},
    {
        "training": "distillation",
        "teacher_weights_sha256": "bbb",
        "contents": {"soft labels": "ccc"},
        "settings": {"learning_rate": 3e-4},
        "weights_sha256": "ddd",
    },
]
RESULTS = {"eval_accuracy": 0.87654, "eval_loss": 0.5, "loss": 0.5, "rows": 61, "checkpoint": "/x"}


def card(
    folder: pathlib.Path,
    labels: list[str] | None,
    weights: dict,
    lineage: Lineage = (),
    **facts: Any,
) -> str:
    return model_card(str(folder), weights, ODD_CONFIG, labels, facts, lineage)


def table(text: str, section: str) -> list[list[str]]:
    """The rows of a section's table, without its head."""
    part = text.partition(f"# {section}\n")[2].partition("\n##")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


def test_what_is_recorded(tmp_path: pathlib.Path) -> None:
    (tmp_path / "eval_results.json").write_text(json.dumps(RESULTS))
    text = card(
        tmp_path, ["bad", "a|b"], CLASSIFIER, LINEAGE, max_seq_length=17, do_lower_case=None
    )
    assert "pipeline_tag: text-classification\n" in text
    assert "BERT as a classifier: 3 layers, 32 wide, 99 words." in text
    assert "| max_seq_length | 17 |" in text and "do_lower_case" not in text
    assert table(text, "Labels") == [["0", "bad"], ["1", r"a\|b"]]
    assert "On the development set of 61 rows:" in text
    assert table(text, "Evaluation") == [["accuracy", "0.8765"], ["loss", "0.5000"]]
    assert table(text, "1. Pre-training") == [
        ["training records (SHA-256)", "aaa"],
        ["updates", "700"],
    ]
    assert table(text, "2. Distillation") == [
        ["teacher (SHA-256 of its weights)", "bbb"],
        ["soft labels (SHA-256)", "ccc"],
        ["weights at its end (SHA-256)", "ddd"],
        ["learning_rate", "0.0003"],
    ]
    assert "/x" not in text


@pytest.mark.parametrize(
    ("labels", "weights", "kind", "tag"),
    [
        ([], CLASSIFIER, "a regression (one score)", "text-classification"),
        (None, CLASSIFIER, "a classifier", "text-classification"),
        (None, {}, "an encoder", "feature-extraction"),
    ],
)
@pytest.mark.parametrize("damaged", [False, True])
def test_nothing_recorded(
    tmp_path: pathlib.Path,
    labels: list[str] | None,
    weights: dict,
    kind: str,
    tag: str,
    damaged: bool,
) -> None:
    if damaged:
        (tmp_path / "eval_results.json").write_text("[1]")
    text = card(tmp_path, labels, weights)
    assert f"BERT as {kind}: " in text and f"pipeline_tag: {tag}\n" in text
    assert "## Labels" not in text
    assert "## Evaluation\n\nNot recorded.\n" in text and "## Lineage\n\nNot recorded.\n" in text
