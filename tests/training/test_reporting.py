"""The start summary of a run."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from modeling.config import BertConfig
from modeling.heads import ClassifierModel
from training.reporting import describe_model, describe_rows, log_summary


@pytest.mark.parametrize(
    ("num_rows", "info", "expected"),
    [
        (1200, {"label_counts": {"no": 1150, "yes": 50}}, "1,200 rows (no 1,150, yes 50)"),
        (3, {"label_counts": {}}, "3 rows"),  # Scores.
        (3, {}, "3 rows"),
    ],
)
def test_rows_per_label(num_rows: int, info: dict[str, Any], expected: str) -> None:
    assert describe_rows(num_rows, info) == expected


def test_model_by_size_and_parameters() -> None:
    config = BertConfig(
        vocab_size=100,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        type_vocab_size=2,
    )
    parameters = config.num_parameters(with_heads=False) + 2 * 16 + 2
    assert describe_model(ClassifierModel(config, 2)) == f"3/16, {parameters:,} parameters"


def test_one_line_for_each_fact(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log_summary("Labelling", {"Device": "TPU", "Output": "out"})
    assert caplog.messages == ["***** Labelling *****", "  Device: TPU", "  Output: out"]
