"""Predictions for a file as a call from Python."""

from __future__ import annotations

import json
import pathlib

import pytest

from common.errors import UserError
from common.outputs import release_locks
from serving import Predictor
from serving.prediction import PredictionOptions, run

TEXTS = ["good film .", "", "a dull story"]


def test_rows_and_answers(
    review_student: str, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    table, output = tmp_path / "new.jsonl", tmp_path / "answers.jsonl"
    rows = [{"text": text, "label": "?"} for text in TEXTS]
    table.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    options = PredictionOptions(
        init_checkpoint=review_student,
        input_file=str(table),
        output_file=str(output),
        engine="tensorflow",
    )
    assert run(options) == len(TEXTS)
    release_locks()
    assert f"1 of 3 rows have an empty text; the first: {table}, line 2." in caplog.text
    found = [json.loads(line) for line in output.read_text().splitlines()]
    expected = Predictor.load(review_student, engine="tensorflow").predict(TEXTS)
    for row, text, answer in zip(found, TEXTS, expected, strict=True):
        assert (row["text"], row["input_label"], row["label"]) == (text, "?", answer.label)
        probabilities = [row["p_0"], row["p_1"]]
        assert probabilities == pytest.approx(list((answer.probabilities or {}).values()), rel=1e-5)
        assert row["probability"] == max(probabilities)


def test_output_of_no_known_format(review_student: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "new.txt").write_text("good\n")
    options = PredictionOptions(
        init_checkpoint=review_student,
        input_file=str(tmp_path / "new.txt"),
        output_file=str(tmp_path / "answers.xlsx"),
    )
    with pytest.raises(UserError, match="answers.xlsx: cannot tell the format by the name"):
        run(options)
