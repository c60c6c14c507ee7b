"""The groups of a comparison: which contestants run, on what, and how it is counted."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import Any

from benchmarks import inputs
from benchmarks.contestants import Command, Contestant, Server, run_rounds
from benchmarks.record_statistics import record_statistics
from benchmarks.report import OURS, Group, pretraining_flops_per_token
from common.errors import UserError
from common.files import make_folder
from modeling.config import BertConfig, load_config

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCRIPTS = (
    "create_pretraining_data",
    "run_pretraining",
    "run_classifier",
    "create_soft_labels",
    "run_distill",
    "convert_checkpoint",
)
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
_TEXT_GROWTH = (1, 4, 16)


@dataclasses.dataclass(frozen=True)
class Setting:
    """The flags of `benchmarks.compare`; paths are absolute."""

    output_dir: str
    text_file: str | None
    text_megabytes: float
    vocab_file: str | None
    sst2_dir: str | None
    reviews_file: str | None
    batch_size: int
    precisions: tuple[str, ...]
    torch_compile: bool
    model_garden_python: str
    hugging_face_python: str
    original_python: str
    original_dir: str
    rounds: int
    timeout: float
    group_seconds: float

    def path(self, name: str) -> str:
        """A file in the folder of inputs and logs."""
        folder = os.path.join(self.output_dir, "work")
        make_folder(folder)
        return os.path.join(folder, name)

    def need(self, flag: str) -> str:
        """The value of a path flag; UserError if it was not given."""
        value = getattr(self, flag)
        if not value:
            raise UserError(f"--{flag} is needed for these --loops; pass it or leave them out.")
        return value

    def log(self, group: str, name: str) -> str:
        """Path of the log file of a contestant."""
        return self.path(f"{group}_{name}.log".replace(" ", "_").replace(",", ""))

    def run(self, contestants: list[Contestant]) -> list:
        """The results of all of them."""
        return run_rounds(contestants, self.rounds, self.timeout, self.group_seconds)


def ceilings(setting: Setting) -> Group:
    """Large matrix products through TensorFlow, and a copy of memory."""
    contestants: list[Contestant] = [
        _ours(setting, "ceilings", f"{OURS}, product, {p}", "product", precision=p, batches=4)
        for p in ("bfloat16", "float32")
    ]
    contestants.append(
        _ours(setting, "ceilings", f"{OURS}, copy, bytes", "copy", precision="float32", batches=2)
    )
    return Group("ceilings", "operations", setting.run(contestants))


def data(setting: Setting, dupe_factor: int) -> Group:
    """Whole runs of data creation, in words of text per second; every pass is the same words.

    The facts beside the rates have the averages of the records, to show that they are alike.
    """
    text, words = _text(setting, 1.0)
    group = f"data dupe {dupe_factor}"

    def records(name: str) -> str:
        return setting.path(name.replace("/", "_").replace(" ", "_") + ".tfrecord")

    def arguments(out: str) -> list[str]:
        return [
            f"--input_file={text}",
            f"--output_file={records(out)}",
            f"--vocab_file={setting.need('vocab_file')}",
            f"--dupe_factor={dupe_factor}",
            f"--max_seq_length={inputs.SEQ_LENGTH}",
            f"--max_predictions_per_seq={inputs.NUM_PREDICTIONS}",
        ]

    garden = [setting.model_garden_python, "-m", "official.nlp.data.create_pretraining_data"]
    original = [setting.original_python, "create_pretraining_data.py"]
    runs = [
        (OURS, [sys.executable, "create_pretraining_data.py", "--num_processes=2"], ROOT),
        ("Model Garden", garden, ROOT),
        ("google-research/bert", original, setting.original_dir or None),
    ]
    contestants: list[Contestant] = [
        Command(
            name,
            [*command, *arguments(name)],
            setting.log(group, name.replace("/", "_")),
            units=words * dupe_factor,
            output=records(name),
            cwd=cwd,
        )
        for name, command, cwd in runs
    ]
    results = setting.run(contestants)
    for result in results:
        if result.rates:
            result.facts["records"] = record_statistics(
                records(result.name),
                setting.need("vocab_file"),
                inputs.SEQ_LENGTH,
                inputs.NUM_PREDICTIONS,
            )
    return Group(group, "words", results)


def pretraining(setting: Setting, size: str) -> Group:
    """Updates of pre-training: 128 tokens, 20 predictions."""
    rows = setting.path("pretraining.npz")
    if not os.path.exists(rows):
        text, _ = _text(setting, 1.0)
        inputs.write_pretraining_rows(
            text, setting.need("vocab_file"), rows, 16 * setting.batch_size
        )
    config = _config(size)
    contestants = _trainers(setting, f"pretraining {size}", "pretraining", rows, config)
    flops = pretraining_flops_per_token(config, inputs.SEQ_LENGTH, inputs.NUM_PREDICTIONS)
    return Group(f"pretraining {size}", "tokens", setting.run(contestants), flops)


def classifier(setting: Setting, loop: str, size: str) -> Group:
    """Updates of fine-tuning or distillation on SST-2."""
    rows = setting.path("sst2.npz")
    if not os.path.exists(rows):
        table = os.path.join(setting.need("sst2_dir"), "train.tsv")
        inputs.write_classifier_rows(
            table, setting.need("vocab_file"), rows, 50 * setting.batch_size
        )
    contestants = _trainers(setting, f"{loop} {size}", loop, rows, _config(size))
    return Group(f"{loop} {size}", "examples", setting.run(contestants))


def labelling(setting: Setting, kind: str, size: str) -> Group:
    """Text to logits."""
    max_seq_length, num_texts, fewest_batches, peer_batches = TEXT_KINDS[kind]
    config = _config(size)
    share = 1e8 / config.num_parameters()
    batches = max(fewest_batches, round(num_texts * share / setting.batch_size))
    texts = setting.path(f"{kind}_{batches}.txt")
    if kind == "sentences":
        table = os.path.join(setting.need("sst2_dir"), "train.tsv")
        inputs.write_texts(table, texts, batches * setting.batch_size, column=True)
    else:
        inputs.write_texts(setting.need("reviews_file"), texts, batches * setting.batch_size)
    options = {
        "input": texts,
        "vocab_file": setting.need("vocab_file"),
        "model": _shape(config),
        "max_seq_length": max_seq_length,
        "batch_size": setting.batch_size,
        "batches": batches,
    }
    group = f"labelling {kind} {size}"
    contestants: list[Contestant] = []
    for precision in setting.precisions:
        name = f"{OURS}, {precision}"
        contestants.append(_ours(setting, group, name, "labelling", precision=precision, **options))
    options["batches"] = min(batches, peer_batches)
    contestants += _hugging_face(setting, group, "labelling", options)
    return Group(group, "examples", setting.run(contestants))


def startup(setting: Setting) -> Group:
    """Seconds until the scripts' flags are printed, and of a whole run of one update of Tiny."""
    contestants: list[Contestant] = [
        Command(
            f"{OURS}, {script} --help",
            [sys.executable, "-c", _HELP, f"{script}.py"],
            setting.log("startup", script),
            units=1,
            cwd=ROOT,
        )
        for script in SCRIPTS
    ]
    pretraining_rows = setting.path("pretraining.npz.tfrecord")
    if not os.path.exists(pretraining_rows):
        text, _ = _text(setting, 1.0)
        inputs.write_pretraining_rows(
            text,
            setting.need("vocab_file"),
            setting.path("pretraining.npz"),
            16 * setting.batch_size,
        )
    folder = setting.path("one_update")
    update = [sys.executable, "run_pretraining.py", "--bert_config_file=tiny", "--do_train"]
    update += [f"--input_file={pretraining_rows}", f"--output_dir={folder}"]
    update += ["--num_train_steps=1", "--num_warmup_steps=0", "--precision=bfloat16"]
    contestants.append(
        Command(
            f"{OURS}, run_pretraining, one update and its saved model",
            update,
            setting.log("startup", "one_update"),
            units=1,
            output=folder,
            cwd=ROOT,
        )
    )
    return Group("startup", "run", setting.run(contestants))


