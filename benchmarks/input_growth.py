"""Seconds, memory and disk of commands on inputs of growing size."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from benchmarks.inputs import write_text
from benchmarks.watching import Moment, Watched, watch
from common.atomic import write_text as write_file
from common.errors import UserError
from common.files import exists, make_folder, read_lines
from common.machine import describe_machine
from common.markdown import table
from data.batches import training_batches
from data.record_sets import open_records
from training.metrics_log import METRICS_FILE, read_metrics
from training.options import Options

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_LABELS = ("negative", "neutral", "positive")
# A share of an epoch, of whose beginning the files are counted that its records come from.
_BEGINNING = 0.01
_ROWS_AT_A_TIME = 1024
# The paper's book reviews, and the words of Wikipedia and BooksCorpus.
_PAPER_RECORDS, _PAPER_WORDS = 8e6, 3.3e9


@dataclasses.dataclass(frozen=True)
class GrowthOptions(Options):
    """The flags of `benchmarks.big_inputs`."""

    factors: Sequence[str]
    num_records: int
    max_seq_length: int
    examples_per_shard: int
    train_batch_size: int
    text_megabytes: float
    beam_runner: str | None
    beam_python: str
    vocab_file: str
    sentences_file: str | None
    text_file: str | None
    output_dir: str


class Size(NamedTuple):
    """Cost at one size of the input.

    Attributes:
      units: Records or words.
      watched: The command.
      num_bytes: Of its output.
    """

    units: int
    watched: Watched
    num_bytes: int


def run(options: GrowthOptions) -> None:
    """Measures all sizes, writes the tables and prints them."""
    make_folder(options.output_dir)
    lines = [describe_machine(), "", f"`python -m benchmarks.big_inputs {' '.join(sys.argv[1:])}`"]
    if options.sentences_file:
        lines += _soft_labels(options)
    if options.text_file:
        lines += _pretraining_data(options)
    text = "\n".join(lines) + "\n"
    write_file(os.path.join(options.output_dir, "big_inputs.md"), text)
    print(text)


def _soft_labels(options: GrowthOptions) -> list[str]:
    """Tables of soft labels: what making them takes, and what a student takes to read them."""
    made: list[Size] = []
    readings: list[list[str]] = []
    start = watch([sys.executable, "-c", "import tensorflow, tf_keras"], os.devnull, _ROOT).end
    for factor in options.factors:
        count = int(factor) * options.num_records
        with _scratch(options) as folder:
            scores, records = os.path.join(folder, "scores.tsv"), os.path.join(folder, "labels")
            write_scores(options.sentences_file or "", scores, count)
            watched = _run(
                options,
                "create_soft_labels",
                f"--from_file={scores}",
                f"--output_dir={records}",
                f"--max_seq_length={options.max_seq_length}",
                f"--examples_per_shard={options.examples_per_shard}",
            )
            os.remove(scores)
            sizes = [os.path.getsize(entry.path) for entry in os.scandir(records)]
            made.append(Size(count, watched, sum(sizes)))
            logging.info("%s", made[-1])
            readings.append(_distillation(options, folder, count, start))
            logging.info("%s", readings[-1])
    return [
        "",
        f"Soft labels of {options.max_seq_length} tokens for {len(_LABELS)} labels, "
        f"{options.examples_per_shard:,} a file:",
        "",
        *_costs(made, "records", _PAPER_RECORDS),
        "",
        f"A student of one layer that learns from them in batches of {options.train_batch_size:,}; "
        f"an import of TensorFlow alone takes {_text(start)} s (CPU s):",
        "",
        *table(_READING_COLUMNS, readings),
    ]


_READING_COLUMNS = [
    "records",
    "first update, s (CPU s)",
    "without the import",
    "stopped in the middle, its next update, s (CPU s)",
    "without the import",
    "most memory, MB",
    "records/s",
    "different ones in an epoch",
    f"files of its first {_BEGINNING:.0%}",
    "correlation of place and turn",
]


def _distillation(options: GrowthOptions, folder: str, count: int, start: Moment) -> list[str]:
    """A row of the table: an epoch up to its middle, and the rest by the same command again."""
    records, run_folder = os.path.join(folder, "labels"), os.path.join(folder, "run")
    pattern = os.path.join(records, "*.tfrecord")

    def updates() -> int:
        is_begun = exists(os.path.join(run_folder, METRICS_FILE))
        return (
            max((line["step"] for line in read_metrics(run_folder)), default=0) if is_begun else 0
        )

    def train(milestones: Sequence[Callable[[], bool]], stops: bool = False) -> Watched:
        return _run(
            options,
            "run_distill",
            f"--input_file={pattern}",
            f"--output_dir={run_folder}",
            "--do_train",
            "--bert_config_file=1/64",
            "--num_train_epochs=1",
            "--log_steps=1",
            f"--train_batch_size={options.train_batch_size}",
            milestones=milestones,
            stops=stops,
        )

    steps = count // options.train_batch_size
    first = train([lambda: updates() >= 1, lambda: updates() >= steps // 2], stops=True)
    stopped = updates()
    resumed = train([lambda: updates() > stopped])
    cells = [f"{count:,}"]
    for moment in (first.milestones[0], resumed.milestones[0]):
        beyond = Moment(moment.seconds - start.seconds, moment.cpu_seconds - start.cpu_seconds)
        cells += [_text(moment), _text(beyond)]
    seconds = resumed.end.seconds - resumed.milestones[0].seconds
    order = rows_in_turn(pattern, count)
    files = np.unique(order[: max(1, int(_BEGINNING * count))] // options.examples_per_shard)
    return [
        *cells,
        f"{max(first.peak_bytes, resumed.peak_bytes) / 1e6:,.0f}",
        f"{(steps - stopped) * options.train_batch_size / max(seconds, 1e-3):,.0f}",
        f"{len(np.unique(order)):,}",
        f"{len(files)} of {-(-count // options.examples_per_shard)}",
        f"{np.corrcoef(order, np.arange(count))[0, 1]:.3f}",
    ]


def _pretraining_data(options: GrowthOptions) -> list[str]:
    """Tables of pre-training data, made by processes of this machine and by Beam."""
    ways: dict[str, tuple[str, list[str]]] = {"on this machine": (sys.executable, [])}
    if runner := options.beam_runner:
        ways[f"by Beam's {runner}"] = (options.beam_python, [f"--beam_runner={runner}"])
    made: dict[str, list[Size]] = {way: [] for way in ways}
    for factor in options.factors:
        megabytes = int(factor) * options.text_megabytes
        with _scratch(options) as folder:
            text = os.path.join(folder, "text.txt")
            words = write_text(options.text_file or "", text, megabytes)
            if os.path.getsize(text) < 1e6 * megabytes:
                raise UserError(
                    f"--text_file={options.text_file} has less than {megabytes:g} MB; lower "
                    "--text_megabytes or --factors."
                )
            for index, (way, (python, flags_of_way)) in enumerate(ways.items()):
                records = os.path.join(folder, f"{index}.tfrecord")
                watched = _run(
                    options,
                    "create_pretraining_data",
                    f"--input_file={text}",
                    f"--output_file={records}",
                    "--dupe_factor=1",
                    "--do_sentence_split",
                    *flags_of_way,
                    python=python,
                )
                made[way].append(Size(words, watched, os.path.getsize(records)))
                logging.info("%s: %s", way, made[way][-1])
    lines = []
    for way, sizes in made.items():
        lines += ["", f"Pre-training data of one pass, made {way}:", ""]
        lines += _costs(sizes, "words", _PAPER_WORDS)
    return lines


def write_scores(sentences_file: str, target: str, count: int) -> None:
    """A table of different texts with random logits.

    Args:
      sentences_file: Texts, one per line; where they are too few, the first half of one goes with the
        second of another.
      target: The table, with a header.
      count: Rows of it.
    """
    sentences = [words for _, line in read_lines(sentences_file) if (words := line.split())]
    rng = random.Random(0)
    with open(target, "w", encoding="utf-8") as file:
        file.write("\t".join(["text", *(f"logit_{label}" for label in _LABELS)]) + "\n")
        for row in range(count):
            turn, index = divmod(row, len(sentences))
            words = sentences[index]
            if turn:
                other = sentences[(index + turn) % len(sentences)]
                words = words[: len(words) // 2] + other[len(other) // 2 :]
            logits = (f"{rng.gauss(0, 2):.3f}" for _ in _LABELS)
            file.write("\t".join([" ".join(words), *logits]) + "\n")


def rows_in_turn(pattern: str, count: int) -> np.ndarray:
    """Positions of the rows of `write_scores` in the order in which the first epoch has them.

    Args:
      pattern: Their soft-label records.
      count: Records of an epoch.
    """
    records = open_records(
        pattern, "input_file", {"has_label": tf.io.FixedLenFeature([], tf.int64)}, {}
    )
    spec = {"example_id": tf.io.FixedLenFeature([], tf.string)}
    batches = training_batches(records, spec, _ROWS_AT_A_TIME, seed=0)
    batches = batches.take(-(-count // _ROWS_AT_A_TIME))
    # File and line; the first of these is the second, behind the header.
    lines = [
        int(example_id.rpartition(b":")[2]) - 2
        for batch in batches.as_numpy_iterator()
        for example_id in batch["example_id"]
    ]
    return np.array(lines[:count], np.int64)


@contextlib.contextmanager
def _scratch(options: GrowthOptions) -> Iterator[str]:
    """A folder for what is made at one size, removed behind it."""
    folder = os.path.abspath(os.path.join(options.output_dir, "work"))
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)
    yield folder
    shutil.rmtree(folder)


def _run(
    options: GrowthOptions,
    script: str,
    *arguments: str,
    milestones: Sequence[Callable[[], bool]] = (),
    stops: bool = False,
    python: str = sys.executable,
) -> Watched:
    """Runs one of the scripts; its log stays in the folder."""
    command = [os.path.abspath(python), f"{script}.py", *arguments]
    command.append(f"--vocab_file={os.path.abspath(options.vocab_file)}")
    log = os.path.join(options.output_dir, f"{script}.log")
    return watch(command, log, _ROOT, milestones, stops)


def _costs(sizes: Sequence[Size], unit: str, goal: float) -> list[str]:
    """A table of what was measured, and on a line through the two largest sizes to the goal."""
    rows = []
    for size in sizes:
        rows.append(
            [
                f"{size.units:,}",
                f"{size.watched.end.seconds:,.0f}",
                f"{size.watched.end.cpu_seconds:,.0f}",
                f"{size.units / size.watched.end.seconds:,.0f}",
                f"{size.watched.peak_bytes / 1e6:,.0f}",
                f"{size.num_bytes / size.units:,.0f}",
            ]
        )
    if len(sizes) > 1 and sizes[-1].units < goal:
        before, last = sizes[-2:]
        share = (goal - last.units) / (last.units - before.units)
        seconds, cpu_seconds = (
            now + share * (now - then)
            for then, now in zip(before.watched.end, last.watched.end, strict=True)
        )
        gigabytes = goal * last.num_bytes / last.units / 1e9
        rows.append(
            [
                f"{goal:,.0f}, on a line through the last two",
                f"{seconds:,.0f}",
                f"{cpu_seconds:,.0f}",
                f"{goal / seconds:,.0f}",
                "",
                f"{gigabytes:,.1f} GB in all",
            ]
        )
    columns = [unit, "seconds", "CPU s", f"{unit}/s", "most memory, MB", f"MB per million {unit}"]
    return table(columns, rows)


def _text(moment: Moment) -> str:
    return f"{moment.seconds:.1f} ({moment.cpu_seconds:.1f})"
