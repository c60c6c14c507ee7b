"""The commands that the comparisons ask for, and their results; the commands themselves are faked."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from scripts import run_script

from common.errors import UserError
from experiments.stages import Stage

# Accuracies of models by the beginning of their names.
ACCURACIES = {"teacher": 0.9, "basic": 0.5, "pf": 0.6, "kd_1": 0.55, "kd_3": 0.65, "kd": 0.7}
ACCURACIES |= {"pd-f": 0.85, "pd_1": 0.75, "pd_3": 0.8, "pd": 0.8}


@pytest.fixture
def fake(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, write_config: Callable[..., str]
) -> dict[str, Any]:
    """Flags of a comparison; its stages are put under "stages" and only write results."""
    config = pathlib.Path(write_config()).read_text()
    seen: dict[str, Any] = {"stages": {}}

    def run_stages(
        wanted: Sequence[Stage], folder: str, num_jobs: int, start_over: bool
    ) -> dict[str, float]:
        assert not start_over
        assert folder == str(tmp_path / "out" / "stages") and num_jobs == 2
        for stage in wanted:
            assert set(stage.needs) <= set(seen["stages"]), "a stage stands before one it needs"
            seen["stages"][stage.name] = stage
            if match := re.match("(teacher|[a-z-]+)(_seed|_1|_3|$)", stage.name):
                accuracy = ACCURACIES.get(match[0].removesuffix("_seed"), 0)
                output = tmp_path / "out" / stage.name
                output.mkdir(parents=True)
                (output / "bert_config.json").write_text(config)
                metrics = ("accuracy", "pearson", "spearman")
                lines = [f"eval_{metric} = {accuracy}\n" for metric in metrics]
                (output / "eval_results.txt").write_text("".join(lines))
                lines = [f"{line}\n" for line in seen.get("predictions", [])]
                (output / "test_results.tsv").write_text("".join(lines))
        return dict.fromkeys(seen["stages"], 1.0)

    monkeypatch.setattr("experiments.comparison.run_stages", run_stages)
    monkeypatch.setattr("experiments.comparison.check_models", lambda options: None)
    seen["flags"] = {
        "data_dir": "folder",
        "vocab_file": "vocab.txt",
        "transfer_file": "texts.txt",
        "teacher_checkpoint": "big",
        "seeds": "7,8",
        "output_dir": tmp_path / "out",
    }
    return seen


def options(stage: Stage) -> dict[str, str]:
    """Flag -> value of a stage's command."""
    pairs = (argument.removeprefix("--").partition("=") for argument in stage.command[2:])
    return {name: value for name, _, value in pairs}


def test_strategies_differ_in_start_and_data(fake: dict[str, Any], tmp_path: pathlib.Path) -> None:
    run_script(
        "experiments/compare_strategies", **fake["flags"], task_name="SST-2", lm_file="lm.txt"
    )
    out = tmp_path / "out"
    found = {name: options(stage) for name, stage in fake["stages"].items()}
    starts = {
        "teacher": "big",
        "basic_seed7": None,
        "pf_seed7": str(out / "student_lm"),
        "kd_seed7": None,
        "pd_seed8": str(out / "student_lm"),
        "pd-f_seed8": str(out / "pd_seed8"),
    }
    for name, start in starts.items():
        assert found[name].get("init_checkpoint") == start
        assert found[name].get("bert_config_file") == (None if start else "tiny")
        learns_from_teacher = "run_distill.py" in fake["stages"][name].command[1]
        assert learns_from_teacher == (name[:3] in ("kd_", "pd_"))
        assert found[name].get("input_file") == (
            f"{out}/soft_labels/*.tfrecord" if learns_from_teacher else None
        )
    assert found["pf_seed7"]["random_seed"] == "7"
    assert found["soft_labels"]["task_name"] == "SST-2"
    assert found["student_lm"]["input_file"] == found["lm_data"]["output_file"]
    rows = json.loads((out / "results.json").read_text())["rows"]
    assert rows["PD-F"]["dev"]["values"] == [85, 85]
    assert "| PF | pre-trained | labels |" in (out / "results.md").read_text()


def test_a_pretrained_student_needs_no_text(fake: dict[str, Any], tmp_path: pathlib.Path) -> None:
    flags = {**fake["flags"], "task_name": "SST-2", "student_checkpoint": "small"}
    run_script("experiments/compare_strategies", **flags, transfer_labelled_set=False)
    assert {"lm_data", "student_lm"}.isdisjoint(fake["stages"])
    assert options(fake["stages"]["pd_seed7"])["init_checkpoint"] == "small"
    assert "task_name" not in options(fake["stages"]["soft_labels"])


def test_teacher_of_another_vocabulary(fake: dict[str, Any], vocab_file: str) -> None:
    """It reads its own; records and students have the student's."""
    flags = {**fake["flags"], "task_name": "SST-2", "student_checkpoint": "small"}
    run_script("experiments/compare_strategies", **flags, teacher_vocab_file=vocab_file)
    found = {name: options(stage)["vocab_file"] for name, stage in fake["stages"].items()}
    assert found.pop("teacher") == vocab_file
    assert set(found.values()) == {str(flags["vocab_file"])}


