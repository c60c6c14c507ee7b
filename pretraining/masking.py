"""Masked language model targets for whole batches of token sequences.

Source: `create_masked_lm_predictions` in google-research/bert `create_pretraining_data.py`.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

# [CLS] and two [SEP].
NUM_SPECIAL_TOKENS = 3
_MASKED_SHARE, _KEPT_SHARE = 0.8, 0.1


@dataclasses.dataclass(frozen=True)
class MaskingOptions:
    """Settings of the masking of tokens.

    Attributes:
      masked_lm_prob: Share of a sequence's tokens, the special ones counted, that is predicted.
      max_predictions_per_seq: Most tokens that are predicted in one sequence, P.
      mask_id: Id of [MASK].
      vocab_size: Random replacements are drawn from all ids below this.
      is_continuation: bool [vocab_size], whether a token continues a word ("##..."), for whole-word
        masking; None to choose WordPieces independently.
    """

    masked_lm_prob: float
    max_predictions_per_seq: int
    mask_id: int
    vocab_size: int
    is_continuation: np.ndarray | None = None


class Predictions(NamedTuple):
    """Tokens to predict in N sequences; unused places hold zeros.

    Attributes:
      positions: int32 [N, P], ascending.
      ids: int32 [N, P], the original tokens.
      weights: float32 [N, P], 1.0 where there is a prediction.
    """

    positions: np.ndarray
    ids: np.ndarray
    weights: np.ndarray


def mask_tokens(
    ids: np.ndarray, is_text: np.ndarray, options: MaskingOptions, rng: np.random.Generator
) -> Predictions:
    """Chooses the tokens to predict and replaces them in `ids`.

    Of the chosen tokens, 80 % become [MASK], 10 % stay, and 10 % become any token of the vocabulary
    (special ones too, as in the original), each by itself even in whole-word masking.

    Args:
      ids: int32 [N, S], changed in place.
      is_text: bool [N, S], False for [CLS], [SEP] and padding, which are never chosen.
      options: Settings of the masking.
      rng: Source of all random choices.
    """
    num_text = is_text.sum(axis=1)
    wanted = np.rint((num_text + NUM_SPECIAL_TOKENS) * options.masked_lm_prob).astype(np.int64)
    budget = np.clip(wanted, 1, options.max_predictions_per_seq)
    if options.is_continuation is None:
        chosen = _choose_tokens(is_text, np.minimum(budget, num_text), rng)
    else:
        is_first = is_text & ~options.is_continuation[ids]
        chosen = _choose_words(is_text, is_first, budget, rng)

    rows, columns = np.nonzero(chosen)
    counts = chosen.sum(axis=1)
    slots = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = len(ids), options.max_predictions_per_seq
    predictions = Predictions(
        np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    )
    original = ids[rows, columns]
    predictions.positions[rows, slots] = columns
    predictions.ids[rows, slots] = original
    predictions.weights[rows, slots] = 1.0

    fate = rng.random(len(rows))
    anything = rng.integers(0, options.vocab_size, len(rows), dtype=np.int32)
    kept = np.where(fate < _MASKED_SHARE + _KEPT_SHARE, original, anything)
    ids[rows, columns] = np.where(fate < _MASKED_SHARE, options.mask_id, kept)
    return predictions


def _choose_tokens(is_text: np.ndarray, budget: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """bool [N, S]: `budget` [N] text tokens of each row, every choice equally likely."""
    keys = _random_keys(is_text, rng)
    last_chosen = np.sort(keys, axis=1)[np.arange(len(keys)), budget - 1]
    return is_text & (keys <= last_chosen[:, None])


def _choose_words(
    is_text: np.ndarray, is_first: np.ndarray, budget: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """bool [N, S]: words in random order as long as there are any and `budget` [N] is not spent.

    As in the original, a word too long for what is left of the budget is passed over for the next,
    and a continuation at the front of the second segment belongs to the last word before it.
    """
    # A continuation with nothing before it, at the front of a truncated first segment, is a word.
    is_first[:, 1] |= is_text[:, 1]
    word_of_token = np.cumsum(is_first, axis=1) - 1
    rows, columns = np.nonzero(is_text)
    num_words = word_of_token[:, -1] + 1
    lengths = np.zeros((len(is_text), num_words.max()), np.int64)
    np.add.at(lengths, (rows, word_of_token[rows, columns]), 1)

    order = np.argsort(_random_keys(lengths > 0, rng), axis=1)
    row_range = np.arange(len(lengths))
    is_chosen = np.zeros(lengths.shape, bool)
    left = budget.copy()
    for words in order.T:
        length = lengths[row_range, words]
        fits = (length > 0) & (length <= left)
        is_chosen[row_range[fits], words[fits]] = True
        left -= np.where(fits, length, 0)
        if not left.any():
            break
    chosen = np.zeros_like(is_text)
    chosen[rows, columns] = is_chosen[rows, word_of_token[rows, columns]]
    return chosen


def _random_keys(is_candidate: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint32, shape of `is_candidate`: distinct in each row, random for candidates, others last."""
    size = is_candidate.shape[1]
    keys = rng.integers(0, 1 << 32, is_candidate.shape, dtype=np.uint32)
    column_bits = (1 << size.bit_length()) - 1
    keys = keys & np.uint32(~column_bits & 0xFFFFFFFF) | np.arange(size, dtype=np.uint32)
    return np.where(is_candidate, keys, np.uint32(0xFFFFFFFF))
