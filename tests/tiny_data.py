"""The small language of the tests: reviews that are good or bad by one word."""

from __future__ import annotations

import pathlib
import random

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
POSITIVE = ["good", "great", "fine", "superb"]
NEGATIVE = ["bad", "awful", "poor", "dull"]
NEUTRAL = ["film", "story", "actor", "scene", "plot", "the", "a", "is", "was", "very", ".", ","]
PIECES = ["##s", "##ing", "##ed"]
WORDS = SPECIAL + POSITIVE + NEGATIVE + NEUTRAL + PIECES


def review(rng: random.Random, label: int) -> str:
    words = [rng.choice(NEUTRAL) for _ in range(rng.randint(2, 9))]
    words.insert(rng.randint(0, len(words)), rng.choice(POSITIVE if label else NEGATIVE))
    return " ".join(words)


def is_positive(text: str) -> bool:
    """The label of a review."""
    return not set(POSITIVE).isdisjoint(text.split())


def column(path: str | pathlib.Path, position: int) -> list[str]:
    """The cells of a column of a table with a header."""
    lines = pathlib.Path(path).read_text().splitlines()[1:]
    return [line.split("\t")[position] for line in lines]


def write_similarity(folder: pathlib.Path, **sizes: int) -> None:
    """STS-B in small: 2.5 points for each positive text of a pair; sizes by the names of files."""
    rng = random.Random(3)
    for name, count in sizes.items():
        lines = ["\t".join(f"column {i}" for i in range(9)) + "\tscore" * (name != "test")]
        for i in range(count):
            positive = rng.choice([(0, 0), (0, 1), (1, 0), (1, 1)])
            cells = [str(i), *["-"] * 6, *(review(rng, label) for label in positive)]
            lines.append("\t".join(cells + [f"{2.5 * sum(positive):.3f}"] * (name != "test")))
        (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n")


def write_other_vocab(vocab_file: str, folder: pathlib.Path) -> pathlib.Path:
    """As many entries, the last two in the other order."""
    *first, second_last, last = pathlib.Path(vocab_file).read_text().split()
    path = folder / "other_vocab.txt"
    path.write_text("\n".join([*first, last, second_last]) + "\n")
    return path
