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

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from collections.abc import Sequence

from absl import flags

from common.atomic import scratch_folder
from common.errors import UserError
from common.files import sha256_file
from common.input_files import expand_globs
from common.outputs import check_files_apart, lock_files
from training import cli
from training.flags import beam_options, define_beam_flags, define_start_over_flag
from training.help import group

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


def main(argv: Sequence[str]) -> None:
    del argv
    # NumPy and all that needs it are imported here so that --help answers at once.
    from checkpoints.tokenizer_files import open_tokenizer_of_file
    from data.texts import check_transfer_names, is_transfer_name
    from data.tfrecords import (
        RecordWriter,
        check_replaceable,
        is_finished,
        is_record_name,
        write_sidecar,
    )
    from pretraining.corpus import TRANSFER_SET, build_token_store
    from pretraining.record_writing import InstanceOptions, write_records

    beam = beam_options(FLAGS)
    options = InstanceOptions(
        max_seq_length=FLAGS.max_seq_length,
        max_predictions_per_seq=FLAGS.max_predictions_per_seq,
        masked_lm_prob=FLAGS.masked_lm_prob,
        short_seq_prob=FLAGS.short_seq_prob,
        dupe_factor=FLAGS.dupe_factor,
        random_seed=FLAGS.random_seed,
        do_whole_word_mask=FLAGS.do_whole_word_mask,
    )
    is_transfer_set = FLAGS.input_format == TRANSFER_SET
    fits = is_transfer_name if is_transfer_set else is_record_name
    input_files = expand_globs(FLAGS.input_file, "input_file", fits)
    if is_transfer_set:
        check_transfer_names(input_files)
    output_files = parse_output_files(FLAGS.output_file, [*input_files, FLAGS.vocab_file])
    lock_files("output_file", output_files)
    tokenizer = open_tokenizer_of_file(FLAGS.vocab_file, FLAGS.do_lower_case)
    made_from = {
        "gzip_compress": FLAGS.gzip_compress,
        **dataclasses.asdict(options),
        "do_lower_case": tokenizer.do_lower_case,
        "tokenizer_settings": tokenizer.settings.of_common_text(),
        "input_format": FLAGS.input_format,
        "do_sentence_split": FLAGS.do_sentence_split,
        "vocab_size": tokenizer.vocab_size,
        "vocab_sha256": tokenizer.sha256,
        "input_sha256": list(map(sha256_file, input_files)),
        "num_output_files": len(output_files),
    }
    made = {path: {**made_from, "output_file": i} for i, path in enumerate(output_files)}
    if all(is_finished(path, info) for path, info in made.items()):
        logging.info("%s: finished already and not damaged.", ", ".join(output_files))
        return
    for path, info in made.items():
        check_replaceable(path, info, FLAGS.start_over)

    if beam:
        from pretraining import beam_records as beam_pipeline

        store, counts = beam_pipeline.write_records(
            input_files,
            output_files,
            tokenizer,
            options,
            FLAGS.do_sentence_split,
            FLAGS.input_format,
            FLAGS.gzip_compress,
            beam,
        )
    else:
        num_processes = FLAGS.num_processes or os.cpu_count() or 1
        with contextlib.ExitStack() as stack:
            writers = [
                stack.enter_context(RecordWriter(path, FLAGS.gzip_compress))
                for path in output_files
            ]
            # Beside the output, where there must be room for more than this.
            folder = stack.enter_context(scratch_folder(f"{output_files[0]}.tokens"))
            store = build_token_store(
                input_files,
                tokenizer,
                folder,
                FLAGS.do_sentence_split,
                num_processes,
                FLAGS.input_format,
            )
            write_records(store, tokenizer, options, writers, num_processes)
        counts = [writer.num_records for writer in writers]

    for path, num_records in zip(output_files, counts, strict=True):
        info = {
            "num_examples": num_records,
            **made[path],
            "input_files": input_files,
            "num_documents": store.num_documents,
            "num_sentences": store.num_sentences,
            "num_tokens": store.num_tokens,
        }
        write_sidecar(path, info)


def parse_output_files(paths: str, input_files: Sequence[str]) -> list[str]:
    """Splits `--output_file`.

    Raises:
      UserError: No file is named, one is named twice, is a folder, or is an input file.
    """
    output_files = [path.strip() for path in paths.split(",") if path.strip()]
    if not output_files:
        raise UserError(f'--output_file: "{paths}" names no file.')
    check_files_apart("output_file", output_files, input_files)
    return output_files


if __name__ == "__main__":
    for required in ("input_file", "output_file", "vocab_file"):
        flags.mark_flag_as_required(required)
    cli.run(main)
