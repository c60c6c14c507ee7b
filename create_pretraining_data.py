"""Creates masked LM and next sentence prediction examples for BERT from plain text.

The input is UTF-8 text, plain or compressed: one sentence per line, blank lines between
documents. The output is TFRecords that run_pretraining.py reads, here and in google-research/bert.

    python create_pretraining_data.py --input_file=text.txt --output_file=pretraining.tfrecord \\
        --vocab_file=vocab.txt

Text with one paragraph per line, whole words masked, four output files:

    python create_pretraining_data.py --input_file='wiki/*.txt.xz,books.txt' \\
        --output_file=a.tfrecord,b.tfrecord,c.tfrecord,d.tfrecord --vocab_file=vocab.txt \\
        --do_sentence_split --do_whole_word_mask

Long sequences of a cased model, compressed:

    python create_pretraining_data.py --input_file=text.txt.gz --output_file=long.tfrecord.gz \\
        --vocab_file=vocab.txt --do_lower_case=False --max_seq_length=512 \\
        --max_predictions_per_seq=77 --dupe_factor=5 --gzip_compress

The text of a transfer set, to pre-train on what the student is distilled on:

    python create_pretraining_data.py --input_format=transfer_set --input_file=nli.tsv \\
        --output_file=nli.tfrecord --vocab_file=vocab.txt

The same on many machines, by Apache Beam:

    python create_pretraining_data.py --input_file='gs://bucket/text/*.txt' \\
        --output_file=gs://bucket/a.tfrecord,gs://bucket/b.tfrecord --vocab_file=vocab.txt \\
        --beam_runner=DataflowRunner \\
        --beam_options='--project=name --region=us-central1 --temp_location=gs://bucket/tmp'
"""

from collections.abc import Sequence

from absl import flags

from training import cli
from training.data_flags import define_beam_flags
from training.flags import define_start_over_flag
from training.help import group
from training.options import from_flags

FLAGS = flags.FLAGS

group("Files")
flags.DEFINE_string(
    "input_file",
    None,
    "Text: files, globs and folders, separated by commas, plain or compressed. One sentence per "
    "line, blank lines between documents.",
)
flags.DEFINE_string(
    "output_file",
    None,
    "TFRecord files to write, separated by commas; examples go to them in turn.",
)
flags.DEFINE_bool(
    "gzip_compress", False, "Compress the TFRecords with gzip, about 3 times smaller."
)
define_start_over_flag(
    "Replace records of the same names that were made from other text or with other settings. By "
    "default such a command is refused."
)

group("Text")
flags.DEFINE_enum(
    "input_format",
    "text",
    ["text", "transfer_set"],
    "Format of --input_file: text, sentences in documents; transfer_set, files of "
    "create_transfer_set.py, where each line is a document: a pair of texts (.tsv) is its two "
    "sentences, a single text is split into sentences.",
)
flags.DEFINE_string(
    "vocab_file", None, "WordPiece vocabulary of the model to be trained, one entry per line."
)
flags.DEFINE_bool(
    "do_lower_case",
    None,
    "Lower-case the text and strip accents before it is cut into WordPieces; False for cased "
    "models. Default: False for a cased vocabulary, True for others.",
)
flags.DEFINE_bool(
    "do_sentence_split",
    False,
    "Split each line of --input_file, a paragraph of English, Chinese or Japanese, into sentences.",
)

group("Sequences")
flags.DEFINE_integer(
    "max_seq_length",
    128,
    "Length of the sequences in WordPieces, [CLS] and [SEP] included; shorter ones are padded.",
)
flags.DEFINE_float(
    "short_seq_prob",
    0.1,
    "Probability that sentences are packed to a random length shorter than --max_seq_length.",
)
flags.DEFINE_integer(
    "dupe_factor",
    10,
    "Number of passes over the text. Each pairs and masks the sentences anew, so that a model sees "
    "them in this many ways; the records grow as much.",
)
flags.DEFINE_integer("random_seed", 12345, "Seed of pairing, masking and order.")

group("Masking")
flags.DEFINE_float("masked_lm_prob", 0.15, "Fraction of the WordPieces of a sequence to mask.")
flags.DEFINE_integer(
    "max_predictions_per_seq", 20, "Largest number of masked WordPieces in a sequence."
)
flags.DEFINE_bool(
    "do_whole_word_mask", False, "Mask all WordPieces of a word together, or none of them."
)

group("Speed")
flags.DEFINE_integer(
    "num_processes",
    None,
    "Number of processes. Default: one per CPU. The output does not depend on it.",
    lower_bound=1,
)
define_beam_flags()


def main(_: Sequence[str]) -> None:
    from pretraining import data_creation

    data_creation.run(from_flags(data_creation.DataCreationOptions, FLAGS))


if __name__ == "__main__":
    flags.mark_flags_as_required(["input_file", "output_file", "vocab_file"])
    cli.run(main)
