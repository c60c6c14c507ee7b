"""Creation of a transfer set: its sources, the search for leaks, the files and their manifests."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
from collections.abc import Iterator, Sequence

import numpy as np

from classification.task_files import TaskFile
from classification.tasks import OWN_TABLES, get_task
from common.atomic import write_json
from common.beam import parse_options
from common.errors import MissingFileError, UserError
from common.files import file_size, is_remote, make_folder, sha256_file
from common.input_files import expand_globs
from common.outputs import check_files_apart, lock_files
from data.texts import Text, TextSource, check_columns, file_sources, is_source_name
from distillation.leaks import LeakIndex
from distillation.subsets import manifest_path, subset_paths, write_subsets
from distillation.transfer_set import (
    LeakReport,
    ShuffledTexts,
    SourceCounts,
    TextShuffler,
    add_sources,
    all_pairs,
)
from training.options import BeamFlags

_NUM_LOGGED_LEAKS = 10


@dataclasses.dataclass(frozen=True)
class TransferOptions(BeamFlags):
    """The flags of `create_transfer_set.py`."""

    input_file: str | None = None
    input_task: Sequence[str] = ()
    text_a: str | None = None
    text_b: str | None = None
    split: str = "lines"
    exclude_file: str | None = None
    exclude_text_a: str | None = None
    exclude_text_b: str | None = None
    exclude_task: Sequence[str] = ()
    drop_leaks: bool = False
    allow_leaks: bool = False
    output_file: str = ""
    sizes: Sequence[str] = ()
    random_seed: int = 12345

    # What decides the content of the files.
    RECORDED = (
        "input_file",
        "input_task",
        "text_a",
        "text_b",
        "split",
        "exclude_file",
        "exclude_text_a",
        "exclude_text_b",
        "exclude_task",
        "drop_leaks",
        "allow_leaks",
        "sizes",
        "random_seed",
    )


def run(options: TransferOptions) -> None:
    """Builds the set, in all sizes that are asked for.

    Raises:
      UserError: Options or files that the user has to change.
    """
    beam = parse_options(options.beam_runner, options.beam_options)
    sources, excluded = _open_sources(options)
    are_pairs = all_pairs(sources)
    paths = subset_paths(options.output_file, options.sizes, are_pairs)
    check_files_apart("output_file", list(paths), [source.name for source in [*sources, *excluded]])
    lock_files("output_file", paths)
    leak_index = LeakIndex(excluded)
    if not excluded:
        logging.warning("No --exclude_file or --exclude_task, so no search for dev and test texts.")

    # The texts, through temporary files beside the output, to the sets.
    folder = os.path.dirname(options.output_file) or "."
    make_folder(folder)
    with contextlib.ExitStack() as stack:
        texts: ShuffledTexts
        if beam:
            from distillation.beam_transfer_set import sorted_texts

            texts, counts, leaks = stack.enter_context(
                sorted_texts(
                    sources, excluded, options.drop_leaks, options.random_seed, folder, beam
                )
            )
        else:
            shuffler = TextShuffler(None if is_remote(folder) else folder, options.random_seed)
            texts = stack.enter_context(contextlib.closing(shuffler))
            counts, leaks = add_sources(sources, shuffler, leak_index, options.drop_leaks)
        _report_leaks(leaks, options.drop_leaks, options.allow_leaks)
        subset_counts, num_different = write_subsets(texts, paths, len(sources))
        num_duplicates = texts.num_added - num_different

    made = {
        "num_duplicates": num_duplicates,
        "excluded": leak_index.num_examples,
        "leaks": dataclasses.asdict(leaks),
        "flags": options.values(options.RECORDED),
    }
    for path, num_texts in subset_counts.items():
        kept = {"num_texts": int(num_texts.sum()), "are_pairs": are_pairs}
        described = {"sources": _described(sources, num_texts, counts)}
        written = {"file_size": file_size(path), "sha256": sha256_file(path)}
        write_json(manifest_path(path), {**kept, **described, **made, **written})
        logging.info("%s: %d texts.", path, kept["num_texts"])
    logging.info(
        "Read %d, of which %d are empty, %d leaking and %d duplicates.",
        sum(count.num_rows for count in counts),
        sum(count.num_empty for count in counts),
        leaks.num_texts,
        num_duplicates,
    )


def _described(
    sources: Sequence[TextSource], num_texts: np.ndarray, counts: Sequence[SourceCounts]
) -> list[dict[str, object]]:
    return [
        {"name": source.name, "num_texts": int(n), **dataclasses.asdict(count)}
        for source, n, count in zip(sources, num_texts, counts, strict=True)
    ]


def _open_sources(options: TransferOptions) -> tuple[list[TextSource], list[TextSource]]:
    """The texts to take and those to keep apart; all that can be said against them beforehand."""
    input_files, exclude_files = (
        expand_globs(paths, flag, is_source_name) if paths else []
        for flag, paths in (
            ("input_file", options.input_file),
            ("exclude_file", options.exclude_file),
        )
    )
    # A second column goes with the first one that it stands beside.
    exclude_columns = (options.text_a, options.text_b)
    if options.exclude_text_a:
        exclude_columns = (options.exclude_text_a, options.exclude_text_b)
    sources = [
        *file_sources(input_files, options.text_a, options.text_b, options.split),
        *_task_sources(options.input_task, "input_task", ("train",)),
    ]
    excluded = [
        *file_sources(exclude_files, *exclude_columns),
        *_task_sources(options.exclude_task, "exclude_task", ("dev", "test"), True),
    ]
    check_columns([*input_files, *exclude_files], options.text_a)
    check_columns(exclude_files, options.exclude_text_a, "exclude_text_a")
    return sources, excluded


def _task_sources(
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
            logging.warning(
                "--%s=%s: a file of the task is missing, so its examples are not looked for: %s",
                flag,
                name_and_folder,
                absence,
            )
    return sources


def _task_texts(file: TaskFile, folder: str, task_name: str) -> Iterator[Text]:
    # Not Task.read_examples, which leaves out rows without a label: here, they are as good.
    _, examples = file.open(folder, task_name)
    for example in examples:
        yield example.source, example.text_a, example.text_b


def _report_leaks(leaks: LeakReport, drop_leaks: bool, allow_leaks: bool) -> None:
    """Names leaks; UserError if there are any and neither flag says what to do with them."""
    if not leaks.num_texts:
        return
    for text, example in leaks.first[:_NUM_LOGGED_LEAKS]:
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