def growth(setting: Setting) -> Group:
    """Our rates at 1, 4 and 16 times the input: the same where the cost is linear."""
    contestants: list[Contestant] = []
    records = setting.path("growth.tfrecord")
    for factor in _TEXT_GROWTH:
        text, words = _text(setting, factor / _TEXT_GROWTH[-1])
        creation = [sys.executable, "create_pretraining_data.py", f"--input_file={text}"]
        creation += [f"--output_file={records}", "--dupe_factor=5"]
        creation += [f"--vocab_file={setting.need('vocab_file')}"]
        contestants.append(
            Command(
                f"{OURS}, data creation, {factor} x",
                creation,
                setting.log("growth", f"data{factor}"),
                units=words * 5,
                output=records,
                cwd=ROOT,
            )
        )
    sentences = os.path.join(setting.need("sst2_dir"), "train.tsv")
    tiny = _config("tiny")
    for factor in _TEXT_GROWTH:
        texts = setting.path(f"growth_{factor}.txt")
        count = inputs.write_texts(sentences, texts, 1600 * factor, column=True)
        contestants.append(
            _ours(
                setting,
                "growth",
                f"{OURS}, labelling by Tiny, {factor} x",
                "labelling",
                input=texts,
                vocab_file=setting.need("vocab_file"),
                model=_shape(tiny),
                precision="bfloat16",
                max_seq_length=128,
                batch_size=setting.batch_size,
                batches=count // setting.batch_size,
            )
        )
    return Group("growth", "words or examples", setting.run(contestants))


