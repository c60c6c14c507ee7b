"""A WordPiece vocabulary of one's own, learned from text by TensorFlow Text."""

from __future__ import annotations

import collections
import logging
from collections.abc import Iterable

from common.errors import UserError
from modeling.wordpiece import SPECIAL_TOKENS, basic_tokenize

# Words seen less often teach the vocabulary little and cost most of the time.
MIN_WORD_COUNT = 5


def learn_vocabulary(
    texts: Iterable[str], vocab_size: int, do_lower_case: bool = True
) -> list[str]:
    """Learns the WordPieces of texts.

    Args:
      texts: Lines of text; only their words count, not their order.
      vocab_size: Number of entries to aim at; it gets 95 to 100 % of this where there is enough text.
      do_lower_case: Whether the vocabulary is uncased and without accents.

    Returns:
      The entries, special tokens first.

    Raises:
      UserError: No word occurs often enough.
    """
    chunks: collections.Counter[str] = collections.Counter()
    for text in texts:
        chunks.update(text.split())
    words: collections.Counter[str] = collections.Counter()
    for chunk, count in chunks.items():
        for word in basic_tokenize(chunk, do_lower_case=do_lower_case):
            words[word] += count
    frequent = sorted((word, count) for word, count in words.items() if count >= MIN_WORD_COUNT)
    if not frequent:
        raise UserError(
            f"No word occurs {MIN_WORD_COUNT} times, so no vocabulary can be learned; give more text."
        )
    logging.info("Learning WordPieces on %d different words.", len(frequent))

    from tensorflow_text.tools.wordpiece_vocab import wordpiece_tokenizer_learner_lib

    def learn(highest: int) -> list[str]:
        return wordpiece_tokenizer_learner_lib.learn(
            frequent,
            vocab_size=vocab_size,
            reserved_tokens=list(SPECIAL_TOKENS),
            max_input_tokens=-1,
            upper_thresh=highest,
        )

    # It searches for the frequency above which there are so many pieces, by halves from the highest
    # on, a second or two for each. One that a quarter as many words have is nearer.
    counts = sorted((count for _, count in frequent), reverse=True)
    vocabulary = learn(counts[min(vocab_size // 4, len(counts) - 1)])
    return vocabulary if len(vocabulary) <= vocab_size else learn(counts[0])
