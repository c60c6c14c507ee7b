"""Average properties of pre-training records, to compare those of different programs."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from modeling.tokenization import FullTokenizer
from pretraining.objective import feature_spec

_BATCH = 1024


def record_statistics(path: str, vocab_file: str, max_seq_length: int, max_predictions: int) -> str:
    """Averages over all records of a file, as one line of text.

    Args:
      path: A TFRecord file of `create_pretraining_data.py`, the original's, or Model Garden's.
      vocab_file: Of the records.
      max_seq_length: Of the records.
      max_predictions: Predictions of a record, padding included.

    Returns:
      Records; mean tokens of each segment; share of full records, of random next segments and of
      masked tokens; of the masked ones those that are [MASK], unchanged, or another word.
    """
    (mask_id,) = FullTokenizer(vocab_file).convert_tokens_to_ids(["[MASK]"])
    spec = feature_spec(max_seq_length, max_predictions)
    sums: dict[str, float] = dict.fromkeys(
        ("records", "first", "second", "full", "random", "masked", "mask_tokens", "kept"), 0.0
    )
    for batch in tf.data.TFRecordDataset(path).batch(_BATCH):
        rows = {k: v.numpy() for k, v in tf.io.parse_example(batch, spec).items()}
        lengths = rows["input_mask"].sum(axis=1)
        second = rows["segment_ids"].sum(axis=1)
        real = rows["masked_lm_weights"] > 0
        shown = np.take_along_axis(rows["input_ids"], rows["masked_lm_positions"], axis=1)
        sums["records"] += len(lengths)
        sums["second"] += second.sum()
        sums["first"] += (lengths - second).sum()
        sums["full"] += (lengths == max_seq_length).sum()
        sums["random"] += rows["next_sentence_labels"].sum()
        sums["masked"] += real.sum()
        sums["mask_tokens"] += (real & (shown == mask_id)).sum()
        sums["kept"] += (real & (shown == rows["masked_lm_ids"])).sum()
    records, masked = sums["records"], sums["masked"]
    tokens = sums["first"] + sums["second"]
    other = masked - sums["mask_tokens"] - sums["kept"]
    return (
        f"{records:,.0f} of {sums['first'] / records:.1f} + {sums['second'] / records:.1f} tokens, "
        f"{100 * sums['full'] / records:.1f} % full, {100 * sums['random'] / records:.1f} % random "
        f"next, {100 * masked / tokens:.2f} % masked ({100 * sums['mask_tokens'] / masked:.1f} / "
        f"{100 * sums['kept'] / masked:.1f} / {100 * other / masked:.1f} % [MASK] / kept / other)"
    )
