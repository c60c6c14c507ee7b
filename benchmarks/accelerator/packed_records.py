"""Pre-training records in memory: text to rows of bytes that a device unpacks, without TensorFlow.

  python -m benchmarks.accelerator.packed_records --input_file=wiki.txt.xz,books.txt.xz \\
    --line_documents=reviews.txt.xz --vocab_file=vocab.txt --max_seq_length=64 \\
    --max_predictions_per_seq=10 --dupe_factor=8 --output_dir=rows

The records are those of `create_pretraining_data.py --do_sentence_split`: the same pairs, the same
masking. A row holds one in 2 S + 3 P + 4 bytes for S positions and P predictions, a tenth of a
TFRecord's, so that a GPU holds all of them. Documents that are held out are in no training row.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from checkpoints.tokenizer_files import open_tokenizer_of_file
from common.errors import UserError
from common.files import open_binary
from common.processes import ordered_map
from modeling.tokenization import FullTokenizer
from pretraining.corpus import TokenStore, build_token_store
from pretraining.record_writing import InstanceOptions, Task, TaskRunner, plan_tasks
from training import cli

FLAGS = flags.FLAGS

TRAINING_ROWS, HELD_OUT_ROWS, PASS_ENDS = "training.npy", "held_out.npy", "pass_ends.npy"
# Losses on the way of those that are trained on the rows.
CURVES = "curves.jsonl"
# One document in so many is held out.
_HOLD_OUT_EVERY = 50


def row_type(max_seq_length: int, max_predictions_per_seq: int) -> np.dtype:
    """One record. All numbers are little-endian; positions and lengths fit a byte.

    Raises:
      UserError: Sequences are longer than 255.
    """
    if max_seq_length > 255:
        raise UserError(f"--max_seq_length is {max_seq_length}; rows hold at most 255.")
    return np.dtype(
        [
            ("input_ids", "<u2", max_seq_length),
            ("masked_lm_ids", "<u2", max_predictions_per_seq),
            ("masked_lm_positions", "u1", max_predictions_per_seq),
            ("num_tokens", "u1"),
            ("num_first_segment", "u1"),
            ("num_predictions", "u1"),
            ("next_sentence_label", "u1"),
        ]
    )


def pack(features: dict[str, np.ndarray]) -> np.ndarray:
    """Rows of the features of N records (`pretraining.record_writing`): uint8 [N, row bytes]."""
    count, length = features["input_ids"].shape
    kind = row_type(length, features["masked_lm_ids"].shape[1])
    rows = np.zeros(count, kind)
    for name in ("input_ids", "masked_lm_ids", "masked_lm_positions"):
        rows[name] = features[name]
    rows["num_tokens"] = features["input_mask"].sum(axis=1)
    rows["num_first_segment"] = rows["num_tokens"] - features["segment_ids"].sum(axis=1)
    rows["num_predictions"] = features["masked_lm_weights"].sum(axis=1)
    rows["next_sentence_label"] = features["next_sentence_labels"][:, 0]
    return rows.view(np.uint8).reshape(count, kind.itemsize)


def unpack(rows: Any, max_seq_length: int, max_predictions_per_seq: int, numpy: Any = np) -> dict:
    """The features of N records, from rows uint8 [N, row bytes]: the inverse of `pack`.

    `numpy` is NumPy, or JAX's for its arrays, which know no records.
    """
    length, predictions = max_seq_length, max_predictions_per_seq
    ends = np.cumsum([2 * length, 2 * predictions, predictions, 1, 1, 1])
    ids, masked, positions, *numbers = numpy.split(rows, ends, axis=1)
    tokens, first, masks, label = (x.astype("int32") for x in numbers)
    at = numpy.arange(length)
    return {
        "input_ids": _words(ids),
        "input_mask": (at < tokens).astype("int32"),
        "segment_ids": ((at >= first) & (at < tokens)).astype("int32"),
        "masked_lm_positions": positions.astype("int32"),
        "masked_lm_ids": _words(masked),
        "masked_lm_weights": (numpy.arange(predictions) < masks).astype("float32"),
        "next_sentence_labels": label,
    }


def _words(pairs: Any) -> Any:
    """int32 of little-endian pairs of bytes."""
    return pairs[:, 0::2].astype("int32") + 256 * pairs[:, 1::2].astype("int32")


class PackedRows(NamedTuple):
    """The rows of a task.

    Attributes:
      pass_index: Its pass over the text.
      rows: See `pack`.
    """

    pass_index: int
    rows: np.ndarray


class RowMaker:
    """Worker that turns tasks into rows."""

    def __init__(self, store: TokenStore, tokenizer: FullTokenizer, options: InstanceOptions):
        self._runner = TaskRunner(store, tokenizer, options)

    def __call__(self, task: Task) -> PackedRows:
        rows = np.concatenate(list(map(pack, self._runner.features(task))))
        return PackedRows(task.pass_index, rows)


def make_rows(
    store: TokenStore, tokenizer: FullTokenizer, options: InstanceOptions, num_processes: int
) -> tuple[np.ndarray, np.ndarray]:
    """All rows, one pass after the other, and the end of each pass among them."""
    tasks = plan_tasks(store, options)
    made = list(ordered_map(RowMaker, (store, tokenizer, options), tasks, num_processes))
    counts = np.zeros(options.dupe_factor, np.int64)
    for part in made:
        counts[part.pass_index] += len(part.rows)
    return np.concatenate([part.rows for part in made]), np.cumsum(counts)


def split_documents(
    input_files: Sequence[str], line_documents: Sequence[str], folder: str
) -> tuple[str, str]:
    """Writes text for training and held-out text, with a blank line behind each document.

    Args:
      input_files: Text with blank lines between documents.
      line_documents: Text with a document on each line.
      folder: For the texts.

    Returns:
      The two paths. Every fiftieth document of each file is held out.
    """
    paths = os.path.join(folder, "training.txt"), os.path.join(folder, "held_out.txt")
    with open_binary(paths[0], "wb") as training, open_binary(paths[1], "wb") as held_out:
        for path in (*input_files, *line_documents):
            for number, document in enumerate(_documents(path, path in line_documents)):
                file = training if (number + 1) % _HOLD_OUT_EVERY else held_out
                file.writelines([*document, b"\n"])
    return paths


def _documents(path: str, is_on_a_line: bool) -> Iterator[list[bytes]]:
    """Lines of each document."""
    with open_binary(path) as file:
        lines: list[bytes] = []
        for line in file:
            if line.strip():
                lines.append(line.rstrip(b"\n") + b"\n")
            if lines and (is_on_a_line or not line.strip()):
                yield lines
                lines = []
        if lines:
            yield lines


def write_rows(
    input_files: Sequence[str],
    line_documents: Sequence[str],
    vocab_file: str,
    options: InstanceOptions,
    folder: str,
    num_processes: int,
) -> None:
    """Makes `training.npy`, `held_out.npy` (one pass) and `pass_ends.npy` in a folder.

    Raises:
      UserError: A file cannot be read, or there are too few documents.
    """
    start = time.monotonic()
    os.makedirs(folder, exist_ok=True)
    tokenizer = open_tokenizer_of_file(vocab_file, None)
    texts = split_documents(input_files, line_documents, folder)
    logging.info("Documents were split after %.1f s.", time.monotonic() - start)
    for text, name, passes in (
        (texts[1], HELD_OUT_ROWS, 1),
        (texts[0], TRAINING_ROWS, options.dupe_factor),
    ):
        store_folder = os.path.join(folder, f"{name}.tokens")
        os.makedirs(store_folder, exist_ok=True)
        store = build_token_store([text], tokenizer, store_folder, True, num_processes)
        logging.info("%s was tokenized after %.1f s.", text, time.monotonic() - start)
        of_file = dataclasses.replace(options, dupe_factor=passes)
        rows, pass_ends = make_rows(store, tokenizer, of_file, num_processes)
        np.save(os.path.join(folder, name), rows)
        np.save(os.path.join(folder, PASS_ENDS), pass_ends)  # At last that of training.
        logging.info("%s has %d rows after %.1f s.", name, len(rows), time.monotonic() - start)


@dataclasses.dataclass(frozen=True)
class Rows:
    """Records in memory.

    Attributes:
      training: uint8 [N, row bytes].
      pass_ends: End of each pass over the text among them.
      held_out: uint8 [batches, batch size, row bytes].
    """

    training: np.ndarray
    pass_ends: np.ndarray
    held_out: np.ndarray


def read_rows(folder: str, num_batches: int, batch_size: int) -> Rows:
    """The output of `write_rows`, with so many held-out batches; too few rows are repeated."""
    held_out = np.load(os.path.join(folder, HELD_OUT_ROWS))
    if len(held_out) < num_batches * batch_size:
        logging.warning("Only %d rows are held out; some count twice.", len(held_out))
    held_out = np.resize(held_out, (num_batches, batch_size, held_out.shape[1]))
    training = np.load(os.path.join(folder, TRAINING_ROWS))
    return Rows(training, np.load(os.path.join(folder, PASS_ENDS)), held_out)


def order_of_rows(pass_ends: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Indices of the rows of each pass, shuffled; after the last one it begins again."""
    rng = np.random.default_rng(seed)
    while True:
        for first, end in itertools.pairwise([0, *pass_ends.tolist()]):
            yield first + rng.permutation(end - first)


