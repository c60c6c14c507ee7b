"""A model with only that part of its vocabulary that the texts of a domain use.

Nine tenths of Tiny are word embeddings. WordPiece takes the longest piece that fits, so texts whose
pieces are all kept keep their ids' meaning; every single character is kept, so other words still
have a spelling.
"""

from __future__ import annotations

import collections
import dataclasses
import logging
from collections.abc import Iterable, Sequence

from common.atomic import write_text
from modeling.tokenization import FullTokenizer
from serving.trained_model import TrainedModel

_TABLE = "bert/embeddings/word_embeddings"


def pruned_model(model: TrainedModel, texts: Iterable[str], vocab_file: str) -> TrainedModel:
    """The model with the pieces that texts use, the special tokens and all single characters.

    Args:
      model: The whole model.
      texts: Of the domain.
      vocab_file: The smaller vocabulary is written here; the order of its entries stays.
    """
    whole = model.tokenizer
    used = set(whole.convert_tokens_to_ids(whole.settings.special_tokens))
    used.update(
        i for i, token in enumerate(whole.tokens) if len(token.removeprefix("##")) == 1 and token
    )
    for text in texts:
        used.update(whole.encode(text))
    kept = sorted(used)
    write_text(vocab_file, "".join(f"{whole.tokens[i]}\n" for i in kept))
    logging.info("Kept %d of %d entries of the vocabulary.", len(kept), whole.vocab_size)
    return dataclasses.replace(
        model,
        config=dataclasses.replace(model.config, vocab_size=len(kept)),
        weights={**model.weights, _TABLE: model.weights[_TABLE][kept]},
        tokenizer=FullTokenizer(vocab_file, whole.do_lower_case, whole.settings),
    )


def changed_tokens(
    whole: FullTokenizer, pruned: FullTokenizer, rows: Sequence[tuple[str, str | None]]
) -> float:
    """Percentage of the tokens of texts that are in words which the pruned vocabulary spells anew."""
    words = collections.Counter(
        word for row in rows for text in row if text for word in whole.split(text)
    )
    total = changed = 0
    for word, count in words.items():
        pieces = whole.tokenize(word)
        total += count * len(pieces)
        changed += count * len(pieces) if pruned.tokenize(word) != pieces else 0
    return 100 * changed / max(1, total)
