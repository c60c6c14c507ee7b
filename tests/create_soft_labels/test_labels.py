"""What a teacher says of texts, and what it refuses."""

from __future__ import annotations

import gzip
import json
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest
from runs import contents, filled, read_set
from scripts import run_script
from tiny_data import (
    column,
)

from common.errors import UserError
from data.classifier_records import encode_rows
from distillation.soft_labels import read_manifest
from modeling.tokenization import FullTokenizer


def assert_predicted(logits: np.ndarray, predictions: pathlib.Path) -> None:
    """Compares log-odds, in which nearly certain predictions differ as much as doubtful ones."""
    expected = np.log(np.loadtxt(predictions, delimiter="\t"))
    np.testing.assert_allclose(
        logits[:, 1] - logits[:, 0], expected[:, 1] - expected[:, 0], atol=1e-4
    )
    assert np.ptp(expected[:, 0]) > 10 * 1e-4


def test_logits_are_the_predictions_of_the_teacher(
    soft_labels: pathlib.Path, teacher: pathlib.Path, texts: list[str], vocab_file: str
) -> None:
    records = read_set(soft_labels)
    assert_predicted(records["teacher_logits"], teacher / "test_results.tsv")
    encoded = encode_rows(FullTokenizer(vocab_file), [(text, None) for text in texts], 16)
    for name in ("input_ids", "input_mask", "segment_ids", "is_real_example"):
        np.testing.assert_array_equal(records[name], encoded[name])
    assert not records["has_label"].any()
    ids = [f"reviews.txt:{i}" for i in range(1, 151)] + [f"s.txt.xz:{i}" for i in range(3, 64)]
    assert [example_id.decode() for example_id in records["example_id"]] == ids


def test_manifest(soft_labels: pathlib.Path, teacher: pathlib.Path) -> None:
    names = [f"soft_labels-0000{i}.tfrecord" for i in range(3)]
    expected = {"soft_labels.json", *names, *(f".{name}.json" for name in names)}
    assert set(contents(soft_labels)) == expected
    manifest = read_manifest([str(soft_labels / name) for name in names])
    assert manifest["shards"] == dict(zip(names, (80, 80, 51), strict=True))
    assert (manifest["num_examples"], manifest["num_labelled"]) == (211, 0)
    info = json.loads((teacher / "model_info.json").read_text())
    assert manifest["labels"] == info["labels"] == ["0", "1"]
    assert manifest["teacher_weights_sha256"] == info["weights_sha256"]
    assert manifest["vocab_sha256"] == info["vocab_sha256"]
    assert manifest["teacher_config"] == json.loads((teacher / "bert_config.json").read_text())
    assert (manifest["max_seq_length"], manifest["do_lower_case"]) == (16, True)


def test_labelled_task_with_more_text(
    options: dict[str, Any],
    soft_labels: pathlib.Path,
    task_dir: str,
    transfer_file: str,
    tmp_path: pathlib.Path,
) -> None:
    options = {**options, "input_file": transfer_file, "examples_per_shard": 1000}
    run_script(
        "create_soft_labels", **options, task_name="SST-2", data_dir=task_dir, output_dir=tmp_path
    )
    records = read_set(tmp_path)
    assert records["has_label"].tolist() == [1] * 200 + [0] * 150
    labels = list(map(int, column(f"{task_dir}/train.tsv", 1)))
    assert records["label_ids"].tolist() == labels + [0] * 150
    assert len(set(records["example_id"])) == 350
    manifest = read_manifest(list(map(str, tmp_path.glob("*.tfrecord"))))
    assert (manifest["num_examples"], manifest["num_labelled"]) == (350, 200)
    # The text is the same as in the other set, in other batches and shards.
    np.testing.assert_allclose(
        records["teacher_logits"][200:], read_set(soft_labels)["teacher_logits"][:150], atol=1e-5
    )


def test_pairs(
    options: dict[str, Any], other_teacher: pathlib.Path, texts: list[str], tmp_path: pathlib.Path
) -> None:
    """From a table with a header, from one without, and as run_classifier.py predicts them."""
    pairs = list(zip(texts[:30], texts[30:60], strict=True))
    data = tmp_path / "data"
    data.mkdir()
    rows = [f"{b}\t{i}\t{a}\n" for i, (a, b) in enumerate(pairs)]
    (data / "test.tsv").write_text("second\tnumber\tfirst\n" + "".join(rows))
    plain = data / "pairs.tsv.gz"
    plain.write_bytes(gzip.compress("".join(f"{a}\t{b}\n" for a, b in pairs).encode()))
    columns = {"text_a": "first", "text_b": "second"}
    named, unnamed = tmp_path / "named", tmp_path / "unnamed"
    options = {k: v for k, v in options.items() if k != "input_file"}
    options["init_checkpoint"] = other_teacher  # Which does not say what it was trained on.
    run_script(
        "create_soft_labels", **options, **columns, input_file=data / "test.tsv", output_dir=named
    )
    run_script("create_soft_labels", **options, input_file=plain, output_dir=unnamed)
    run_script(
        "run_classifier",
        task_name="tsv",
        data_dir=data,
        **columns,
        label="none",
        labels="0,1",
        init_checkpoint=other_teacher,
        max_seq_length=16,
        output_dir=tmp_path / "predictions",
        do_predict=True,
    )
    first, second = read_set(named), read_set(unnamed)
    assert_predicted(first["teacher_logits"], tmp_path / "predictions" / "test_results.tsv")
    for name in ("teacher_logits", "input_ids", "segment_ids"):
        np.testing.assert_array_equal(first[name], second[name])
    assert first["segment_ids"].any(axis=1).all()
    assert [i.decode() for i in first["example_id"]] == [f"test.tsv:{i}" for i in range(2, 32)]


