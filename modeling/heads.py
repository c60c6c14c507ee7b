"""The heads on top of the encoder, and the two models they make.

Sources: `run_pretraining.py` (`get_masked_lm_output`, `get_next_sentence_output`) and
`run_classifier.py` (`create_model`) of google-research/bert.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf
import tf_keras

from modeling.bert import BertEncoder
from modeling.config import BertConfig
from modeling.layers import Build, Dense, LayerNorm, NamedLayer, activation, dropout

# Rate of the dropout on the pooled vector of a classifier; a constant in the original too.
CLASSIFIER_DROPOUT = 0.1
# Deviation of the classifier's initial weights; the original uses it whatever the config says.
CLASSIFIER_STDDEV = 0.02
# No dropout of the encoder uses this number (`modeling.layers.dropout`).
CLASSIFIER_DROPOUT_SITE = -1


class MaskedLmHead(NamedLayer):
    """Predicts the original ids of masked positions; the decoder is the word embedding matrix."""

    def __init__(self, config: BertConfig, build: Build):
        super().__init__("cls/predictions", build)
        width = config.hidden_size
        self.transform = Dense("cls/predictions/transform/dense", width, width, build)
        self.layer_norm = LayerNorm("cls/predictions/transform/LayerNorm", width, build)
        self.activation = activation(config.hidden_act)
        self.output_bias = self.vector("output_bias", config.vocab_size)

    def call(
        self, sequence_output: tf.Tensor, positions: tf.Tensor, word_embeddings: tf.Variable
    ) -> tf.Tensor:
        """Logits at the given positions only; decoding every token would cost six times as much.

        Args:
          sequence_output: [batch_size, seq_length, hidden_size].
          positions: int32 [batch_size, num_predictions].
          word_embeddings: float32 [vocab_size, hidden_size].

        Returns:
          float32 [batch_size * num_predictions, vocab_size].
        """
        hidden = tf.gather(sequence_output, positions, batch_dims=1)
        hidden = tf.reshape(hidden, [-1, word_embeddings.shape[1]])
        hidden = self.layer_norm(self.activation(self.transform(hidden)))
        embeddings = tf.cast(word_embeddings, hidden.dtype)
        logits = tf.matmul(hidden, embeddings, transpose_b=True)
        return tf.cast(logits, tf.float32) + self.output_bias


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
      seed: Decides the initial weights.
    """

    def __init__(self, config: BertConfig, precision: str = "float32", seed: int = 0):
        super().__init__(name="pretraining")
        build = Build(config.initializer_range, precision, seed)
        self.encoder = BertEncoder(config, build)
        self.masked_lm = MaskedLmHead(config, build)
        self.next_sentence = LinearHead("cls/seq_relationship", 2, config.hidden_size, build)

    def call(
        self, batch: dict[str, tf.Tensor], seed: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns MLM logits [batch_size * num_predictions, V] and NSP logits [batch_size, 2].

        Args:
          batch: The int32 Tensors `input_ids`, `input_mask`, `segment_ids` [batch_size, seq_length]
            and `masked_lm_positions` [batch_size, num_predictions].
          seed: int32 [2] for dropout; None means no dropout.
        """
        output = self.encoder(
            batch["input_ids"], batch["input_mask"], batch["segment_ids"], seed=seed
        )
        masked_lm_logits = self.masked_lm(
            output.sequence_output,
            batch["masked_lm_positions"],
            self.encoder.embeddings.word_embeddings,
        )
        return masked_lm_logits, self.next_sentence(output.pooled_output)


class ClassifierModel(tf_keras.Model):
    """Encoder with a linear classifier on the pooled [CLS] vector.

    Args:
      config: The architecture.
      num_labels: Number of classes.
      precision: "float32" or "bfloat16" (`modeling.layers.Build`).
      seed: Decides the initial weights.
    """

    def __init__(
        self, config: BertConfig, num_labels: int, precision: str = "float32", seed: int = 0
    ):
        super().__init__(name="classifier")
        build = Build(config.initializer_range, precision, seed)
        self.encoder = BertEncoder(config, build)
        # An empty scope: the original's variables are `output_weights` and `output_bias`.
        head_build = dataclasses.replace(build, stddev=CLASSIFIER_STDDEV)
        self.classifier = LinearHead("", num_labels, config.hidden_size, head_build)

    def call(self, batch: dict[str, tf.Tensor], seed: tf.Tensor | None = None) -> tf.Tensor:
        """Returns float32 logits [batch_size, num_labels].

        Args:
          batch: The int32 Tensors `input_ids`, `input_mask`, `segment_ids` [batch_size, seq_length].
          seed: int32 [2] for dropout; None means no dropout.
        """
        output = self.encoder(
            batch["input_ids"], batch["input_mask"], batch["segment_ids"], seed=seed
        )
        pooled = dropout(
            output.pooled_output, CLASSIFIER_DROPOUT, seed, site=CLASSIFIER_DROPOUT_SITE
        )
        return self.classifier(pooled)
