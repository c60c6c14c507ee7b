"""The BERT encoder of google-research/bert, in TensorFlow 2.

Source: `modeling.py` of google-research/bert; Devlin et al. (2018); Turc et al. (2019), section 5.
Post-layer-normalization Transformer, learned positions, tanh GELU, pooler on [CLS].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeAlias

import tensorflow as tf

from modeling.config import BertConfig
from modeling.dropout import dropout, mask_keys, softmax_dropout
from modeling.layers import (
    Build,
    Dense,
    Finish,
    LayerNorm,
    NamedLayer,
    add_bias,
    add_bias_apart,
    compiled_activation,
    leading_shape,
    merged_activation,
)

# The encoder's inputs, int32 [batch_size, seq_length], as records and programs call them.
INPUTS = ("input_ids", "input_mask", "segment_ids")

# Added to the attention scores of padding, as in the original; softmax makes it a zero.
MASKED_SCORE = -10000.0

# The positions that a head reads: [batch_size, seq_length, hidden_size] -> [batch_size, n,
# hidden_size], with [CLS] first.
Select: TypeAlias = Callable[[tf.Tensor], tf.Tensor]


def select_all(x: tf.Tensor) -> tf.Tensor:
    """Every position."""
    return x


def select_first(x: tf.Tensor) -> tf.Tensor:
    """[CLS] alone, which is all that a classifier reads."""
    return x[:, :1]


def select_with_first(positions: tf.Tensor) -> Select:
    """[CLS] and the positions int32 [batch_size, n], which is all that pre-training reads."""
    wanted = tf.pad(positions, [[0, 0], [1, 0]])

    def select(x: tf.Tensor) -> tf.Tensor:
        # From rows: the gradient of a gather within each text is a hundred operations to trace.
        shape = tf.shape(x)
        starts = tf.expand_dims(tf.range(shape[0]) * shape[1], 1)
        return tf.gather(_rows(x), starts + wanted)

    return select


@dataclasses.dataclass(frozen=True)
class BertOutput:
    """Outputs of the encoder for a batch.

    Attributes:
      pooled_output: float32 Tensor [batch_size, hidden_size], tanh of a dense map of [CLS].
      layer_outputs: Embedding output and the output of every layer: L + 1 Tensors
        [batch_size, seq_length, hidden_size] in the compute dtype; the last one holds the positions
        that were selected.
    """

    pooled_output: tf.Tensor
    layer_outputs: list[tf.Tensor]

    @property
    def sequence_output(self) -> tf.Tensor:
        """The last layer's output [batch_size, seq_length or n, hidden_size]."""
        return self.layer_outputs[-1]


class Embeddings(NamedLayer):
    """Sum of word, position and segment embeddings, normalized."""

    def __init__(self, config: BertConfig, build: Build):
        super().__init__("bert/embeddings", build)
        width = config.hidden_size
        self.rate = config.hidden_dropout_prob
        # LiteRT quantizes what it gathers, and not what it takes a slice of.
        self.gathers_positions = False
        self.word_embeddings = self.matrix("word_embeddings", config.vocab_size, width)
        self.token_type_embeddings = self.matrix(
            "token_type_embeddings", config.type_vocab_size, width
        )
        self.position_embeddings = self.matrix(
            "position_embeddings", config.max_position_embeddings, width
        )
        self.layer_norm = LayerNorm(
            "bert/embeddings/LayerNorm", width, build, config.layer_norm_eps
        )

    def call(
        self, input_ids: tf.Tensor, segment_ids: tf.Tensor, key: tf.Tensor | None
    ) -> tf.Tensor:
        # From its value: TensorFlow's gather from a variable makes every later reading of it a copy.
        words = tf.gather(tf.convert_to_tensor(self.word_embeddings), input_ids)
        # A one-hot product, as in the original: its gradient is a small dense matrix.
        types = tf.one_hot(segment_ids, self.token_type_embeddings.shape[0])
        types = tf.einsum("bst,th->bsh", types, self.token_type_embeddings)
        length = tf.shape(input_ids)[1]
        positions = self.position_embeddings[:length]
        if self.gathers_positions:
            table = tf.convert_to_tensor(self.position_embeddings)
            positions = tf.gather(table, tf.range(length))
        return dropout(self.layer_norm(words + types + positions), self.rate, key)


