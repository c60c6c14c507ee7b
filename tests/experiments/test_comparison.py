"""The sizes, flags and models of a comparison, before anything runs."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from checkpoints.model_folder import write_model_folder
from checkpoints.weights import variable_values
from common.errors import UserError
from experiments.comparison import (
    ComparisonOptions,
    check_models,
    make_plan,
    parse_sizes,
    task_exclusion,
)
from modeling.config import load_config
from modeling.heads import ClassifierModel


def test_flags_that_name_the_task() -> None:
    options = ComparisonOptions(
        task_name="tsv", text_a="a", labels=["no", "yes"], regression=False, dev_share=0.5
    )
    assert set(options.arguments()) == {
        "--task_name=tsv",
        "--text_a=a",
        "--labels=no,yes",
        "--noregression",
        "--dev_share=0.5",
    }
    assert ComparisonOptions(seeds=("7",)).arguments() == ()


@pytest.mark.parametrize(
    ("values", "sizes"), [([], []), (["40", "10", "20"], [10, 20, 40]), (["7"], [7])]
)
def test_sizes_in_order(values: list[str], sizes: list[int]) -> None:
    assert parse_sizes(values) == sizes


@pytest.mark.parametrize("values", [["0"], ["10", "-20"], ["1e3"], ["10", "15"], ["10", "10"]])
def test_what_is_no_size(values: list[str]) -> None:
    with pytest.raises(UserError, match="^--transfer_sizes"):
        parse_sizes(values)


@pytest.mark.parametrize(
    ("flags", "excluded"),
    [
        ({"dev_file": "my_dev.tsv", "test_file": "my_*.tsv"}, "my_dev.tsv,my_*.tsv"),
        ({"dev_file": "my_dev.tsv"}, "my_dev.tsv,{folder}/test.tsv"),
        ({"dev_share": 0.1}, "{folder}/train.tsv,{folder}/test.tsv"),
        ({"dev_share": 0.1, "train_file": "all.tsv"}, "all.tsv,{folder}/test.tsv"),
    ],
)
def test_excluded_files_are_those_of_the_task(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: dict[str, Any],
    excluded: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("train", "test", "my_dev", "all"):
        (tmp_path / f"{name}.tsv").write_text("text\ttopic\na\tyes\nb\tno\n")
    options = ComparisonOptions(task_name="tsv", data_dir=str(tmp_path), text_a="text", **flags)
    expected = f"--exclude_file={excluded.format(folder=tmp_path)}"
    assert task_exclusion(options) == [expected, "--text_a=text"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            {"dev_file": "dev.txt"},
            "--dev_file: .* of dev.txt, which there is lines of text .*=tsv;",
        ),
        ({"dev_file": "dev.csv.gz"}, "--dev_file: .* is csv by its name"),
        ({"dev_file": "d*.tsv", "test_file": "a.tsv,d*"}, "--test_file: .* of dev.csv.gz,"),
        ({"dev_share": 0.1, "train_file": "dev.txt"}, "--train_file: "),
        ({"dev_file": "none.tsv"}, '--dev_file: no file matches "none.tsv"'),
    ],
)
def test_task_and_transfer_set_read_a_file_alike(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, flags: dict[str, Any], message: str
) -> None:
    """Read in another way, no row of it would be found in the transfer set."""
    monkeypatch.chdir(tmp_path)
    for name in ("dev.txt", "dev.csv.gz", "dev.tsv", "a.tsv"):
        (tmp_path / name).write_text("text\ttopic\na\tyes\n")
    options = ComparisonOptions(task_name="tsv", data_dir=".", text_a="text", **flags)
    with pytest.raises(UserError, match=message):
        task_exclusion(options)


@pytest.mark.parametrize("seeds", [(), ("1", "2", "1"), ("1", "01"), ("x",)])
def test_what_is_no_seed(seeds: tuple[str, ...]) -> None:
    """Of a seed that counts twice, the deviation would be too small."""
    options = ComparisonOptions(student_checkpoint="s", teacher_checkpoint="t", seeds=seeds)
    with pytest.raises(UserError, match="^--seeds="):
        make_plan(options, [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"student": "1/32/2"}, "has hidden_size 24, the configuration says 32"),
        ({"student": "2/24/3"}, "has num_hidden_layers 1, the configuration says 2"),
        ({"student": "big"}, "--student=big: no such file"),
        ({"vocab_file": "other.txt"}, "other.txt is not the vocabulary of "),
        ({"teacher_checkpoint": "none"}, "--teacher_checkpoint=none: no checkpoint found"),
        ({}, None),
    ],
)
def test_models_that_do_not_go_together_are_named_before_anything_runs(
    changes: dict[str, Any],
    message: str | None,
    vocab_file: str,
    write_config: Callable[..., str],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    words = pathlib.Path(vocab_file).read_text().split()
    (tmp_path / "other.txt").write_text("\n".join([*words[:-2], words[-1], words[-2]]) + "\n")
    config = load_config(write_config(num_hidden_layers=1))
    values = variable_values(ClassifierModel(config, 2).trainable_variables)
    write_model_folder("model", values, config, vocab_file, {})
    given = {
        "vocab_file": vocab_file,
        "student": "1/24/3",
        "student_checkpoint": "model",
        "teacher_checkpoint": "model",
    }
    options = ComparisonOptions(**{**given, **changes})
    if message is None:
        check_models(options)
        return
    with pytest.raises(UserError, match=message):
        check_models(options)
