"""Masked language model plus next sentence prediction, on records of `create_pretraining_data.py`.

Source: `model_fn_builder` in google-research/bert `run_pretraining.py`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import tensorflow as tf

from modeling.heads import PretrainingModel
from training.updates import Batch, Objective


def feature_spec(
    max_seq_length: int, max_predictions_per_seq: int
) -> dict[str, tf.io.FixedLenFeature]:
    """Features of a pre-training record, for `tf.io.parse_example`, called as in the original."""
    sequence = tf.io.FixedLenFeature([max_seq_length], tf.int64)
    predictions = tf.io.FixedLenFeature([max_predictions_per_seq], tf.int64)
    return {
        "input_ids": sequence,
        "input_mask": sequence,
        "segment_ids": sequence,
        "masked_lm_positions": predictions,
        "masked_lm_ids": predictions,
        "masked_lm_weights": tf.io.FixedLenFeature([max_predictions_per_seq], tf.float32),
        "next_sentence_labels": tf.io.FixedLenFeature([1], tf.int64),
    }


class PretrainingObjective(Objective):
    """Mean cross-entropy of the masked words plus that of the next-sentence label."""

    loss_weights: Mapping[str, float] = {"masked_lm_loss": 1.0, "next_sentence_loss": 1.0}
    settings: Hashable = None

    def __init__(self, model: PretrainingModel):
        self.model = model

    def loss_denominators(self, batch: Batch) -> dict[str, tf.Tensor]:
        return {
            "masked_lm_loss": tf.reduce_sum(batch["masked_lm_weights"]),
            "next_sentence_loss": tf.cast(tf.shape(batch["next_sentence_labels"])[0], tf.float32),
        }

    def sums(self, batch: Batch, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        masked_lm_sum, next_sentence_logits = self.model.training_outputs(batch, seed)
        next_sentence = tf.nn.sparse_softmax_cross_entropy_with_logits(
            batch["next_sentence_labels"][:, 0], next_sentence_logits
        )
        return {
            "masked_lm_loss": masked_lm_sum,
            "next_sentence_loss": tf.reduce_sum(next_sentence),
        }

    def metrics(self, batch: Batch) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        masked_lm_logits, next_sentence_logits = self.model(batch)
        ids = tf.reshape(batch["masked_lm_ids"], [-1])
        real = batch["is_real_row"]
        weights = tf.reshape(batch["masked_lm_weights"] * real[:, tf.newaxis], [-1])
        labels = batch["next_sentence_labels"][:, 0]

        def mean(values: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            values = tf.cast(values, tf.float32)
            return tf.reduce_sum(values * weights), tf.reduce_sum(weights)

        def cross_entropy(ids: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
            return tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits)

        def is_right(ids: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
            return tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), ids)

        return {
            "masked_lm_loss": mean(cross_entropy(ids, masked_lm_logits), weights),
            "masked_lm_accuracy": mean(is_right(ids, masked_lm_logits), weights),
            "next_sentence_loss": mean(cross_entropy(labels, next_sentence_logits), real),
            "next_sentence_accuracy": mean(is_right(labels, next_sentence_logits), real),
        }
