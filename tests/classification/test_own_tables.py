"""Tasks in tables of one's own: columns, labels, scores."""

from __future__ import annotations

import collections
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from task_tables import read_rows, write_rows, write_table

from classification.tasks import OWN_TABLES, get_task
from common.errors import UserError


def test_tsv_task_sorts_the_training_labels(tmp_path: Path) -> None:
    write_table(tmp_path, "train.tsv", "label\ttext", "pos\ta", "neg\tb", "pos\tc", "mid\td")
    write_table(tmp_path, "dev.tsv", "text\tlabel", "e\tneg")
    write_table(tmp_path, "test.tsv", "text", "f")
    task = get_task("TSV", str(tmp_path), text_a="text", label="label")
    assert task.labels == ("mid", "neg", "pos")
    assert task.metrics == ("accuracy",)
    assert [e.label for e in read_rows(task, task.train[0], tmp_path)] == [
        "pos",
        "neg",
        "pos",
        "mid",
    ]
    assert [e.text_a for e in read_rows(task, task.dev[0], tmp_path)] == ["e"]
    assert [(e.text_a, e.label) for e in read_rows(task, task.test[0], tmp_path)] == [("f", None)]


def test_tsv_task_on_pairs_with_given_labels(tmp_path: Path) -> None:
    write_table(tmp_path, "dev.tsv", "q1\tq2\tsame", "a\tb\tyes", "c\td\tperhaps")
    task = get_task(
        "tsv", str(tmp_path), text_a="q1", text_b="q2", label="same", labels=("yes", "no")
    )
    assert task.labels == ("yes", "no")
    examples = task.read_examples(task.dev[0], str(tmp_path))
    first = next(examples)
    assert (first.text_a, first.text_b, first.label) == ("a", "b", "yes")
    with pytest.raises(UserError, match=r'dev\.tsv, line 3: unknown label "perhaps".*yes, no'):
        next(examples)


def test_tsv_task_refuses_unusable_labels(tmp_path: Path) -> None:
    write_table(tmp_path, "train.tsv", "text\tlabel", "a\tx", "b\tx")
    with pytest.raises(UserError, match=r'train\.tsv: column "label" holds 1 different'):
        get_task("tsv", str(tmp_path), text_a="text", label="label")
    write_table(tmp_path, "train.tsv", "text\tlabel", "a\tx", "b\t")
    with pytest.raises(UserError, match=r'train\.tsv, line 3: column "label" is empty'):
        get_task("tsv", str(tmp_path), text_a="text", label="label")


def test_jsonl_task(tmp_path: Path) -> None:
    rows = [
        {"premise": "a\tb", "hypothesis": "c", "same": True},
        {"same": False, "hypothesis": "\u00e9", "premise": "d", "more": [1]},
    ]
    write_table(tmp_path, "train.jsonl", *map(json.dumps, rows))
    write_table(tmp_path, "test.jsonl", json.dumps({"premise": "e", "hypothesis": "f"}))
    flags = {"text_a": "premise", "text_b": "hypothesis", "label": "same"}
    task = get_task("jsonl", str(tmp_path), **flags)
    assert task.labels == ("false", "true")
    train = read_rows(task, task.train[0], tmp_path)
    assert [(e.example_id, e.text_a, e.text_b, e.label) for e in train] == [
        ("train-0", "a\tb", "c", "true"),
        ("train-1", "d", "é", "false"),
    ]
    (example,) = read_rows(task, task.test[0], tmp_path)
    assert (example.text_a, example.text_b, example.label) == ("e", "f", None)
    write_table(
        tmp_path, "dev.jsonl", json.dumps(rows[0]), json.dumps({**rows[1], "same": "perhaps"})
    )
    with pytest.raises(
        UserError, match=r'dev\.jsonl, line 2: unknown label "perhaps".*false, true'
    ):
        read_rows(task, task.dev[0], tmp_path)


def test_jsonl_task_sorts_whole_numbers_as_texts_and_refuses_missing_labels(tmp_path: Path) -> None:
    write_table(tmp_path, "train.jsonl", '{"t": "a", "y": 2}', "", '{"t": "b", "y": 10}')
    assert get_task("jsonl", str(tmp_path), text_a="t", label="y").labels == ("10", "2")
    write_table(tmp_path, "train.jsonl", '{"t": "a", "y": 2}', '{"t": "b"}')
    with pytest.raises(UserError, match=r'train\.jsonl, line 2: no column is called "y"'):
        get_task("jsonl", str(tmp_path), text_a="t", label="y")


