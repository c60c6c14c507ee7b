"""The heads on top of the encoder, and the two models they make.

Sources: `run_pretraining.py` (`get_masked_lm_output`, `get_next_sentence_output`) and
`run_classifier.py` (`create_model`) of google-research/bert.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tf_keras

from modeling.bert import BertEncoder, BertOutput, select_first, select_with_first
from modeling.config import BertConfig
from modeling.dropout import dropout, mask_keys
from modeling.layers import Build, Dense, LayerNorm, NamedLayer, activation, add_bias_apart

# Names of a classifier's variables.
CLASSIFIER_WEIGHTS, CLASSIFIER_BIAS = "output_weights", "output_bias"
# Deviation of the classifier's initial weights; the original uses it whatever the config says.
CLASSIFIER_STDDEV = 0.02


class MaskedLmHead(NamedLayer):
    """Predicts the original ids of masked positions; the decoder is the word embedding matrix."""

    def __init__(self, config: BertConfig, build: Build):
        super().__init__("cls/predictions", build)
        width = config.hidden_size
        self.transform = Dense("cls/predictions/transform/dense", width, width, build)
        self.layer_norm = LayerNorm(
            "cls/predictions/transform/LayerNorm", width, build, config.layer_norm_eps
        )
        self.activation = activation(config.hidden_act)
        self.output_bias = self.vector("output_bias", config.vocab_size)

    def call(self, x: tf.Tensor, word_embeddings: tf.Variable) -> tf.Tensor:
        """Logits of words.

        Args:
          x: [batch_size, num_predictions, hidden_size], the encoder's output at masked positions;
            decoding every token would cost six times as much.
          word_embeddings: float32 [vocab_size, hidden_size].

        Returns:
          float32 [batch_size * num_predictions, vocab_size].
        """
        hidden = self._transformed(x)
        embeddings = tf.cast(word_embeddings, hidden.dtype)
        logits = tf.matmul(hidden, embeddings, transpose_b=True)
        return tf.cast(logits, tf.float32) + self.output_bias

    def loss_sum(
        self, x: tf.Tensor, word_embeddings: tf.Variable, ids: tf.Tensor, weights: tf.Tensor
    ) -> tf.Tensor:
        """The weighted sum of the cross-entropies, as a float32 scalar.

        Args:
          x: As in `call`.
          word_embeddings: As in `call`.
          ids: int32 [batch_size, num_predictions], the original words.
          weights: float32 [batch_size, num_predictions], 0 for padding.
        """
        hidden = self._transformed(x)
        return tied_softmax_loss_sum(
            hidden,
            tf.identity(word_embeddings),
            tf.identity(self.output_bias),
            tf.reshape(ids, [-1]),
            tf.reshape(weights, [-1]),
        )

    def _transformed(self, x: tf.Tensor) -> tf.Tensor:
        """[batch_size * num_predictions, hidden_size], ready for the decoder."""
        hidden = tf.reshape(x, [-1, x.shape[-1]])
        return self.layer_norm(self.activation(self.transform(hidden)))


def tied_softmax_loss_sum(
    hidden: tf.Tensor, embeddings: tf.Tensor, bias: tf.Tensor, ids: tf.Tensor, weights: tf.Tensor
) -> tf.Tensor:
    """sum_n w_n * -log softmax(hidden_n @ embeddings^T + bias)[ids_n], with its own gradient.

    The vocabulary is the largest axis of a small model: the [N, V] arrays of the general
    cross-entropy and its gradient took most of the time of a training step of Tiny. Here three
    matrix products and a softmax are all that touches such an array: weights and the ones to be
    subtracted from the probabilities go into the small factors. A probability below float32's
    smallest normal number counts as that number, so a single loss does not exceed 87.3.

    With bfloat16, probabilities have 8 significant bits: the loss of a word is exact to 0.004, and
    0 from a probability of 0.998 on.

    Args:
      hidden: [N, hidden_size], float32 or bfloat16; the [N, V] arrays are of this type.
      embeddings: float32 [V, hidden_size].
      bias: float32 [V].
      ids: int32 [N].
      weights: float32 [N], not differentiated.

    Returns:
      float32 scalar.
    """
    dtype = hidden.dtype
    smallest = float(np.finfo(np.float32).tiny)

    @tf.custom_gradient
    def loss_sum(hidden: tf.Tensor, embeddings: tf.Tensor, bias: tf.Tensor) -> tuple:
        embeddings = tf.cast(embeddings, dtype)
        logits = tf.matmul(hidden, embeddings, transpose_b=True)
        probabilities = tf.nn.softmax(add_bias_apart(logits, tf.cast(bias, dtype)))
        right = tf.cast(tf.gather(probabilities, ids, batch_dims=1), tf.float32)
        # Written so that a NaN stays one: the training loop must see it.
        logs = tf.where(right < smallest, math.log(smallest), tf.math.log(right))
        loss = -tf.reduce_sum(weights * logs)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            scale = weights * upstream
            scale_column = tf.cast(scale, dtype)[:, tf.newaxis]
            scaled_hidden = hidden * scale_column
            error = tf.matmul(probabilities, embeddings) - tf.gather(embeddings, ids)
            of_embeddings = tf.matmul(probabilities, scaled_hidden, transpose_a=True)
            of_bias = tf.matmul(scale_column, probabilities, transpose_a=True)[0]
            # Summed in float32: a frequent word is subtracted many times.
            at, of_rows = ids[:, tf.newaxis], tf.cast(scaled_hidden, tf.float32)
            return (
                error * scale_column,
                tf.tensor_scatter_nd_sub(tf.cast(of_embeddings, tf.float32), at, of_rows),
                tf.tensor_scatter_nd_sub(tf.cast(of_bias, tf.float32), at, scale),
            )

        return loss, gradient

    return loss_sum(hidden, embeddings, bias)


class LinearHead(NamedLayer):
    """`x @ output_weights^T + output_bias` in float32: next-sentence head and classifier.

    The weights are [num_labels, hidden_size] and applied transposed, as in the original.
    """

    def __init__(self, scope: str, num_labels: int, hidden_size: int, build: Build):
        super().__init__(scope, build)
        self.output_weights = self.matrix("output_weights", num_labels, hidden_size)
        self.output_bias = self.vector("output_bias", num_labels)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        x = tf.cast(x, tf.float32)
        return tf.matmul(x, self.output_weights, transpose_b=True) + self.output_bias


class PretrainingModel(tf_keras.Model):
    """Encoder with masked-LM and next-sentence heads.

    Args:
      config: The architecture.
      precision: "float32" or "bfloat16" (`modeling.layers.Build`).
      seed: Decides the initial weights; None where stored ones are loaded into it, see `Build`.
    """

    def __init__(self, config: BertConfig, precision: str = "float32", seed: int | None = 0):
        super().__init__(name="pretraining")
        build = Build(config.initializer_range, precision, seed)
        self.encoder = BertEncoder(config, build)
        self.masked_lm = MaskedLmHead(config, build)
        self.next_sentence = LinearHead("cls/seq_relationship", 2, config.hidden_size, build)

    def call(self, batch: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns MLM logits [batch_size * num_predictions, V] and NSP logits [batch_size, 2].

        Args:
          batch: The int32 Tensors `input_ids`, `input_mask`, `segment_ids` [batch_size, seq_length]
            and `masked_lm_positions` [batch_size, num_predictions].
        """
        at_masks, pooled = self._encoded(batch)
        masked_lm_logits = self.masked_lm(at_masks, self.encoder.embeddings.word_embeddings)
        return masked_lm_logits, self.next_sentence(pooled)

    def training_outputs(
        self, batch: Mapping[str, tf.Tensor], seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the weighted sum of the MLM losses, a scalar, and NSP logits [batch_size, 2].

        Args:
          batch: As in `call`, with int32 `masked_lm_ids` and float32 `masked_lm_weights`
            [batch_size, num_predictions].
          seed: int32 [2] for dropout.
        """
        at_masks, pooled = self._encoded(batch, seed)
        masked_lm_sum = self.masked_lm.loss_sum(
            at_masks,
            self.encoder.embeddings.word_embeddings,
            batch["masked_lm_ids"],
            batch["masked_lm_weights"],
        )
        return masked_lm_sum, self.next_sentence(pooled)

    def _encoded(
        self, batch: Mapping[str, tf.Tensor], seed: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The output at masked positions and the pooled output, which the heads read."""
        output = self.encoder(
            batch["input_ids"],
            batch["input_mask"],
            batch["segment_ids"],
            seed,
            select_with_first(batch["masked_lm_positions"]),
        )
        return output.sequence_output[:, 1:], output.pooled_output


class ClassifierModel(tf_keras.Model):
    """Encoder with a linear classifier on the pooled [CLS] vector.

    Args:
      config: The architecture.
      num_labels: Number of classes.
      precision: "float32" or "bfloat16" (`modeling.layers.Build`).
      seed: Decides the initial weights; None where stored ones are loaded into it, see `Build`.
    """

    def __init__(
        self, config: BertConfig, num_labels: int, precision: str = "float32", seed: int | None = 0
    ):
        super().__init__(name="classifier")
        build = Build(config.initializer_range, precision, seed)
        self.encoder = BertEncoder(config, build)
        # An empty scope: the original's variables are `output_weights` and `output_bias`.
        head_build = dataclasses.replace(build, stddev=CLASSIFIER_STDDEV)
        self.classifier = LinearHead("", num_labels, config.hidden_size, head_build)

    def call(self, batch: Mapping[str, tf.Tensor], seed: tf.Tensor | None = None) -> tf.Tensor:
        """Returns float32 logits [batch_size, num_labels].

        Args:
          batch: The int32 Tensors `input_ids`, `input_mask`, `segment_ids` [batch_size, seq_length].
          seed: int32 [2] for dropout; None means no dropout.
        """
        return self._logits(self._encoded(batch, seed), seed)

    def logits_and_states(
        self, batch: Mapping[str, tf.Tensor], seed: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Returns the logits and what stands at [CLS] after the embeddings and after every layer.

        Args:
          batch: As in `call`.
          seed: As in `call`.

        Returns:
          float32 [batch_size, num_labels], and L + 1 Tensors float32 [batch_size, hidden_size].
        """
        output = self._encoded(batch, seed)
        states = [tf.cast(states[:, 0], tf.float32) for states in output.layer_outputs]
        return self._logits(output, seed), states

    def _encoded(self, batch: Mapping[str, tf.Tensor], seed: tf.Tensor | None) -> BertOutput:
        return self.encoder(
            batch["input_ids"], batch["input_mask"], batch["segment_ids"], seed, select_first
        )

    def _logits(self, output: BertOutput, seed: tf.Tensor | None) -> tf.Tensor:
        # Another seed than the encoder's.
        seed = None if seed is None else tf.random.experimental.stateless_fold_in(seed, 1)
        (key,) = mask_keys(seed, 1)
        pooled = dropout(output.pooled_output, self.encoder.config.classifier_dropout, key)
        return self.classifier(pooled)
