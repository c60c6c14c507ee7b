"""Builds a transfer set: unlabelled texts without duplicates, for create_soft_labels.py.

Nested sets of reviews, of which none holds a dev or test sentence of the task:

    python create_transfer_set.py --input_file='reviews*.txt.xz' --output_file=transfer.txt \\
        --sizes=10k,20k,40k --exclude_task=sst-2:glue/SST-2 --drop_leaks

The sentence pairs of the paper, NLI*:

    python create_transfer_set.py --input_task=mnli:glue/MNLI,snli:SNLI,qqp:glue/QQP \\
        --output_file=nli.tsv --exclude_task=mnli:glue/MNLI,rte:glue/RTE

Columns of tables and keys of JSON Lines, in one compressed file:

    python create_transfer_set.py --input_file='pairs.tsv,more/*.jsonl.gz' --text_a=premise \\
        --text_b=hypothesis --output_file=pairs.tsv.gz

Paragraphs of a text with one paragraph per line are texts as they are; with --split=documents, the
lines between two blank lines are one text. With --beam_runner, a pipeline of Apache Beam does the
same on many machines.
"""

from collections.abc import Sequence

from absl import flags

from common.errors import UserError
from training import cli
from training.data_flags import define_beam_flags
from training.help import group
from training.options import from_flags

FLAGS = flags.FLAGS

group("Sources")
flags.DEFINE_string(
    "input_file",
    None,
    "Texts: files, globs and folders, separated by commas, or - for standard input. .txt (one text "
    "per line), .tsv (one column, or two for pairs), or with --text_a .csv, .tsv, .jsonl or "
    ".parquet; plain or compressed.",
)
flags.DEFINE_list(
    "input_task",
    [],
    "Tasks whose training sets are taken, without their labels, each as TASK:FOLDER such as "
    "mnli:glue/MNLI.",
)
flags.DEFINE_string(
    "text_a",
    None,
    "Column (key, in .jsonl) of the text, or of the first text of pairs, in tables with a header "
    "line, of --input_file and --exclude_file.",
)
flags.DEFINE_string(
    "text_b",
    None,
    "Column (key, in .jsonl) of the second text of pairs, in tables with a header line, of "
    "--input_file and --exclude_file.",
)
flags.DEFINE_enum(
    "split",
    "lines",
    ["lines", "documents"],
    "Extent of a text in .txt files of --input_file: lines, each line is one; documents, the lines "
    "between two blank lines are one.",
)

group("Development and test sets to keep apart")
flags.DEFINE_string(
    "exclude_file",
    None,
    "Development and test examples that no text may contain: files, globs and folders in the "
    "formats of --input_file, separated by commas.",
)
flags.DEFINE_string(
    "exclude_text_a",
    None,
    "Column (key, in .jsonl) of the text, or of the first text of pairs, in tables of "
    "--exclude_file. Default: --text_a and --text_b.",
)
flags.DEFINE_string(
    "exclude_text_b",
    None,
    "Column (key, in .jsonl) of the second text of pairs in tables of --exclude_file, with "
    "--exclude_text_a.",
)
flags.DEFINE_list(
    "exclude_task",
    [],
    "Tasks whose development and test examples no text may contain, each as TASK:FOLDER such as "
    "rte:glue/RTE.",
)
flags.DEFINE_bool(
    "drop_leaks",
    False,
    "Leave out texts that contain a development or test example: are equal to it, or hold one of six "
    "words or more as a whole.",
)
flags.DEFINE_bool(
    "allow_leaks", False, "Keep texts that contain a development or test example; they are counted."
)

group("The transfer set")
flags.DEFINE_string(
    "output_file",
    None,
    "File to write: .txt or .tsv, pairs in .tsv only; compressed if .gz, .xz, .bz2 or .zst "
    "follows.",
)
flags.DEFINE_list(
    "sizes",
    [],
    "Numbers of texts, such as 100k,1M. Writes one file of each size, named like --output_file "
    "with the size added; each is the beginning of the next larger one.",
)
flags.DEFINE_integer(
    "random_seed", 12345, "Seed of the order of texts, and so of the smaller sets."
)

group("Speed")
define_beam_flags()


def main(_: Sequence[str]) -> None:
    if not (FLAGS.input_file or FLAGS.input_task):
        raise UserError("no source of texts: pass --input_file or --input_task.")

    from distillation import transfer_creation

    transfer_creation.run(from_flags(transfer_creation.TransferOptions, FLAGS))


if __name__ == "__main__":
    flags.mark_flag_as_required("output_file")
    cli.run(main)
