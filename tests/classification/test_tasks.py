"""The known tasks: GLUE folders, SNLI, book reviews; their labels and metrics."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
from task_tables import columns, read_rows, write_table

from classification.metrics import METRICS
from classification.tasks import TASKS, get_task
from common.errors import UserError
from data.classifier_records import Example


def test_cola_has_a_header_in_the_test_file_only(tmp_path: Path) -> None:
    for split in ("train", "dev"):
        write_table(tmp_path, f"{split}.tsv", "gj04\t1\t\tThe cat sat.", "gj04\t0\t*\tSat cat the.")
    write_table(tmp_path, "test.tsv", "index\tsentence", "0\tThe dog sat.")
    task = get_task("CoLA", str(tmp_path))
    path = tmp_path / "train.tsv"
    assert read_rows(task, task.train[0], tmp_path) == [
        Example("train-0", f"{path}, line 1", "The cat sat.", None, "1"),
        Example("train-1", f"{path}, line 2", "Sat cat the.", None, "0"),
    ]
    assert read_rows(task, task.dev[0], tmp_path)[1].example_id == "dev-1"
    test = tmp_path / "test.tsv"
    assert read_rows(task, task.test[0], tmp_path) == [
        Example("test-1", f"{test}, line 2", "The dog sat.", None, None, "0")
    ]
    assert (task.labels, task.metrics) == (("0", "1"), ("matthews_correlation",))


@pytest.mark.parametrize("name", ["sst-2", "SST-2", "sst2", "SST2"])
def test_sst2_under_its_names(tmp_path: Path, name: str) -> None:
    write_table(tmp_path, "train.tsv", "sentence\tlabel", "hide new secretions \t0", "\t1")
    write_table(tmp_path, "test.tsv", "index\tsentence", "0\tuneasy mishmash .")
    task = get_task(name, str(tmp_path))
    assert task.name == "sst-2"
    train = read_rows(task, task.train[0], tmp_path)
    assert [(e.example_id, e.text_a, e.text_b, e.label) for e in train] == [
        ("train-1", "hide new secretions ", None, "0"),
        ("train-2", "", None, "1"),
    ]
    assert read_rows(task, task.test[0], tmp_path)[0].text_a == "uneasy mishmash ."


def test_mrpc_with_byte_order_mark_and_quotes(tmp_path: Path) -> None:
    header = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"
    write_table(
        tmp_path, "train.tsv", "\ufeff" + header, '1\t70\t71\t" Amrozi " said\tthe "witness'
    )
    write_table(
        tmp_path, "test.tsv", header.replace("Quality", "index"), "0\t10\t11\tfirst\tsecond"
    )
    task = get_task("MRPC", str(tmp_path))
    (example,) = read_rows(task, task.train[0], tmp_path)
    assert (example.text_a, example.text_b) == ('" Amrozi " said', 'the "witness')
    assert example.label == "1"
    (example,) = read_rows(task, task.test[0], tmp_path)
    assert (example.text_a, example.text_b, example.label) == ("first", "second", None)


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
        write_table(tmp_path, f"{split}.tsv", columns(count), row)
    write_table(tmp_path, "test.tsv", columns(test_count), columns(test_count, c0="17"))
    task = get_task(name, str(tmp_path))
    for file in (*task.train, *task.dev):
        (example,) = read_rows(task, file, tmp_path)
        assert (example.text_a, example.text_b) == tuple(f"cell {i}" for i in texts)
        assert (example.label, example.index) == (label, None)
        assert example.example_id == f"{file.name}-1"
    (example,) = read_rows(task, task.test[0], tmp_path)
    assert (example.text_a, example.text_b) == tuple(f"cell {i}" for i in test_texts)
    assert (example.label, example.index) == (None, "17")


def test_mnli_has_two_dev_and_two_test_sets(tmp_path: Path) -> None:
    """The label is the last column, whose position differs between training and development sets."""
    write_table(tmp_path, "train.tsv", columns(12), columns(12, c11="neutral"))
    for kind in ("matched", "mismatched"):
        write_table(tmp_path, f"dev_{kind}.tsv", columns(16), columns(16, c15="contradiction"))
        write_table(tmp_path, f"test_{kind}.tsv", columns(10), columns(10, c0="5"))
    task = get_task("MNLI", str(tmp_path))
    assert task.labels == ("contradiction", "entailment", "neutral")
    found = [
        (e.example_id, e.text_a, e.text_b, e.label, e.index)
        for file in (*task.train, *task.dev, *task.test)
        for e in read_rows(task, file, tmp_path)
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
    write_table(tmp_path, "diagnostic.tsv", "index\tsentence1\tsentence2", "0\tA.\tB.")
    task = get_task("ax", str(tmp_path))
    assert task.labels == get_task("mnli", str(tmp_path)).labels
    (example,) = read_rows(task, task.test[0], tmp_path)
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
    write_table(tmp_path, "train.tsv", columns(6), *rows)
    task = get_task("qqp", str(tmp_path))
    examples = read_rows(task, task.train[0], tmp_path)
    assert [(e.example_id, e.label) for e in examples] == [("train-1", "0"), ("train-4", "1")]
    path = tmp_path / "train.tsv"
    assert caplog.messages == [
        f"{path}: 2 rows with fewer than 6 columns were left out; the first is line 3."
    ]
    write_table(tmp_path, "test.tsv", columns(3), "0\tonly one question")
    with pytest.raises(UserError, match=r"test\.tsv, line 2: found 2 columns"):
        read_rows(task, task.test[0], tmp_path)


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
    write_table(folder, file_name, *lines)


@pytest.mark.parametrize("file_name", ["snli_1.0_{}.jsonl", "snli_1.0_{}.txt", "{}.tsv"])
def test_snli_in_its_formats(
    tmp_path: Path, file_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for name in ("train", "test"):
        write_snli(tmp_path, name, file_name.format(name))
    task = get_task("snli", str(tmp_path))
    assert task.labels == ("contradiction", "entailment", "neutral")
    train = read_rows(task, task.train[0], tmp_path)
    assert [(e.label, e.text_a, e.text_b) for e in train] == [SNLI_ROWS[0], SNLI_ROWS[2]]
    path = tmp_path / file_name.format("train")
    assert caplog.messages == [f"{path}: 1 rows without a label (-) were left out."]
    # No label of the test set is read, and each of its rows is predicted.
    test = read_rows(task, task.test[0], tmp_path)
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
    write_table(tmp_path, "dev.tsv", "sentence\tlabel", "fine\t-")
    task = get_task("sst-2", str(tmp_path))
    with pytest.raises(UserError, match='line 2: unknown label "-"'):
        read_rows(task, task.dev[0], tmp_path)


@pytest.mark.parametrize("name", ["book-reviews", "Book_Reviews"])
def test_book_reviews(tmp_path: Path, name: str) -> None:
    write_table(tmp_path, "train.tsv", "label\ttext", "positive\tA page-turner.", "neutral\tSo so.")
    write_table(tmp_path, "test.tsv", "text", "Dull.")
    task = get_task(name, str(tmp_path))
    assert task.labels == ("negative", "neutral", "positive")
    train = read_rows(task, task.train[0], tmp_path)
    assert [(e.text_a, e.text_b, e.label) for e in train] == [
        ("A page-turner.", None, "positive"),
        ("So so.", None, "neutral"),
    ]
    assert [e.text_a for e in read_rows(task, task.test[0], tmp_path)] == ["Dull."]


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


def test_unknown_task_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="squad is unknown.*cola, sst-2, .*, book-reviews, csv, tsv, jsonl, parquet"
    ):
        get_task("squad", str(tmp_path))