def test_column_flags_and_tasks_must_fit(tmp_path: Path) -> None:
    for name in ("tsv", "jsonl"):
        with pytest.raises(UserError, match=f"--task_name={name} needs --text_a and --label"):
            get_task(name, str(tmp_path), text_a="text")
    with pytest.raises(UserError, match="sst-2 .*has fixed sets, columns and labels"):
        get_task("sst-2", str(tmp_path), text_a="sentence")


def numbered(number: int, count: int, form: str = "{}") -> list[str]:
    """So many labels, of which so many are different."""
    return [form.format(i % number) for i in range(count)]


@pytest.mark.parametrize("kind", OWN_TABLES)
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["4.192", "0.3", "1"], "3 different numbers in 3 rows, such as 0.3 and 4.192, which look"),
        (numbered(21, 210), "21 different numbers in 210 rows.* --regression .*--noregression if"),
        (numbered(20, 200), None),
        (["1.0", "0.0", "1.0"], None),
        (["-1", "1e300", "0"], None),
        (
            numbered(101, 900, "name {}"),
            "101 different labels in 900 rows, .*--noregression if each",
        ),
        (numbered(100, 900, "name {}"), None),
        (numbered(21, 41, "name {}"), "21 different labels in 41 rows"),
        (numbered(21, 42, "name {}"), None),
        (numbered(20, 20, "name {}"), None),
    ],
)
def test_what_kind_of_task_is_not_guessed(
    tmp_path: Path, kind: str, labels: list[str], message: str | None
) -> None:
    write_rows(tmp_path / f"train.{kind}", [{"text": "a", "y": label} for label in labels])

    def labels_of(**flags: Any) -> tuple[str, ...]:
        return get_task(kind, str(tmp_path), text_a="text", label="y", **flags).labels

    found = tuple(sorted(set(labels)))
    if message:
        with pytest.raises(UserError, match=rf'train\.{kind}: column "y" holds {message}'):
            labels_of()
    else:
        assert labels_of() == found
    assert labels_of(regression=False) == found
    assert labels_of(labels=found[::-1]) == found[::-1]
    assert labels_of(regression=True) == labels_of(labels=[]) == ()


def test_a_regression_of_ones_own(tmp_path: Path) -> None:
    write_table(tmp_path, "dev.tsv", "text\ty", "a\t-1.5", "b\t2", "c\thigh")
    task = get_task("tsv", str(tmp_path), text_a="text", label="y", regression=True)
    assert (task.is_regression, task.num_outputs) == (True, 1)
    assert task.metrics == ("pearson", "spearman")
    examples = task.read_examples(task.dev[0], str(tmp_path))
    assert [task.label_value(next(examples).label or "") for _ in range(2)] == [-1.5, 2]
    with pytest.raises(
        UserError, match=r'dev\.tsv, line 4: found the score "high", expected a num'
    ):
        next(examples)


def test_how_labels_are_taken_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    columns = {"text_a": "text", "label": "y"}
    path = tmp_path / "train.tsv"
    write_table(tmp_path, "train.tsv", "text\ty", "a\t2", "b\t1")
    get_task("tsv", str(tmp_path), **columns)
    write_table(tmp_path, "train.tsv", "text\ty", "a\tno", "b\tyes")
    get_task("tsv", str(tmp_path), **columns)
    taken = f"{path}: column y is taken as a class, one of"
    hint = "; to predict it as a number, pass --regression"
    assert caplog.messages == [f"{taken} 1, 2{hint}.", f"{taken} no, yes."]


def test_a_label_that_training_lacks(tmp_path: Path) -> None:
    rows = [f"a\t{label}" for label in numbered(30, 90, "{:02}x")]
    write_table(tmp_path, "train.tsv", "text\ty", *rows)
    write_table(tmp_path, "dev.tsv", "text\ty", "a\tnew")
    way_out = "; if it is a label, pass --labels with all of them in the order of the outputs"
    for given, message in (
        (None, r"labels of train\.tsv are 00x, .*, 19x and 10 more" + way_out),
        (["a", "b"], "labels of --labels are a, b" + way_out),
    ):
        task = get_task("tsv", str(tmp_path), text_a="text", label="y", labels=given)
        with pytest.raises(
            UserError, match=rf'dev\.tsv, line 2: unknown label "new"; the {message}'
        ):
            read_rows(task, task.dev[0], tmp_path)


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("tsv", {"labels": ["a", "b"], "regression": True}, "--regression .*--labels=a,b .*one of"),
        ("tsv", {"labels": [], "regression": False}, "--labels= names no labels"),
        ("tsv", {"labels": ["a", "b", "a"]}, "--labels=a,b,a: expected different labels"),
        ("tsv", {"labels": ["a"]}, "--labels=a: expected different labels, at least 2"),
        ("tsv", {"data_source": "tfds"}, "--data_source=tfds has fixed sets"),
        ("sts-b", {"regression": True}, "sts-b .*has fixed sets"),
        ("sst-2", {"labels": []}, "sst-2 .*has fixed sets"),
        ("sst-2", {"dev_file": "dev.tsv"}, "sst-2 .*has fixed sets"),
        ("sst-2", {"dev_share": 0.1}, "sst-2 .*has fixed sets"),
        (
            "tsv",
            {"dev_share": 1.0, "labels": ["a", "b"]},
            r"--dev_share=1\.0: expected a share from",
        ),
    ],
)
def test_flags_of_tasks_that_contradict(
    tmp_path: Path, name: str, flags: dict[str, Any], message: str
) -> None:
    columns: dict[str, Any] = {} if name != "tsv" else {"text_a": "text", "label": "y"}
    with pytest.raises(UserError, match=message):
        get_task(name, str(tmp_path), **columns, **flags)


