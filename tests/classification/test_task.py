"""A task's labels, metrics and examples, from sets that are made up."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from classification.task import Task, some_of
from common.errors import UserError
from data.classifier_records import Example


@dataclasses.dataclass(frozen=True)
class Rows:
    """A set of examples in memory: (first text, second text, label)."""

    rows: tuple[tuple[str, str | None, str | None], ...]
    name: str = "dev"

    def open(self, data_dir: str, task_name: str) -> tuple[str, Iterator[Example]]:
        examples = (
            Example(f"dev-{i}", f"{data_dir}/dev, line {i}", *row)
            for i, row in enumerate(self.rows)
        )
        return f"{data_dir}/dev of {task_name}", examples


CLASSES = Task("own", ("a", "b", "c"), ("accuracy",), labels_from="dev.tsv")
TWO = Task("two", ("a", "b"), ("f1", "accuracy"))
SCORES = Task("sts-b", (), ("pearson",))


def read(task: Task, *rows: tuple[str, str | None, str | None]) -> list[Example]:
    return list(task.read_examples(Rows(rows), "folder"))


def test_labels_as_records_hold_them() -> None:
    assert [CLASSES.label_value(label) for label in "cab"] == [2, 0, 1]
    assert SCORES.label_value("-1.5") == -1.5
    assert (CLASSES.num_outputs, SCORES.num_outputs) == (3, 1)
    assert (CLASSES.is_regression, SCORES.is_regression) == (False, True)


def test_rows_without_a_label_are_left_out_where_that_is_known(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    rows = (("x", None, "a"), ("y", None, "-"), ("z", None, None))
    skipping = dataclasses.replace(CLASSES, skips_unlabelled=True)
    assert [example.text_a for example in read(skipping, *rows)] == ["x", "z"]
    assert "folder/dev of own: 1 rows without a label (-) were left out." in caplog.text
    with pytest.raises(UserError, match='folder/dev, line 1: unknown label "-"'):
        read(CLASSES, *rows)


@pytest.mark.parametrize(
    ("task", "label", "message"),
    [
        (CLASSES, "d", 'line 0: unknown label "d"; the labels of dev.tsv are a, b, c; if it is a'),
        (TWO, "c", 'line 0: unknown label "c"; the labels of task two are a, b\\.$'),
        (SCORES, "nan", 'line 0: found the score "nan", expected a number'),
        (SCORES, "", 'line 0: found the score "", expected a number'),
    ],
)
def test_label_of_another_kind(task: Task, label: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(task, ("x", None, label))


def test_set_without_examples() -> None:
    with pytest.raises(UserError, match="folder/dev of own holds no examples"):
        read(CLASSES)


@pytest.mark.parametrize("text_b", [None, "", "y"])
def test_pairs_are_those_with_a_second_text(text_b: str | None) -> None:
    rows = Rows((("x", text_b, "a"),))
    assert CLASSES.has_pairs(rows, "folder") == (text_b is not None)


@pytest.mark.parametrize("wanted", ["train", "dev", "test"])
def test_set_that_a_task_lacks(wanted: str) -> None:
    flag = {"train": "do_train", "dev": "do_eval", "test": "do_predict"}[wanted]
    asked = {name: name == wanted for name in ("train", "dev", "test")}
    with pytest.raises(UserError, match=f"^--{flag}: task two has no .* set; pass --do_pr"):
        TWO.check_has(**asked)
    with pytest.raises(UserError, match=f"^--{flag}: task own has no .* set without --label"):
        CLASSES.check_has(**asked)
    dataclasses.replace(TWO, **{wanted: (Rows(()),)}).check_has(**asked)


def test_metric_that_decides() -> None:
    assert TWO.deciding_metrics == TWO.with_best_metric(None).deciding_metrics == TWO.metrics
    for name in ("accuracy", "macro_f1", "f1", "matthews_correlation", "loss"):
        assert TWO.with_best_metric(name).deciding_metrics == (name,)
    for name in ("pearson", "spearman", "loss"):
        assert SCORES.with_best_metric(name).deciding_metrics == (name,)


@pytest.mark.parametrize(
    ("task", "name", "message"),
    [
        (SCORES, "macro_f1", "is a regression; expected one of pearson, spearman, loss"),
        (TWO, "spearman", "is of 2 classes; expected one of accuracy, macro_f1, f1, matthews"),
        # f1 is that of the second of two classes.
        (CLASSES, "f1", "is of 3 classes; expected one of accuracy, macro_f1, matthews"),
    ],
)
def test_metric_of_another_kind_of_task(task: Task, name: str, message: str) -> None:
    with pytest.raises(UserError, match=f"--best_metric={name} is no metric of .*{message}"):
        task.with_best_metric(name)


def test_first_labels() -> None:
    assert some_of(["a", "b"]) == "a, b"
    assert some_of("abcde", number=3) == "a, b, c and 2 more"
