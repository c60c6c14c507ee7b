"""Pairs of segments for masked language modeling and next sentence prediction.

Source: `create_instances_from_document` and `truncate_seq_pair` in google-research/bert
`create_pretraining_data.py`. Segments are ranges of positions in a `TokenStore`; tokens themselves
are read last, and only those that survive truncation.
"""

from __future__ import annotations

import bisect
import dataclasses
import random
from collections.abc import Callable, Sequence

import numpy as np

from pretraining.corpus import StoreReader, TokenStore
from pretraining.masking import NUM_SPECIAL_TOKENS


@dataclasses.dataclass(frozen=True)
class SegmentPairs:
    """N instances before masking; every attribute is an array of shape [N].

    Attributes:
      starts_a, lengths_a: int64, first token of segment A in the store, and number of tokens.
      starts_b, lengths_b: int64, the same for segment B.
      is_random: bool, whether B comes from another document instead of following A.
    """

    starts_a: np.ndarray
    lengths_a: np.ndarray
    starts_b: np.ndarray
    lengths_b: np.ndarray
    is_random: np.ndarray

    def __len__(self) -> int:
        return len(self.starts_a)

    def take(self, indices: np.ndarray | slice) -> SegmentPairs:
        """The instances at `indices`, in that order."""
        return SegmentPairs(*(getattr(self, f.name)[indices] for f in dataclasses.fields(self)))


def make_pairs(
    store: TokenStore,
    reader: StoreReader,
    units: np.ndarray,
    max_seq_length: int,
    short_seq_prob: float,
    rng: np.random.Generator,
) -> SegmentPairs:
    """Packs the sentences of some units into truncated pairs of segments, in order.

    Args:
      store: The corpus, from which random second segments come.
      reader: Opened on `store`.
      units: Indices of the units to pack.
      max_seq_length: Room for both segments, [CLS] and two [SEP].
      short_seq_prob: Share of the units that are packed to a random shorter length. (Of documents
        in the original; only very long ones consist of several units.)
      rng: Source of all random choices.
    """
    room = max_seq_length - NUM_SPECIAL_TOKENS
    # Scalars drawn from NumPy cost ten times as much.
    scalar_rng = random.Random(int(rng.integers(1 << 62)))
    documents = np.searchsorted(store.documents[:, 0], store.units[units, 0], side="right") - 1
    pairs, targets, owners = [], [], []
    for unit, document in zip(units.tolist(), documents.tolist(), strict=True):
        first, end = store.units[unit : unit + 2, 0].tolist()
        offsets = np.frombuffer(reader.packed_offsets(first, end - first + 1), np.int64).tolist()
        target = room
        if scalar_rng.random() < short_seq_prob:
            target = 2 + int(scalar_rng.random() * (room - 1))
        packed = pack_segments(offsets, target, scalar_rng.random)
        pairs += packed
        targets += [target] * len(packed)
        owners += [document] * len(packed)
    starts_a, starts_b, ends_b = np.array(pairs, np.int64).T.copy()
    lengths_a, lengths_b = starts_b - starts_a, ends_b - starts_b
    is_random = lengths_b == 0
    starts_b[is_random], lengths_b[is_random] = _random_segments(
        store,
        reader,
        np.array(owners)[is_random],
        np.array(targets)[is_random] - lengths_a[is_random],
        rng,
    )
    starts_a, lengths_a, starts_b, lengths_b = truncate_pairs(
        starts_a, lengths_a, starts_b, lengths_b, room, rng
    )
    return SegmentPairs(starts_a, lengths_a, starts_b, lengths_b, is_random)


def pack_segments(
    offsets: Sequence[int], target: int, uniform: Callable[[], float]
) -> list[tuple[int, int, int]]:
    """Cuts a document into pairs of segments.

    Sentences are gathered until they hold `target` tokens. A random number of them, at least one,
    is segment A. The others are segment B, or, half of the time and where there are no others, are
    gathered again for the next pair while B is to come from another document.

    Args:
      offsets: Beginnings of the document's sentences, and the end of the last one.
      target: Tokens wanted in a pair.
      uniform: Draws from [0, 1).

    Returns:
      (start of A, end of A and start of B, end of B) for each pair; the last two are equal if B is
      to come from another document.
    """
    pairs = []
    first, end = 0, len(offsets) - 1
    while first < end:
        stop = bisect.bisect_left(offsets, offsets[first] + target, first + 1, end)
        split = first + 1 + int(uniform() * (stop - first - 1))
        if stop == first + 1 or uniform() < 0.5:
            stop = split
        pairs.append((offsets[first], offsets[split], offsets[stop]))
        first = stop
    return pairs


def _random_segments(
    store: TokenStore,
    reader: StoreReader,
    own_documents: np.ndarray,
    wanted: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Starts and lengths of N runs of sentences, each from another document than its own.

    A run begins at any sentence of any document and goes on until it has the `wanted` [N] tokens or
    the document ends; it has one sentence at least.
    """
    # Skipping over the own document is what redrawing until it is another one comes to.
    documents = rng.integers(0, store.num_documents - 1, len(own_documents))
    documents += documents >= own_documents
    begins, ends = store.documents[documents, 0], store.documents[documents + 1, 0]
    firsts = rng.integers(begins, ends)
    # No sentence is empty, so this many are enough.
    most = max(1, wanted.max(initial=1))
    window = b"".join(
        reader.packed_offsets(first, most + 1).ljust(8 * (most + 1)) for first in firsts.tolist()
    )
    offsets = np.frombuffer(window, np.int64).reshape(-1, most + 1)
    lengths = offsets[:, 1:] - offsets[:, :1]
    is_last = np.arange(1, most + 1) == np.minimum(ends - firsts, most)[:, None]
    last = np.argmax(is_last | (lengths >= wanted[:, None]), axis=1)
    return offsets[:, 0], lengths[np.arange(len(lengths)), last]


def truncate_pairs(
    starts_a: np.ndarray,
    lengths_a: np.ndarray,
    starts_b: np.ndarray,
    lengths_b: np.ndarray,
    room: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Shortens N pairs to `room` tokens; returns the new starts and lengths.

    The original takes tokens one by one off the longer segment, off B if both are equally long,
    each from the front or the back with equal chances. The lengths it ends with are known at once,
    and the number of tokens taken from the front is binomial.
    """
    kept_a = np.minimum(lengths_a, np.maximum(room - lengths_b, room - room // 2))
    kept_b = np.minimum(lengths_b, np.maximum(room - lengths_a, room // 2))
    starts_a = starts_a + rng.binomial(lengths_a - kept_a, 0.5)
    starts_b = starts_b + rng.binomial(lengths_b - kept_b, 0.5)
    return starts_a, kept_a, starts_b, kept_b
