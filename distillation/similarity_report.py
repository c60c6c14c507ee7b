"""The similarity of two corpora, measured and printed."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tqdm import tqdm

from common.atomic import write_json
from common.input_files import expand_globs
from common.outputs import check_files_apart, lock_files
from common.processes import ordered_map
from data.texts import check_columns, file_sources, first_text, is_source_name
from distillation.corpus_similarity import (
    AS_PRINTED,
    SPEARMAN,
    Corpus,
    Similarity,
    measure,
    read_blocks,
    text_size,
    word_counter,
)
from training.options import Options

_TITLES = {"joint": "A and B", "a": "A", "b": "B"}


@dataclasses.dataclass(frozen=True)
class SimilarityOptions(Options):
    """The flags of `measure_similarity.py`."""

    corpus_a: str = ""
    corpus_b: str = ""
    text_a: str | None = None
    text_b: str | None = None
    num_words: int = 100
    vocabulary: str = "joint"
    bootstrap_samples: int = 1000
    random_seed: int = 12345
    output_file: str | None = None
    num_processes: int | None = None

    RECORDED = ("text_a", "text_b", "num_words", "bootstrap_samples", "random_seed")


def run(options: SimilarityOptions) -> None:
    """Measures, prints and, where a file is named, writes the similarity.

    Raises:
      UserError: Options or files that the user has to change.
    """
    paths = {
        "corpus_a": expand_globs(options.corpus_a, "corpus_a", is_source_name),
        "corpus_b": expand_globs(options.corpus_b, "corpus_b", is_source_name),
    }
    all_paths = [*paths["corpus_a"], *paths["corpus_b"]]
    sources = {name: file_sources(paths[name], options.text_a, options.text_b) for name in paths}
    check_columns(all_paths, options.text_a)
    for source in [*sources["corpus_a"], *sources["corpus_b"]]:
        first_text(source)
    if options.output_file:
        check_files_apart("output_file", [options.output_file], all_paths)
        lock_files("output_file", [options.output_file])

    with contextlib.ExitStack() as stack:
        corpora = []
        for name in paths:
            blocks = read_blocks(sources[name], text_size(paths[name]))
            counts = ordered_map(word_counter, (), blocks, options.num_processes)
            progress = tqdm(counts, desc=f"--{name}", unit=" blocks", mininterval=1)
            corpora.append(stack.enter_context(contextlib.closing(Corpus(f"--{name}", progress))))
        corpus_a, corpus_b = corpora
        similarities = measure(
            (corpus_a, corpus_b), options.num_words, options.bootstrap_samples, options.random_seed
        )
    _print_similarities(corpora, similarities)
    _print_words(similarities[options.vocabulary], corpora)
    if options.output_file:
        described = {
            name: {
                "files": paths[name],
                "num_texts": corpus.num_texts,
                "num_words": corpus.num_words,
                "num_blocks": corpus.num_blocks,
            }
            for name, corpus in zip(paths, corpora, strict=True)
        }
        content = {
            **described,
            "similarities": {name: _as_json(value) for name, value in similarities.items()},
            "flags": options.values(options.RECORDED),
        }
        write_json(options.output_file, content)


def _print_similarities(corpora: Sequence[Corpus], similarities: Mapping[str, Similarity]) -> None:
    """Prints the values by all choices of words and both readings of the formula."""
    for name, corpus in zip("AB", corpora, strict=True):
        print(f"Corpus {name}: {corpus.num_texts} texts, {corpus.num_words} words")
    print(
        f"\n{'Most common in':16}{'Spearman: 1 - 6 D':28}{'as the paper prints it: 1 - D':32}"
        "missing in A, B  tied"
    )
    for choice, similarity in similarities.items():
        cells = []
        for factor in (SPEARMAN, AS_PRINTED):
            interval = similarity.interval(factor)
            limits = f"  95 %: {interval[0]:.3f} to {interval[1]:.3f}" if interval else ""
            cells.append(f"{similarity.value(factor):.3f}{limits}")
        missing_a, missing_b = similarity.num_missing
        print(
            f"{_TITLES[choice]:16}{cells[0]:28}{cells[1]:32}{missing_a:>12}, {missing_b:>1}"
            f"{similarity.num_tied:>6}"
        )


def _print_words(similarity: Similarity, corpora: Sequence[Corpus]) -> None:
    """Prints every word with both ranks."""
    print(f"\n{'word':16}{'rank in A':>10}{'rank in B':>10}{'d':>8}{'A, per million':>16}{'B':>10}")
    for word, (rank_a, rank_b), frequencies in zip(
        similarity.words, similarity.ranks.T, similarity.frequencies.T, strict=True
    ):
        per_million_a, per_million_b = (
            1e6 * frequency / corpus.num_words
            for frequency, corpus in zip(frequencies, corpora, strict=True)
        )
        print(
            f"{word:16}{rank_a:10g}{rank_b:10g}{rank_a - rank_b:8g}{per_million_a:16.0f}"
            f"{per_million_b:10.0f}"
        )


def _as_json(similarity: Similarity) -> dict[str, Any]:
    """All about one choice of words."""
    return {
        "spearman": similarity.value(SPEARMAN),
        "spearman_interval": similarity.interval(SPEARMAN),
        "as_printed": similarity.value(AS_PRINTED),
        "as_printed_interval": similarity.interval(AS_PRINTED),
        "num_missing": similarity.num_missing,
        "num_tied": similarity.num_tied,
        "words": [
            {"word": word, "ranks": ranks, "frequencies": frequencies}
            for word, ranks, frequencies in zip(
                similarity.words,
                similarity.ranks.T.tolist(),
                similarity.frequencies.T.tolist(),
                strict=True,
            )
        ],
    }
