"""Rows per second and memory of predict.py for streams of several lengths.

A model with random weights reads random words of its vocabulary, as CSV from standard input:
  python -m benchmarks.prediction_stream --vocab_file=vocab.txt --num_rows=10000,100000,1000000
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import IO

from absl import flags

from common.machine import peak_bytes
from common.markdown import table
from training import cli
from training.help import group

FLAGS = flags.FLAGS

group("What to measure")
flags.DEFINE_string("vocab_file", None, "WordPiece vocabulary of the model.")
flags.DEFINE_string("size", "tiny", "Model, by name or number of layers and width (6/512).")
flags.DEFINE_list("num_rows", ["10000", "100000"], "Rows of each stream.")
flags.DEFINE_integer("max_seq_length", 32, "Length of the model's input.", lower_bound=4)

_LABELS = ["negative", "positive"]
_WORDS_PER_ROW = (1, 25)
_POLL_SECONDS = 0.1


def main(_: Sequence[str]) -> None:
    from modeling.vocabulary import read_vocabulary

    words = [word for word in read_vocabulary(FLAGS.vocab_file) if word.isalpha()]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(folder, "model")
        _write_model(model, FLAGS.size, FLAGS.vocab_file)
        for text in FLAGS.num_rows:
            output = os.path.join(folder, f"{text}.csv")
            command = [sys.executable, "predict.py", f"--init_checkpoint={model}", "--input_file=-"]
            command += [f"--output_file={output}", f"--max_seq_length={FLAGS.max_seq_length}"]
            seconds, peak = _predict(command, output, words, int(text))
            rate = f"{int(text) / seconds:,.0f}"
            rows.append([f"{int(text):,}", f"{seconds:.0f}", rate, f"{peak / 1e6:,.0f}"])
    columns = ["rows", "seconds, with the start", "rows per second", "most memory, MB"]
    print("\n".join(table(columns, rows)))


def _write_model(folder: str, size: str, vocab_file: str) -> None:
    from checkpoints.model_folder import write_model_folder
    from checkpoints.weights import variable_values
    from modeling.config import load_config
    from modeling.heads import ClassifierModel
    from modeling.vocabulary import read_vocabulary

    config = load_config(size, len(read_vocabulary(vocab_file)))
    values = variable_values(ClassifierModel(config, len(_LABELS)).trainable_variables)
    write_model_folder(folder, values, config, vocab_file, {"labels": _LABELS})


def _predict(
    command: Sequence[str], output: str, words: Sequence[str], num_rows: int
) -> tuple[float, int]:
    """Seconds, and the most bytes of memory, of a command of predict.py."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdin
    _write_rows(process.stdin, words, num_rows)
    peak = 0
    while process.poll() is None:
        peak = max(peak, peak_bytes(process.pid) or 0)
        time.sleep(_POLL_SECONDS)
    seconds = time.perf_counter() - start
    with open(output, "rb") as file:
        found = sum(1 for _ in file) - 1
    if process.returncode or found != num_rows:
        sys.exit(f"predict.py ended with status {process.returncode} and {found} rows")
    return seconds, peak


def _write_rows(stream: IO[bytes], words: Sequence[str], num_rows: int) -> None:
    rng = random.Random(0)
    stream.write(b"id,text\n")
    for i in range(num_rows):
        text = " ".join(rng.choices(words, k=rng.randint(*_WORDS_PER_ROW)))
        stream.write(f"{i},{text}\n".encode())
    stream.close()


if __name__ == "__main__":
    flags.mark_flags_as_required(["vocab_file"])
    cli.run(main)
