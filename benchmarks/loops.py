"""The groups of a comparison: which contestants run, on what, and how it is counted."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks import inputs
from benchmarks.contestants import Command, Contestant, Server, run_rounds
from benchmarks.engine_input import EngineInput
from benchmarks.report import OURS, Group, markdown, pretraining_flops_per_token
from common.atomic import write_json, write_text
from common.errors import UserError
from common.files import exists, make_folder, read_json
from common.machine import describe_machine
from modeling.config import BertConfig, load_config

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Kind of text -> (longest input, texts of one measurement for a model of a hundred million weights,
# fewest batches: with fewer there would be less to group by length than in a set worth labelling,
# most batches that a peer gets of them: of 32 reviews one almost always has 512 WordPieces, so all
# batches that are not sorted by length cost the same).
TEXT_KINDS = {"sentences": (128, 1024, 32, 100), "reviews": (512, 320, 5, 2)}
# Weights of a model that gets one batch a measurement; smaller ones get more.
_ONE_BATCH_WEIGHTS = 40e6
_MOST_BATCHES = 16
# Batches of pre-training all look the same, so a peer that takes much longer needs few of them.
_SLOW_PEER_SHARE = 8


_TEXT = ("text_file", "text_megabytes", "vocab_file")
_BATCHES = ("batch_size", "precisions", "torch_compile", "hugging_face_python")
_SST2 = ("sst2_dir", "vocab_file", *_BATCHES)
# Loop -> the options that decide its groups, beside those of all; others choose the groups.
DECISIVE = {
    "ceilings": (),
    "data": (*_TEXT, "model_garden_python", "original_python", "original_dir"),
    "pretraining": (*_TEXT, *_BATCHES, "model_garden_python", "keras_hub_python"),
    "finetuning": (*_SST2, "model_garden_python", "flax_python"),
    "distillation": (*_SST2, "flax_python"),
    "labelling": (*_SST2, "reviews_file"),
    "engines": (*_SST2, "reviews_file", "teacher", "engines", "engine_texts", "runtimes_python"),
}


class Program(NamedTuple):
    """A module that calls `benchmarks.serving.serve`, and the interpreter for it."""

    python: str
    module: str


_OURS = Program(sys.executable, "benchmarks.ours")


def run(options: inputs.CompareOptions) -> None:
    """Measures the groups that are not measured yet, writes the tables and prints them.

    Raises:
      UserError: Groups of the folder were measured with other options or on another machine.
    """
    make_folder(options.output_dir)
    machine = describe_machine()
    measures = Comparison(options).groups()
    paths = {
        name: os.path.join(options.output_dir, f"{inputs.file_name(name)}.json")
        for name in measures
    }
    settings = {name: deciding_options(name, options) for name in measures}
    kept = {name: _kept_group(paths[name], settings[name], machine) for name in measures}
    groups: list[Group] = []
    for name, measure in measures.items():
        group = kept[name]
        if group is None:
            print(f"{name} ...", file=sys.stderr, flush=True)
            group = measure()
            facts = {"options": settings[name], "machine": machine}
            if any(result.rates for result in group.results):
                write_json(paths[name], {**group.to_dict(), **facts})
        groups.append(group)
    products = [r for g in groups if g.name == "ceilings" for r in g.results]
    ceiling = next((r.rate for r in products if "bfloat16" in r.name and r.rates), None)
    command = "python -m benchmarks.compare " + " ".join(sys.argv[1:])
    tables = markdown(groups, ceiling, f"{machine}; medians in turn.\n\n`{command}`")
    write_text(os.path.join(options.output_dir, "comparison.md"), tables)
    measured = [group.to_dict() for group in groups]
    write_json(
        os.path.join(options.output_dir, "comparison.json"),
        {"machine": machine, "command": command, "groups": measured},
    )
    print(tables)


def deciding_options(group: str, options: inputs.CompareOptions) -> dict[str, Any]:
    """The options that decide what is measured of a group, by name."""
    loop = group.split(" ")[0]
    return options.values((*DECISIVE[loop], "rounds", "timeout_seconds", "group_seconds"))


def _kept_group(path: str, options: Mapping[str, Any], machine: str) -> Group | None:
    """A group that was measured earlier; None where there is none, or it does not say how.

    Raises:
      UserError: It was measured in another way than this run would.
    """
    stored = read_json(path) if exists(path) else {}
    earlier, its_machine = stored.pop("options", None), stored.pop("machine", None)
    if earlier is None or its_machine is None:
        return None
    differences = [
        (f"with --{name}={earlier.get(name)}", f"has {value}")
        for name, value in options.items()
        if earlier.get(name) != value
    ]
    if its_machine != machine:
        differences.append((f"on a machine of {its_machine}", f"is on one of {machine}"))
    for then, now in differences:
        raise UserError(
            f"{path} was measured {then}, this run {now}; choose another --output_dir, or remove the "
            "file."
        )
    return Group.from_dict(stored)


class Comparison:
    """The groups of contestants that the options ask for."""

    def __init__(self, options: inputs.CompareOptions):
        self._options = options

    def groups(self) -> dict[str, Callable[[], Group]]:
        """Name of each group that the options ask for -> what measures it."""
        options = self._options
        loops: dict[str, dict[str, Callable[[], Group]]] = {
            "ceilings": {"ceilings": self.ceilings},
            "data": {
                f"data dupe {n}": functools.partial(self.data, int(n)) for n in options.dupe_factors
            },
            "pretraining": {
                f"pretraining {size}": functools.partial(self.pretraining, size)
                for size in options.sizes
            },
            **{
                loop: {
                    f"{loop} {size}": functools.partial(self.classifier, loop, size)
                    for size in options.classifier_sizes
                }
                for loop in ("finetuning", "distillation")
            },
            "labelling": {
                f"labelling {kind} {size}": functools.partial(self.labelling, kind, size)
                for size in options.teacher_sizes
                for kind in TEXT_KINDS
            },
            "engines": {
                f"engines {kind}": functools.partial(self.engines, kind) for kind in TEXT_KINDS
            },
        }
        return {name: measure for loop in options.loops for name, measure in loops[loop].items()}

    def ceilings(self) -> Group:
        """Large matrix products through TensorFlow, and a copy of memory."""
        name = "ceilings"
        contestants = [
            self._server(
                name, f"{OURS}, product, {p}", _OURS, loop="product", precision=p, batches=4
            )
            for p in ("bfloat16", "float32")
        ]
        contestants.append(
            self._server(
                name, f"{OURS}, copy, bytes", _OURS, loop="copy", precision="float32", batches=2
            )
        )
        return Group(name, "operations", self._measure(contestants))

    def data(self, dupe_factor: int) -> Group:
        """Whole runs of data creation, in words of text per second; every pass is the same words."""
        options = self._options
        text, words = self._options.text()
        group = f"data dupe {dupe_factor}"
        garden = [options.model_garden_python, "-m", "official.nlp.data.create_pretraining_data"]
        original = [options.original_python, "create_pretraining_data.py"]
        creators = [
            (OURS, [sys.executable, "create_pretraining_data.py", "--num_processes=2"], ROOT),
            ("Model Garden", garden, ROOT),
            ("google-research/bert", original, options.original_dir or None),
        ]
        arguments = [
            f"--input_file={text}",
            f"--vocab_file={options.need('vocab_file')}",
            f"--dupe_factor={dupe_factor}",
            f"--max_seq_length={inputs.SEQ_LENGTH}",
            f"--max_predictions_per_seq={inputs.NUM_PREDICTIONS}",
        ]
        contestants = []
        for name, program, cwd in creators:
            file_name = name.replace("/", "_").replace(" ", "_")
            records = options.path(f"{file_name}.tfrecord")
            command = [*_absolute(program), *arguments, f"--output_file={records}"]
            log = options.log(group, file_name)
            contestants.append(Command(name, command, log, words * dupe_factor, records, cwd))
        return Group(group, "words", self._measure(contestants))

    def pretraining(self, size: str) -> Group:
        """Updates of pre-training: 128 tokens, 20 predictions."""
        config = load_config(size)
        name = f"pretraining {size}"
        contestants = self._trainers(name, "pretraining", self._options.pretraining_rows, config)
        flops = pretraining_flops_per_token(config, inputs.SEQ_LENGTH, inputs.NUM_PREDICTIONS)
        return Group(name, "tokens", self._measure(contestants), flops)

    def classifier(self, loop: str, size: str) -> Group:
        """Updates of fine-tuning or distillation on SST-2."""
        name, rows = f"{loop} {size}", self._options.classifier_rows
        contestants = self._trainers(name, loop, rows, load_config(size))
        return Group(name, "examples", self._measure(contestants))

    def labelling(self, kind: str, size: str) -> Group:
        """Text to logits."""
        max_seq_length, num_texts, fewest_batches, peer_batches = TEXT_KINDS[kind]
        config = load_config(size)
        batch_size = self._options.batch_size
        share = 1e8 / config.num_parameters()
        batches = max(fewest_batches, round(num_texts * share / batch_size))
        texts = self._options.path(f"{kind}_{batches}.txt")
        is_table = kind == "sentences"
        source = self._options.sentences() if is_table else self._options.need("reviews_file")
        inputs.write_texts(source, texts, batches * batch_size, is_table)
        group = f"labelling {kind} {size}"
        options = {"model": _shape(config), **self._options.labelling(texts, max_seq_length)}
        contestants = self._in_all_precisions(group, OURS, _OURS, batches=batches, **options)
        contestants += self._hugging_face(group, batches=min(batches, peer_batches), **options)
        return Group(group, "examples", self._measure(contestants))

    def engines(self, kind: str) -> Group:
        """Labelling by a trained model and any engine, beside bare loops and Hugging Face."""
        group = f"engines {kind}"
        max_seq_length, _, _, peer_batches = TEXT_KINDS[kind]
        setting = EngineInput(self._options, kind, max_seq_length)
        peer = Program(self._options.runtimes_python, "benchmarks.peers.runtimes")
        contestants = [
            self._server(group, name, peer, **values) for name, values in setting.bare_loops()
        ]
        for mode, values in setting.engines():
            contestants.append(self._server(group, f"{OURS}, {mode}", _OURS, **values))
            name = f"{OURS}, {mode} command"
            command, output = setting.command(values)
            command = [sys.executable, *command]
            log = self._options.log(group, name)
            contestants.append(Command(name, command, log, setting.num_texts, output, ROOT))
        batches = max(1, min(peer_batches, setting.num_texts // self._options.batch_size))
        options = self._options.labelling(setting.texts, max_seq_length)
        model = _shape(setting.config)
        contestants += self._hugging_face(group, model=model, batches=batches, **options)
        return Group(group, "examples", self._measure(contestants))

    ## Contestants

    def _trainers(self, group: str, loop: str, rows: str, config: BertConfig) -> list[Contestant]:
        batches = round(_ONE_BATCH_WEIGHTS / config.num_parameters())
        if loop != "pretraining":
            # Lengths differ, so a single batch would say little; and they are short.
            batches = 4 * max(1, batches)
        options: dict[str, Any] = {
            "input": rows,
            "model": _shape(config),
            "batch_size": self._options.batch_size,
            "batches": max(1, min(_MOST_BATCHES, batches)),
        }
        contestants = self._in_all_precisions(group, OURS, _OURS, loop=loop, **options)
        if loop == "distillation":
            # Stored soft labels should cost no more than labels do; Model Garden has no distillation
            # of classifiers.
            contestants += self._in_all_precisions(
                group, "our fine-tuning", _OURS, loop="finetuning", **options
            )
        else:
            garden = Program(self._options.model_garden_python, "benchmarks.peers.model_garden")
            contestants += self._in_all_precisions(
                group, "Model Garden", garden, loop=loop, **options
            )
        if loop == "pretraining":
            options["batches"] = max(1, options["batches"] // _SLOW_PEER_SHARE)
            hub = Program(self._options.keras_hub_python, "benchmarks.peers.keras_hub_bert")
            contestants += self._in_all_precisions(group, "Keras Hub", hub, loop=loop, **options)
        else:
            flax = Program(self._options.flax_python, "benchmarks.peers.flax_bert")
            contestants += self._in_all_precisions(group, "JAX", flax, loop=loop, **options)
        return contestants + self._hugging_face(group, loop=loop, **options)

    def _hugging_face(self, group: str, **options: Any) -> list[Contestant]:
        peer = Program(self._options.hugging_face_python, "benchmarks.peers.hugging_face")
        contestants = self._in_all_precisions(group, "Hugging Face, eager", peer, **options)
        if self._options.torch_compile:
            name = "Hugging Face, torch.compile"
            contestants += self._in_all_precisions(group, name, peer, compile=1, **options)
        return contestants

    def _in_all_precisions(
        self, group: str, who: str, program: Program, **options: Any
    ) -> list[Contestant]:
        return [
            self._server(group, f"{who}, {p}", program, precision=p, **options)
            for p in self._options.precisions
        ]

    def _server(self, group: str, name: str, program: Program, **options: Any) -> Contestant:
        arguments = [f"--{key}={value}" for key, value in options.items()]
        command = [*_absolute([program.python]), "-m", program.module, *arguments]
        return Server(name, command, self._options.log(group, name), cwd=ROOT)

    def _measure(self, contestants: Sequence[Contestant]) -> list:
        options = self._options
        return run_rounds(
            contestants, options.rounds, options.timeout_seconds, options.group_seconds
        )


def _absolute(command: Sequence[str]) -> list[str]:
    """The command for another folder; without a program, a contestant is not installed."""
    program, *arguments = command
    return [os.path.abspath(program) if program else "", *arguments]


def _shape(config: BertConfig) -> str:
    return f"{config.num_hidden_layers},{config.hidden_size}"
