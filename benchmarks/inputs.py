"""The real input of a comparison: the same text, records and rows for every contestant."""

from __future__ import annotations

import csv
import dataclasses
import functools
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from common.errors import UserError
from common.files import make_folder, read_lines
from common.processes import output_of
from data.batches import LENGTH_MULTIPLE, training_batches
from data.classifier_records import encode_rows
from data.record_sets import open_records
from modeling.bert import INPUTS
from modeling.tokenization import FullTokenizer
from pretraining.objective import feature_spec
from training.options import Options

SEQ_LENGTH, NUM_PREDICTIONS = 128, 20


def write_text(source: str, target: str, megabytes: float) -> int:
    """Copies the beginning of a text file and returns the number of words in it.

    Args:
      source: Maybe compressed; blank lines between documents.
      target: Plain text.
      megabytes: Size at which to stop, at the end of a line.
    """
    size = words = 0
    with open(target, "w", encoding="utf-8") as file:
        for _, line in read_lines(source):
            size += file.write(line.rstrip("\n") + "\n")
            words += len(line.split())
            if size >= megabytes * 1e6:
                break
    return words


def write_pretraining_rows(text_file: str, vocab_file: str, target: str, num_rows: int) -> None:
    """Rows of pre-training records made of a text: npz of arrays by feature name.

    Args:
      text_file: From `write_text`.
      vocab_file: Of the uncased model.
      target: The npz file.
      num_rows: Full sequences and shorter ones as they come.
    """
    records_file = target + ".tfrecord"
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    command = [
        sys.executable,
        "create_pretraining_data.py",
        f"--input_file={os.path.abspath(text_file)}",
        f"--output_file={os.path.abspath(records_file)}",
        f"--vocab_file={os.path.abspath(vocab_file)}",
        "--dupe_factor=1",
    ]
    output_of(command, "create_pretraining_data.py", cwd=root)
    spec = feature_spec(SEQ_LENGTH, NUM_PREDICTIONS)
    records = open_records(records_file, "input_file", spec, {})
    rows = next(iter(training_batches(records, num_rows, seed=0)))
    np.savez(target, **{name: value.numpy() for name, value in rows.items()})


def file_name(text: str) -> str:
    """A name of a file for a group or a contestant, such as pretraining 1/128."""
    return text.replace(" ", "_").replace(",", "").replace("/", "-")


def write_classifier_rows(table: str, vocab_file: str, target: str, num_rows: int) -> None:
    """The first rows of SST-2's training set as npz, with logits as a teacher might give them.

    Args:
      table: `train.tsv`: header, then sentence and label.
      vocab_file: Of the uncased model.
      target: The npz file.
      num_rows: Rows to take.
    """
    with open(table, encoding="utf-8", newline="") as file:
        reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(reader)
        rows = [row for row, _ in zip(reader, range(num_rows), strict=False)]
    labels = np.array([int(row[1]) for row in rows], np.int32)
    features = encode_rows(
        FullTokenizer(vocab_file), [(row[0], None) for row in rows], SEQ_LENGTH, labels
    )
    sign = np.where(labels == 1, 1.0, -1.0)[:, np.newaxis]
    logits = (sign * [[-2.0, 2.0]]).astype(np.float32)
    ones = np.ones(len(rows), np.int32)
    arrays: dict[str, Any] = {**features, "teacher_logits": logits, "has_label": ones}
    np.savez(target, **arrays)


def write_texts(source: str, target: str, num_texts: int, column: bool = False) -> int:
    """The first texts of a file, one a line; returns how many there are.

    Args:
      source: One text a line; or a table with a header whose first column is the text.
      target: Plain text.
      num_texts: Texts to take at most.
      column: Whether `source` is such a table.
    """
    count = 0
    with open(target, "w", encoding="utf-8") as file:
        for number, line in read_lines(source):
            text = line.rstrip("\n")
            if column:
                if number == 1:
                    continue
                text = text.split("\t")[0]
            if text.strip():
                file.write(text + "\n")
                count += 1
            if count == num_texts:
                break
    return count


