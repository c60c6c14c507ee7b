"""The losses of fine-tuning: cross-entropy with the true labels, or squared error of scores.

Sources: `create_model` and `model_fn_builder` in google-research/bert `run_classifier.py`. The
original has no regression; as in Model Garden and Hugging Face's scripts, the model's one output is
the score itself (0 to 5 for STS-B), neither scaled nor squashed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from modeling.heads import ClassifierModel
from training.updates import Batch, Objective


class ClassificationObjective(Objective):
    """Mean cross-entropy over the examples of a batch, which may have weights by their classes.

    Args:
      model: The classifier.
      class_weights: The weight of each class (`classification.class_weights`); None for equal ones.
    """

    loss_weights: Mapping[str, float] = {"label_loss": 1.0}

    def __init__(self, model: ClassifierModel, class_weights: Sequence[float] | None = None):
        self.model = model
        self._class_weights = None if class_weights is None else tuple(class_weights)
        self.settings = self._class_weights

    def loss_denominators(self, batch: Batch) -> dict[str, tf.Tensor]:
        return {"label_loss": tf.reduce_sum(self._weights(batch))}

    def sums(self, batch: Batch, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        per_example = self.per_example(batch["label_ids"], self.model(batch, seed=seed))
        return {"label_loss": tf.reduce_sum(self._weights(batch) * per_example)}

    def _weights(self, batch: Batch) -> tf.Tensor:
        real = tf.cast(batch["is_real_example"], tf.float32)
        if self._class_weights is None:
            return real
        weights = tf.constant(self._class_weights, tf.float32)
        return real * tf.gather(weights, batch["label_ids"])

    def per_example(self, label_ids: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """The loss of each example.

        Args:
          label_ids: int32 [batch_size].
          outputs: float32 [batch_size, num_labels].

        Returns:
          float32 [batch_size].
        """
        return tf.nn.sparse_softmax_cross_entropy_with_logits(label_ids, outputs)


class RegressionObjective(ClassificationObjective):
    """Mean squared error of the one output over the examples of a batch."""

    def per_example(self, label_ids: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """As in the base class, with float32 `label_ids` and outputs [batch_size, 1]."""
        return tf.math.squared_difference(outputs[:, 0], label_ids)
