"""What a command reads is told by content, not by name."""

from __future__ import annotations

import pathlib

import pytest

from experiments.stage_inputs import command_inputs, difference


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


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("garden/model.ckpt-20", {"model.ckpt-20.index", "model.ckpt-20.data-00000-of-00001"}),
        ("garden/model.ckpt-2.index", {"model.ckpt-2.index"}),
        (
            "garden",
            {
                "checkpoint",
                "model.ckpt-2.index",
                "model.ckpt-20.index",
                "model.ckpt-20.data-00000-of-00001",
            },
        ),
        # The finished model, not the states of the run before it.
        ("model", set()),
        ("model/bert_model.ckpt", set()),
        ("model/model.ckpt-3", {"model.ckpt-3.index"}),
    ],
)
def test_weights_of_other_names(here: pathlib.Path, value: str, read: set[str]) -> None:
    """Each has an entry of its own: that of the rest of the model stays as it was."""
    (here / "garden").mkdir()
    for name in (
        "bert_config.json",
        "checkpoint",
        "model.ckpt-2.index",
        "model.ckpt-20.index",
        "model.ckpt-20.data-00000-of-00001",
        "model.ckpt-20.meta",
    ):
        (here / "garden" / name).write_text(name)
    name, folder = f"--init_checkpoint={value}", value.split("/")[0]
    assert set(command_inputs(["p", name])) == {name, *(f"{name}: {folder}/{n}" for n in read)}


def test_folder_with_a_comma(here: pathlib.Path) -> None:
    (here / "data").rename(here / "glue,v2")
    (here / "glue,v2" / "deeper").mkdir()
    for name in ("deeper/a.tsv", ".hidden", "dev.tsv.json"):
        (here / "glue,v2" / name).write_text(name)
    flag = "--data_dir=glue,v2"
    names = {f"{flag}: glue,v2/{name}" for name in ("train.tsv", "dev.tsv", "deeper/a.tsv")}
    assert set(command_inputs(["p", flag])) == names


def test_folder_with_a_link_to_itself(here: pathlib.Path) -> None:
    (here / "data" / "again").symlink_to(here / "data")
    assert set(command_inputs(["p", "--data_dir=data"])) == {TRAIN, DEV}


@pytest.mark.parametrize(
    ("before", "now", "reason"),
    [
        ("a.tsv:1", "a.tsv:1", None),
        ("a.tsv:1", "a.tsv:2", "is from other content of a.tsv"),
        ("a.tsv:1", "b.tsv:1", "has read a.tsv, which is not there any more"),
        # A test set that is added later was not read; nor is what stands behind a plain name.
        ("a.tsv:1", "a.tsv:1 b.tsv:2", None),
        ("a.tsv:1", "a.tsv:1 a.tsv.gz:2", None),
        (
            "a.tsv.gz:1",
            "a.tsv.gz:1 a.tsv:2",
            "from a.tsv.gz, in place of which a.tsv would be read",
        ),
        ("a.tsv.xz:1", "a.tsv.gz:2 a.tsv.xz:1", "in place of which a.tsv.gz would be read"),
        ("a.tsv:1 a.tsv.xz:1", "a.tsv:1 a.tsv.gz:2 a.tsv.xz:1", None),
    ],
)
def test_difference(before: str, now: str, reason: str | None) -> None:
    def inputs(text: str) -> dict[str, str]:
        return dict(entry.split(":") for entry in text.split())

    found = difference(inputs(before), inputs(now))
    assert found == reason or (found and reason and reason in found)


def test_runs_of_which_one_is_chosen(here: pathlib.Path) -> None:
    """Their models and their scores, and no saved states."""
    command = ["python", "-m", "experiments.median_run", "--runs=model,absent", "--output_dir=out"]
    before = command_inputs(command)
    assert list(before) == ["--runs=model,absent"]
    for name, counts in (
        ("model.ckpt-3.index", False),
        ("metrics.jsonl", True),
        ("bert_model.ckpt.index", True),
    ):
        (here / "model" / name).write_text("other")
        now = command_inputs(command)
        assert (difference(before, now) is not None) == counts, name
        before = now
