"""Learns a WordPiece vocabulary from text, for models that are pre-trained from random weights.

  python -m experiments.learn_vocabulary --input_file='text*.txt.xz' --output_file=vocab.txt
Larger and with case:
  python -m experiments.learn_vocabulary --input_file=text.txt --output_file=vocab.txt \\
    --vocab_size=30000 --nodo_lower_case

Pass the file as --vocab_file to create_pretraining_data.py and run_pretraining.py, with the same
--do_lower_case. Released checkpoints need the vocabulary that they come with.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from absl import flags

from training import cli
from training.help import group

FLAGS = flags.FLAGS

group("Files")
flags.DEFINE_string(
    "input_file", None, "Text files, globs and folders, separated by commas; plain or compressed."
)
flags.DEFINE_string("output_file", None, "Vocabulary to write, one entry a line.")

group("The vocabulary")
flags.DEFINE_integer(
    "vocab_size", 8000, "Size of the vocabulary to aim at; it gets 95 to 100 % of this.", 200
)
flags.DEFINE_bool("do_lower_case", True, "Learn an uncased vocabulary, without accents.")


def main(_: Sequence[str]) -> None:
    from common.atomic import write_text
    from common.files import read_lines
    from common.input_files import expand_globs
    from common.outputs import check_files_apart, lock_files
    from data.tfrecords import is_record_name
    from pretraining.vocabulary_learning import learn_vocabulary

    paths = expand_globs(FLAGS.input_file, "input_file", is_record_name)
    check_files_apart("output_file", [FLAGS.output_file], paths)
    lock_files("output_file", [FLAGS.output_file])
    texts = (text for path in paths for _, text in read_lines(path))
    vocabulary = learn_vocabulary(texts, FLAGS.vocab_size, FLAGS.do_lower_case)
    write_text(FLAGS.output_file, "".join(f"{piece}\n" for piece in vocabulary))
    logging.info("%s: %d entries.", FLAGS.output_file, len(vocabulary))


if __name__ == "__main__":
    flags.mark_flags_as_required(["input_file", "output_file"])
    cli.run(main)
