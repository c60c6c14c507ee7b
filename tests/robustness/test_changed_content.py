"""Content behind a run changes, and the same command notices, whether the run has ended or not.

CONTENT_CHANGES in the environment is the number of changes to each content (1 without it),
CONTENT_SEED draws their places.
"""

from __future__ import annotations

import os
import pathlib
import random
import re
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from runs import kill_after, saved_steps
from scripts import run_script

from checkpoints.weights import CheckpointReader, write_checkpoint
from common.errors import UserError

CHANGES = int(os.environ.get("CONTENT_CHANGES", "1"))
SEED = int(os.environ.get("CONTENT_SEED", "0"))
LENGTH = 16
SOFT_LABELS = "soft_labels/soft_labels-00000.tfrecord"


COMMON = {"max_seq_length": LENGTH}
TRAINING = {
    "train_batch_size": 16,
    "do_train": True,
    "save_checkpoints_steps": 2,
    "keep_checkpoint_max": 9,
}
FINE_TUNING = {
    **COMMON,
    **TRAINING,
    "task_name": "SST-2",
    "data_dir": "task",
    "do_eval": True,
    "num_train_epochs": 0.4,
}
PRETRAINING = {
    **COMMON,
    **TRAINING,
    "max_predictions_per_seq": 3,
    "vocab_file": "vocab.txt",
    "input_file": "records.tfrecord",
    "num_train_steps": 5,
    "num_warmup_steps": 1,
}
# Name, also of the output -> script and flags. Values that are files or folders lie in one folder.
COMMANDS: dict[str, tuple[str, dict[str, Any]]] = {
    "records": (
        "create_pretraining_data",
        {
            **COMMON,
            "max_predictions_per_seq": 3,
            "input_file": "corpus.txt",
            "output_file": "records.tfrecord",
            "vocab_file": "vocab.txt",
            "dupe_factor": 1,
            "num_processes": 1,
        },
    ),
    "start": ("run_pretraining", {**PRETRAINING, "bert_config_file": "bert_config.json"}),
    "fine_tuned": ("run_classifier", {**FINE_TUNING, "init_checkpoint": "start"}),
    "soft_labels": (
        "create_soft_labels",
        {
            **COMMON,
            "init_checkpoint": "fine_tuned",
            "task_name": "SST-2",
            "data_dir": "task",
            "input_file": "transfer.txt",
        },
    ),
    "distilled": (
        "run_distill",
        {**FINE_TUNING, "input_file": "soft_labels/*.tfrecord", "init_checkpoint": "start"},
    ),
    "adapted": ("run_pretraining", {**PRETRAINING, "init_checkpoint": "start", "teacher": "start"}),
}


@pytest.fixture(scope="module")
def inputs(
    tmp_path_factory: pytest.TempPathFactory,
    task_dir: str,
    transfer_file: str,
    corpus_file: str,
    vocab_file: str,
    write_config: Callable[..., str],
) -> pathlib.Path:
    """Everything that the commands below read, in one folder, and their finished outputs."""
    folder = tmp_path_factory.mktemp("content")
    shutil.copytree(task_dir, folder / "task")
    shutil.copy(transfer_file, folder / "transfer.txt")
    shutil.copy(corpus_file, folder / "corpus.txt")
    shutil.copy(vocab_file, folder / "vocab.txt")
    shutil.copy(write_config(num_hidden_layers=1), folder / "bert_config.json")
    for name in COMMANDS:
        run(folder, name)
    return folder


def run(folder: pathlib.Path, name: str) -> None:
    """Runs a command on the inputs in a folder."""
    script, flags = COMMANDS[name]
    given = {
        flag: str(folder / value) if is_path(value) else value for flag, value in flags.items()
    }
    if "output_file" not in flags:
        given["output_dir"] = str(folder / name)
    run_script(script, **given)


def is_path(value: Any) -> bool:
    roots = (
        "task",
        "transfer.txt",
        "corpus.txt",
        "vocab.txt",
        "bert_config.json",
        "records.tfrecord",
    )
    return isinstance(value, str) and value.split("/")[0] in (*roots, *COMMANDS)


def change_letter(path: pathlib.Path, rng: random.Random) -> None:
    """Another letter in place of a small one in the file, not in the first line."""
    lines = path.read_text().split("\n")
    numbers = [i for i, line in enumerate(lines) if i and re.search("[a-z]", line)]
    number = rng.choice(numbers)
    letters = [i for i, c in enumerate(lines[number]) if "a" <= c <= "y"]
    place = rng.choice(letters)
    line = lines[number]
    lines[number] = line[:place] + "z" + line[place + 1 :]
    path.write_text("\n".join(lines))