class TransformerLayer(NamedLayer):
    """Self-attention and feed-forward network, each with residual connection and layer norm."""

    NUM_DROPOUTS = 3

    def __init__(self, config: BertConfig, index: int, build: Build):
        scope = f"bert/encoder/layer_{index}"
        super().__init__(scope, build)
        width = config.hidden_size
        self.num_heads, self.head_size = config.num_attention_heads, config.head_size
        self.attention_rate = config.attention_probs_dropout_prob
        self.hidden_rate = config.hidden_dropout_prob
        self.merged_activation = merged_activation(config.hidden_act)
        self.compiled_activation = compiled_activation(config.hidden_act)

        def dense(name: str, in_size: int, out_size: int) -> Dense:
            return Dense(f"{scope}/{name}", in_size, out_size, build)

        def norm(name: str) -> LayerNorm:
            return LayerNorm(f"{scope}/{name}", width, build, config.layer_norm_eps)

        self.query = dense("attention/self/query", width, width)
        self.key = dense("attention/self/key", width, width)
        self.value = dense("attention/self/value", width, width)
        self.attention_output = dense("attention/output/dense", width, width)
        self.attention_norm = norm("attention/output/LayerNorm")
        self.intermediate = dense("intermediate/dense", width, config.intermediate_size)
        self.output_dense = dense("output/dense", config.intermediate_size, width)
        self.output_norm = norm("output/LayerNorm")

    def call(
        self,
        x: tf.Tensor,
        scores_mask: tf.Tensor,
        keys: Sequence[tf.Tensor | None],
        select: Select = select_all,
    ) -> tf.Tensor:
        """Maps [batch_size, seq_length, hidden_size] to the same shape, or to some positions of it.

        Args:
          x: Output of the layer below.
          scores_mask: [batch_size, 1, 1, seq_length], added to the attention scores.
          keys: `NUM_DROPOUTS` of `mask_keys`.
          select: The positions that are computed; all of them are attended to.
        """
        attention_key, attended_key, hidden_key = keys

        def with_residual(norm: LayerNorm, residual: tf.Tensor, key: tf.Tensor | None) -> Finish:
            return lambda x, bias: norm.of_sum(x, bias, residual, self.hidden_rate, key)

        selected = select(x)
        residual = _rows(selected)
        attended = self._attend(selected, x, scores_mask, attention_key)
        y = self.attention_output(
            attended, with_residual(self.attention_norm, residual, attended_key)
        )
        activate = self.merged_activation if hidden_key is None else self.compiled_activation
        hidden = self.intermediate(y, activate)
        y = self.output_dense(hidden, with_residual(self.output_norm, y, hidden_key))
        return tf.reshape(y, leading_shape(selected, [y.shape[-1]]))

    def _attend(
        self, selected: tf.Tensor, x: tf.Tensor, scores_mask: tf.Tensor, key: tf.Tensor | None
    ) -> tf.Tensor:
        """Rows of the selected positions, from those that they attend to."""
        by_head = [self.num_heads, self.head_size]
        rows, shape = _rows(x), leading_shape(x, by_head)
        queries, queries_shape = rows, shape
        if selected is not x:
            queries, queries_shape = _rows(selected), leading_shape(selected, by_head)

        def split_heads(y: tf.Tensor, shape: list[int] | tf.Tensor) -> tf.Tensor:
            """[batch, heads, seq, head_size]."""
            return tf.transpose(tf.reshape(y, shape), [0, 2, 1, 3])

        # Scaling the queries instead of the scores touches seq_length / head_size fewer numbers.
        scale = tf.cast(self.head_size**-0.5, self.compute_dtype)
        finish = add_bias if key is None else add_bias_apart
        query = split_heads(self.query(queries, finish) * scale, queries_shape)
        scores = tf.matmul(query, split_heads(self.key(rows, finish), shape), transpose_b=True)
        probs = softmax_dropout(scores, scores_mask, self.attention_rate, key)
        context = tf.matmul(probs, split_heads(self.value(rows, finish), shape))
        return tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [-1, x.shape[-1]])


def _rows(x: tf.Tensor) -> tf.Tensor:
    """[batch_size, seq_length, size] as [batch_size * seq_length, size], for the products."""
    return tf.reshape(x, [-1, x.shape[-1]])


class BertEncoder(NamedLayer):
    """Embeddings, Transformer layers and pooler of the given architecture."""

    def __init__(self, config: BertConfig, build: Build):
        super().__init__("bert", build)
        self.config = config
        self.masked_score = MASKED_SCORE
        self.embeddings = Embeddings(config, build)
        self.transformer_layers = [
            TransformerLayer(config, i, build) for i in range(config.num_hidden_layers)
        ]
        self.pooler = Dense("bert/pooler/dense", config.hidden_size, config.hidden_size, build)

    def call(
        self,
        input_ids: tf.Tensor,
        input_mask: tf.Tensor,
        segment_ids: tf.Tensor,
        seed: tf.Tensor | None = None,
        select: Select = select_all,
    ) -> BertOutput:
        """Encodes a batch.

        Args:
          input_ids: int32 [batch_size, seq_length].
          input_mask: int32 [batch_size, seq_length], 1 for tokens and 0 for padding.
          segment_ids: int32 [batch_size, seq_length].
          seed: int32 [2]; dropout is applied when it is given, so give it in training only.
          select: The positions at which the last layer is computed. Others have no part in what a
            head reads, and with two layers they are some 40 % of the work.
        """
        per_layer = TransformerLayer.NUM_DROPOUTS
        key, *keys = mask_keys(seed, 1 + per_layer * len(self.transformer_layers))
        x = self.embeddings(input_ids, segment_ids, key)
        # Not by tf.newaxis, which LiteRT has no operation for where the batch size is unknown.
        mask = tf.expand_dims(tf.expand_dims(tf.cast(input_mask, self.compute_dtype), 1), 1)
        scores_mask = (1.0 - mask) * self.masked_score
        layer_outputs = [x]
        for i, layer in enumerate(self.transformer_layers):
            layer_keys = keys[i * per_layer : (i + 1) * per_layer]
            is_last = i == len(self.transformer_layers) - 1
            layer_select = select if is_last else select_all
            layer_outputs.append(layer(layer_outputs[-1], scores_mask, layer_keys, layer_select))
        pooled = tf.tanh(tf.cast(self.pooler(layer_outputs[-1][:, 0]), tf.float32))
        return BertOutput(pooled, layer_outputs)
