"""A CSV of one's own, from training to predictions."""

from __future__ import annotations

import json
import logging
import pathlib
from typing import Any

import pytest
from runs import info, results
from scripts import run_script
from task_tables import write_rows
from tiny_data import column, is_positive

from common.errors import UserError
from training.metrics_log import best_evaluation


def rows_of(task_dir: str, name: str) -> list[dict[str, str]]:
    texts, labels = (column(f"{task_dir}/{name}.tsv", i) for i in (0, 1))
    return [
        # As texts of forms are: with quotation marks, commas and line ends.
        {"opinion": "for" if label == "1" else "against", "review": f'{text} ",\n"'}
        for text, label in zip(texts, labels, strict=True)
    ]


def test_from_a_csv_to_answers(
    options: dict[str, Any],
    new_model: dict[str, Any],
    task_dir: str,
    tmp_path: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One table with labels and no development set; new texts without labels."""
    caplog.set_level(logging.INFO)
    table, new, out = tmp_path / "forms.csv", tmp_path / "new.csv", tmp_path / "out"
    write_rows(table, rows_of(task_dir, "train"))
    write_rows(new, [{"review": row["review"]} for row in rows_of(task_dir, "dev")])
    run_script(
        "run_classifier",
        **{k: v for k, v in options.items() if k not in ("task_name", "data_dir")},
        task_name="csv",
        **new_model,
        train_file=table,
        dev_share=0.2,
        text_a="review",
        label="opinion",
        class_weights="for:1.5",
        best_metric="macro_f1",
        output_dir=out,
        do_train=True,
        do_eval=True,
        num_train_epochs=8,
        evaluate_steps=40,
    )
    assert "Weights in the loss: against 1, for 1.5." in caplog.messages
    found = json.loads((out / "eval_results.json").read_text())
    assert found.items() >= {**results(out), "checkpoint": "."}.items()
    assert [c["label"] for c in found["classes"]] == found["labels"] == ["against", "for"]
    assert sum(map(sum, found["confusion_matrix"])) == found["rows"]
    low, high = found["intervals"]["eval_macro_f1"]
    assert low <= found["eval_macro_f1"] <= high
    best = best_evaluation(str(out))
    assert best["score"] == best["eval_macro_f1"]
    for name in ("confusion", "reliability"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((out / "run_config.json").read_text())
    assert config["training"]["values"]["class_weights"]["for"] == 1.5
    assert config["evaluation"]["values"] == {"metrics": ["macro_f1"]}

    # The training set is gone; the model knows its labels and its length.
    table.unlink()
    caplog.clear()
    answers = tmp_path / "answers"
    prediction = {"task_name": "csv", "text_a": "review", "init_checkpoint": out}
    run_script("run_classifier", **prediction, test_file=new, output_dir=answers, do_predict=True)
    assert "--max_seq_length=16, as in the earlier training of the model." in caplog.messages
    assert info(out)["flags"]["max_seq_length"] == 16
    lines = (answers / "test_results.tsv").read_text().splitlines()
    said = [float(line.split("\t")[1]) > 0.5 for line in lines]
    truth = [is_positive(text) for text in column(f"{task_dir}/dev.tsv", 0)]
    assert sum(a == b for a, b in zip(said, truth, strict=True)) / len(truth) > 0.9

    # A class that training has not seen is one line, and nothing is half written.
    write_rows(tmp_path / "dev.csv", [{"opinion": "undecided", "review": "a film"}])
    with pytest.raises(
        UserError, match=r'dev\.csv, line 2: unknown label "undecided"; .*the model'
    ):
        run_script(
            "run_classifier",
            **prediction,
            label="opinion",
            dev_file=tmp_path / "dev.csv",
            output_dir=tmp_path / "evaluation",
            do_eval=True,
        )
    assert not list((tmp_path / "evaluation").glob("[!.]*"))
