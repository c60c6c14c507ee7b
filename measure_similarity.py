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

from collections.abc import Sequence

from absl import flags

from training import cli
from training.help import group
from training.options import from_flags

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


def main(_: Sequence[str]) -> None:
    from distillation import similarity_report

    similarity_report.run(from_flags(similarity_report.SimilarityOptions, FLAGS))


if __name__ == "__main__":
    flags.mark_flags_as_required(["corpus_a", "corpus_b"])
    cli.run(main)
