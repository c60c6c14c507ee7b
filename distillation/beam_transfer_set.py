"""A transfer set from many machines, by Apache Beam: `add_sources` as a pipeline.

The stages call what the local path calls, so that the texts, their order and all counts are the
same, whatever the runner and the number of workers:

    sources -> chunks of texts               each source by any worker
    chunks -> hashed texts without leaks     each chunk by any worker
    hashed texts -> sorted parts             each range of the hashes by any worker

The parts are files in one folder that all workers reach; `write_subsets` reads them in order.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.utils.shared import Shared

from common.beam import (
    BeamOptions,
    read_arrays,
    run_pipeline,
    spread,
    unique_path,
    work_folder,
    write_arrays,
)
from data.texts import TextSource
from distillation.leaks import LeakIndex
from distillation.transfer_set import (
    ChunkLeaks,
    HashedTexts,
    LeakReport,
    SourceCounts,
    leak_report,
    read_chunks,
    search_chunk,
    sort_by_hash,
    split_by_hash,
)


class Chunk(NamedTuple):
    """Some texts of a source.

    Attributes:
      source: Number of the source.
      position: Position of the chunk in it.
      places: File and line of each text.
      lines: The texts.
    """

    source: int
    position: int
    places: list[str]
    lines: list[str]


class SortedParts:
    """`ShuffledTexts` in the files of a pipeline.

    Attributes:
      num_added: Number of texts that were added, duplicates included.
    """

    def __init__(self, paths: Sequence[str], num_added: int):
        """Takes files of `_write_part` in the order of the hashes."""
        self.num_added = num_added
        self._paths = paths

    def shuffled(self) -> Iterator[tuple[np.ndarray, list[bytes]]]:
        """See `ShuffledTexts`."""
        for path in self._paths:
            sources, lines = read_arrays(path)
            yield sources, lines.tobytes().split(b"\n")


@contextlib.contextmanager
def sorted_texts(
    sources: Sequence[TextSource],
    excluded: Sequence[TextSource],
    drop_leaks: bool,
    random_seed: int,
    output_folder: str,
    beam_options: BeamOptions,
) -> Iterator[tuple[SortedParts, list[SourceCounts], LeakReport]]:
    """Reads all sources, as a context manager.

    Args:
      sources: All of single texts or all of pairs, where all workers reach them.
      excluded: Dev and test examples to look for.
      drop_leaks: Whether texts that hold one are left out.
      random_seed: Seed of the order.
      output_folder: Holds intermediate files until the context is left; all workers reach it.
      beam_options: Runner of the pipeline.

    Yields:
      The texts, counts for each source, and the leaks.

    Raises:
      UserError: Whatever reading the sources raises, or Beam refuses its options.
    """
    with work_folder(output_folder) as folder:

        def build(pipeline: beam.Pipeline) -> dict[str, beam.PCollection]:
            chunks, counts = spread(pipeline, "Sources", range(len(sources))) | "Read" >> (
                beam.FlatMap(_read, sources).with_outputs("counts", main="chunks")
            )
            texts, searched = (
                chunks
                | "Spread chunks" >> beam.Reshuffle()
                | "Search leaks"
                >> beam.FlatMap(_search, Shared(), excluded, drop_leaks, random_seed).with_outputs(
                    "searched", main="texts"
                )
            )
            parts = (
                texts
                | "Group by hash" >> beam.GroupByKey()
                | "Sort" >> beam.Map(_write_part, folder)
            )
            return {"counts": counts, "searched": searched, "parts": parts}

        result = run_pipeline(build, beam_options, folder)
        counts = [SourceCounts(*numbers) for _, *numbers in result["counts"]]
        leaks = []
        for source, _, _, found in result["searched"]:
            leaks.append(ChunkLeaks(*found))
            counts[source].num_leaking += leaks[-1].num_texts
        num_added = sum(num_texts for _, _, num_texts, _ in result["searched"])
        parts = SortedParts([path for _, path in result["parts"]], num_added)
        yield parts, counts, leak_report(leaks)


def _read(source: int, sources: Sequence[TextSource]) -> Iterator[Chunk | beam.pvalue.TaggedOutput]:
    count = SourceCounts()
    for index, chunk in enumerate(read_chunks(sources[source], count)):
        yield Chunk(source, index, *chunk)
    yield beam.pvalue.TaggedOutput("counts", (source, count.num_rows, count.num_empty))


def _search(
    chunk: Chunk,
    shared: Shared,
    excluded: Sequence[TextSource],
    drop_leaks: bool,
    random_seed: int,
) -> Iterator[tuple[int, tuple[int, HashedTexts]] | beam.pvalue.TaggedOutput]:
    # One for all threads of a process. The index itself can be too large for a job's description.
    leak_index = shared.acquire(lambda: LeakIndex(excluded))
    lines, normal_forms, leaks = search_chunk(chunk.places, chunk.lines, leak_index, drop_leaks)
    for part, texts in split_by_hash(chunk.source, lines, normal_forms, random_seed):
        yield part, (chunk.position, texts)
    searched = chunk.source, chunk.position, len(lines), leaks
    yield beam.pvalue.TaggedOutput("searched", searched)


def _write_part(
    group: tuple[int, Iterable[tuple[int, HashedTexts]]], folder: str
) -> tuple[int, str]:
    """Sorts a part; of duplicates, the first that would be read on one machine is kept."""
    part, chunks = group
    in_order = sorted(chunks, key=lambda chunk: (chunk[1].source, chunk[0]))
    sources, lines = sort_by_hash(texts for _, texts in in_order)
    path = unique_path(folder, "part")
    write_arrays(path, [sources, np.frombuffer(b"\n".join(lines), np.uint8)])
    return part, path
