"""Predictions for a file as a call from Python."""

from __future__ import annotations

import csv
import datetime
import decimal
import io
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


def test_a_key_that_an_object_has_for_itself_is_not_lost(
    review_student: str, tmp_path: pathlib.Path
) -> None:
    table = tmp_path / "new.jsonl"
    rows = [{"text": "good"}, {"text": "bad", "label": "mine", "input_label": "other"}]
    table.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    options = PredictionOptions(
        init_checkpoint=review_student,
        input_file=str(table),
        output_file=str(tmp_path / "answers.jsonl"),
    )
    message = 'new.jsonl, line 2 has columns called "label" and "input_label"'
    with pytest.raises(UserError, match=message):
        run(options)
    release_locks()


@pytest.mark.parametrize(
    ("label", "column"), [("a\tb", "x"), ("a\nb", "x"), ("a", "x\ty"), ("a", "x\ny"), ("a", "x\r")]
)
def test_names_that_a_tsv_cannot_hold(
    write_config: Callable[..., str],
    vocab_file: str,
    tmp_path: pathlib.Path,
    label: str,
    column: str,
) -> None:
    model = str(tmp_path / "model")
    config = load_config(write_config(num_hidden_layers=1))
    write_classifier(model, config, vocab_file, 2, labels=[label, "b"])
    (tmp_path / "new.csv").write_bytes(f'text,"{column}"\ngood,1\n'.encode())
    options = PredictionOptions(
        init_checkpoint=model,
        input_file=str(tmp_path / "new.csv"),
        output_file=str(tmp_path / "answers.tsv"),
    )
    with pytest.raises(UserError, match="the name of a column, holds a tab or a line end"):
        run(options)
    release_locks()
    assert not (tmp_path / "answers.tsv").exists()


@pytest.mark.parametrize("name", ["answers.csv", "answers.jsonl"])
def test_values_that_json_has_no_form_for(
    review_student: str, tmp_path: pathlib.Path, name: str
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    noon = datetime.datetime(2020, 1, 2, 12)
    values = {
        "time": (noon, "2020-01-02T12:00:00"),
        "day": (noon.date(), "2020-01-02"),
        "hour": (noon.time(), "12:00:00"),
        "price": (decimal.Decimal("1.50"), "1.50"),
        "word": ("é".encode(), "é"),
        "bytes": (b"\xff\x00", "ff00"),
    }
    columns = {column: [value] for column, (value, _) in values.items()}
    nested = {"inner": [{"at": noon.date()}]}
    path = str(tmp_path / "new.parquet")
    parquet.write_table(pyarrow.table({"text": ["good"], **columns, **nested}), path)
    options = PredictionOptions(
        init_checkpoint=review_student, input_file=path, output_file=str(tmp_path / name)
    )
    run(options)
    release_locks()
    content = (tmp_path / name).read_text()
    if name.endswith(".csv"):
        (row,) = csv.DictReader(io.StringIO(content))
        assert json.loads(row["inner"]) == {"at": "2020-01-02"}
    else:
        row = json.loads(content)
        assert row["inner"] == {"at": "2020-01-02"}
    assert {column: row[column] for column in values} == {
        column: text for column, (_, text) in values.items()
    }


def test_half_a_surrogate_pair_stays_what_it_is(
    review_student: str, tmp_path: pathlib.Path
) -> None:
    """JSON has an escape for it, UTF-8 nothing; other lines keep their letters."""
    rows = [
        {"text": "good", "note": "\ud83d", "\udc00": ["é"]},
        {"text": "bad", "note": "é"},
    ]
    table = tmp_path / "new.jsonl"
    table.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    options = PredictionOptions(
        init_checkpoint=review_student,
        input_file=str(table),
        output_file=str(tmp_path / "answers.jsonl"),
    )
    run(options)
    release_locks()
    content = (tmp_path / "answers.jsonl").read_text(encoding="utf-8")
    assert r"\ud83d" in content and "é" in content
    for line, row in zip(content.splitlines(), rows, strict=True):
        found = json.loads(line)
        assert {key: found[key] for key in row} == row


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("note", "\ud83d", 'new.jsonl, line 1: the column "note" holds half a surrogate pair'),
        ("\ud83d", "x", r"'\\ud83d', the name of a column, holds half a surrogate pair"),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_half_a_surrogate_pair_in_a_table(
    review_student: str,
    tmp_path: pathlib.Path,
    ending: str,
    column: str,
    value: str,
    message: str,
) -> None:
    table = tmp_path / "new.jsonl"
    table.write_text(json.dumps({"text": "good", column: value}) + "\n")
    options = PredictionOptions(
        init_checkpoint=review_student,
        input_file=str(table),
        output_file=str(tmp_path / f"answers.{ending}"),
    )
    with pytest.raises(UserError, match=message):
        run(options)
    release_locks()
    # A value with structure is JSON, which has an escape.
    table.write_text(json.dumps({"text": "good", "notes": [value]}) + "\n")
    run(options)
    release_locks()
    assert json.dumps([value]).replace('"', '""' if ending == "csv" else '"') in (
        tmp_path / f"answers.{ending}"
    ).read_text(encoding="utf-8")