# absl ends --help with status 1.
_HELP = (
    "import subprocess, sys; "
    "subprocess.run([sys.executable, sys.argv[1], '--help'], stdout=subprocess.DEVNULL)"
)


def _text(setting: Setting, share: float) -> tuple[str, int]:
    """A share of the text to be used, and the number of its words."""
    megabytes = setting.text_megabytes * share
    target = setting.path(f"text_{megabytes:g}MB.txt")
    return target, inputs.write_text(setting.need("text_file"), target, megabytes)


def _config(size: str) -> BertConfig:
    return load_config(size)


def _shape(config: BertConfig) -> str:
    return f"{config.num_hidden_layers},{config.hidden_size}"


def _trainers(
    setting: Setting, group: str, loop: str, rows: str, config: BertConfig
) -> list[Contestant]:
    batches = round(_ONE_BATCH_WEIGHTS / config.num_parameters())
    if loop != "pretraining":
        # Lengths differ, so a single batch would say little; and they are short.
        batches = 4 * max(1, batches)
    options: dict[str, Any] = {
        "input": rows,
        "model": _shape(config),
        "batch_size": setting.batch_size,
        "batches": max(1, min(_MOST_BATCHES, batches)),
    }
    contestants: list[Contestant] = []
    for precision in setting.precisions:
        name = f"{OURS}, {precision}"
        contestants.append(_ours(setting, group, name, loop, precision=precision, **options))
    if loop == "distillation":
        # Stored soft labels should cost no more than labels do; Model Garden has no distillation
        # of classifiers.
        for precision in setting.precisions:
            name = f"our fine-tuning, {precision}"
            contestants.append(
                _ours(setting, group, name, "finetuning", precision=precision, **options)
            )
    else:
        for precision in setting.precisions:
            name = f"Model Garden, {precision}"
            contestants.append(
                _server(
                    setting,
                    group,
                    name,
                    [setting.model_garden_python, "-m", "benchmarks.peers.model_garden"],
                    {"loop": loop, "precision": precision, **options},
                )
            )
    if loop == "pretraining":
        options["batches"] = max(1, options["batches"] // _SLOW_PEER_SHARE)
    return contestants + _hugging_face(setting, group, loop, options)


def _hugging_face(setting: Setting, group: str, loop: str, options: dict) -> list[Contestant]:
    contestants: list[Contestant] = []
    for compiled in (False, True) if setting.torch_compile else (False,):
        for precision in setting.precisions:
            command = [setting.hugging_face_python, "-m", "benchmarks.peers.hugging_face"]
            contestants.append(
                _server(
                    setting,
                    group,
                    f"Hugging Face, {'torch.compile' if compiled else 'eager'}, {precision}",
                    command + (["--compile"] if compiled else []),
                    {"loop": loop, "precision": precision, **options},
                )
            )
    return contestants


def _ours(setting: Setting, group: str, name: str, loop: str, **options: object) -> Contestant:
    command = [sys.executable, "-m", "benchmarks.ours"]
    return _server(setting, group, name, command, {"loop": loop, **options})


def _server(
    setting: Setting, group: str, name: str, command: list[str], options: dict
) -> Contestant:
    arguments = [f"--{key}={value}" for key, value in options.items()]
    return Server(name, [*command, *arguments], setting.log(group, name), cwd=ROOT)
