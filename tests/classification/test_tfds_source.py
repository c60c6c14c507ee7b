"""Tasks from tensorflow-datasets: data sets written with its own writer, in its own layout."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classification import tfds_source
from classification.task import Task
from classification.task_files import TaskFile
from classification.tasks import get_task
from classification.tfds_source import DATASETS
from common.errors import UserError
from data.classifier_records import Example

tfds = pytest.importorskip("tensorflow_datasets")
# What tensorflow-datasets imports without saying so.
pytest.importorskip("importlib_resources")


def store(
    folder: Path,
    name: str,
    features: Mapping[str, Any],
    splits: Mapping[str, Sequence[Mapping[str, Any]]],
) -> None:
    """Writes a data set of the name and version that the package itself has."""
    dataset, _, config = name.partition("/")
    tfds.dataset_builders.store_as_tfds_dataset(
        name=dataset,
        config=config or None,
        version=str(tfds.builder(name, data_dir=str(folder)).version),
        data_dir=str(folder),
        features=tfds.features.FeaturesDict(features),
        split_datasets={split: list(enumerate(rows)) for split, rows in splits.items()},
    )


def texts(*names: str) -> dict[str, Any]:
    return {name: tfds.features.Text() for name in names}


def read(task: Task, file: TaskFile, folder: Path) -> list[Example]:
    return list(task.read_examples(file, str(folder)))


@pytest.fixture(scope="module")
def mnli_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tfds")
    # The package's own order, which is not GLUE's.
    names = ["entailment", "neutral", "contradiction"]

    def rows(split: str, count: int, labelled: bool) -> list[dict[str, Any]]:
        return [
            {
                "premise": f"{split} {names[i % 3]}",
                "hypothesis": f"né {i}",
                "label": i % 3 if labelled else -1,
                "idx": i,
            }
            for i in range(count)
        ]

    store(
        folder,
        "glue/mnli",
        {
            **texts("premise", "hypothesis"),
            "label": tfds.features.ClassLabel(names=names),
            "idx": np.int32,
        },
        {
            "train": rows("train", 8, True),
            "validation_matched": rows("matched", 3, True),
            "validation_mismatched": rows("mismatched", 2, True),
            "test_matched": rows("test", 7, False),
            "test_mismatched": rows("test", 1, False),
        },
    )
    return folder


def test_labels_go_by_name_and_test_labels_are_not_read(
    mnli_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfds_source, "_BATCH_ROWS", 3)
    task = get_task("MNLI", str(mnli_dir), data_source="tfds")
    assert task.labels == ("contradiction", "entailment", "neutral")
    train = read(task, task.train[0], mnli_dir)
    assert sorted(int(e.index or "") for e in train) == list(range(8))
    for example in train:
        assert example.text_a == f"train {example.label}"
        assert example.text_b == f"né {example.index}"
        assert example.example_id == f"train-{example.index}"
    assert [e.source for e in train] == [f"glue/mnli, split train, example {i}" for i in range(8)]
    test = read(task, task.test[0], mnli_dir)
    assert len(test) == 7 and {e.label for e in test} == {None}
    # Each call reads in the same order.
    assert read(task, task.test[0], mnli_dir) == test


def test_sets_are_named_like_the_files_of_the_task(mnli_dir: Path) -> None:
    task = get_task("mnli", str(mnli_dir), data_source="tfds")
    from_files = get_task("mnli", str(mnli_dir))
    assert [f.name for f in task.dev] == [f.name for f in from_files.dev]
    matched, mismatched = (read(task, file, mnli_dir) for file in task.dev)
    assert {e.text_a.split()[0] for e in matched} == {"matched"} and len(matched) == 3
    assert {e.text_a.split()[0] for e in mismatched} == {"mismatched"} and len(mismatched) == 2
    assert [len(read(task, file, mnli_dir)) for file in task.test] == [7, 1]


def test_single_texts_with_other_names_of_classes(tmp_path: Path) -> None:
    label = tfds.features.ClassLabel(names=["unacceptable", "acceptable"])
    rows = [{"sentence": f"s{i}", "label": i, "idx": i} for i in (0, 1)]
    features = {**texts("sentence"), "label": label, "idx": np.int32}
    store(tmp_path, "glue/cola", features, {"train": rows, "validation": rows[1:]})
    task = get_task("cola", str(tmp_path), data_source="tfds")
    train = {(e.text_a, e.text_b, e.label) for e in read(task, task.train[0], tmp_path)}
    assert train == {("s0", None, "0"), ("s1", None, "1")}
    assert [e.label for e in read(task, task.dev[0], tmp_path)] == ["1"]
    with pytest.raises(
        UserError, match='glue/cola in .* no split "test", which task cola needs; it has train, v'
    ):
        task.read_examples(task.test[0], str(tmp_path))


def test_scores(tmp_path: Path) -> None:
    rows = [{"sentence1": "a", "sentence2": "b", "label": 3.8, "idx": 0}]
    features = {**texts("sentence1", "sentence2"), "label": np.float32, "idx": np.int32}
    store(tmp_path, "glue/stsb", features, {"train": rows})
    task = get_task("sts-b", str(tmp_path), data_source="tfds")
    (example,) = read(task, task.train[0], tmp_path)
    assert np.float32(example.label) == np.float32(3.8)


def test_snli_rows_without_a_label(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ["entailment", "neutral", "contradiction"]
    rows = [{"premise": f"p{i}", "hypothesis": "h", "label": i} for i in (-1, 0, 2)]
    features = {
        **texts("premise", "hypothesis"),
        "label": tfds.features.ClassLabel(names=names),
    }
    store(tmp_path, "snli", features, {"train": rows, "test": rows})
    task = get_task("snli", str(tmp_path), data_source="tfds")
    caplog.set_level(logging.INFO)
    caplog.clear()
    train = read(task, task.train[0], tmp_path)
    assert {(e.text_a, e.label) for e in train} == {("p0", "entailment"), ("p2", "contradiction")}
    assert "snli, split train: 1 rows without a label (-) were left out." in caplog.messages
    test = read(task, task.test[0], tmp_path)
    assert [e.example_id for e in test] == ["test-0", "test-1", "test-2"]


@pytest.mark.parametrize("name", DATASETS)
def test_every_task_has_the_features_and_classes_of_the_package(name: str, tmp_path: Path) -> None:
    dataset = DATASETS[name]
    features = tfds.builder(dataset.name, data_dir=str(tmp_path)).info.features
    assert {f for f in (dataset.text_a, dataset.text_b) if f} == set(features) - {"label", "idx"}
    classes = getattr(features["label"], "names", [])
    assert set(dataset.labels) <= set(classes)
    task = get_task(name, str(tmp_path), data_source="tfds")
    assert {dataset.labels.get(c, c) for c in classes} == set(task.labels)
    # An acceptable sentence, a positive one, a pair that means the same: class 1.
    assert all(dataset.labels[c] == str(i) for i, c in enumerate(classes) if c in dataset.labels)


def test_a_data_set_that_is_neither_there_nor_to_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(_: Any) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", unreachable)
    task = get_task("rte", str(tmp_path), data_source="tfds")
    with pytest.raises(
        UserError,
        match=r"glue/rte is not in --data_dir=.* cannot be downloaded \(no route to host\)",
    ):
        task.read_examples(task.dev[0], str(tmp_path))


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    task = get_task("rte", str(tmp_path), data_source="tfds")
    with pytest.raises(UserError, match="--data_source=tfds needs the package tensorflow-datasets"):
        task.read_examples(task.dev[0], str(tmp_path))


def test_tasks_and_flags_that_go_with_files_only(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not have task book-reviews; it has cola, .*, snli"):
        get_task("book-reviews", str(tmp_path), data_source="tfds")
    with pytest.raises(UserError, match="--task_name=tsv --data_source=tfds has fixed sets"):
        get_task("tsv", str(tmp_path), text_a="a", label="b", data_source="tfds")
    with pytest.raises(UserError, match="does not have task tsv; it has"):
        get_task("tsv", str(tmp_path), data_source="tfds")