COLUMNS = {"text_a": "text", "label": "y"}
QUOTED = 'said "so",\ntwice'


@pytest.mark.parametrize("kind", OWN_TABLES)
def test_sets_in_files_of_their_own(tmp_path: Path, kind: str) -> None:
    text = QUOTED if kind != "tsv" else 'said "so"'
    for name, labels in (("one", "ab"), ("two", "ba"), ("new", "b")):
        rows = [{"id": str(i), "y": label, "text": f"{text} {i}"} for i, label in enumerate(labels)]
        write_rows(tmp_path / f"{name}.{kind}", rows)
    task = get_task(
        kind,
        **COLUMNS,
        train_file=f"{tmp_path}/one.{kind},{tmp_path}/tw*.{kind}",
        test_file=f"{tmp_path}/new.{kind}",
    )
    assert task.labels == ("a", "b")
    (train,), (test,) = task.train, task.test
    examples = read_rows(task, train, tmp_path)
    assert [(e.text_a, e.label) for e in examples] == [
        (f"{text} {i}", label) for part in ("ab", "ba") for i, label in enumerate(part)
    ]
    assert len({e.example_id for e in examples}) == 4
    assert [(e.text_a, e.label) for e in read_rows(task, test, tmp_path)] == [(f"{text} 0", None)]
    with pytest.raises(
        UserError, match=rf"dev\.{kind} .*is missing; .*--dev_file.*--dev_share=0.1"
    ):
        read_rows(task, task.dev[0], tmp_path)


@pytest.mark.parametrize(
    ("labels", "named"),
    [(["food", "sports", "food "], '"food" and "food "'), (["0", "1", "1.0"], '"1" and "1.0"')],
)
def test_labels_that_mean_the_same(tmp_path: Path, labels: list[str], named: str) -> None:
    write_rows(tmp_path / "train.csv", [{"text": "t", "y": label} for label in labels])
    with pytest.raises(UserError, match=f"holds the labels {named}, which would be two classes"):
        get_task("csv", str(tmp_path), **COLUMNS)
    task = get_task("csv", str(tmp_path), **COLUMNS, regression=False)
    assert task.labels == tuple(sorted(labels))


@pytest.mark.parametrize("label", ["bad\nvery", "bad\r", "\tbad"])
def test_labels_are_no_lines(tmp_path: Path, label: str) -> None:
    """One would be two lines of labels.txt; also where it is said that labels are classes."""
    write_rows(tmp_path / "train.jsonl", [{"text": "t", "y": y} for y in ("good", label, label)])
    message = f"train.jsonl, line 2: the label {label!r} holds a tab or a"
    columns = {"text_a": "text", "label": "y"}
    for regression in (None, False):
        with pytest.raises(UserError, match=re.escape(message)):
            get_task("jsonl", str(tmp_path), **columns, regression=regression)
    with pytest.raises(UserError, match="^--labels: the label '.*' holds a tab or a line end"):
        get_task("jsonl", str(tmp_path), **columns, labels=("good", label))


@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_blank_lines_are_no_rows(tmp_path: Path, kind: str) -> None:
    write_rows(tmp_path / f"train.{kind}", [{"text": "good", "y": "a"}, {"text": "bad", "y": "b"}])
    path = tmp_path / f"train.{kind}"
    path.write_text(path.read_text().replace("good", "\ngood") + "\n\n")
    task = get_task(kind, str(tmp_path), **COLUMNS)
    assert [e.text_a for e in read_rows(task, task.train[0], tmp_path)] == ["good", "bad"]


