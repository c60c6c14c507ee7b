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
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.utils.shared import Shared

from common.atomic import write_json
from common.beam import (
    BeamOptions,
    read_arrays,
    run_pipeline,
    unique_path,
    work_folder,
    write_arrays,
)
from common.files import read_json
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
      num_added: Texts there were, with duplicates.
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
        result_path = os.path.join(folder, "result.json")

        def build(pipeline: beam.Pipeline) -> None:
            chunks, counts = (
                pipeline
                | "Sources" >> beam.Create(range(len(sources)))
                | "Spread sources" >> beam.Reshuffle()
                | "Read" >> beam.ParDo(_Read(sources)).with_outputs("counts", main="chunks")
            )
            texts, searched = (
                chunks
                | "Spread chunks" >> beam.Reshuffle()
                | "Search leaks"
                >> beam.ParDo(_Search(excluded, drop_leaks, random_seed)).with_outputs(
                    "searched", main="texts"
                )
            )
            parts = (
                texts
                | "Group by hash" >> beam.GroupByKey()
                | "Sort" >> beam.Map(_write_part, folder)
            )
            _ = (
                pipeline
                | "Result" >> beam.Create([result_path])
                | "Write result"
                >> beam.Map(_write_result, *map(beam.pvalue.AsList, (counts, searched, parts)))
            )

        run_pipeline(build, beam_options)
        result = read_json(result_path)
        counts = [SourceCounts(*numbers) for numbers in result["counts"]]
        leaks = []
        for source, found in result["leaks"]:
            leaks.append(ChunkLeaks(*found))
            counts[source].num_leaking += leaks[-1].num_texts
        yield SortedParts(result["parts"], result["num_added"]), counts, leak_report(leaks)


class _Read(beam.DoFn):
    def __init__(self, sources: Sequence[TextSource]):
        self._sources = sources

    def process(self, source: int) -> Iterator[Chunk | beam.pvalue.TaggedOutput]:
        count = SourceCounts()
        for index, chunk in enumerate(read_chunks(self._sources[source], count)):
            yield Chunk(source, index, *chunk)
        numbers = source, count.num_rows, count.num_empty
        yield beam.pvalue.TaggedOutput("counts", numbers)


class _Search(beam.DoFn):
    def __init__(self, excluded: Sequence[TextSource], drop_leaks: bool, random_seed: int):
        self._excluded, self._drop_leaks, self._random_seed = excluded, drop_leaks, random_seed
        self._shared = Shared()

    def setup(self) -> None:
        # One for all threads of a process. The index itself can be too large for a job's description.
        self._leak_index = self._shared.acquire(lambda: LeakIndex(self._excluded))

    def process(
        self, chunk: Chunk
    ) -> Iterator[tuple[int, tuple[int, HashedTexts]] | beam.pvalue.TaggedOutput]:
        lines, normal_forms, leaks = search_chunk(
            chunk.places, chunk.lines, self._leak_index, self._drop_leaks
        )
        for part, texts in split_by_hash(chunk.source, lines, normal_forms, self._random_seed):
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


def _write_result(
    path: str,
    counts: list[tuple[int, int, int]],
    searched: list[tuple[int, int, int, ChunkLeaks]],
    parts: list[tuple[int, str]],
) -> None:
    result = {
        "counts": [numbers for _, *numbers in sorted(counts)],
        "leaks": [(source, leaks) for source, _, _, leaks in sorted(searched) if leaks.num_texts],
        "num_added": sum(num_added for _, _, num_added, _ in searched),
        "parts": [place for _, place in sorted(parts)],
    }
    write_json(path, result)