def test_nested_transfer_sets(
    fake: dict[str, Any], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_script(
        "experiments/compare_strategies",
        **fake["flags"],
        task_name="book-reviews",
        student_checkpoint="small",
        transfer_sizes="30,10",
        distill_examples=90,
    )
    out = tmp_path / "out"
    found = {name: options(stage) for name, stage in fake["stages"].items()}
    assert found["transfer_set"]["sizes"] == "10,30"
    assert found["transfer_set"]["exclude_task"] == "book-reviews:folder"
    assert found["soft_labels"]["input_file"] == f"{out}/transfer_set/texts-30.tsv"
    assert found["soft_labels"]["examples_per_shard"] == "10"
    shards = [f"{out}/soft_labels/soft_labels-0000{i}.tfrecord" for i in range(3)]
    for row, start in (("kd", None), ("pd", "small")):
        for size, files, epochs in ((10, shards[:1], 9), (30, shards, 3)):
            run = found[f"{row}_{size}_seed8"]
            assert run["input_file"].split(",") == files
            assert float(run["num_train_epochs"]) == epochs
            assert run.get("init_checkpoint") == start
    lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:9]]
    assert [(row[0], row[2], row[4]) for row in cells] == [
        ("Teacher", "labels", "90.0"),
        ("Basic", "labels", "50.0 ± 0.0"),
        ("PF", "labels", "60.0 ± 0.0"),
        ("KD", "teacher, on 10 texts", "55.0 ± 0.0"),
        ("PD", "teacher, on 10 texts", "75.0 ± 0.0"),
        ("KD", "teacher, on 30 texts", "65.0 ± 0.0"),
        ("PD", "teacher, on 30 texts", "80.0 ± 0.0"),
    ]
    assert (out / "results.png").read_bytes().startswith(b"\x89PNG")
    results = json.loads((out / "results.json").read_text())
    assert results["rows"]["PD 30"]["dev"]["mean"] == 80
    assert results["settings"]["transfer_sizes"] == ["30", "10"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "pass --lm_file, .* or a pre-trained --student_checkpoint"),
        ({"teacher_config": "mini"}, "--teacher_config or .*one of the two"),
        (
            {"transfer_sizes": "10", "student_checkpoint": "small", "data_source": "tfds"},
            "--data_source=tfds: .* are read from files",
        ),
        (
            {"transfer_sizes": "10,25", "student_checkpoint": "small"},
            "25 is no multiple of the smallest one, 10",
        ),
        (
            {"transfer_sizes": "1k", "student_checkpoint": "small"},
            "--transfer_sizes=1k: expected whole numbers",
        ),
    ],
)
def test_bad_flags(fake: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run_script("experiments/compare_strategies", **fake["flags"], task_name="SST-2", **changes)
    assert not fake["stages"]


@pytest.mark.parametrize("kind", ["tsv", "jsonl"])
@pytest.mark.parametrize("task_flags", [{"labels": "yes,no"}, {}, {"regression": True}])
def test_every_command_has_the_same_task(
    fake: dict[str, Any], tmp_path: pathlib.Path, kind: str, task_flags: dict[str, Any]
) -> None:
    """Above all labels in another order than sorted, by which test rows are scored here."""
    rows = [{"text": "a", "topic": "yes"}, {"text": "b", "topic": "no"}]
    if "regression" in task_flags:
        rows = [{"text": "a", "topic": "1.5"}, {"text": "b", "topic": "2"}]
    lines = [json.dumps(row) for row in rows]
    if kind == "tsv":
        lines = ["text\ttopic", *("\t".join(row.values()) for row in rows)]
    for name in ("train", "dev", "test"):
        (tmp_path / f"{name}.{kind}").write_text("\n".join(lines) + "\n")
    is_regression = "regression" in task_flags
    order = {"yes": ["0.9\t0.1", "0.2\t0.8"], "": ["0.1\t0.9", "0.8\t0.2"]}
    fake["predictions"] = ["1", "2"] if is_regression else order[task_flags.get("labels", "")[:3]]
    flags = {**fake["flags"], "data_dir": tmp_path, "task_name": kind, "text_a": "text"}
    flags |= {"label": "topic", "student_checkpoint": "small", **task_flags}
    run_script("experiments/compare_strategies", **flags)
    for name, stage in fake["stages"].items():
        found = options(stage)
        assert found.get("labels") == task_flags.get("labels"), name
        assert ("regression" in found) == is_regression
        assert (found["task_name"], found["text_a"], found["label"]) == (kind, "text", "topic")
    scores = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    assert scores["PD"]["test"]["values"] == pytest.approx([100, 100])


def test_own_tables_are_excluded_by_their_files(
    fake: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    for name in ("train", "dev"):
        (tmp_path / f"{name}.tsv").write_text("text\ttopic\na\tyes\nb\tno\n")
    task = {"task_name": "tsv", "text_a": "text", "label": "topic", "data_dir": tmp_path}
    run_script(
        "experiments/compare_strategies",
        **{**fake["flags"], **task},
        student_checkpoint="small",
        transfer_sizes="10,30",
    )
    found = options(fake["stages"]["transfer_set"])
    assert (found["exclude_file"], found["text_a"]) == (f"{tmp_path}/dev.tsv", "text")
    assert "exclude_task" not in found
