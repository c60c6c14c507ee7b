"""Predictions for a file as a call from Python."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable

import pytest
from models import write_classifier

from common.errors import UserError
from common.outputs import release_locks
from modeling.config import load_config
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


@pytest.mark.parametrize(
    ("pairs", "columns", "message"),
    [
        (
            True,
            {},
            r"was trained on pairs of texts, but .*new.csv \(column text\) has single texts",
        ),
        (True, {"text_a": "text_a"}, r"new.csv \(column text_a\) has single texts"),
        (
            False,
            {"text_a": "text_a", "text_b": "text_b"},
            r"was trained on single texts, but .*new.csv \(columns text_a and text_b\) has pairs",
        ),
    ],
)
def test_texts_of_another_kind_than_in_the_training(
    write_config: Callable[..., str],
    vocab_file: str,
    tmp_path: pathlib.Path,
    pairs: bool,
    columns: dict[str, str],
    message: str,
) -> None:
    model = str(tmp_path / "model")
    config = load_config(write_config(num_hidden_layers=1))
    write_classifier(model, config, vocab_file, 2, labels=["a", "b"], pairs=pairs)
    (tmp_path / "new.csv").write_text("text,text_a,text_b\ngood,bad,fine\n")
    options = PredictionOptions(
        init_checkpoint=model, input_file=str(tmp_path / "new.csv"), **columns
    )
    with pytest.raises(UserError, match=message):
        run(options)
