"""Measures how alike two corpora are: Spearman's rank correlation of their most common words.

    python measure_similarity.py --corpus_a=book_reviews.txt --corpus_b='wikipedia*.txt.xz'

A labelled set and two transfer sets; the numbers go to a file as well:

    python measure_similarity.py --corpus_a=task/train.tsv --text_a=text \\
        --corpus_b=reviews.txt,more_reviews.jsonl --output_file=similarity.json

More words, those of corpus A, without intervals:

    python measure_similarity.py --corpus_a=a.txt --corpus_b=b.txt --num_words=500 --vocabulary=a \\
        --bootstrap_samples=0

Words are runs of letters and digits without case and accents, contractions two of them (do n't).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from common.outputs import check_files_apart, lock_files
from training import cli
from training.help import group

if TYPE_CHECKING:
    from distillation.corpus_similarity import Corpus, Similarity

FLAGS = flags.FLAGS

group("Corpora")
flags.DEFINE_string(
    "corpus_a",
    None,
    "First corpus: files, globs and folders, separated by commas. .txt, .tsv (one column or two), "
    "or with --text_a .csv, .tsv, .jsonl or .parquet; plain or compressed.",
)
flags.DEFINE_string(
    "corpus_b", None, "Second corpus, to compare with the first, in the formats of --corpus_a."
)
flags.DEFINE_string(
    "text_a",
    None,
    "Column (key, in .jsonl) of the text, or of the first text of pairs, in tables with a header "
    "line, in both corpora.",
)
flags.DEFINE_string(
    "text_b",
    None,
    "Column (key, in .jsonl) of the second text of pairs, in tables with a header line, in both "
    "corpora.",
)

group("Method")
flags.DEFINE_integer("num_words", 100, "Number of words that are ranked.", lower_bound=2)
flags.DEFINE_enum(
    "vocabulary",
    "joint",
    ["joint", "a", "b"],
    "Corpus whose most common words are listed: joint, both with equal weight; a or b, one of "
    "them. The similarities by all three are printed.",
)
flags.DEFINE_integer(
    "bootstrap_samples",
    1000,
    "Number of bootstrap samples for the 95 % intervals; 0 for no intervals.",
    lower_bound=0,
)
flags.DEFINE_integer("random_seed", 12345, "Seed of the bootstrap samples.")

group("Output")
flags.DEFINE_string("output_file", None, "JSON file to write, with all that is printed and more.")

group("Speed")
flags.DEFINE_integer(
    "num_processes",
    None,
    "Number of processes. Default: one per CPU. The output does not depend on it.",
    lower_bound=1,
)

METHOD_FLAGS = ["text_a", "text_b", "num_words", "bootstrap_samples", "random_seed"]


def main(_: Sequence[str]) -> None:
    import contextlib

    from tqdm import tqdm

    from common.atomic import write_json
    from common.input_files import expand_globs
    from common.processes import ordered_map
    from data.texts import (
        check_columns,
        file_sources,
        first_text,
        is_source_name,
    )
    from distillation.corpus_similarity import Corpus, measure, read_blocks, text_size, word_counter
    from training.flags import flag_values

    names = ("corpus_a", "corpus_b")
    paths = {name: expand_globs(FLAGS[name].value, name, is_source_name) for name in names}
    sources = {name: file_sources(paths[name], FLAGS.text_a, FLAGS.text_b) for name in paths}
    check_columns([*paths["corpus_a"], *paths["corpus_b"]], FLAGS.text_a)
    for source in [*sources["corpus_a"], *sources["corpus_b"]]:
        first_text(source)
    if FLAGS.output_file:
        check_files_apart(
            "output_file", [FLAGS.output_file], [*paths["corpus_a"], *paths["corpus_b"]]
        )
        lock_files("output_file", [FLAGS.output_file])

    num_processes = FLAGS.num_processes or os.cpu_count() or 1

    with contextlib.ExitStack() as stack:
        corpora = []
        for name in paths:
            blocks = read_blocks(sources[name], text_size(paths[name]))
            counts = ordered_map(word_counter, (), blocks, num_processes)
            progress = tqdm(counts, desc=f"--{name}", unit=" blocks", mininterval=1)
            corpora.append(stack.enter_context(contextlib.closing(Corpus(f"--{name}", progress))))
        corpus_a, corpus_b = corpora
        similarities = measure(
            (corpus_a, corpus_b), FLAGS.num_words, FLAGS.bootstrap_samples, FLAGS.random_seed
        )

    print_similarities(corpora, similarities)
    print_words(similarities[FLAGS.vocabulary], corpora)
    if FLAGS.output_file:
        content = {
            **{
                name: {
                    "files": paths[name],
                    "num_texts": corpus.num_texts,
                    "num_words": corpus.num_words,
                    "num_blocks": corpus.num_blocks,
                }
                for name, corpus in zip(paths, corpora, strict=True)
            },
            "similarities": {name: as_json(value) for name, value in similarities.items()},
            "flags": flag_values(FLAGS, METHOD_FLAGS),
        }
        write_json(FLAGS.output_file, content)


def print_similarities(corpora: Sequence[Corpus], similarities: Mapping[str, Similarity]) -> None:
    """Prints the values by all choices of words and both readings of the formula."""
    from distillation.corpus_similarity import AS_PRINTED, SPEARMAN

    for name, corpus in zip("AB", corpora, strict=True):
        print(f"Corpus {name}: {corpus.num_texts} texts, {corpus.num_words} words")
    print(
        f"\n{'Most common in':16}{'Spearman: 1 - 6 D':28}{'as the paper prints it: 1 - D':32}"
        "missing in A, B  tied"
    )
    titles = {"joint": "A and B", "a": "A", "b": "B"}
    for choice, similarity in similarities.items():
        cells = []
        for factor in (SPEARMAN, AS_PRINTED):
            interval = similarity.interval(factor)
            limits = f"  95 %: {interval[0]:.3f} to {interval[1]:.3f}" if interval else ""
            cells.append(f"{similarity.value(factor):.3f}{limits}")
        missing_a, missing_b = similarity.num_missing
        print(
            f"{titles[choice]:16}{cells[0]:28}{cells[1]:32}{missing_a:>12}, {missing_b:>1}"
            f"{similarity.num_tied:>6}"
        )


def print_words(similarity: Similarity, corpora: Sequence[Corpus]) -> None:
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


def as_json(similarity: Similarity) -> dict[str, Any]:
    """All about one choice of words."""
    from distillation.corpus_similarity import AS_PRINTED, SPEARMAN

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


if __name__ == "__main__":
    flags.mark_flags_as_required(["corpus_a", "corpus_b"])
    cli.run(main)
