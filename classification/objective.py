"""Cross-entropy with the true labels.

Source: `create_model` and `model_fn_builder` in google-research/bert `run_classifier.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from modeling.heads import ClassifierModel
from training.loop import Batch, Objective


class ClassificationObjective(Objective):
    """Mean cross-entropy over the examples of a batch."""

    loss_weights: Mapping[str, float] = {"label_loss": 1.0}

    def __init__(self, model: ClassifierModel):
        self.model = model

    def counts(self, batch: Batch) -> dict[str, tf.Tensor]:
        return {"label_loss": tf.reduce_sum(tf.cast(batch["is_real_example"], tf.float32))}

    def sums(self, batch: Batch, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        per_example = tf.nn.sparse_softmax_cross_entropy_with_logits(
            batch["label_ids"], self.model(batch, seed=seed)
        )
        real = tf.cast(batch["is_real_example"], tf.float32)
        return {"label_loss": tf.reduce_sum(real * per_example)}
