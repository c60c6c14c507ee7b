"""Metrics of a set against scikit-learn and SciPy, for outputs that are given."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Sequence

import numpy as np
import pytest
from models import ODD_CONFIG
from scipy import stats
from scipy.special import softmax
from sklearn.metrics import f1_score, log_loss
from task_tables import columns, write_table

from classification.evaluation import (
    Measured,
    TaskSets,
    evaluate_task,
    evaluation_part,
    output_names,
    task_content,
    write_eval_results,
    write_task_sets,
    write_test_results,
)
from classification.task import Task
from classification.tasks import get_task
from data.record_sets import RecordSet, value_limits
from modeling.tokenization import FullTokenizer
from training.evaluation import RecordPredictor

LENGTH = 16


class FixedOutputs(RecordPredictor):
    """Outputs that are given, whatever the records hold."""

    def __init__(self, outputs: Sequence[Sequence[float]]):
        self.outputs = np.array(outputs, np.float32)
        self.is_chief = True

    def __call__(self, records: RecordSet, batch_size: int) -> np.ndarray:
        assert records.num_examples == len(self.outputs)
        return self.outputs


@pytest.fixture
def tokenizer(vocab_file: str) -> FullTokenizer:
    return FullTokenizer(vocab_file)


def open_sets(
    task: Task, folder: pathlib.Path, tokenizer: FullTokenizer, **wanted: bool
) -> TaskSets:
    output = folder / "records"
    output.mkdir(exist_ok=True)
    limits = value_limits(dataclasses.replace(ODD_CONFIG, vocab_size=len(tokenizer.tokens)))
    return write_task_sets(task, str(folder), str(output), tokenizer, LENGTH, limits, **wanted)


def write_reviews(folder: pathlib.Path, labels: str) -> None:
    rows = [f"film {['good', 'bad', 'the'][i % 3]}\t{label}" for i, label in enumerate(labels)]
    write_table(folder, "dev.tsv", "sentence\tlabel", *rows)


LABELS = np.array([1, 0, 0, 1, 0])
LOGITS = np.array([[0.5, 2.0], [1.0, -1.0], [-0.5, 0.25], [3.0, 0.0], [0.1, 0.0]])


def test_classification(tmp_path: pathlib.Path, tokenizer: FullTokenizer) -> None:
    write_reviews(tmp_path, "".join(map(str, LABELS)))
    task = get_task("sst-2", str(tmp_path))
    (dev_set,) = open_sets(task, tmp_path, tokenizer, dev=True).dev
    found = evaluate_task(FixedOutputs(LOGITS), task, dev_set, batch_size=2)
    predictions = LOGITS.argmax(axis=1)
    assert found.metrics == {
        "eval_accuracy": pytest.approx(3 / 5),
        "eval_macro_f1": pytest.approx(f1_score(LABELS, predictions, average="macro")),
        "eval_loss": pytest.approx(log_loss(LABELS, softmax(LOGITS, axis=1)), rel=1e-6),
        "loss": found.metrics["eval_loss"],
    }
    assert found.score == found.metrics["eval_accuracy"]
    assert isinstance(found.measured, Measured)
    intervals = found.measured.intervals()
    names = ("accuracy", "macro_f1", "f1", "matthews_correlation", "loss", "calibration_error")
    assert set(intervals) == {f"eval_{name}" for name in names}
    low, high = intervals["eval_loss"]
    assert found.measured.losses.min() <= low < found.metrics["eval_loss"] < high
    by_loss = evaluate_task(FixedOutputs(LOGITS), task.with_best_metric("loss"), dev_set, 2)
    assert by_loss.score == -by_loss.metrics["eval_loss"]


def test_folder_with_signs_of_patterns(tmp_path: pathlib.Path, tokenizer: FullTokenizer) -> None:
    folder = tmp_path / "lr=3e-4,bs=[8]*"
    folder.mkdir()
    write_reviews(folder, "101")
    assert open_sets(get_task("sst-2", str(folder)), folder, tokenizer, dev=True).dev


def test_regression(tmp_path: pathlib.Path, tokenizer: FullTokenizer) -> None:
    truth, scores = [0.5, 2.0, 3.5, 5.0], [1.0, 1.5, 4.0, 3.0]
    rows = [columns(10, c7="film", c8="plot", c9=str(score)) for score in truth]
    write_table(tmp_path, "dev.tsv", columns(9) + "\tscore", *rows)
    task = get_task("sts-b", str(tmp_path))
    (dev_set,) = open_sets(task, tmp_path, tokenizer, dev=True).dev
    found = evaluate_task(FixedOutputs([[s] for s in scores]), task, dev_set, batch_size=8)
    pearson = stats.pearsonr(truth, scores).statistic
    spearman = stats.spearmanr(truth, scores).statistic
    assert found.metrics == {
        "eval_pearson": pytest.approx(pearson),
        "eval_spearman": pytest.approx(spearman),
        "eval_loss": pytest.approx(np.mean(np.square(np.subtract(truth, scores)))),
        "loss": found.metrics["eval_loss"],
    }
    assert found.score == pytest.approx((pearson + spearman) / 2)
    assert isinstance(found.measured, Measured) and found.measured.report is None
    assert set(found.measured.intervals()) == {"eval_loss", "eval_pearson", "eval_spearman"}


def test_files_of_results(tmp_path: pathlib.Path, tokenizer: FullTokenizer) -> None:
    """Of MNLI, whose second development set has files of its own."""
    for kind, label in (("matched", "neutral"), ("mismatched", "entailment")):
        row = columns(16, c8="film", c9="plot", c15=label)
        write_table(tmp_path, f"dev_{kind}.tsv", columns(16), row)
        write_table(tmp_path, f"test_{kind}.tsv", columns(10), columns(10, c0="5"))
    task = get_task("mnli", str(tmp_path))
    sets = open_sets(task, tmp_path, tokenizer, dev=True, test=True)
    assert sorted(path.name for path in (tmp_path / "records").glob("*.tf_record")) == [
        "eval.tf_record",
        "eval_dev_mismatched.tf_record",
        "predict.tf_record",
        "predict_test_mismatched.tf_record",
    ]
    out = tmp_path / "out"
    out.mkdir()
    # contradiction, entailment, neutral: right of the first set, wrong of the second.
    model = FixedOutputs([[0.0, 0.5, 2.0]])
    evaluations = [evaluate_task(model, task, dev_set, 8) for dev_set in sets.dev]
    write_eval_results(sets.dev, evaluations, str(out), 7, "some/model")
    for name, accuracy in (("eval_results", 1.0), ("eval_results_dev_mismatched", 0.0)):
        text = (out / f"{name}.txt").read_text()
        assert f"eval_accuracy = {accuracy}\n" in text and "global_step = 7\n" in text
        content = json.loads((out / f"{name}.json").read_text())
        assert content["rows"] == 1 and content["eval_accuracy"] == accuracy
        assert content["intervals"]["eval_accuracy"] == [accuracy, accuracy]
    pictures = sorted(path.name for path in out.glob("*.png"))
    endings = (".png", "_dev_mismatched.png")
    assert pictures == [f"{name}{e}" for name in ("confusion", "reliability") for e in endings]
    written = write_test_results(model, task, sets.test, 8, str(out))
    expected = softmax([0.0, 0.5, 2.0])
    for found, name in zip(written, ("test_results", "test_results_test_mismatched"), strict=True):
        np.testing.assert_allclose(found, [expected], rtol=1e-6)
        np.testing.assert_allclose(np.loadtxt(out / f"{name}.tsv"), expected, rtol=1e-6)


def test_names_of_further_sets() -> None:
    files = get_task("mnli", "").dev
    assert output_names("eval", files) == ["eval", "eval_dev_mismatched"]


def test_identity_is_that_of_texts_and_labels(tmp_path: pathlib.Path) -> None:
    """Not of paths; a row more, another label or another order is another content."""
    labels = {"a": "01101", "b": "01101", "fewer": "0110", "other": "01100", "order": "10101"}
    found = {}
    for name, values in labels.items():
        write_reviews(tmp_path / name, values)
        task = get_task("sst-2", str(tmp_path / name))
        found[name] = task_content(task, task.dev, str(tmp_path / name))
    assert found["a"].sha256 == found["b"].sha256
    assert len({content.sha256 for content in found.values()}) == 4
    assert found["fewer"].source == f"dev in {tmp_path}/fewer (4 rows)"
    part = evaluation_part(task.with_best_metric("loss"), str(tmp_path / "a"))
    assert part.values == {"metrics": ("loss",)}
    assert part.contents["development data"].sha256 == found["a"].sha256
