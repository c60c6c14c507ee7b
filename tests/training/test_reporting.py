"""Start summary of a run, and what it leaves for those who watch it."""

from __future__ import annotations

import logging
import math
import pathlib
from typing import Any

import pytest
import tensorflow as tf
from runs import assert_same_folders
from tensorboard.plugins.hparams import plugin_data_pb2

from modeling.config import BertConfig
from modeling.heads import ClassifierModel
from training.metrics_log import SPEED_FILE, read_metrics
from training.reporting import Reporter, describe_model, describe_rows, log_summary


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


def report(folder: pathlib.Path, start: int, steps: range) -> None:
    """A run from one step on, four examples an update, a tenth of a second each at first."""
    reporter = Reporter(str(folder), 10, 4, start)
    reporter.configuration({"learning_rate": 0.1, "train_file": "a|b", "teacher": None})
    for step in steps:
        reporter.add_time(1, 0.1 * (step + start))
        reporter.scalars(step, {"loss": 1.0})
        reporter.speed(step)


def test_speed_is_of_the_updates_since_the_last_line(tmp_path: pathlib.Path) -> None:
    report(tmp_path, 0, range(1, 3))
    assert [
        (line["step"], round(line["examples_per_second"], 3))
        for line in read_metrics(str(tmp_path), SPEED_FILE)
    ] == [(1, 40), (2, 20)]


def test_log_has_null_for_what_is_no_finite_number(tmp_path: pathlib.Path) -> None:
    """Also where lines of an earlier version are written again; readers take it for NaN."""
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "kind": "train", "loss": NaN}\n')
    Reporter(str(tmp_path), 10, 4, 1).scalars(2, {"loss": math.inf})
    assert (tmp_path / "metrics.jsonl").read_text().splitlines() == [
        f'{{"step": {step}, "kind": "train", "loss": null}}' for step in (1, 2)
    ]
    assert all(math.isnan(line["loss"]) for line in read_metrics(str(tmp_path)))


@pytest.mark.parametrize("kept", [0, 3])
def test_an_interrupted_run_reports_once(tmp_path: pathlib.Path, kept: int) -> None:
    """Also the configuration, where nothing had been saved yet."""
    report(tmp_path / "whole", 0, range(1, 7))
    report(tmp_path / "again", 0, range(1, 5))
    report(tmp_path / "again", kept, range(kept + 1, 7))
    assert_same_folders(tmp_path / "whole", tmp_path / "again")


def test_configuration_is_text_and_hyperparameters(tmp_path: pathlib.Path) -> None:
    report(tmp_path, 0, range(0))
    [path] = tmp_path.glob("events.*")
    values = [
        v for event in tf.compat.v1.train.summary_iterator(str(path)) for v in event.summary.value
    ]
    found = {value.tag: value for value in values}
    [text] = tf.make_ndarray(found["configuration"].tensor).reshape([-1])
    assert text.decode().splitlines()[2:] == [
        "| learning_rate | 0.1 |",
        "| train_file | a&#124;b |",
    ]
    [name] = found.keys() - {"configuration"}
    content = plugin_data_pb2.HParamsPluginData.FromString(found[name].metadata.plugin_data.content)
    given = content.session_start_info.hparams
    assert given["learning_rate"].number_value == 0.1
    assert given["train_file"].string_value == "a|b"
    assert set(given) == {"learning_rate", "train_file"}
