"""Pre-training records on many machines, by Apache Beam: `write_records` as a pipeline.

The stages call what the local path calls, seeded in the same way, so the files are byte for byte the
same, whatever the runner and the number of workers:

    input files -> blocks of lines -> tokens     each block by any worker
    tokens -> one token store                    by one worker; copying, no more
    tasks -> records                             each run of tasks by any worker
    records -> output files                      each file by any worker

Random segments come from the whole corpus, so every worker process needs the whole store, 2 bytes
per token: it is read where it is, or, if that is remote, from a copy on the worker's disk. All that
stands between two stages are files in one folder that all workers reach.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import apache_beam as beam
import numpy as np
from apache_beam.utils.shared import Shared

from common.atomic import copy_file
from common.beam import (
    BeamOptions,
    read_arrays,
    run_pipeline,
    spread,
    unique_path,
    work_folder,
    write_arrays,
)
from common.chunks import chunks
from common.files import LineBlock, is_remote, make_folder, open_binary, read_line_blocks
from data.tfrecords import RecordWriter, frame_records, move_records
from modeling.tokenization import FullTokenizer
from pretraining.corpus import BlockTokenizer, TokenBlock, TokenStore, store_tokens
from pretraining.record_writing import InstanceOptions, Task, TaskRunner, log_example, plan_tasks

# Blocks (of about 1 MB of text) in a file of tokens.
_BLOCKS_PER_FILE = 32
# Tasks whose records are in one file. More make fewer and larger files, and workers less even.
_TASKS_PER_RUN = 16


# Which file of tokens a block goes to: position of the input file, and of the group of blocks in it.
BlockKey: TypeAlias = tuple[int, int]


class RecordRun(NamedTuple):
    """A file with the records of a run of tasks.

    Attributes:
      position: Position of the run among all.
      path: The file: what goes to the first output file, to the second, and so on, when the run
        begins with the first.
      counts: Records for each of the output files.
      ends: End of the bytes of each of them.
    """

    position: int
    path: str
    counts: list[int]
    ends: list[int]


def write_records(
    input_files: Sequence[str],
    output_files: Sequence[str],
    tokenizer: FullTokenizer,
    options: InstanceOptions,
    do_sentence_split: bool,
    input_format: str,
    gzip_compress: bool,
    beam_options: BeamOptions,
) -> tuple[TokenStore, list[int]]:
    """Makes the records of text files.

    Args:
      input_files: UTF-8 text, maybe compressed, where all workers reach it.
      output_files: Get the records in turn; they appear when all of them are complete. Meanwhile,
        their folders, the first one's above all, hold intermediate files.
      tokenizer: Makes the ids.
      options: Settings of the records.
      do_sentence_split: Whether lines of format `text` are paragraphs to be split into sentences.
      input_format: `text` or `transfer_set`.
      gzip_compress: Whether the files are compressed.
      beam_options: Runner of the pipeline.

    Returns:
      The token store, of which only the numbers are left, and the records of each file.

    Raises:
      UserError: As `build_token_store`, or Beam refuses its options.
    """
    with contextlib.ExitStack() as stack:
        # Beside each output file, so that a rename is enough to put it in its place.
        parents = [os.path.dirname(path) for path in output_files]
        folders = {parent: stack.enter_context(work_folder(parent)) for parent in set(parents)}
        folder = folders[parents[0]]

        def build(pipeline: beam.Pipeline) -> dict[str, beam.PCollection]:
            token_files = (
                spread(pipeline, "Files", list(enumerate(input_files)))
                | "Read" >> beam.FlatMapTuple(_read_blocks)
                | "Spread blocks" >> beam.Reshuffle()
                | "Tokenize"
                >> beam.Map(_tokenize, BlockTokenizer(tokenizer, do_sentence_split, input_format))
                | "Group blocks" >> beam.GroupByKey()
                | "Write tokens" >> beam.Map(_write_tokens, folder)
            )
            store = (
                pipeline
                | "Folder" >> beam.Create([folder])
                | "Join tokens"
                >> beam.Map(
                    _join_tokens,
                    beam.pvalue.AsList(token_files),
                    tokenizer.id_typecode,
                    input_format,
                    do_sentence_split,
                )
            )
            runs = (
                store
                | "Plan" >> beam.FlatMap(_plan_runs, tokenizer.id_typecode, options)
                | "Spread tasks" >> beam.Reshuffle()
                | "Make records"
                >> beam.Map(
                    _make_records,
                    beam.pvalue.AsSingleton(store),
                    Shared(),
                    tokenizer,
                    options,
                    len(output_files),
                    folder,
                )
            )
            places = list(enumerate(map(folders.get, parents)))
            outputs = spread(pipeline, "Output files", places) | "Write" >> beam.Map(
                _write_output, beam.pvalue.AsList(runs), gzip_compress
            )
            return {"store": store, "outputs": outputs}

        result = run_pipeline(build, beam_options, folder)
        for (_, temporary, _), path in zip(result["outputs"], output_files, strict=True):
            move_records(temporary, path)
        (store_folder,) = result["store"]
        store = _load_store(store_folder, tokenizer.id_typecode)
    return store, [num_records for _, _, num_records in result["outputs"]]


def _read_blocks(file: int, path: str) -> Iterator[tuple[BlockKey, int, LineBlock]]:
    for index, block in enumerate(read_line_blocks(path)):
        yield (file, index // _BLOCKS_PER_FILE), index, block


def _tokenize(
    element: tuple[BlockKey, int, LineBlock], tokenize: BlockTokenizer
) -> tuple[BlockKey, tuple[int, TokenBlock]]:
    key, index, block = element
    return key, (index, tokenize(block))


def _write_tokens(
    group: tuple[BlockKey, Iterable[tuple[int, TokenBlock]]], folder: str
) -> tuple[BlockKey, str]:
    key, blocks = group
    path = unique_path(folder, "tokens")
    in_order = sorted(blocks, key=lambda block: block[0])
    arrays = [(np.frombuffer(block.tokens, np.uint8), block.lengths) for _, block in in_order]
    write_arrays(path, list(itertools.chain.from_iterable(arrays)))
    return key, path


def _join_tokens(
    folder: str,
    token_files: list[tuple[BlockKey, str]],
    typecode: str,
    input_format: str,
    do_sentence_split: bool,
) -> str:
    """Makes the store; returns its folder."""

    def blocks() -> Iterator[TokenBlock]:
        for _, path in sorted(token_files):
            arrays = iter(read_arrays(path))
            for tokens, lengths in zip(arrays, arrays, strict=True):
                yield TokenBlock(tokens.tobytes(), lengths)

    store_folder = unique_path(folder, "store")
    make_folder(store_folder)
    store = store_tokens(blocks(), store_folder, typecode, input_format, do_sentence_split)
    write_arrays(os.path.join(store_folder, "ends"), [store.documents, store.units])
    return store_folder


def _load_store(folder: str, typecode: str) -> TokenStore:
    return TokenStore(folder, typecode, *read_arrays(os.path.join(folder, "ends")))


def _plan_runs(
    store_folder: str, typecode: str, options: InstanceOptions
) -> Iterator[tuple[int, list[Task]]]:
    tasks = plan_tasks(_load_store(store_folder, typecode), options)
    yield from enumerate(chunks(tasks, _TASKS_PER_RUN))


def _make_records(
    run: tuple[int, list[Task]],
    store_folder: str,
    shared: Shared,
    tokenizer: FullTokenizer,
    options: InstanceOptions,
    num_outputs: int,
    folder: str,
) -> RecordRun:
    # One for all threads of a process, as there is one copy of a remote store.
    run_task = shared.acquire(
        lambda: _open_store(store_folder, tokenizer, options), tag=store_folder
    )
    index, tasks = run
    records: list[bytes] = []
    for task in tasks:
        made = run_task(task)
        records += made.records
        if made.first is not None:
            log_example(made.first, tokenizer)
    by_output = [records[i::num_outputs] for i in range(num_outputs)]
    data = list(map(frame_records, by_output))
    path = unique_path(folder, "records")
    with open_binary(path, "wb") as file:
        file.write(b"".join(data))
    ends = list(itertools.accumulate(map(len, data)))
    return RecordRun(index, path, list(map(len, by_output)), ends)


def _open_store(
    store_folder: str, tokenizer: FullTokenizer, options: InstanceOptions
) -> TaskRunner:
    store = _load_store(store_folder, tokenizer.id_typecode)
    if not is_remote(store_folder):
        return TaskRunner(store, tokenizer, options)
    # The files stay readable to who has opened them after the folder is gone.
    with tempfile.TemporaryDirectory(prefix="tokens-") as local:
        for name in ("tokens", "offsets"):
            copy_file(os.path.join(store_folder, name), os.path.join(local, name))
        return TaskRunner(dataclasses.replace(store, folder=local), tokenizer, options)


def _write_output(
    target: tuple[int, str], runs: list[RecordRun], gzip_compress: bool
) -> tuple[int, str, int]:
    """Gathers an output file from all runs, given its position and the folder to make it in.

    Returns:
      Its position, place and records.
    """
    output, folder = target
    with RecordWriter(unique_path(folder, "output"), gzip_compress) as writer:
        num_before = 0
        for run in sorted(runs):
            # Output files take records in turn, without regard to runs.
            part = (output - num_before) % len(run.ends)
            start = run.ends[part - 1] if part else 0
            with open_binary(run.path, decompress=False) as file:
                file.seek(start)
                writer.write_framed(file.read(run.ends[part] - start), run.counts[part])
            num_before += sum(run.counts)
    return output, writer.path, writer.num_records
