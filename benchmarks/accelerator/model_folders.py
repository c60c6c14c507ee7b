"""The weights and rows of `benchmarks.accelerator.pretrain` as model folders and records.

  python -m benchmarks.accelerator.model_folders --trained=trained --vocab_file=vocab.txt \\
    --output_dir=models
  python run_pretraining.py --do_eval --init_checkpoint=models/2-128 \\
    --input_file=models/held_out.tfrecord --output_dir=models/2-128/eval --max_seq_length=64 \\
    --max_predictions_per_seq=10 --eval_batch_size=64 --max_eval_steps=1000 --precision=bfloat16

The second command measures a model on the held-out records as its curve does; the curves:
  python plot_runs.py --runs=models/2-128,models/4-512 --output_file=curves.png \\
    --metrics=eval_masked_lm_loss,eval_masked_lm_accuracy
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags
from safetensors import safe_open

from benchmarks.accelerator.packed_records import CURVES, HELD_OUT_ROWS, unpack
from checkpoints.model_folder import tokenizer_info, write_model_folder
from checkpoints.tokenizer_files import open_tokenizer_of_file
from common.atomic import write_text
from common.errors import UserError
from common.files import read_lines
from data.sidecars import write_sidecar
from data.tfrecords import RecordWriter, serialize_examples
from modeling.config import BertConfig
from modeling.tokenization import FullTokenizer
from training import cli
from training.metrics_log import METRICS_FILE

FLAGS = flags.FLAGS


def write_held_out(trained: str, path: str, point: dict, tokenizer: FullTokenizer) -> None:
    """Writes the rows that the curves are measured on as TFRecords."""
    rows = np.load(os.path.join(trained, HELD_OUT_ROWS))
    rows = rows.reshape(-1, rows.shape[-1])
    shape = {key: point[key] for key in ("max_seq_length", "max_predictions_per_seq")}
    with RecordWriter(path) as writer:
        writer.write_many(serialize_examples(unpack(rows, **shape)))
    info = {
        "num_examples": len(rows),
        **shape,
        **tokenizer.record_facts(),
        "vocab_size": tokenizer.vocab_size,
    }
    write_sidecar(path, info)


def write_folder(path: str, folder: str, tokenizer: FullTokenizer) -> dict:
    """Writes the model folder of one file of weights; returns the last line of its curve."""
    with safe_open(path, "numpy") as file:
        facts = {key: json.loads(value) for key, value in file.metadata().items()}
        values = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
    config = BertConfig.from_dict(facts["config"], path)
    info = {
        **tokenizer_info(tokenizer),
        "global_step": facts["point"]["update"],
        "trained_by": "benchmarks.accelerator.pretrain; weights were stored as float16",
        "last_point": facts["point"],
    }
    write_model_folder(folder, values, config, tokenizer.vocab_file, info)
    return facts["point"]


def write_curve(trained: str, folder: str, point: Mapping[str, Any]) -> None:
    """Writes the curve that ends in a point as the log of a run."""
    run = ("model", "learning_rate", "num_updates")
    losses = ("masked_lm_loss", "next_sentence_loss")
    measured = (*losses, "masked_lm_accuracy", "next_sentence_accuracy")
    lines = []
    for _, text in read_lines(os.path.join(trained, CURVES)):
        found = json.loads(text)
        if all(found[key] == point[key] for key in run):
            of_training = {"loss": found["training_loss"], "learning_rate": found["rate"]}
            lines.append({"step": found["update"], "kind": "train", **of_training})
            values = {name: found[name] for name in measured}
            score = -sum(found[name] for name in losses)
            lines.append({"step": found["update"], "kind": "eval", "score": score, **values})
    write_text(os.path.join(folder, METRICS_FILE), "".join(f"{json.dumps(x)}\n" for x in lines))


def _define_flags() -> None:
    flags.DEFINE_string(
        "trained", None, "Output of benchmarks.accelerator.pretrain.", required=True
    )
    flags.DEFINE_string("vocab_file", None, "WordPiece vocabulary of the models.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder for the model folders.", required=True)


def main(_: Sequence[str]) -> None:
    names = [name for name in os.listdir(FLAGS.trained) if name.endswith(".safetensors")]
    if not names:
        raise UserError(f"--trained={FLAGS.trained} holds no weights (*.safetensors).")
    tokenizer = open_tokenizer_of_file(FLAGS.vocab_file, None)
    os.makedirs(FLAGS.output_dir, exist_ok=True)
    for name in sorted(names):
        folder = os.path.join(FLAGS.output_dir, name.removesuffix(".safetensors"))
        point = write_folder(os.path.join(FLAGS.trained, name), folder, tokenizer)
        write_curve(FLAGS.trained, folder, point)
        print(f"{folder}: {point}")
    write_held_out(
        FLAGS.trained, os.path.join(FLAGS.output_dir, "held_out.tfrecord"), point, tokenizer
    )


if __name__ == "__main__":
    _define_flags()
    cli.run(main)
