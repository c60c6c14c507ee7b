"""The table of an export, from figures that are given."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from models import random_model

from classification.task import Task
from serving.comparison import Comparison, EvaluationSet
from serving.export_report import Entry, content, markdown

ROWS = [("good film", None)] * 1200
TIMES = [{"length": 32, "batch_size": 1, "median_ms": 1.234, "p95_ms": 2.345}]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Stands for the options of a command."""

    formats: tuple[str, ...] = ("litert",)


def entry(path: str, comparison: Comparison, peak: float | None = 50.4, **changes: Any) -> Entry:
    measured = {1: {"peak_mb": peak, "times": TIMES}, 2: {"peak_mb": 40.0, "times": TIMES}}
    return Entry(path, 4.321, comparison, None, **{"measured": measured, **changes})


def table(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_classifier_with_labels(odd_vocab_file: str) -> None:
    model = random_model(odd_vocab_file)
    rows = EvaluationSet("dev", ROWS, task=Task("x", ("a", "b"), ("accuracy",)), labels=[0] * 1200)
    kept = entry("model.tflite", Comparison(88.125, 88.5, (86.04, 90.06), 99.5, 0.0123))
    refused = Entry("other.onnx", 1.0, Comparison(50.0, 88.5, None, 60.0, 0.9), "it loses", {})
    text = markdown(model, rows, [kept, refused], note="A note.")
    assert table(text) == [
        [
            *("File", "MB", "Accuracy (model's)", "Equal decisions", "Largest change"),
            *("ms, 32 tokens, 1 thread (95 %)", "ms, 32 tokens, 2 threads (95 %)", "Peak MB"),
        ],
        [
            *("model.tflite", "4.32", "88.12 [86.0, 90.1] (88.50)", "99.50 %", "0.012"),
            *("1.23 (2.35)", "1.23 (2.35)", "50"),
        ],
        ["other.onnx", "1.00", "50.00 (88.50)", "60.00 %", "0.900", "", "", ""],
    ]
    assert f"Compared on 1,200 rows of dev, one row at a time; {model.num_parameters:,} " in text
    assert text.endswith("A note.\n\nNot kept: other.onnx: it loses.\n")


@pytest.mark.parametrize(
    ("labels", "has_classifier", "columns"),
    [
        (("a", "b"), True, ["File", "MB", "Equal decisions", "Largest change"]),
        ((), True, ["File", "MB", "Largest change"]),
        ((), False, ["File", "MB", "Largest change"]),
    ],
)
def test_columns_without_labels_and_times(
    odd_vocab_file: str, labels: tuple[str, ...], has_classifier: bool, columns: list[str]
) -> None:
    model = random_model(odd_vocab_file, labels, has_classifier=has_classifier)
    found = Comparison(None, None, None, 100.0 if labels else None, 3.21e-7)
    text = markdown(model, EvaluationSet("ids", []), [entry("m.onnx", found, measured={})])
    header, row = table(text)
    assert header == columns and row[-1] == "3e-07"
    assert "Compared on random ids, not on any text" in text and "Milliseconds" not in text


def test_json(odd_vocab_file: str) -> None:
    model = random_model(odd_vocab_file, ("a", "b"))
    found = entry("m.onnx", Comparison(None, None, None, 100.0, 0.0), peak=None)
    values = content(model, EvaluationSet("dev", ROWS), [found], Settings())
    assert values["files"][0]["comparison"]["agreement"] == 100
    assert values["files"][0]["measured"][2]["peak_mb"] == 40
    expected = {"labels": ["a", "b"], "compared_on": "dev", "num_rows": 1200}
    expected["options"] = {"formats": ("litert",)}
    assert {name: values[name] for name in expected} == expected