def change_label(path: pathlib.Path, rng: random.Random) -> None:
    lines = path.read_text().split("\n")
    number = rng.choice([i for i, line in enumerate(lines) if line.endswith(("\t0", "\t1"))])
    lines[number] = lines[number][:-1] + ("1" if lines[number][-1] == "0" else "0")
    path.write_text("\n".join(lines))


def change_weight(path: pathlib.Path, rng: random.Random) -> None:
    """The next larger float32 in place of one weight of the encoder."""
    reader = CheckpointReader(str(path / "bert_model.ckpt"))
    values = {name: reader.read(name).copy() for name in reader.shapes}
    weights = values[
        rng.choice([name for name in sorted(values) if name.startswith("bert/")])
    ].ravel()
    place = rng.randrange(weights.size)
    weights[place] = np.nextafter(weights[place], np.float32(np.inf))
    write_checkpoint(str(path / "bert_model.ckpt"), values)


def change_byte(path: pathlib.Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    place = rng.randrange(len(data))
    data[place] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


# Command -> what it reads, what may happen to that, and what is said of it.
CONTENTS = [
    ("records", "corpus.txt", change_letter, "made with input_sha256 = "),
    ("records", "vocab.txt", change_letter, "made with vocab_sha256 = "),
    ("fine_tuned", "task/train.tsv", change_letter, "a run with another training data: "),
    ("fine_tuned", "task/train.tsv", change_label, "a run with another training data: "),
    ("fine_tuned", "task/dev.tsv", change_label, "a run with another development data: "),
    ("fine_tuned", "start", change_weight, "a run with another start: "),
    ("fine_tuned", "start/vocab.txt", change_letter, "vocab.txt is not the vocabulary of "),
    ("soft_labels", "transfer.txt", change_letter, "made with transfer_set_sha256 = "),
    ("soft_labels", "task/train.tsv", change_label, "made with transfer_set_sha256 = "),
    ("soft_labels", "fine_tuned", change_weight, "made with teacher_weights_sha256 = "),
    ("distilled", SOFT_LABELS, change_byte, "soft_labels-00000.tfrecord"),
    ("distilled", "task/dev.tsv", change_letter, "a run with another development data: "),
    ("distilled", "start", change_weight, "a run with another start: "),
    ("adapted", "records.tfrecord", change_byte, "records.tfrecord"),
    ("adapted", "start", change_weight, "a run with another start: "),
    ("adapted", "vocab.txt", change_letter, "vocab.txt is not the vocabulary of "),
]


CASES = [(*case, True) for case in CONTENTS]
# What is not a training run appears under its name when it is finished.
CASES += [(*case, False) for case in CONTENTS if case[0] in ("fine_tuned", "distilled", "adapted")]


@pytest.mark.parametrize(
    ("command", "content", "change", "message", "is_finished"),
    CASES,
    ids=[
        f"{c}-{f}-{e.__name__}-{'finished' if done else 'unfinished'}" for c, f, e, _, done in CASES
    ],
)
def test_changed_content_is_noticed(
    inputs: pathlib.Path,
    tmp_path: pathlib.Path,
    command: str,
    content: str,
    change: Callable[[pathlib.Path, random.Random], None],
    message: str,
    is_finished: bool,
) -> None:
    folder = tmp_path / "content"
    output = folder / COMMANDS[command][1].get("output_file", command)
    rng = random.Random(f"{SEED} {command} {content} {change.__name__} {is_finished}")
    for _ in range(CHANGES):
        shutil.copytree(inputs, folder)
        if not is_finished:
            kill_after(output, 2)
            assert saved_steps(output) == [2]
        change(folder / content, rng)
        before = contents_of(output)
        with pytest.raises(UserError, match=message):
            run(folder, command)
        assert contents_of(output) == before
        shutil.rmtree(folder)


def contents_of(output: pathlib.Path) -> dict[pathlib.Path, bytes]:
    paths = output.rglob("*") if output.is_dir() else [output]
    return {path: path.read_bytes() for path in paths if path.is_file()}


@pytest.mark.parametrize("command", ["fine_tuned", "distilled", "adapted"])
def test_moved_content_is_the_same(
    inputs: pathlib.Path, tmp_path: pathlib.Path, command: str
) -> None:
    """In another place, an interrupted run goes on."""
    shutil.copytree(inputs, tmp_path / "content")
    output = tmp_path / "content" / command
    expected = (output / "metrics.jsonl").read_text(), (output / "run_config.json").read_bytes()
    kill_after(output, 2)
    run(tmp_path / "content", command)
    found = (output / "metrics.jsonl").read_text(), (output / "run_config.json").read_bytes()
    assert found == expected
