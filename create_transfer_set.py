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

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from absl import flags

from common.errors import MissingFileError, UserError
from common.outputs import check_files_apart, lock_files
from training import cli
from training.flags import beam_options, define_beam_flags, flag_values
from training.help import group

if TYPE_CHECKING:
    from classification.task_files import TaskFile
    from data.texts import Text, TextSource
    from distillation.transfer_set import LeakReport, ShuffledTexts

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
flags.DEFINE_list(
    "exclude_task",
    [],
    "Tasks whose development and test examples no text may contain, each as TASK:FOLDER such as "
    "rte:glue/RTE.",
)
flags.DEFINE_bool(
    "drop_leaks", False, "Leave out texts that contain a development or test example."
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

# What decides the content of the files.
SET_FLAGS = [
    "input_file",
    "input_task",
    "text_a",
    "text_b",
    "split",
    "exclude_file",
    "exclude_task",
    "drop_leaks",
    "allow_leaks",
    "sizes",
    "random_seed",
]
NUM_LOGGED_LEAKS = 10


def main(_: Sequence[str]) -> None:
    if not (FLAGS.input_file or FLAGS.input_task):
        raise UserError("no source of texts: pass --input_file or --input_task.")

    import dataclasses
    import logging

    from common.atomic import write_json
    from common.files import file_size, is_remote, make_folder, sha256_file
    from common.input_files import expand_globs
    from data.texts import check_columns, file_sources, is_source_name
    from distillation.leaks import LeakIndex
    from distillation.subsets import manifest_path, subset_paths, write_subsets
    from distillation.transfer_set import TextShuffler, add_sources, all_pairs

    beam = beam_options(FLAGS)
    # The sources, and all that can be said against them before reading.
    input_files, exclude_files = (
        expand_globs(FLAGS[name].value, name, is_source_name) if FLAGS[name].value else []
        for name in ("input_file", "exclude_file")
    )
    sources = [
        *file_sources(input_files, FLAGS.text_a, FLAGS.text_b, FLAGS.split),
        *task_sources(FLAGS.input_task, "input_task", ("train",)),
    ]
    excluded = [
        *file_sources(exclude_files, FLAGS.text_a, FLAGS.text_b),
        *task_sources(FLAGS.exclude_task, "exclude_task", ("dev", "test"), some_are_enough=True),
    ]
    check_columns([*input_files, *exclude_files], FLAGS.text_a)
    are_pairs = all_pairs(sources)
    paths = subset_paths(FLAGS.output_file, FLAGS.sizes, are_pairs)
    check_files_apart("output_file", list(paths), [source.name for source in [*sources, *excluded]])
    lock_files("output_file", paths)
    leak_index = LeakIndex(excluded)
    if not excluded:
        logging.warning("No --exclude_file or --exclude_task, so no search for dev and test texts.")

    # The texts, through temporary files beside the output, to the sets.
    folder = os.path.dirname(FLAGS.output_file) or "."
    make_folder(folder)
    with contextlib.ExitStack() as stack:
        texts: ShuffledTexts
        if beam:
            from distillation.beam_transfer_set import sorted_texts

            texts, counts, leaks = stack.enter_context(
                sorted_texts(sources, excluded, FLAGS.drop_leaks, FLAGS.random_seed, folder, beam)
            )
        else:
            shuffler = TextShuffler(None if is_remote(folder) else folder, FLAGS.random_seed)
            texts = stack.enter_context(contextlib.closing(shuffler))
            counts, leaks = add_sources(sources, shuffler, leak_index, FLAGS.drop_leaks)
        report_leaks(leaks, FLAGS.drop_leaks, FLAGS.allow_leaks)
        subset_counts, num_different = write_subsets(texts, paths, len(sources))
        num_duplicates = texts.num_added - num_different

    for path, num_texts in subset_counts.items():
        manifest = {
            "num_texts": int(num_texts.sum()),
            "are_pairs": are_pairs,
            "sources": [
                {"name": source.name, "num_texts": int(n), **dataclasses.asdict(count)}
                for source, n, count in zip(sources, num_texts, counts, strict=True)
            ],
            "num_duplicates": num_duplicates,
            "excluded": leak_index.num_examples,
            "leaks": dataclasses.asdict(leaks),
            "flags": flag_values(FLAGS, SET_FLAGS),
            "file_size": file_size(path),
            "sha256": sha256_file(path),
        }
        write_json(manifest_path(path), manifest)
        logging.info("%s: %d texts.", path, manifest["num_texts"])
    logging.info(
        "Read %d, of which %d are empty, %d leaking and %d duplicates.",
        sum(count.num_rows for count in counts),
        sum(count.num_empty for count in counts),
        leaks.num_texts,
        num_duplicates,
    )


def task_sources(
    tasks: Sequence[str], flag: str, splits: Sequence[str], some_are_enough: bool = False
) -> list[TextSource]:
    """The texts of tasks, one source for each file.

    Args:
      tasks: TASK:FOLDER, each.
      flag: Flag that they come from, for messages.
      splits: `train`, `dev`, `test`.
      some_are_enough: Whether files of a task may be missing, with a warning, though not all.

    Raises:
      UserError: Something else than TASK:FOLDER, an unknown task, or a missing file.
    """
    import logging

    from classification.tasks import OWN_TABLES, get_task
    from data.texts import TextSource

    sources = []
    for name_and_folder in tasks:
        name, _, folder = name_and_folder.partition(":")
        if not name or not folder:
            raise UserError(
                f'--{flag}: "{name_and_folder}" must be TASK:FOLDER, such as sst-2:glue/SST-2.'
            )
        if name.lower() in OWN_TABLES:
            raise UserError(
                f"--{flag}={name_and_folder}: for tables of your own, pass the files themselves with "
                f"--{flag.replace('task', 'file')}, and --text_a for the column of the text."
            )
        task = get_task(name, folder)
        files = [file for split in splits for file in getattr(task, split)]
        if not files:
            raise UserError(f"--{flag}={name_and_folder}: task {name} has no {splits[0]} set.")
        missing = []
        for file in files:
            try:
                title, _ = file.open(folder, task.name)
            except MissingFileError as error:
                missing.append(error)
                continue
            texts = functools.partial(_task_texts, file, folder, task.name)
            sources.append(TextSource(title, texts))
        if missing and not (some_are_enough and len(missing) < len(files)):
            raise missing[0]
        for absence in missing:
            logging.warning("--%s=%s: not looked for: %s", flag, name_and_folder, absence)
    return sources


def _task_texts(file: TaskFile, folder: str, task_name: str) -> Iterator[Text]:
    # Not Task.read_examples, which leaves out rows without a label: here, they are as good.
    _, examples = file.open(folder, task_name)
    for example in examples:
        yield example.source, example.text_a, example.text_b


def report_leaks(leaks: LeakReport, drop_leaks: bool, allow_leaks: bool) -> None:
    """Names leaks; UserError if there are any and neither flag says what to do with them."""
    import logging

    if not leaks.num_texts:
        return
    for text, example in leaks.first[:NUM_LOGGED_LEAKS]:
        logging.warning("Leak: %s holds %s", text, example)
    text, example = leaks.first[0]
    found = (
        f"{leaks.num_texts} texts of the transfer set hold {leaks.num_examples} dev or test "
        f"examples, the first is {text} with {example}"
    )
    if not (drop_leaks or allow_leaks):
        raise UserError(
            f"{found}; pass --drop_leaks to leave these texts out, or --allow_leaks to keep them."
        )
    logging.warning("%s; these texts are %s.", found, "left out" if drop_leaks else "kept")


if __name__ == "__main__":
    flags.mark_flag_as_required("output_file")
    cli.run(main)
