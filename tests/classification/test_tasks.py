"""Tasks: GLUE folders, generic tables, labels."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from classification.metrics import METRICS
from classification.tasks import GLUE_TASKS, Task, TaskFile, find_table, get_task
from common.errors import UserError
from training.classifier_records import Example


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
        Example("test-1", f"{test}, line 2", "The dog sat.", None, None)
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


def test_rte_labels_are_words(tmp_path: Path) -> None:
    header = "index\tsentence1\tsentence2"
    write(
        tmp_path,
        "dev.tsv",
        header + "\tlabel",
        '0\tA "B\tC.\tnot_entailment',
        "1\tD\tE\tentailment",
    )
    write(tmp_path, "test.tsv", header, "0\tF\tG")
    task = get_task("rte", str(tmp_path))
    assert task.labels == ("entailment", "not_entailment")
    dev = read(task, task.dev[0], tmp_path)
    assert [(e.text_a, e.text_b, e.label) for e in dev] == [
        ('A "B', "C.", "not_entailment"),
        ("D", "E", "entailment"),
    ]
    assert read(task, task.test[0], tmp_path)[0].label is None


def test_every_glue_task_names_known_metrics_and_distinct_labels() -> None:
    for task in GLUE_TASKS:
        assert set(task.metrics) <= METRICS.keys()
        assert len(set(task.labels)) == len(task.labels) == 2
        assert all(file.label is not None for file in task.train + task.dev)
        assert all(file.label is None for file in task.test)


def test_a_task_may_have_several_dev_files_and_its_label_last(tmp_path: Path) -> None:
    task = Task(
        "nli",
        labels=("no", "maybe", "yes"),
        metrics=("accuracy",),
        dev=tuple(TaskFile(f"dev_{kind}", 0, 1, -1) for kind in ("matched", "mismatched")),
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
    with pytest.raises(UserError, match="squad is unknown.*cola, sst-2, mrpc, rte, tsv"):
        get_task("squad", str(tmp_path))


def test_compressed_tables_stand_in_for_plain_ones(tmp_path: Path) -> None:
    content = "label\ttext\nneutral\tso so\n"
    (tmp_path / "train.tsv.xz").write_bytes(lzma.compress(content.encode()))
    assert find_table(str(tmp_path), "train", "tsv").endswith("train.tsv.xz")
    (tmp_path / "train.tsv").write_text(content)
    assert find_table(str(tmp_path), "train", "tsv").endswith("train.tsv")


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


def test_column_flags_and_tasks_must_fit(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--task_name=tsv needs --text_a and --label"):
        get_task("tsv", str(tmp_path), text_a="text")
    with pytest.raises(UserError, match="sst-2 has fixed columns"):
        get_task("sst-2", str(tmp_path), text_a="sentence")
