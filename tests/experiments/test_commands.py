"""The graph of commands: what an output needs, and what is asked for twice."""

from __future__ import annotations

import sys

import pytest

from experiments.commands import CommandGraph, random_start, script
from experiments.stages import ROOT


@pytest.fixture
def graph() -> CommandGraph:
    return CommandGraph("out", "vocab.txt", "bfloat16")


def flags(graph: CommandGraph, name: str) -> dict[str, str]:
    """Flag -> value of a stage's command."""
    (stage,) = [stage for stage in graph.stages if stage.name == name]
    pairs = (a.removeprefix("--").partition("=") for a in stage.command if a.startswith("--"))
    return {name: value for name, _, value in pairs}


def needs(graph: CommandGraph) -> dict[str, tuple[str, ...]]:
    return {stage.name: stage.needs for stage in graph.stages}


def test_needs_are_the_stages_in_whose_folders_files_are(graph: CommandGraph) -> None:
    graph.add("a", "run.py")
    graph.add("ab", "run.py", "--x=1")
    graph.add("whole", "run.py", "--init_checkpoint=out/ab")
    graph.add("files", "run.py", "--input_file=out/ab/one,out/a/*.tfrecord,out/ab/two")
    graph.add("none", "run.py", "--x=elsewhere/out/a/b", "--y=out/abc/d", "--z=outa", "--n=a")
    assert needs(graph) == {"a": (), "ab": (), "whole": ("ab",), "files": ("ab", "a"), "none": ()}


def test_same_command_is_there_once(graph: CommandGraph) -> None:
    assert graph.add("a", "run.py", "--x=1") == graph.add("a", "run.py", "--x=1") == "out/a"
    assert len(graph.stages) == 1
    with pytest.raises(ValueError, match="two commands are called a"):
        graph.add("a", "run.py", "--x=2")


def test_what_outputs_need_of_the_whole(graph: CommandGraph) -> None:
    for name, needed in (("a", ()), ("b", ()), ("c", ("a",)), ("d", ("c",)), ("e", ("b", "a"))):
        graph.add(name, "run.py", *(f"--from_{n}=out/{n}" for n in needed))
    wanted = {
        ("out/d",): ["a", "c", "d"],
        ("out/e",): ["a", "b", "e"],
        ("out/e/file", "out/c"): ["a", "b", "c", "e"],
        ("elsewhere",): [],
    }
    for folders, names in wanted.items():
        assert [stage.name for stage in graph.needed_for(folders)] == names


def test_estimate_of_a_command(graph: CommandGraph) -> None:
    folder = graph.estimate(graph.add("a", "run.py"), 12.5)
    assert folder == "out/a" and graph.stages[0].estimate == 12.5
    # A model that is given has no command.
    assert graph.estimate("given/model", 3.0) == "given/model"
    assert [stage.estimate for stage in graph.stages] == [12.5]


def test_calls_of_scripts_and_modules() -> None:
    assert script("predict.py") == (sys.executable, f"{ROOT}/predict.py")
    assert script("experiments.median_run") == (sys.executable, "-m", "experiments.median_run")


def test_from_text_to_a_pretrained_student(graph: CommandGraph) -> None:
    graph.transfer_set("texts", "--input_file=raw.txt", "--sizes=10")
    records = graph.pretraining_records("records", "books.txt", 128, "--dupe_factor=2")
    graph.pretraining("lm", random_start("tiny"), records, 128, batch=32, rate=1e-3, steps=2000)
    assert needs(graph) == {"texts": (), "records": (), "lm": ("records",)}
    # 15 % of 128 are 19.2 words.
    assert flags(graph, "records")["max_predictions_per_seq"] == "20"
    assert flags(graph, "records")["output_file"] == flags(graph, "lm")["input_file"]
    trained = flags(graph, "lm")
    assert (trained["num_warmup_steps"], trained["save_checkpoints_steps"]) == ("200", "400")
    # A transfer set is written anew in any case, and knows no --start_over.
    assert {s.name: s.start_over for s in graph.stages}["texts"] == ()
    assert {s.name: s.start_over for s in graph.stages}["lm"] == ("--start_over",)


def test_short_pretraining_saves_every_hundred_updates(graph: CommandGraph) -> None:
    graph.pretraining("lm", random_start("tiny"), "r", 128, batch=8, rate=1e-3, steps=50)
    found = flags(graph, "lm")
    assert (found["num_warmup_steps"], found["save_checkpoints_steps"]) == ("5", "100")
