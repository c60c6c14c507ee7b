"""Predicts with a trained model: writes the rows of a file with the prediction for each.

A table with a header, the text in the column `text`; labels, casing and length are the model's own:
  python predict.py --init_checkpoint=student --input_file=new.csv --output_file=answers.csv
Pairs of JSON Lines, in any number of files:
  python predict.py --init_checkpoint=student --input_file='new*.jsonl.gz' \\
    --text_a=premise --text_b=hypothesis --output_file=answers.jsonl
One text per line from standard input; answers to standard output:
  echo 'a film that never drags' | python predict.py --init_checkpoint=student --input_file=-
"""

from collections.abc import Sequence

from absl import flags

from training import cli
from training.flags import (
    ANSWER_PRECISIONS,
    define_device_flags,
    define_engine_flag,
    define_trained_model_flags,
)
from training.help import group
from training.options import from_flags

FLAGS = flags.FLAGS

group("Input and output")
flags.DEFINE_string(
    "input_file",
    None,
    "Texts: files, globs and folders, separated by commas, or - for standard input. Tables with a "
    "header (.csv, .tsv), JSON Lines (.jsonl), Parquet (.parquet), or one text per line (.txt); all "
    "but Parquet plain or compressed.",
)
flags.DEFINE_string(
    "text_a",
    None,
    "Column of the text, or of the first text of pairs. Default: text, or text_a and text_b.",
)
flags.DEFINE_string("text_b", None, "Column of the second text of pairs.")
flags.DEFINE_string(
    "output_file",
    None,
    "File to write, .csv, .tsv or .jsonl, plain or compressed: all columns of the input, then label, "
    "probability and p_<label> for each label, or score. Default: standard output, in the format of "
    "the input.",
)

group("The model")
flags.DEFINE_string(
    "init_checkpoint",
    None,
    "Trained model, in any form that convert_checkpoint.py reads: model folder, prefix of a "
    "checkpoint, output folder of a run, Hugging Face or Model Garden checkpoint.",
)
flags.DEFINE_list(
    "labels", None, "Labels in the order of the model's outputs, where it does not record them."
)
define_trained_model_flags()

group("Devices")
flags.DEFINE_integer(
    "batch_size",
    None,
    "Texts of full length (--max_seq_length) per batch; a batch of shorter texts holds more. "
    "Default: as many as have 4,096 tokens. On a CPU batches are smaller where that is faster.",
    lower_bound=1,
)
flags.DEFINE_integer("num_threads", 0, "Threads of a CPU. 0 for all.", lower_bound=0)
define_device_flags(ANSWER_PRECISIONS)
define_engine_flag()


def main(_: Sequence[str]) -> None:
    from serving import prediction

    prediction.run(from_flags(prediction.PredictionOptions, FLAGS))


if __name__ == "__main__":
    flags.mark_flags_as_required(["init_checkpoint", "input_file"])
    cli.run(main)
