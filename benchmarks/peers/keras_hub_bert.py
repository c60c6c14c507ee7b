"""Keras Hub's BERT on JAX, pre-training, for `benchmarks.compare`.

What its guide to pre-training does, with the objective of BERT: its backbone and its head for masked
words, a second head for next sentences, Keras' AdamW with gradients clipped to norm 1, one XLA
program an update. Batches are of full length.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.peers.hugging_face import batch_starts, repeated
from benchmarks.serving import arguments, serve


def prepare(args: argparse.Namespace) -> tuple[Callable[[], int], Mapping[str, Any]]:
    """See `benchmarks.serving.serve`."""
    os.environ["KERAS_BACKEND"] = "jax"
    import jax
    import keras
    import keras_hub
    import numpy as np

    keras.mixed_precision.set_global_policy(
        {"bfloat16": "mixed_bfloat16", "float32": "float32"}[args.precision]
    )
    layers, width = map(int, args.model.split(","))
    encoder = keras_hub.models.BertBackbone(
        vocabulary_size=30522,
        num_layers=layers,
        num_heads=width // 64,
        hidden_dim=width,
        intermediate_dim=4 * width,
        dropout=0.1,
        max_sequence_length=512,
    )
    rows = dict(np.load(args.input))
    positions = keras.Input(rows["masked_lm_positions"].shape[1:], dtype="int32", name="positions")
    words = keras_hub.layers.MaskedLMHead(
        token_embedding=encoder.token_embedding, intermediate_activation="gelu", name="words"
    )(encoder.output["sequence_output"], mask_positions=positions)
    next_sentence = keras.layers.Dense(2, name="next_sentence")(encoder.output["pooled_output"])
    model = keras.Model(
        {**encoder.input, "positions": positions},
        {"words": words, "next_sentence": next_sentence},
    )
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        optimizer=keras.optimizers.AdamW(1e-4, weight_decay=0.01, global_clipnorm=1.0),
        loss={"words": cross_entropy, "next_sentence": cross_entropy},
        jit_compile=True,
    )
    starts = batch_starts(len(rows["input_ids"]), args.batch_size)

    def train_batch() -> int:
        start = next(starts)
        batch = {k: v[start : start + args.batch_size] for k, v in rows.items()}
        model.train_on_batch(
            {
                "token_ids": batch["input_ids"],
                "padding_mask": batch["input_mask"],
                "segment_ids": batch["segment_ids"],
                "positions": batch["masked_lm_positions"],
            },
            {"words": batch["masked_lm_ids"], "next_sentence": batch["next_sentence_labels"]},
            sample_weight={
                "words": batch["masked_lm_weights"],
                "next_sentence": np.ones(args.batch_size, np.float32),
            },
        )
        return batch["input_ids"].size

    versions = (
        f"keras_hub {keras_hub.__version__}, keras {keras.__version__}, jax {jax.__version__}"
    )
    return repeated(train_batch, args.batches), {"versions": versions}


if __name__ == "__main__":
    serve(prepare, arguments())
