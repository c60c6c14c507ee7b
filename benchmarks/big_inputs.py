"""Growth of cost with input: soft labels made, read and resumed; pre-training data made.

Each command runs as users run it, in a process of its own. Soft labels are made of texts with random
scores (`create_soft_labels.py --from_file`); a student of one narrow layer learns from them for an
epoch, is stopped in its middle and goes on. Texts are sentences of a file, from the second time on
with halves of others. What was made is removed again.

8 million records of 32 tokens at the largest size, and 96 MB of text:
  python -m benchmarks.big_inputs --vocab_file=vocab.txt --sentences_file=yelp_sentences.txt.xz \\
    --num_records=500000 --text_file=wikipedia.txt.xz --text_megabytes=6 --output_dir=big
Pre-training data alone, also by Beam:
  python -m benchmarks.big_inputs --vocab_file=vocab.txt --text_file=wikipedia.txt.xz \\
    --beam_runner=FnApiRunner --beam_python=beam/bin/python --output_dir=big
Records alone, of another length, in smaller shards:
  python -m benchmarks.big_inputs --vocab_file=vocab.txt --sentences_file=yelp_sentences.txt.xz \\
    --num_records=50000 --max_seq_length=128 --examples_per_shard=1000 --output_dir=big
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from absl import flags

from common.errors import UserError
from training import cli
from training.help import group
from training.options import from_flags

FLAGS = flags.FLAGS

group("What to measure")
flags.DEFINE_list("factors", ["1", "4", "16"], "Sizes to measure, in multiples of the smallest.")
flags.DEFINE_integer(
    "num_records", 50000, "Soft-label records of the smallest size.", lower_bound=1
)
flags.DEFINE_integer("max_seq_length", 32, "Length of these records.", lower_bound=4)
flags.DEFINE_integer("examples_per_shard", 10000, "Records per file.", lower_bound=1)
flags.DEFINE_integer("train_batch_size", 8192, "Records per update.", lower_bound=1)
flags.DEFINE_float(
    "text_megabytes", 6.0, "Megabytes of --text_file at the smallest size.", lower_bound=0.001
)
flags.DEFINE_string(
    "beam_runner", None, "Runner of Beam with which pre-training data is made a second time."
)
flags.DEFINE_string("beam_python", sys.executable, "Interpreter that has Apache Beam.")

group("Input")
flags.DEFINE_string("vocab_file", None, "WordPiece vocabulary.")
flags.DEFINE_string("sentences_file", None, "Texts of the soft labels, one per line.")
flags.DEFINE_string("text_file", None, "Text for pre-training, blank lines between documents.")

group("Output")
flags.DEFINE_string("output_dir", None, "Folder for the table, logs and what is made meanwhile.")


def main(_: Sequence[str]) -> None:
    if not (FLAGS.sentences_file or FLAGS.text_file):
        raise UserError("nothing to measure; pass --sentences_file, --text_file or both.")

    from benchmarks.input_growth import GrowthOptions, run

    run(from_flags(GrowthOptions, FLAGS))


if __name__ == "__main__":
    flags.mark_flags_as_required(["vocab_file", "output_dir"])
    cli.run(main)
