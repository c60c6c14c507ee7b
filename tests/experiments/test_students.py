"""The strategies of the paper as commands."""

from __future__ import annotations

import pytest

from experiments.commands import CommandGraph, Schedule, Start
from experiments.students import TaskModels, TaskSettings, is_distilled, record_files

STARTS: dict[str, Start] = {
    "random": ("--bert_config_file=tiny",),
    "pre-trained": ("--init_checkpoint=lm",),
    "truncated": ("--init_checkpoint=deep", "--init_strategy=truncate_bottom"),
}
# Learning rates that tell which of the schedules a model is trained by.
SETTINGS = TaskSettings(
    task=("--task_name=x",),
    max_seq_length=64,
    batch_size=16,
    teacher=Schedule(1e-1, 1.0),
    labels=Schedule(1e-2, 2.0),
    distillation=Schedule(1e-3, 3.0),
    final=Schedule(1e-4, 4.0),
)


@pytest.mark.parametrize(
    ("strategy", "program", "expected"),
    [
        ("Basic", "run_classifier.py", {"bert_config_file": "tiny", "learning_rate": "0.01"}),
        ("PF", "run_classifier.py", {"init_checkpoint": "lm", "learning_rate": "0.01"}),
        ("KD", "run_distill.py", {"bert_config_file": "tiny", "learning_rate": "0.001"}),
        ("PD", "run_distill.py", {"init_checkpoint": "lm", "learning_rate": "0.001"}),
        ("PD-F", "run_classifier.py", {"init_checkpoint": "o/pd_seed7", "learning_rate": "0.0001"}),
        ("Patient KD", "run_distill.py", {"init_strategy": "truncate_bottom", "temperature": "10"}),
    ],
)
def test_start_data_and_schedule(strategy: str, program: str, expected: dict[str, str]) -> None:
    graph = CommandGraph("o", "v.txt", "float32")
    folder = TaskModels(graph, SETTINGS).student(strategy, STARTS, "labels/*.tfrecord", "7")
    assert folder == f"o/{strategy.lower().replace(' ', '-')}_seed7"
    # PD-F is fine-tuned from the PD model of the same seed, which comes with it.
    assert [stage.name for stage in graph.stages[:-1]] == ["pd_seed7"] * (strategy == "PD-F")
    command = graph.stages[-1].command
    assert command[1].endswith(program)
    pairs = (argument.removeprefix("--").partition("=") for argument in command[2:])
    found = {name: value for name, _, value in pairs}
    assert {name: found.get(name) for name in expected} == expected
    assert ("input_file" in found) == (program == "run_distill.py")
    common = {"task_name": "x", "max_seq_length": "64", "train_batch_size": "16"}
    assert {name: found[name] for name in common} == common
    assert found["random_seed"] == "7" and "do_predict" not in found


def test_passes_and_name_of_a_variant() -> None:
    graph = CommandGraph("o", "v.txt", "float32")
    models = TaskModels(graph, SETTINGS, "task_")
    assert models.student("KD", STARTS, "labels", "7", "_500", 12.0) == "o/task_kd_500_seed7"
    assert "--num_train_epochs=12.0" in graph.stages[0].command


def test_from_a_teacher_to_a_distilled_student() -> None:
    graph = CommandGraph("o", "v.txt", "float32")
    models = TaskModels(graph, SETTINGS)
    labels = models.soft_labels(models.teacher(STARTS["pre-trained"], "1"), "texts.txt")
    models.student("PD", STARTS, record_files(labels), "1")
    needs = {stage.name: stage.needs for stage in graph.stages}
    assert needs == {"teacher": (), "soft_labels": ("teacher",), "pd_seed1": ("soft_labels",)}
    assert graph.stages[1].command[2:] == (
        "--init_checkpoint=o/teacher",
        "--input_file=texts.txt",
        "--output_dir=o/soft_labels",
        "--max_seq_length=64",
        "--precision=float32",
    )


@pytest.mark.parametrize(("teacher_vocab", "vocab"), [("", "v.txt"), ("other.txt", "other.txt")])
def test_records_are_for_students(teacher_vocab: str, vocab: str) -> None:
    graph = CommandGraph("o", "v.txt", "float32")
    settings = TaskSettings(**{**vars(SETTINGS), "teacher_vocab_file": teacher_vocab})
    models = TaskModels(graph, settings)
    labels = models.soft_labels(models.teacher(STARTS["pre-trained"], "1"), "texts.txt")
    teacher, labelling = (stage.command for stage in graph.stages)
    assert [flag for flag in teacher if "vocab" in flag] == [f"--vocab_file={vocab}"]
    assert ("--vocab_file=v.txt" in labelling) == bool(teacher_vocab)
    assert record_files(labels) == "o/soft_labels/*.tfrecord"


def test_strategies_with_a_teacher() -> None:
    found = {name: is_distilled(name) for name in ("PF", "PD", "PD-F")}
    assert found == {"PF": False, "PD": True, "PD-F": True}
