"""Similarity of two corpora: Spearman's rank correlation of their most common words.

Source: Turc et al. 2019, section 6.2, after Kilgarriff & Rose 1998. For each of the n = 100 most
common words, d is the difference between its ranks in the two corpora. The words are ranked among
themselves; those of equal frequency, or missing from a corpus, share their mean rank. With

    D = sum(d^2) / (n (n^2 - 1))

the paper prints 1 - D, while Spearman's coefficient is 1 - 6 D. The former is 2/3 at least, so the
0.43 and 0.52 that the paper reports are of the latter. Most common in which corpus is left open;
Kilgarriff & Rose count both together.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from common.block_file import BlockFile
from common.chunks import chunks
from common.errors import UserError
from common.files import COMPRESSIONS, file_size
from data.texts import TextSource
from distillation.normalization import words

# Whose words are ranked. Both corpora weigh the same in the joint one, whatever their sizes.
JOINT, OF_A, OF_B = "joint", "a", "b"
VOCABULARIES = (JOINT, OF_A, OF_B)

# The two readings of the formula, by their factor of D.
SPEARMAN, AS_PRINTED = 6, 1

# A corpus is cut into about this many blocks of consecutive texts, none much longer than this.
_NUM_BLOCKS = 500
_BLOCK_CHARACTERS = 1 << 20
# Bytes of text that are expected for one byte of a compressed file.
_COMPRESSION = 3
# Share of a block that a word makes up to be counted at first.
_FIRST_SHARE = 3e-4
# The bootstrap knows this many times the words that are ranked.
_CANDIDATES = 5


class TextBlock(NamedTuple):
    """Consecutive texts, one per line."""

    num_texts: int
    text: str


class BlockCounts(NamedTuple):
    """Number of texts in a `TextBlock`, and the frequency of each word."""

    num_texts: int
    frequencies: dict[bytes, int]


def read_blocks(sources: Sequence[TextSource], num_bytes: int) -> Iterator[TextBlock]:
    """Reads a corpus that is about `num_bytes` long."""
    limit = min(num_bytes // _NUM_BLOCKS, _BLOCK_CHARACTERS)
    texts = (
        text_a if text_b is None else f"{text_a}\n{text_b}"
        for source in sources
        for _, text_a, text_b in source.read()
    )
    for chunk in chunks(texts, limit, len):
        yield TextBlock(len(chunk), "\n".join(chunk))


def text_size(paths: Sequence[str]) -> int:
    """Approximate size of the text in files, in bytes; guessed where they are compressed."""
    return sum(
        file_size(path) * (_COMPRESSION if path.endswith(COMPRESSIONS[1:]) else 1) for path in paths
    )


def word_counter() -> Callable[[TextBlock], BlockCounts]:
    """Function that counts words, for `common.processes.ordered_map`."""
    return _count_words


def _count_words(block: TextBlock) -> BlockCounts:
    return BlockCounts(block.num_texts, dict(collections.Counter(words(block.text))))


class Corpus:
    """Word frequencies in the blocks of a corpus, on disk: there are too many words for memory.

    Attributes:
      name: For messages.
      num_texts: Texts or pairs.
      num_words: Length in words.
      num_blocks: Blocks.
    """

    def __init__(self, name: str, blocks: Iterable[BlockCounts]):
        """Stores the counts in a temporary file, about a fifth as large as the text.

        Raises:
          UserError: There is not a word.
        """
        self.name = name
        self.num_texts = self.num_words = self.num_blocks = 0
        with contextlib.ExitStack() as stack:
            self._file = stack.enter_context(contextlib.closing(BlockFile(2)))
            for block in blocks:
                frequencies = np.array(list(block.frequencies.values()), np.int64)
                self._file.append(b" ".join(block.frequencies), frequencies.tobytes())
                self.num_texts += block.num_texts
                self.num_words += int(frequencies.sum())
                self.num_blocks += 1
            if not self.num_words:
                raise UserError(f"{name} holds no words.")
            self.close = stack.pop_all().close

    def words_with_share(self, share: float) -> set[bytes]:
        """The words that make up at least this share of the words of some block.

        Any other word makes up a smaller share of the whole corpus.
        """
        found: set[bytes] = set()
        for block_words, frequencies in self._blocks():
            is_common = frequencies >= share * frequencies.sum()
            found.update(itertools.compress(block_words, is_common))
        return found

    def count(self, vocabulary: Sequence[bytes], most_units: int) -> np.ndarray:
        """Frequencies of C words in U units of the corpus.

        A unit is a block or, if there are more than `most_units` blocks, several blocks in a row.

        Returns:
          float64 [U, C + 1]; the last column is the number of all words.
        """
        column = {word: i for i, word in enumerate(vocabulary)}
        num_units = min(self.num_blocks, most_units)
        counts = np.zeros((num_units, len(vocabulary) + 1))
        for index, (block_words, frequencies) in enumerate(self._blocks()):
            unit = counts[index * num_units // self.num_blocks]
            columns = np.array([column.get(word, -1) for word in block_words], np.intp)
            is_known = columns >= 0
            unit[columns[is_known]] += frequencies[is_known]
            unit[-1] += frequencies.sum()
        return counts

    def _blocks(self) -> Iterator[tuple[list[bytes], np.ndarray]]:
        for joined, frequencies in self._file:
            yield joined.split(), np.frombuffer(frequencies, np.int64)


@dataclasses.dataclass(frozen=True)
class Similarity:
    """Spearman similarity by one choice of the words that are ranked.

    Attributes:
      words: n words, the most common first.
      frequencies: int64 [2, n], in each corpus.
      ranks: float [2, n], in each corpus; 1 is the most common.
      distance: D, see the module.
      samples: float [R], D of bootstrap samples.
    """

    words: list[str]
    frequencies: np.ndarray
    ranks: np.ndarray
    distance: float
    samples: np.ndarray

    def value(self, factor: int) -> float:
        """1 - factor D."""
        return 1 - factor * self.distance

    def interval(self, factor: int) -> tuple[float, float] | None:
        """The values between which 95 % of the bootstrap samples lie; None without samples."""
        if not len(self.samples):
            return None
        low, high = np.percentile(1 - factor * self.samples, (2.5, 97.5)).tolist()
        return low, high

    @property
    def num_missing(self) -> tuple[int, int]:
        """Number of the words that are missing from each corpus."""
        missing_a, missing_b = (self.frequencies == 0).sum(axis=1).tolist()
        return missing_a, missing_b

    @property
    def num_tied(self) -> int:
        """Number of the words that share their rank with another word, in one of the corpora."""
        tied = [np.isin(ranks, _repeated(ranks)) for ranks in self.ranks]
        return int(np.logical_or(*tied).sum())


def measure(
    corpora: tuple[Corpus, Corpus], num_words: int, num_samples: int, random_seed: int
) -> dict[str, Similarity]:
    """Compares corpora A and B.

    The bootstrap draws as many blocks of consecutive texts as a corpus has, with replacement and
    for each corpus on its own, and chooses and ranks the words anew.

    Args:
      corpora: A and B.
      num_words: n, how many words are ranked.
      num_samples: R, samples of the bootstrap.
      random_seed: Seed of the samples.

    Returns:
      Choice of `VOCABULARIES` -> similarity.

    Raises:
      UserError: A corpus has fewer than `num_words` different words.
    """
    vocabulary = _frequent_words(corpora, num_words)
    counts = [corpus.count(vocabulary, _NUM_BLOCKS) for corpus in corpora]
    total_a, total_b = (units.sum(axis=0, keepdims=True) for units in counts)
    rng = np.random.default_rng(random_seed % (1 << 64))
    samples_a, samples_b = (
        rng.multinomial(len(units), np.full(len(units), 1 / len(units)), num_samples) @ units
        for units in counts
    )
    similarities = {}
    for choice in VOCABULARIES:
        ranked = _rank(total_a, total_b, choice, num_words)
        similarities[choice] = Similarity(
            words=[vocabulary[i].decode() for i in ranked.words[0].tolist()],
            frequencies=np.concatenate([total_a, total_b])[:, ranked.words[0]].astype(np.int64),
            ranks=ranked.ranks[:, 0],
            distance=float(ranked.distances[0]),
            samples=_rank(samples_a, samples_b, choice, num_words).distances,
        )
    return similarities


def _frequent_words(corpora: Sequence[Corpus], num_words: int) -> list[bytes]:
    """The most common words of either corpus and of both, some times `num_words`, sorted."""
    share = _FIRST_SHARE
    while True:
        words = sorted(set.union(*(corpus.words_with_share(share) for corpus in corpora)))
        shares = np.concatenate([_shares(corpus.count(words, 1)) for corpus in corpora])
        shares = np.concatenate([shares, shares.mean(axis=0, keepdims=True)])
        order = np.argsort(-shares, axis=1)
        if len(words) >= num_words:
            last_shares = np.take_along_axis(shares, order[:, num_words - 1 : num_words], axis=1)
            # No other word can be among these or, for the bootstrap, near them.
            if last_shares.min() >= 2 * share:
                break
        if all(share * corpus.num_words < 1 for corpus in corpora):
            # These are all words.
            for corpus, num_different in zip(corpora, (shares[:2] > 0).sum(axis=1), strict=True):
                if num_different < num_words:
                    raise UserError(
                        f"{corpus.name} has {num_different} different words, fewer than "
                        f"--num_words={num_words}; choose a smaller number or more text."
                    )
            break
        share /= 10
    return [words[i] for i in np.unique(order[:, : _CANDIDATES * num_words]).tolist()]


class _Ranked(NamedTuple):
    """The n most common words of R samples of two corpora.

    Attributes:
      words: int [R, n], positions in the vocabulary, the most common first.
      ranks: float [2, R, n], in each corpus; 1 is the most common.
      distances: float [R], D.
    """

    words: np.ndarray
    ranks: np.ndarray
    distances: np.ndarray


def _rank(counts_a: np.ndarray, counts_b: np.ndarray, choice: str, num_words: int) -> _Ranked:
    """Chooses and ranks words by frequencies [R, C + 1] as in `Corpus.count`."""
    from scipy.stats import rankdata  # Takes longer to import than workers take to start.

    shares = _shares(counts_a), _shares(counts_b)
    by = {JOINT: shares[0] + shares[1], OF_A: shares[0], OF_B: shares[1]}[choice]
    words = np.argsort(-by, axis=1, kind="stable")[:, :num_words]
    ranks = np.stack([rankdata(-np.take_along_axis(s, words, 1), axis=1) for s in shares])
    squares = (ranks[0] - ranks[1]) ** 2
    return _Ranked(words, ranks, squares.sum(axis=1) / (num_words * (num_words**2 - 1)))


def _repeated(values: np.ndarray) -> np.ndarray:
    found, times = np.unique(values, return_counts=True)
    return found[times > 1]


def _shares(counts: np.ndarray) -> np.ndarray:
    return counts[:, :-1] / counts[:, -1:]