def length_quantiles(rows: dict[str, np.ndarray], batch_size: int, count: int) -> tf.data.Dataset:
    """Batches of similar lengths that stand for all of them.

    Of the rows sorted by length and cut into batches, as training does with windows of 50, `count`
    batches at equal distances are taken, each without its padding.
    """
    lengths = rows["input_mask"].sum(axis=1)
    order = np.argsort(lengths, kind="stable")
    num_batches = len(order) // batch_size
    picked = ((np.arange(count) + 0.5) * num_batches / count).astype(int)
    batches = []
    for i in picked:
        batch = {k: v[order[i * batch_size : (i + 1) * batch_size]] for k, v in rows.items()}
        longest = int(batch["input_mask"].sum(axis=1).max())
        longest += -longest % LENGTH_MULTIPLE
        for name in INPUTS:
            batch[name] = batch[name][:, :longest]
        batches.append(batch)
    return tf.data.Dataset.from_generator(
        lambda: iter(batches),
        output_signature={
            k: tf.TensorSpec([batch_size, *([None] if v.ndim == 2 else [])], v.dtype)
            for k, v in batches[0].items()
        },
    )


@dataclasses.dataclass(frozen=True)
class CompareOptions(Options):
    """The flags of `benchmarks.compare`, and the input that is made of the files they name.

    Contestants run in other folders, so all paths for them are absolute.
    """

    loops: Sequence[str]
    sizes: Sequence[str]
    classifier_sizes: Sequence[str]
    teacher_sizes: Sequence[str]
    precisions: Sequence[str]
    torch_compile: bool
    dupe_factors: Sequence[str]
    engines: Sequence[str]
    text_file: str | None
    text_megabytes: float
    vocab_file: str | None
    sst2_dir: str | None
    reviews_file: str | None
    teacher: str | None
    engine_texts: int
    batch_size: int
    model_garden_python: str
    hugging_face_python: str
    runtimes_python: str
    flax_python: str
    keras_hub_python: str
    original_python: str
    original_dir: str
    output_dir: str
    rounds: int
    timeout_seconds: float
    group_seconds: float

    # Files of an earlier run may be those of other options, so each run writes its own, once.

    @functools.cached_property
    def pretraining_rows(self) -> str:
        """The file of rows; its records are beside it."""
        rows = self.path("pretraining.npz")
        text, _ = self.text()
        write_pretraining_rows(text, self.need("vocab_file"), rows, 16 * self.batch_size)
        return rows

    @functools.cached_property
    def classifier_rows(self) -> str:
        """The file of rows of SST-2."""
        rows, vocab_file = self.path("sst2.npz"), self.need("vocab_file")
        write_classifier_rows(self.sentences(), vocab_file, rows, 50 * self.batch_size)
        return rows

    def sentences(self) -> str:
        """The training set of SST-2."""
        return os.path.join(self.need("sst2_dir"), "train.tsv")

    def text(self) -> tuple[str, int]:
        """The text to be used, and the number of its words."""
        target = self.path(f"text_{self.text_megabytes:g}MB.txt")
        return target, write_text(self.need("text_file"), target, self.text_megabytes)

    def labelling(self, texts: str, max_seq_length: int) -> dict[str, Any]:
        """Arguments of a program that labels a file of texts, one a line, but for its model."""
        return {
            "loop": "labelling",
            "input": texts,
            "vocab_file": self.need("vocab_file"),
            "max_seq_length": max_seq_length,
            "batch_size": self.batch_size,
        }

    def need(self, flag: str) -> str:
        """The path that a flag names; UserError if it was not given."""
        value = getattr(self, flag)
        if not value:
            raise UserError(f"--{flag} is needed for these --loops; pass it or leave them out.")
        return os.path.abspath(value)

    def path(self, name: str) -> str:
        """A file in the folder of inputs and logs."""
        folder = os.path.abspath(os.path.join(self.output_dir, "work"))
        make_folder(folder)
        return os.path.join(folder, name)

    def log(self, group: str, name: str) -> str:
        """Path of the log file of a contestant."""
        return self.path(f"{file_name(f'{group}_{name}')}.log")