def batches(
    rows: np.ndarray, pass_ends: np.ndarray, num_updates: int, batch_size: int, seed: int
) -> Iterator[np.ndarray]:
    """Rows for calls of `num_updates` updates: uint8 [num_updates, batch_size, row bytes]."""
    wanted = num_updates * batch_size
    waiting: np.ndarray = np.zeros(0, np.int64)
    for order in order_of_rows(pass_ends, seed):
        waiting = np.concatenate([waiting, order])
        while len(waiting) >= wanted:
            yield rows[waiting[:wanted]].reshape(num_updates, batch_size, -1)
            waiting = waiting[wanted:]


def _define_flags() -> None:
    flags.DEFINE_list("input_file", [], "Text with blank lines between documents.")
    flags.DEFINE_list("line_documents", [], "Text with a document on each line.")
    flags.DEFINE_string("vocab_file", None, "WordPiece vocabulary.", required=True)
    flags.DEFINE_integer("max_seq_length", 64, "Length of the rows.")
    flags.DEFINE_integer("max_predictions_per_seq", 10, "Predictions per row.")
    flags.DEFINE_integer("dupe_factor", 8, "Passes over the text, each with other pairs and masks.")
    flags.DEFINE_integer("random_seed", 12345, "Seed of pairing, masking and order.")
    flags.DEFINE_integer("num_processes", None, "Number of processes. Default: one per CPU.")
    flags.DEFINE_string("output_dir", None, "Folder for the rows.", required=True)


def main(_: Sequence[str]) -> None:
    options = InstanceOptions(
        max_seq_length=FLAGS.max_seq_length,
        max_predictions_per_seq=FLAGS.max_predictions_per_seq,
        dupe_factor=FLAGS.dupe_factor,
        random_seed=FLAGS.random_seed,
    )
    write_rows(
        FLAGS.input_file,
        FLAGS.line_documents,
        FLAGS.vocab_file,
        options,
        FLAGS.output_dir,
        FLAGS.num_processes or os.cpu_count() or 1,
    )


if __name__ == "__main__":
    _define_flags()
    cli.run(main)
