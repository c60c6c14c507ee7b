"""Lets a fine-tuned teacher label a transfer set, for `run_distill.py`; or takes labels from files.

Unlabelled text, one text per line (.txt) or single/pair columns (.tsv), maybe compressed:
  python create_soft_labels.py --init_checkpoint=teacher --input_file='reviews*.txt.xz' \\
    --output_dir=soft_labels
Pairs from a table with a header:
  python create_soft_labels.py --init_checkpoint=teacher --input_file=pairs.tsv \\
    --text_a=premise --text_b=hypothesis --output_dir=soft_labels
The labelled training set itself (its labels are kept for --hard_label_weight), with more text:
  python create_soft_labels.py --init_checkpoint=teacher --task_name=SST-2 --data_dir=glue/SST-2 \\
    --input_file=reviews.txt --output_dir=soft_labels
Records for a student of another vocabulary, labelled by three teachers together:
  python create_soft_labels.py --init_checkpoint=teacher1,teacher2,teacher3 --vocab_file=vocab.txt \\
    --input_file=reviews.txt --output_dir=soft_labels
Predictions of any other system, in a table with the columns text, p_good and p_bad:
  python create_soft_labels.py --from_file=scores.csv --vocab_file=vocab.txt --output_dir=soft_labels
On the first of four machines that share a file system; the last one to finish completes the set:
  python create_soft_labels.py --init_checkpoint=teacher --input_file=reviews.txt \\
    --output_dir=soft_labels --num_shards=4 --shard_index=0
"""

from collections.abc import Sequence

from absl import flags

from common.errors import UserError
from training import cli
from training.data_flags import define_task_flags, define_text_flags
from training.flags import (
    ANSWER_PRECISIONS,
    define_device_flags,
    define_engine_flag,
    define_model_flags,
    define_start_over_flag,
)
from training.help import group
from training.options import from_flags

FLAGS = flags.FLAGS

group("The teacher")
define_model_flags(
    "Fine-tuned teacher, or several of the same labels between commas",
    default="",
)
flags.DEFINE_enum(
    "ensemble",
    "probabilities",
    ["probabilities", "logits"],
    "Outputs of several teachers (--init_checkpoint) that are averaged: their probabilities or "
    "their logits. In a regression their scores are averaged in either case.",
)
flags.DEFINE_list(
    "teacher_weights",
    None,
    "Weights of several teachers in their average, one for each in the order of --init_checkpoint, "
    "such as 2,1,1. Default: equal weights.",
)

group("The transfer set")
flags.DEFINE_string(
    "input_file",
    None,
    "Unlabelled text: files, globs and folders, separated by commas, or - for standard input. One "
    "text per line (.txt), or tables (.csv, .tsv, .jsonl, .parquet), plain or compressed.",
)
flags.DEFINE_string(
    "from_file",
    None,
    "Texts that have their soft labels with them, in place of a teacher and --input_file: tables "
    "(.csv, .tsv, .jsonl, .parquet), globs and folders, separated by commas. Each row has a text "
    "(column text, or text_a and text_b, or what --text_a and --text_b name) and for each label a "
    "column p_<label>, as predict.py writes it, or logit_<label>; or, in JSON Lines, an object of "
    "labels and numbers under probabilities, logits or votes; or, for a regression, a column "
    "score.",
)
define_task_flags()
define_text_flags(
    "WordPiece vocabulary of the student, for which the records are made. A teacher with a "
    "recorded vocabulary, casing and length reads the texts with these. Needed with --from_file. "
    "Default: the vocabulary of --init_checkpoint, for a student that has the same one."
)

group("The output")
flags.DEFINE_integer(
    "examples_per_shard",
    10000,
    "Examples per output file. Labelling that was interrupted goes on with the first unfinished "
    "file.",
    lower_bound=1,
)
define_start_over_flag(
    "Replace soft labels in --output_dir that were made from other text, by another teacher or "
    "with other settings. By default such a command is refused."
)
flags.DEFINE_list(
    "hidden_state_layers",
    None,
    "Layers of the teacher, counted from 1, whose [CLS] hidden states are stored as well, for "
    "--patience_weight of run_distill.py: 2,4,6,8,10 for a teacher of 12 layers and a student of "
    "6.",
)
flags.DEFINE_integer(
    "predict_batch_size",
    32,
    "Texts of full length (--max_seq_length) per batch of the teacher; a batch of shorter texts "
    "holds more. On a CPU batches are smaller where that is faster.",
    lower_bound=1,
)

group("Devices")
flags.DEFINE_integer(
    "num_shards",
    1,
    "Number of processes that share the labelling, on one machine or on several.",
    lower_bound=1,
)
flags.DEFINE_integer(
    "shard_index",
    None,
    "Number of this process among --num_shards, counted from 0. It labels every --num_shards-th "
    "output file.",
)
define_device_flags(ANSWER_PRECISIONS)
define_engine_flag()


def main(_: Sequence[str]) -> None:
    if not (FLAGS.init_checkpoint or FLAGS.from_file):
        raise UserError("no teacher: pass --init_checkpoint, or --from_file with its soft labels.")
    if not (FLAGS.input_file or FLAGS.task_name or FLAGS.from_file):
        raise UserError("no transfer set: pass --input_file, or --task_name with --data_dir.")

    from distillation import labelling

    labelling.run(from_flags(labelling.LabellingOptions, FLAGS))


if __name__ == "__main__":
    flags.mark_flag_as_required("output_dir")
    cli.run(main)
