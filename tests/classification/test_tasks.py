"""Tasks: GLUE folders, SNLI, generic tables and JSON Lines, labels."""

from __future__ import annotations

import json
import logging
import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from classification.metrics import METRICS
from classification.task import Task
from classification.task_files import TableFile, TaskFile, find_file
from classification.tasks import OWN_TABLES, TASKS, get_task
from common.errors import UserError
from data.classifier_records import Example


def write(folder: Path, name: str, *lines: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(task: Task, file: TaskFile, folder: Path) -> list[Example]:
    return list(task.read_examples(file, str(folder)))


def test_cola_has_a_header_in_the_test_file_only(tmp_path: Path) -> None:
    for split in ("train", "dev"):
        write(tmp_path, f"{split}.tsv", "gj04\t1\t\tThe cat sat.", "gj04\t0\t*\tSat cat the.")
    write(tmp_path, "test.tsv", "index\tsentence", "0\tThe dog sat.")
    task = get_task("CoLA", str(tmp_path))
    path = tmp_path / "train.tsv"
    assert read(task, task.train[0], tmp_path) == [
        Example("train-0", f"{path}, line 1", "The cat sat.", None, "1"),
        Example("train-1", f"{path}, line 2", "Sat cat the.", None, "0"),
    ]
    assert read(task, task.dev[0], tmp_path)[1].example_id == "dev-1"
    test = tmp_path / "test.tsv"
    assert read(task, task.test[0], tmp_path) == [
        Example("test-1", f"{test}, line 2", "The dog sat.", None, None, "0")
    ]
    assert (task.labels, task.metrics) == (("0", "1"), ("matthews_correlation",))


@pytest.mark.parametrize("name", ["sst-2", "SST-2", "sst2", "SST2"])
def test_sst2_under_its_names(tmp_path: Path, name: str) -> None:
    write(tmp_path, "train.tsv", "sentence\tlabel", "hide new secretions \t0", "\t1")
    write(tmp_path, "test.tsv", "index\tsentence", "0\tuneasy mishmash .")
    task = get_task(name, str(tmp_path))
    assert task.name == "sst-2"
    train = read(task, task.train[0], tmp_path)
    assert [(e.example_id, e.text_a, e.text_b, e.label) for e in train] == [
        ("train-1", "hide new secretions ", None, "0"),
        ("train-2", "", None, "1"),
    ]
    assert read(task, task.test[0], tmp_path)[0].text_a == "uneasy mishmash ."


def test_mrpc_with_byte_order_mark_and_quotes(tmp_path: Path) -> None:
    header = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"
    write(tmp_path, "train.tsv", "\ufeff" + header, '1\t70\t71\t" Amrozi " said\tthe "witness')
    write(tmp_path, "test.tsv", header.replace("Quality", "index"), "0\t10\t11\tfirst\tsecond")
    task = get_task("MRPC", str(tmp_path))
    (example,) = read(task, task.train[0], tmp_path)
    assert (example.text_a, example.text_b) == ('" Amrozi " said', 'the "witness')
    assert example.label == "1"
    (example,) = read(task, task.test[0], tmp_path)
    assert (example.text_a, example.text_b, example.label) == ("first", "second", None)


def columns(count: int, **cells: str) -> str:
    """A row whose cells say where they stand, but for the given ones."""
    return "\t".join(cells.get(f"c{i}", f"cell {i}") for i in range(count))


# Task -> labelled set: columns, position of the label, a label; test set: columns; the columns of
# the texts in both. From the files of the GLUE distribution.
PAIR_TASKS = {
    "mrpc": (5, 0, "1", 5, (3, 4), (3, 4)),
    "sts-b": (10, 9, "3.800", 9, (7, 8), (7, 8)),
    "qqp": (6, 5, "0", 3, (3, 4), (1, 2)),
    "qnli": (4, 3, "not_entailment", 3, (1, 2), (1, 2)),
    "rte": (4, 3, "entailment", 3, (1, 2), (1, 2)),
    "wnli": (4, 3, "1", 3, (1, 2), (1, 2)),
}


@pytest.mark.parametrize("name", PAIR_TASKS)
def test_columns_of_pair_tasks(tmp_path: Path, name: str) -> None:
    count, label_column, label, test_count, texts, test_texts = PAIR_TASKS[name]
    row = columns(count, **{f"c{label_column}": label})
    for split in ("train", "dev"):
        write(tmp_path, f"{split}.tsv", columns(count), row)
    write(tmp_path, "test.tsv", columns(test_count), columns(test_count, c0="17"))
    task = get_task(name, str(tmp_path))
    for file in (*task.train, *task.dev):
        (example,) = read(task, file, tmp_path)
        assert (example.text_a, example.text_b) == tuple(f"cell {i}" for i in texts)
        assert (example.label, example.index) == (label, None)
        assert example.example_id == f"{file.name}-1"
    (example,) = read(task, task.test[0], tmp_path)
    assert (example.text_a, example.text_b) == tuple(f"cell {i}" for i in test_texts)
    assert (example.label, example.index) == (None, "17")


def test_mnli_has_two_dev_and_two_test_sets(tmp_path: Path) -> None:
    """The label is the last column, whose position differs between training and development sets."""
    write(tmp_path, "train.tsv", columns(12), columns(12, c11="neutral"))
    for kind in ("matched", "mismatched"):
        write(tmp_path, f"dev_{kind}.tsv", columns(16), columns(16, c15="contradiction"))
        write(tmp_path, f"test_{kind}.tsv", columns(10), columns(10, c0="5"))
    task = get_task("MNLI", str(tmp_path))
    assert task.labels == ("contradiction", "entailment", "neutral")
    found = [
        (e.example_id, e.text_a, e.text_b, e.label, e.index)
        for file in (*task.train, *task.dev, *task.test)
        for e in read(task, file, tmp_path)
    ]
    texts = ("cell 8", "cell 9")
    assert found == [
        ("train-1", *texts, "neutral", None),
        ("dev_matched-1", *texts, "contradiction", None),
        ("dev_mismatched-1", *texts, "contradiction", None),
        ("test_matched-1", *texts, None, "5"),
        ("test_mismatched-1", *texts, None, "5"),
    ]


def test_ax_has_nothing_but_a_test_set_and_the_labels_of_mnli(tmp_path: Path) -> None:
    write(tmp_path, "diagnostic.tsv", "index\tsentence1\tsentence2", "0\tA.\tB.")
    task = get_task("ax", str(tmp_path))
    assert task.labels == get_task("mnli", str(tmp_path)).labels
    (example,) = read(task, task.test[0], tmp_path)
    assert (example.text_a, example.text_b, example.index) == ("A.", "B.", "0")
    task.check_has(train=False, dev=False, test=True)
    with pytest.raises(UserError, match="--do_train: task ax has no training set"):
        task.check_has(train=True, dev=True, test=True)
    with pytest.raises(UserError, match="--do_eval: task ax has no development set"):
        task.check_has(train=False, dev=True, test=False)


def test_qqp_leaves_short_rows_out_and_counts_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rows = [columns(6, c5="0"), columns(4), "the rest\t1", columns(6, c5="1")]
    write(tmp_path, "train.tsv", columns(6), *rows)
    task = get_task("qqp", str(tmp_path))
    examples = read(task, task.train[0], tmp_path)
    assert [(e.example_id, e.label) for e in examples] == [("train-1", "0"), ("train-4", "1")]
    path = tmp_path / "train.tsv"
    assert caplog.messages == [
        f"{path}: 2 rows with fewer than 6 columns were left out; the first is line 3."
    ]
    write(tmp_path, "test.tsv", columns(3), "0\tonly one question")
    with pytest.raises(UserError, match=r"test\.tsv, line 2: found 2 columns"):
        read(task, task.test[0], tmp_path)


SNLI_ROWS = [
    ("neutral", "A man sleeps.", "He dreams."),
    ("-", "A dog.", "A cat."),
    ("entailment", 'A "boy".', "A child."),
]


def write_snli(folder: Path, name: str, file_name: str) -> None:
    """The first and the last columns of the distribution, the rest left out."""
    folder.mkdir(exist_ok=True)
    if file_name.endswith(".jsonl"):
        keys = ("gold_label", "sentence1", "sentence2")
        objects = [dict(zip(keys, row, strict=True)) for row in SNLI_ROWS]
        lines = [json.dumps({"annotator_labels": ["neutral"], **row}) for row in objects]
    elif file_name.endswith(".txt"):
        lines = ["gold_label\tsentence1_parse\tsentence1\tsentence2\tpairID\tlabel1"]
        lines += [f"{label}\t(S)\t{a}\t{b}\t{name}\tneutral" for label, a, b in SNLI_ROWS]
    else:
        lines = ["index\tsentence1\tsentence2\tlabel1\tgold_label"]
        lines += [f"0\t{a}\t{b}\tneutral\t{label}" for label, a, b in SNLI_ROWS]
    write(folder, file_name, *lines)


@pytest.mark.parametrize("file_name", ["snli_1.0_{}.jsonl", "snli_1.0_{}.txt", "{}.tsv"])
def test_snli_in_its_formats(
    tmp_path: Path, file_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for name in ("train", "test"):
        write_snli(tmp_path, name, file_name.format(name))
    task = get_task("snli", str(tmp_path))
    assert task.labels == ("contradiction", "entailment", "neutral")
    train = read(task, task.train[0], tmp_path)
    assert [(e.label, e.text_a, e.text_b) for e in train] == [SNLI_ROWS[0], SNLI_ROWS[2]]
    path = tmp_path / file_name.format("train")
    assert caplog.messages == [f"{path}: 1 rows without a label (-) were left out."]
    # No label of the test set is read, and each of its rows is predicted.
    test = read(task, task.test[0], tmp_path)
    assert [(e.label, e.text_b) for e in test] == [(None, row[2]) for row in SNLI_ROWS]


def test_snli_without_any_of_its_files(tmp_path: Path) -> None:
    task = get_task("snli", str(tmp_path))
    message = (
        r"snli_1\.0_dev\.jsonl \(or snli_1\.0_dev\.jsonl\.gz, snli_1\.0_dev\.jsonl\.xz, "
        r"snli_1\.0_dev\.jsonl\.bz2, snli_1\.0_dev\.jsonl\.zst, "
        r"snli_1\.0_dev\.txt, dev\.tsv\) is missing; task snli"
    )
    with pytest.raises(UserError, match=message):
        task.read_examples(task.dev[0], str(tmp_path))


def test_a_dash_is_a_label_like_any_other_elsewhere(tmp_path: Path) -> None:
    write(tmp_path, "dev.tsv", "sentence\tlabel", "fine\t-")
    task = get_task("sst-2", str(tmp_path))
    with pytest.raises(UserError, match='line 2: unknown label "-"'):
        read(task, task.dev[0], tmp_path)


@pytest.mark.parametrize("name", ["book-reviews", "Book_Reviews"])
def test_book_reviews(tmp_path: Path, name: str) -> None:
    write(tmp_path, "train.tsv", "label\ttext", "positive\tA page-turner.", "neutral\tSo so.")
    write(tmp_path, "test.tsv", "text", "Dull.")
    task = get_task(name, str(tmp_path))
    assert task.labels == ("negative", "neutral", "positive")
    train = read(task, task.train[0], tmp_path)
    assert [(e.text_a, e.text_b, e.label) for e in train] == [
        ("A page-turner.", None, "positive"),
        ("So so.", None, "neutral"),
    ]
    assert [e.text_a for e in read(task, task.test[0], tmp_path)] == ["Dull."]


@pytest.mark.parametrize("score", ["", "high", "nan", "inf", "1,5"])
def test_scores_must_be_numbers(tmp_path: Path, score: str) -> None:
    write(tmp_path, "dev.tsv", columns(10), columns(10, c9="0.000"), columns(10, c9=score))
    task = get_task("STS-B", str(tmp_path))
    assert task.is_regression and task.num_outputs == 1
    with pytest.raises(UserError, match=rf'line 3: found the score "{score}", expected a number'):
        read(task, task.dev[0], tmp_path)


# The order of the outputs, as the original's processors and the facts of GLUE have them.
LABELS: dict[str, Sequence[str]] = {
    "cola": ("0", "1"),
    "sst-2": ("0", "1"),
    "mrpc": ("0", "1"),
    "sts-b": (),
    "qqp": ("0", "1"),
    "mnli": ("contradiction", "entailment", "neutral"),
    "qnli": ("entailment", "not_entailment"),
    "rte": ("entailment", "not_entailment"),
    "wnli": ("0", "1"),
    "ax": ("contradiction", "entailment", "neutral"),
    "snli": ("contradiction", "entailment", "neutral"),
    "book-reviews": ("negative", "neutral", "positive"),
}
METRICS_OF_TASKS = {
    "cola": ("matthews_correlation",),
    "mrpc": ("f1", "accuracy"),
    "sts-b": ("pearson", "spearman"),
    "qqp": ("f1", "accuracy"),
    "ax": ("matthews_correlation",),
}


def test_labels_and_official_metrics_of_every_task() -> None:
    assert {task.name: task.labels for task in TASKS} == LABELS
    for task in TASKS:
        assert task.metrics == METRICS_OF_TASKS.get(task.name, ("accuracy",))
        assert set(task.metrics) <= METRICS.keys()
        assert task.num_outputs == max(1, len(LABELS[task.name]))


def test_a_label_may_stand_last(tmp_path: Path) -> None:
    task = Task(
        "nli",
        labels=("no", "maybe", "yes"),
        metrics=("accuracy",),
        dev=tuple(TableFile(f"dev_{kind}", 0, 1, -1) for kind in ("matched", "mismatched")),
    )
    write(tmp_path, "dev_matched.tsv", "a\tb\tlabel", "x\ty\tmaybe")
    write(tmp_path, "dev_mismatched.tsv", "a\tb\tlabel1\tlabel2\tlabel", "x\ty\tno\tno\tyes")
    found = [(e.example_id, e.label) for file in task.dev for e in read(task, file, tmp_path)]
    assert found == [("dev_matched-1", "maybe"), ("dev_mismatched-1", "yes")]


def test_unknown_label(tmp_path: Path) -> None:
    write(tmp_path, "dev.tsv", "sentence\tlabel", "fine\t1", "odd\tpositive")
    task = get_task("sst-2", str(tmp_path))
    with pytest.raises(UserError, match=r'dev\.tsv, line 3: unknown label "positive".*0, 1'):
        read(task, task.dev[0], tmp_path)


def test_row_with_too_few_columns(tmp_path: Path) -> None:
    write(tmp_path, "dev.tsv", "sentence\tlabel", "fine\t1", "no label")
    task = get_task("sst-2", str(tmp_path))
    with pytest.raises(UserError, match=r"dev\.tsv, line 3: found 1 column, expected at least 2"):
        read(task, task.dev[0], tmp_path)


def test_file_without_rows(tmp_path: Path) -> None:
    write(tmp_path, "dev.tsv", "sentence\tlabel")
    task = get_task("sst-2", str(tmp_path))
    with pytest.raises(UserError, match=r"dev\.tsv holds no examples"):
        read(task, task.dev[0], tmp_path)


def test_missing_file_is_told_before_reading(tmp_path: Path) -> None:
    task = get_task("sst-2", str(tmp_path))
    with pytest.raises(UserError, match=r"dev\.tsv .*is missing; task sst-2"):
        task.read_examples(task.dev[0], str(tmp_path))


def test_unknown_task_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="squad is unknown.*cola, sst-2, .*, book-reviews, tsv, jsonl"
    ):
        get_task("squad", str(tmp_path))


def test_compressed_tables_stand_in_for_plain_ones(tmp_path: Path) -> None:
    content = "label\ttext\nneutral\tso so\n"
    (tmp_path / "train.tsv.xz").write_bytes(lzma.compress(content.encode()))
    assert find_file(str(tmp_path), ("train.tsv",), "tsv").endswith("train.tsv.xz")
    (tmp_path / "train.tsv").write_text(content)
    assert find_file(str(tmp_path), ("train.tsv",), "tsv").endswith("train.tsv")


def test_tsv_task_sorts_the_training_labels(tmp_path: Path) -> None:
    write(tmp_path, "train.tsv", "label\ttext", "pos\ta", "neg\tb", "pos\tc", "mid\td")
    write(tmp_path, "dev.tsv", "text\tlabel", "e\tneg")
    write(tmp_path, "test.tsv", "text", "f")
    task = get_task("TSV", str(tmp_path), text_a="text", label="label")
    assert task.labels == ("mid", "neg", "pos")
    assert task.metrics == ("accuracy",)
    assert [e.label for e in read(task, task.train[0], tmp_path)] == ["pos", "neg", "pos", "mid"]
    assert [e.text_a for e in read(task, task.dev[0], tmp_path)] == ["e"]
    assert [(e.text_a, e.label) for e in read(task, task.test[0], tmp_path)] == [("f", None)]


def test_tsv_task_on_pairs_with_given_labels(tmp_path: Path) -> None:
    write(tmp_path, "dev.tsv", "q1\tq2\tsame", "a\tb\tyes", "c\td\tperhaps")
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
    write(tmp_path, "train.tsv", "text\tlabel", "a\tx", "b\tx")
    with pytest.raises(UserError, match=r'train\.tsv: column "label" holds 1 different'):
        get_task("tsv", str(tmp_path), text_a="text", label="label")
    write(tmp_path, "train.tsv", "text\tlabel", "a\tx", "b\t")
    with pytest.raises(UserError, match=r'train\.tsv, line 3: column "label" is empty'):
        get_task("tsv", str(tmp_path), text_a="text", label="label")


def test_jsonl_task(tmp_path: Path) -> None:
    rows = [
        {"premise": "a\tb", "hypothesis": "c", "same": True},
        {"same": False, "hypothesis": "\u00e9", "premise": "d", "more": [1]},
    ]
    write(tmp_path, "train.jsonl", *map(json.dumps, rows))
    write(tmp_path, "test.jsonl", json.dumps({"premise": "e", "hypothesis": "f"}))
    flags = {"text_a": "premise", "text_b": "hypothesis", "label": "same"}
    task = get_task("jsonl", str(tmp_path), **flags)
    assert task.labels == ("false", "true")
    train = read(task, task.train[0], tmp_path)
    assert [(e.example_id, e.text_a, e.text_b, e.label) for e in train] == [
        ("train-0", "a\tb", "c", "true"),
        ("train-1", "d", "é", "false"),
    ]
    (example,) = read(task, task.test[0], tmp_path)
    assert (example.text_a, example.text_b, example.label) == ("e", "f", None)
    write(tmp_path, "dev.jsonl", json.dumps(rows[0]), json.dumps({**rows[1], "same": "perhaps"}))
    with pytest.raises(
        UserError, match=r'dev\.jsonl, line 2: unknown label "perhaps".*false, true'
    ):
        read(task, task.dev[0], tmp_path)


def test_jsonl_task_sorts_whole_numbers_as_texts_and_refuses_missing_labels(tmp_path: Path) -> None:
    write(tmp_path, "train.jsonl", '{"t": "a", "y": 2}', "", '{"t": "b", "y": 10}')
    assert get_task("jsonl", str(tmp_path), text_a="t", label="y").labels == ("10", "2")
    write(tmp_path, "train.jsonl", '{"t": "a", "y": 2}', '{"t": "b"}')
    with pytest.raises(UserError, match=r'train\.jsonl, line 2: no key is called "y"'):
        get_task("jsonl", str(tmp_path), text_a="t", label="y")


def test_column_flags_and_tasks_must_fit(tmp_path: Path) -> None:
    for name in ("tsv", "jsonl"):
        with pytest.raises(UserError, match=f"--task_name={name} needs --text_a and --label"):
            get_task(name, str(tmp_path), text_a="text")
    with pytest.raises(UserError, match="sst-2 .*has fixed columns"):
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
    lines = [json.dumps({"text": "a", "y": label}) for label in labels]
    if kind == "tsv":
        lines = ["text\ty", *(f"a\t{label}" for label in labels)]
    write(tmp_path, f"train.{kind}", *lines)

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
    write(tmp_path, "dev.tsv", "text\ty", "a\t-1.5", "b\t2", "c\thigh")
    task = get_task("tsv", str(tmp_path), text_a="text", label="y", regression=True)
    assert (task.is_regression, task.num_outputs) == (True, 1)
    assert task.metrics == METRICS_OF_TASKS["sts-b"]
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
    write(tmp_path, "train.tsv", "text\ty", "a\t2", "b\t1")
    get_task("tsv", str(tmp_path), **columns)
    write(tmp_path, "train.tsv", "text\ty", "a\tno", "b\tyes")
    get_task("tsv", str(tmp_path), **columns)
    taken = f"{path}: column y is taken as a class, one of"
    hint = "; to predict it as a number, pass --regression"
    assert caplog.messages == [f"{taken} 1, 2{hint}.", f"{taken} no, yes."]


def test_a_label_that_training_lacks(tmp_path: Path) -> None:
    rows = [f"a\t{label}" for label in numbered(30, 90, "{:02}x")]
    write(tmp_path, "train.tsv", "text\ty", *rows)
    write(tmp_path, "dev.tsv", "text\ty", "a\tnew")
    way_out = "; if it is a label, pass --labels with all of them in the order of the outputs"
    for given, message in (
        (None, r"labels of train\.tsv are 00x, .*, 19x and 10 more" + way_out),
        (["a", "b"], "labels of --labels are a, b" + way_out),
    ):
        task = get_task("tsv", str(tmp_path), text_a="text", label="y", labels=given)
        with pytest.raises(
            UserError, match=rf'dev\.tsv, line 2: unknown label "new"; the {message}'
        ):
            read(task, task.dev[0], tmp_path)


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("tsv", {"labels": ["a", "b"], "regression": True}, "--regression .*--labels=a,b .*one of"),
        ("tsv", {"labels": [], "regression": False}, "--labels= names no labels"),
        ("tsv", {"labels": ["a", "b", "a"]}, "--labels=a,b,a: expected different labels"),
        ("tsv", {"labels": ["a"]}, "--labels=a: expected different labels, at least 2"),
        ("tsv", {"data_source": "tfds"}, "--data_source=tfds has fixed columns"),
        ("sts-b", {"regression": True}, "sts-b .*has fixed columns"),
        ("sst-2", {"labels": []}, "sst-2 .*has fixed columns"),
    ],
)
def test_flags_of_tasks_that_contradict(
    tmp_path: Path, name: str, flags: dict[str, Any], message: str
) -> None:
    columns: dict[str, Any] = {} if name != "tsv" else {"text_a": "text", "label": "y"}
    with pytest.raises(UserError, match=message):
        get_task(name, str(tmp_path), **columns, **flags)