def held_out(folder: Path, **flags: Any) -> tuple[list[Any], list[Any]]:
    task = get_task("csv", str(folder), **COLUMNS, **flags)
    (train,), (dev,) = task.train, task.dev
    return read_rows(task, train, folder), read_rows(task, dev, folder)


def test_a_share_of_the_training_set_as_development_set(tmp_path: Path) -> None:
    labels = ["common"] * 400 + ["rare"] * 40 + ["pair"] * 2 + ["single"]
    rows = [{"text": f"text {i // 2}", "y": label} for i, label in enumerate(labels)]
    write_rows(tmp_path / "train.csv", rows)
    train, dev = held_out(tmp_path, dev_share=0.1)
    counts = collections.Counter(example.label for example in dev)
    assert counts["common"] == 40 and counts["rare"] == 4
    # Of two equal texts, none is held out; of a label, never all rows.
    assert counts["pair"] == counts["single"] == 0
    assert not {e.text_a for e in train} & {e.text_a for e in dev}
    assert len(train) + len(dev) == len(rows)
    # The order of the rows and other rows of the file say nothing, another seed does.
    write_rows(tmp_path / "train.csv", rows[::-1])
    assert [e.text_a for e in held_out(tmp_path, dev_share=0.1)[1]] == [e.text_a for e in dev][::-1]
    other = held_out(tmp_path, dev_share=0.1, dev_seed=2)[1]
    assert {e.text_a for e in other} != {e.text_a for e in dev}
    numbers = [{"text": f"text {i}", "y": str(i / 7)} for i in range(200)]
    write_rows(tmp_path / "train.csv", numbers)
    assert len(held_out(tmp_path, dev_share=0.25, regression=True)[1]) == 50
    write_rows(tmp_path / "dev.csv", numbers)
    with pytest.raises(UserError, match=r"there is one already, .*dev\.csv; leave --dev_share out"):
        held_out(tmp_path, dev_share=0.25, regression=True)


@pytest.mark.parametrize(
    ("rows", "share", "expected"), [(10, 0.95, 9), (3, 0.9, 2), (2, 0.8, 1), (2, 0.1, 1)]
)
def test_a_large_share_leaves_a_row_of_each_label(
    tmp_path: Path, rows: int, share: float, expected: int
) -> None:
    write_rows(
        tmp_path / "train.csv",
        [{"text": f"{label} {i}", "y": label} for label in "ab" for i in range(rows)],
    )
    train, dev = held_out(tmp_path, dev_share=share)
    assert collections.Counter(e.label for e in dev) == {"a": expected, "b": expected}
    assert len(train) == 2 * (rows - expected)


def test_a_text_with_two_labels_is_on_one_side(tmp_path: Path) -> None:
    rows = [
        {"text": f"text {i}", "y": label} for i in range(200) for label in ("ab" if i % 2 else "a")
    ]
    write_rows(tmp_path / "train.csv", rows)
    for seed in range(5):
        train, dev = held_out(tmp_path, dev_share=0.1, dev_seed=seed)
        assert not {e.text_a for e in train} & {e.text_a for e in dev}
        assert len(train) + len(dev) == len(rows) and 30 <= len(dev) <= 45


def test_a_model_says_the_labels(tmp_path: Path) -> None:
    write_rows(tmp_path / "dev.csv", [{"text": "a", "y": "no"}, {"text": "b", "y": "new"}])
    task = get_task("csv", str(tmp_path), **COLUMNS, known_labels=["yes", "no"])
    assert task.labels == ("yes", "no")
    with pytest.raises(
        UserError, match=r'line 3: unknown label "new"; the labels of the model are yes, no\.'
    ):
        read_rows(task, task.dev[0], tmp_path)
    assert get_task("csv", str(tmp_path), **COLUMNS, known_labels=[]).is_regression
    task = get_task("csv", str(tmp_path), **COLUMNS, known_labels=["yes", "no"], regression=False)
    assert task.labels == ("yes", "no")
    task = get_task("csv", str(tmp_path), **COLUMNS, known_labels=[], regression=True)
    assert (task.is_regression, task.labels_from) == (True, "the model")
    # A contradiction is not settled here: whoever knows the model's labels compares the task's.
    task = get_task("csv", str(tmp_path), **COLUMNS, known_labels=["yes", "no"], regression=True)
    assert task.is_regression
    task = get_task("csv", str(tmp_path), text_a="text", known_labels=["yes", "no"])
    task.check_has(train=False, dev=False, test=True)
    with pytest.raises(UserError, match="--do_eval: .*no development set without --label, the col"):
        task.check_has(train=False, dev=True, test=False)
