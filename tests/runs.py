"""What fine-tuning and distillation runs leave in their folders, and flags that both refuse."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from checkpoints.weights import CheckpointReader
from distillation.soft_labels import feature_spec
from training.metrics_log import SPEED, SPEED_FILE

NO_TRAINED_MODEL = r"output_dir=.* holds no trained model; train first \(--do_train\)"
# Changes to flags that make a run from random weights, and what is said of them. The run's batch size
# is 16.
BAD_FLAGS: list[tuple[dict[str, Any], str]] = [
    ({}, "nothing to do"),
    ({"do_train": True, "gradient_accumulation_steps": 3}, "train_batch_size=16"),
    ({"do_train": True, "bert_config_file": "nosize"}, "nosize: no such file"),
    ({"do_train": True, "bert_config_file": ""}, "bert_config_file is missing"),
    ({"do_train": True, "vocab_file": ""}, "vocab_file is missing"),
    (
        {"do_train": True, "evaluate_steps": 10, "early_stopping_patience": 2},
        "_patience=2 has no effect without --do_eval; pass that as well, or leave it out",
    ),
]


def metrics(folder: pathlib.Path, kind: str) -> list[dict[str, float]]:
    """Lines of metrics.jsonl, kind "train" or "eval"."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


def results(folder: pathlib.Path, name: str = "eval_results") -> dict[str, float]:
    """The numbers of eval_results.txt, in its order."""
    return {key: float(value) for key, value in _lines(folder, name) if key != "checkpoint"}


def evaluated_model(folder: pathlib.Path, name: str = "eval_results") -> str:
    """The model that eval_results.txt is about."""
    return dict(_lines(folder, name))["checkpoint"]


def _lines(folder: pathlib.Path, name: str) -> list[list[str]]:
    return [line.split(" = ") for line in (folder / f"{name}.txt").read_text().splitlines()]


def predictions(folder: pathlib.Path, name: str = "test_results") -> np.ndarray:
    """The content of test_results.tsv, [num_examples, num_outputs]."""
    return np.loadtxt(folder / f"{name}.tsv", delimiter="\t", ndmin=2)


def info(folder: pathlib.Path) -> dict[str, Any]:
    """The content of model_info.json."""
    return json.loads((folder / "model_info.json").read_text())


def assert_same_folders(expected: pathlib.Path, found: pathlib.Path) -> None:
    """The same files with the same bytes; of TensorBoard files, the same scalars once each.

    Of the speed, which no repetition can repeat, there are the same lines and scalars.
    """
    contents, scalars = [], []
    for folder in (expected, found):
        paths = [path for path in folder.rglob("*") if path.is_file()]
        events = [path for path in paths if path.name.startswith("events.")]
        scalars.append(sorted(scalar for path in events for scalar in _scalars(path)))
        contents.append({str(p.relative_to(folder)): _exact(p) for p in paths if p not in events})
    assert contents[0].keys() == contents[1].keys()
    for name, content in contents[0].items():
        assert contents[1][name] == content, name
    assert scalars[0] == scalars[1]


def _exact(path: pathlib.Path) -> bytes:
    """Content of a file, without the speeds in a log of them, and without times in a sidecar."""
    if path.name != SPEED_FILE:
        data = path.read_bytes()
        if b'"file_mtime_ns"' in data:
            data = re.sub(rb'("file_mtime_ns": |"content_sha256": ")\w+', rb"\g<1>0", data)
        return data
    lines = map(json.loads, path.read_text().splitlines())
    return repr([(line["step"], list(line)) for line in lines]).encode()


def _scalars(path: pathlib.Path) -> list[tuple[bool, int, str, bytes]]:
    """(is of an evaluation, step, tag, value but for a speed) of what a TensorBoard file holds."""
    import tensorflow as tf

    return [
        (
            path.parent.name == "eval",
            event.step,
            value.tag,
            b"" if value.tag == SPEED else value.tensor.SerializeToString(),
        )
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
    ]


def filled(flags: dict[str, Any], **places: object) -> dict[str, Any]:
    """Flags of a table of cases, whose texts name in braces what only a test knows."""
    return {
        name: value.format(**places) if isinstance(value, str) else value
        for name, value in flags.items()
    }


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    """The files below a folder, by their paths in it; sidecars without their times."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): _exact(path) for path in paths}


def weights(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """The variables of a model folder."""
    reader = CheckpointReader(str(folder / "bert_model.ckpt"))
    return {name: reader.read(name) for name in reader.shapes}


def assert_same_weights(folder: pathlib.Path, other: pathlib.Path) -> None:
    """Bit for bit."""
    expected, found = weights(folder), weights(other)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def saved_steps(folder: pathlib.Path) -> list[int]:
    """Of the states that a run has saved."""
    return sorted(int(path.stem.partition("-")[2]) for path in folder.glob("model.ckpt-*.index"))


def kill_after(folder: pathlib.Path, step: int) -> None:
    """Leaves a folder as if its run had been killed after it had saved the state of this step."""
    kept = [saved for saved in saved_steps(folder) if saved <= step]
    for path in folder.glob("model.ckpt-*"):
        if int(path.stem.partition("-")[2]) > step:
            path.unlink()
    lines = [f'model_checkpoint_path: "model.ckpt-{step}"']
    lines += [f'all_model_checkpoint_paths: "model.ckpt-{saved}"' for saved in kept]
    (folder / "checkpoint").write_text("\n".join(lines) + "\n")
    for path in folder.glob("bert_model.ckpt*"):
        path.unlink()


def read_set(
    folder: pathlib.Path, labels: Sequence[str] = ("0", "1"), length: int = 16
) -> dict[str, np.ndarray]:
    """The soft-label records of all shards in order, as TensorFlow parses them."""
    paths = sorted(map(str, folder.glob("*.tfrecord")))
    spec = {**feature_spec(length, labels), "example_id": tf.io.FixedLenFeature([], tf.string)}
    serialized = list(tf.data.TFRecordDataset(paths).as_numpy_iterator())
    return {k: v.numpy() for k, v in tf.io.parse_example(serialized, spec).items()}
