"""Figures of a teacher against scikit-learn, for outputs that are given."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, mean_squared_error

from classification.task import Task
from common.errors import MissingFileError
from data.classifier_records import Example
from distillation import teacher_quality
from distillation.soft_labels import TransferExample
from distillation.teacher_quality import assess_teacher


@dataclasses.dataclass(frozen=True)
class Rows:
    """A set in memory; without labels it is missing."""

    labels: Sequence[str]
    name: str = "dev"

    def open(self, data_dir: str, task_name: str) -> tuple[str, Iterator[Example]]:
        if not self.labels:
            raise MissingFileError(f"{data_dir}/dev.tsv is missing")
        rows = (Example(str(i), "", f"text {i}", None, x) for i, x in enumerate(self.labels))
        return "dev", rows


def outputs_of(values: np.ndarray, window: int | None = None):
    """The outputs of the texts by their numbers, with states behind them."""

    def outputs(examples: Sequence[TransferExample]) -> np.ndarray:
        assert window is None or len(examples) <= window
        rows = values[[int(example.text_a.split()[1]) for example in examples]]
        return np.concatenate([rows, np.full_like(rows, 99.0)], axis=1)

    return outputs


LABELS = ["no", "yes", "no", "no", "yes"]
LOGITS = np.array([[2, 0], [0, 1], [0, 3], [1, 0], [0, 2]], np.float32)


def test_classes(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(teacher_quality, "WINDOW_ROWS", 2)
    caplog.set_level("INFO")
    task = Task("own", ("no", "yes"), ("f1", "accuracy"), dev=(Rows(LABELS),))
    found = assess_teacher(outputs_of(LOGITS, window=2), task, "")["teacher_on_dev"]
    truth, said = [0, 1, 0, 0, 1], LOGITS.argmax(axis=1)
    assert found.pop("calibration_error") > 0
    assert found == {
        "set": "dev",
        "rows": 5,
        "accuracy": pytest.approx(accuracy_score(truth, said)),
        "f1": pytest.approx(f1_score(truth, said)),
        "majority_share": pytest.approx(3 / 5),
    }
    assert "The teacher on dev (5 rows):" in caplog.text and "WARNING" not in caplog.text


@pytest.mark.parametrize(
    ("scores", "is_warned"),
    # The last one is as far from the truth as the mean is.
    [
        ([1.0, 2.0, 4.0], False),
        ([3.0, 3.0, 0.0], True),
        ([2.0, 1.0, 4.0], True),
        ([2.0, 1.0, 3.0], True),
    ],
)
def test_scores(scores: list[float], is_warned: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    task = Task("sts-b", (), ("pearson",), dev=(Rows(["1", "2", "3"]),))
    values = np.array(scores, np.float32)[:, np.newaxis]
    found = assess_teacher(outputs_of(values), task, "")["teacher_on_dev"]
    assert found["squared_error"] == pytest.approx(mean_squared_error([1, 2, 3], scores))
    assert found["variance"] == pytest.approx(2 / 3)
    assert found["pearson"] == pytest.approx(np.corrcoef([1, 2, 3], scores)[0, 1])
    assert ("that of always saying the mean" in caplog.text) == is_warned


@pytest.mark.parametrize("dev", [(), (Rows(()),)])
def test_no_development_set(dev: tuple, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    task = Task("own", ("no", "yes"), ("accuracy",), dev=dev)
    assert assess_teacher(outputs_of(LOGITS), task, "") == {}
    assert "so the teacher is not assessed" in caplog.text
