"""What a command reads is told by content, not by name."""

from __future__ import annotations

import pathlib

import pytest

from experiments.stage_inputs import command_inputs


@pytest.fixture
def here(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.chdir(tmp_path)
    for name in ("data/train.tsv", "data/dev.tsv", "a.txt", "b.txt", "vocab.txt", "tiny/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "model").mkdir()
    for name in (
        "bert_model.ckpt.index",
        "bert_config.json",
        "model.ckpt-3.index",
        "metrics.jsonl",
    ):
        (tmp_path / "model" / name).write_text(name)
    return tmp_path


COMMAND = [
    "python",
    "run.py",
    "--data_dir=data",
    "--input_file=*.txt",
    "--init_checkpoint=model",
    "--bert_config_file=tiny",
    "--exclude_task=sst-2:data,mrpc:none",
    "--output_dir=out",
    "--vocab_file",
    "vocab.txt",
    "--eval_file=none*",
    "--dev_file=a.txt",
]
TRAIN, DEV = "--data_dir=data: data/train.tsv", "--data_dir=data: data/dev.tsv"
EXCLUDED = "--exclude_task=sst-2:data,mrpc:none: data/dev.tsv"
TEXTS, MODEL, VOCAB = "--input_file=*.txt", "--init_checkpoint=model", "--vocab_file=vocab.txt"
DEV_FILE = "--dev_file=a.txt"


def test_flags_that_name_files(here: pathlib.Path) -> None:
    """The name of a size and what does not exist are no files."""
    also_excluded = EXCLUDED.replace("dev.tsv", "train.tsv")
    read = {TRAIN, DEV, TEXTS, MODEL, EXCLUDED, also_excluded, VOCAB, DEV_FILE}
    assert set(command_inputs(COMMAND)) == read


@pytest.mark.parametrize(
    ("path", "flags"),
    [
        ("data/dev.tsv", {DEV, EXCLUDED}),
        ("data/test.tsv", set()),
        ("a.txt", {TEXTS, DEV_FILE}),
        ("b.txt", {TEXTS}),
        ("c.txt", {TEXTS}),
        ("vocab.txt", {TEXTS, VOCAB}),
        ("model/bert_model.ckpt.index", {MODEL}),
        ("model/bert_config.json", {MODEL}),
        ("model/model.ckpt-3.index", set()),
        ("model/metrics.jsonl", set()),
        ("model/eval_results.txt", set()),
        ("out/vocab.txt", set()),
    ],
)
def test_changed_content(here: pathlib.Path, path: str, flags: set[str]) -> None:
    before = command_inputs(COMMAND)
    (here / path).parent.mkdir(exist_ok=True)
    (here / path).write_text("something else")
    after = command_inputs(COMMAND)
    assert {flag for flag, digest in before.items() if after[flag] != digest} == flags


def test_moved_content(here: pathlib.Path) -> None:
    before = command_inputs(["python", "--data_dir=data"])
    (here / "data").rename(here / "moved")
    after = command_inputs(["python", "--data_dir=moved"])
    assert list(before.values()) == list(after.values())