def test_text_that_was_changed_is_labelled_again_if_asked(
    options: dict[str, Any], texts: list[str], tmp_path: pathlib.Path
) -> None:
    path, out = tmp_path / "a.txt", tmp_path / "out"
    records = []
    run = {**options, "input_file": path, "output_dir": out, "examples_per_shard": 10}
    for part in (texts[:20], texts[20:30]):
        path.write_text("\n".join(part) + "\n")
        if records:
            before = contents(out)
            with pytest.raises(
                UserError, match="made with transfer_set_sha256 = .* --start_over to"
            ):
                run_script("create_soft_labels", **run)
            assert contents(out) == before
        run_script("create_soft_labels", **run, start_over=True)
        records.append(read_set(out))
    assert len(list(out.glob("*.tfrecord"))) == 1
    assert not np.array_equal(records[0]["input_ids"], records[1]["input_ids"])


def test_pairs_beside_a_task_of_single_texts_are_refused_before_labelling(
    options: dict[str, Any], task_dir: str, tmp_path: pathlib.Path
) -> None:
    pairs, out = tmp_path / "pairs.tsv", tmp_path / "out"
    pairs.write_text("good film\tbad film\n")
    task = {"task_name": "SST-2", "data_dir": task_dir, "input_file": pairs}
    with pytest.raises(UserError, match="pairs.tsv:1 holds pairs of texts, the task single texts"):
        run_script("create_soft_labels", **{**options, **task}, output_dir=out)
    assert not list(out.glob("*.tfrecord"))


@pytest.fixture
def bad_files(teacher: pathlib.Path, task_dir: str, tmp_path: pathlib.Path) -> dict[str, object]:
    shutil.copytree(teacher, tmp_path / "foreign", ignore=shutil.ignore_patterns("model_info.json"))
    for name, content in (
        ("blank.txt", b"\n \n\n"),
        ("a.tsv", b"one text\n"),
        ("b.tsv", b"a\tb"),
        ("a.csv", b"text"),
        ("a.doc", b"text"),
        ("latin.txt", b"good film\ncaf\xe9\n"),
    ):
        (tmp_path / name).write_bytes(content)
    return {"folder": tmp_path, "task": task_dir}


_TSV = {"task_name": "tsv", "data_dir": "{task}", "text_a": "sentence", "label": "label"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_file": ""}, "no transfer set"),
        ({"task_name": "SST-2"}, "task_name=SST-2 needs --data_dir"),
        ({"input_file": "{folder}/none*"}, '--input_file: no file matches ".*none'),
        ({"input_file": "{folder}/blank.txt"}, "blank.txt: no text in these files"),
        ({"input_file": "{folder}/a.doc"}, "a.doc: cannot tell its format"),
        ({"input_file": "{folder}/a.csv"}, "a.csv: pass --text_a, the column"),
        ({"input_file": "{folder}/a.csv", "text_a": "x"}, 'no column is called "x"'),
        (
            {"input_file": "{folder}/latin.txt"},
            r"latin.txt, line 2: byte 13 of the text \(0xe9\)",
        ),
        (
            {"input_file": "{folder}/a.tsv,{folder}/b.tsv"},
            "b.tsv, line 1: found a pair of texts, but .*a.tsv, line 1",
        ),
        ({**_TSV, "labels": "1,0"}, "made for the labels 0, 1, this run has 1, 0"),
        (
            {"init_checkpoint": "{folder}/foreign"},
            "foreign does not say which labels .* pass --labels",
        ),
        ({"labels": "1,0"}, "made for the labels 0, 1, this run has 1, 0"),
        ({"regression": True}, "made for a classification .*, this run is a regression"),
        ({**_TSV, "data_source": "tfds"}, "--task_name=tsv --data_source=tfds has fixed sets"),
        ({"init_checkpoint": "{folder}/nowhere"}, "nowhere: no checkpoint found"),
        ({"do_lower_case": False}, "do_lower_case=False, but .*do_lower_case=True"),
        ({"max_seq_length": 41}, "max_seq_length=41 .* max_position_embeddings of 40"),
    ],
)
def test_bad_input(
    options: dict[str, Any],
    bad_files: dict[str, object],
    tmp_path: pathlib.Path,
    changes: dict[str, Any],
    message: str,
) -> None:
    run = {**options, **filled(changes, **bad_files), "output_dir": tmp_path / "out"}
    with pytest.raises(UserError, match=message):
        run_script("create_soft_labels", **run)
    assert not (tmp_path / "out" / "soft_labels.json").exists()


def test_teacher_of_another_tool(
    options: dict[str, Any],
    soft_labels: pathlib.Path,
    teacher: pathlib.Path,
    transfer_file: str,
    tmp_path: pathlib.Path,
) -> None:
    """Without a model_info.json, the labels come from a flag."""
    foreign, out = tmp_path / "foreign", tmp_path / "out"
    shutil.copytree(teacher, foreign, ignore=shutil.ignore_patterns("model_info.json"))
    changes = {"init_checkpoint": foreign, "input_file": transfer_file, "labels": "bad,good"}
    run_script("create_soft_labels", **{**options, **changes}, output_dir=out)
    assert read_manifest(sorted(map(str, out.glob("*.tfrecord"))))["labels"] == ["bad", "good"]
    np.testing.assert_allclose(
        read_set(out)["teacher_logits"], read_set(soft_labels)["teacher_logits"][:150], atol=1e-5
    )
