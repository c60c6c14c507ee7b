"""Flags that messages, help and examples name: the script has them."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator

import pytest
from call_graph import Node, reached, texts
from scripts import ROOT, SCRIPTS, load_script, module_of, script_flags

# What the walk over the sources cannot see: text that a script does not come to, and why.
NOT_REACHED = {
    "classification.tasks": {
        "create_transfer_set": "which reads known tasks from files, and no labels"
    },
    "classification.own_tables": {"create_transfer_set": "as above"},
    "classification.task": {"create_transfer_set": "as above"},
    "classification.tfds_source": {"create_transfer_set": "as above"},
    "data.texts": {
        "measure_similarity": "lines are its texts",
        "create_soft_labels": "as above",
        "export_model": "as above",
    },
    "training.run.run_training": {"run_pretraining": "whose --num_train_steps is at least 1"},
    "training.flag_checks._check_warmup": {
        script: "asked of run_pretraining alone"
        for script in SCRIPTS
        if script != "run_pretraining"
    },
    "checkpoints.model_sources._absent": {
        "convert_checkpoint": "which has an --input_path",
        "export_model": "as above",
        "benchmark_models": "which has --models",
    },
    "checkpoints.model_sources.check_max_seq_length": {
        "benchmark_models": "which has compared its --seq_length before"
    },
    "experiments.grid_search.split_arguments": {"run_grid_search": "flags after the --"},
    "experiments.grid_report._markdown": {"run_grid_search": "flags after the --"},
    **{
        place: {"benchmark_models": "which measures model folders that say it all"}
        for place in (
            "modeling.tokenization.check_casing",
            "modeling.tokenization.open_tokenizer",
            "checkpoints.model_sources.resolve_model",
            "checkpoints.model_sources._check_same_function",
            "checkpoints.model_sources.ModelSources.input_length",
            "checkpoints.model_sources.ModelSources.takes_pairs",
            "checkpoints.tokenizer_files.open_tokenizer_of_file",
            "serving.trained_model.read_trained_model",
        )
    },
}
# Flags of absl and of Apache Beam, and the name that stands for any.
NOT_OURS = {"name", "helpfull", "project", "region", "temp_location"}
_FLAG = re.compile(r"(?<![\w-])--([a-z][a-z0-9_]*)")


def named_flags(text: str, own: set[str]) -> set[str]:
    """Flags that a text names and a script lacks, unless the text names a script that has them."""
    named = set(_FLAG.findall(text)) - NOT_OURS
    known = set(own)
    for script in re.findall(r"(\w+)\.py", text):
        if (ROOT / f"{script}.py").exists():
            load_script(script)
            known |= script_flags()
    return {name for name in named if name not in known and name.removeprefix("no") not in known}


def is_excused(node: Node, script: str) -> bool:
    places = (node.module, f"{node.module}.{node.name}")
    return any(script in NOT_REACHED.get(place, {}) for place in places)


@pytest.mark.parametrize("script", SCRIPTS)
def test_no_message_names_a_flag_that_the_script_lacks(script: str) -> None:
    path = module_of(script).replace(".", "/")
    load_script(path)
    own = script_flags()
    in_vain = {
        (node.module, node.name, text): missing
        for node in reached(module_of(script))
        for text in texts(node)
        # One without a space is an argument of a command, not a message.
        if " " in text and not is_excused(node, script) and (missing := named_flags(text, own))
    }
    assert in_vain == {}


def test_excuses_are_needed() -> None:
    """Each leaves something out that the walk finds."""
    for place, scripts in NOT_REACHED.items():
        for script in scripts:
            load_script(module_of(script).replace(".", "/"))
            own = script_flags()
            found = [
                named_flags(text, own)
                for node in reached(module_of(script))
                if place in (node.module, f"{node.module}.{node.name}")
                for text in texts(node)
                if " " in text
            ]
            assert any(found), (place, script)


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_and_examples_name_flags_of_their_script(script: str) -> None:
    values = load_script(module_of(script).replace(".", "/"))
    own = script_flags()
    for name, text in [(name, values[name].help) for name in own]:
        assert not named_flags(text, own), name
    for command, arguments_ in commands(ROOT / f"{module_of(script).replace('.', '/')}.py"):
        load_script(command)
        assert not named_flags(arguments_, script_flags()), arguments_


def commands(path: pathlib.Path) -> Iterator[tuple[str, str]]:
    """The calls of scripts in a docstring: script, arguments (those behind a -- left out)."""
    docstring = path.read_text().split('"""')[1].replace("\\\\\n", " ").replace("\\\n", " ")
    for line in docstring.splitlines():
        if match := re.match(r"\s+python (?:-m experiments\.)?(\w+)(?:\.py)? (.*)", line):
            yield match[1], match[2].partition(" -- ")[0]
