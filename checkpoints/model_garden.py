"""Checkpoints of TensorFlow Model Garden (`official.nlp`, TF2), by the original's names.

Such a checkpoint is a graph of Python objects. A variable lies on several paths of it (a layer is an
attribute of its model and also "layer_with_weights-3"), and which of them became its key depends on
what was saved together. So variables are looked up by path in the stored graph, never by key, and
are written under every path on which a model of Model Garden looks for them:

    encoder, model                          `BertEncoder` and `BertEncoderV2`
    model/encoder_network, model/_network   the same inside `BertPretrainerV2`, `BertClassifier`, ...
    masked_lm, model/masked_lm              masked LM head
    model/classification_heads/0            next-sentence head of `BertPretrainerV2`
    model/classifier                        classifier of `BertClassifier`
    model/span_labeling                     SQuAD head of `BertSpanLabeler`
    next_sentence.pooler_dense, sentence_prediction.pooler_dense   poolers of these heads

A head of Model Garden can have a pooler of its own beside the encoder's. The original has one for
all; it is written as both.

Sources: `official/nlp/modeling/{networks,models,layers}` of tf-models-official 2.20, and for the
layouts `official/nlp/tools/tf1_bert_checkpoint_converter_lib.py`.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from checkpoints.model_garden_graph import (
    HEADS,
    MODEL_HEADS,
    OBJECT_GRAPH_KEY,
    POOLER,
    QUERY_KERNEL,
    ROOT_HEADS,
    VARIABLE_VALUE,
    ObjectGraph,
    local_names,
    original_variables,
    paths_by_attribute,
    paths_by_number,
)
from checkpoints.tokenizer_files import INFO_FILE
from checkpoints.weights import (
    MODEL_CHECKPOINT,
    checkpoint_shapes,
    weights_digest,
    writing_errors_named,
)
from common.atomic import new_folder, write_json, write_text
from common.errors import UserError
from modeling.config import CONFIG_FILE, BertConfig
from modeling.vocabulary import VOCAB_FILE, copy_vocabulary

_KEY_SUFFIX = f"/.ATTRIBUTES/{VARIABLE_VALUE}"
# Every encoder has this variable, and no other kind of checkpoint has one with such a key.
_QUERY_KEY = "_attention_layer/_query_dense/kernel" + _KEY_SUFFIX

# Heads that Model Garden applies as they are stored, the original transposed.
TRANSPOSED = (
    "output_weights",
    "cls/seq_relationship/output_weights",
    "cls/squad/output_weights",
)


def is_model_garden_checkpoint(keys: Iterable[str]) -> bool:
    """Whether the keys are those of a Model Garden checkpoint that holds an encoder."""
    return any(key.endswith(_QUERY_KEY) for key in keys)


class ModelGardenReader:
    """The weights of a Model Garden checkpoint: a `checkpoints.weights.WeightReader`.

    It may be of an encoder, of a whole model or of a training run, whose optimizer is left out.

    Args:
      prefix: Of the checkpoint's files.

    Attributes:
      source: The prefix.
      shapes: Name -> shape by the original's names and layouts. What is no part of an original model
        stands under its path, as it is stored.
      num_attention_heads: Number of heads, which the original's layouts do not show.

    Raises:
      UserError: The files are damaged, do not hold one encoder, or a variable has another layout.
    """

    def __init__(self, prefix: str):
        self.source = prefix
        stored = checkpoint_shapes(prefix)
        self._reader = tf.compat.v1.train.NewCheckpointReader(prefix)
        try:
            graph = ObjectGraph(self._get(OBJECT_GRAPH_KEY, OBJECT_GRAPH_KEY))
        except DecodeError as error:
            raise UserError(f"{prefix}: not a readable checkpoint ({error}).") from error
        variables = original_variables(graph, prefix)
        self._keys = {name: keys[0] for name, keys in variables.items()}
        for name, key in self._keys.items():
            if key not in stored:
                raise UserError(f"{prefix}: variable {name} is missing, there is no key {key}.")
        query_shape = stored[self._keys[QUERY_KERNEL]]
        self.num_attention_heads = query_shape[1] if len(query_shape) == 3 else 0
        self.shapes = {
            name: self._original_shape(name, stored[key]) for name, key in self._keys.items()
        }
        translated = {key for keys in variables.values() for key in keys}
        for key, shape in stored.items():
            is_training_state = "/optimizer/" in f"/{key}" or "/.OPTIMIZER_SLOT/" in key
            if shape and key not in translated and not is_training_state:
                path = key.removesuffix(_KEY_SUFFIX)
                self._keys[path], self.shapes[path] = key, shape

    def read(self, name: str) -> np.ndarray:
        """The float32 value of one variable, in the original's layout.

        Raises:
          UserError: The data is truncated or does not match its checksum.
        """
        value = np.asarray(self._get(name, self._keys[name]), np.float32)
        if name in TRANSPOSED:
            value = np.ascontiguousarray(value.T)
        return value.reshape(self.shapes[name])

    def _original_shape(self, name: str, stored: tuple[int, ...]) -> tuple[int, ...]:
        axis = _heads_axis(name)
        is_vector = name.endswith(("bias", "gamma", "beta"))
        rank = (1 if is_vector else 2) + (0 if axis is None else 1)
        if len(stored) != rank:
            raise UserError(
                f"{self.source}: variable {name} is stored with shape {list(stored)}, expected "
                f"{rank} dimensions, as BertEncoder of Model Garden has them."
            )
        if axis is None:
            return stored[::-1] if name in TRANSPOSED else stored
        if stored[axis] != self.num_attention_heads:
            raise UserError(
                f"{self.source}: variable {name} is stored with shape {list(stored)}, that is for "
                f"{stored[axis]} attention heads; {QUERY_KERNEL} has {self.num_attention_heads}."
            )
        return (*stored[:axis], stored[axis] * stored[axis + 1], *stored[axis + 2 :])

    def _get(self, name: str, key: str) -> Any:
        try:
            return self._reader.get_tensor(key)
        except Exception as error:  # Errors of many kinds; a truncated file gives an IndexError.
            raise UserError(f"{self.source}: variable {name} is damaged ({error}).") from error


def _heads_axis(name: str) -> int | None:
    """Axis that Model Garden splits into [heads, head size]; None where it does not."""
    if re.search(r"/attention/self/\w+/kernel$", name):
        return 1
    if re.search(r"/attention/self/\w+/bias$|/attention/output/dense/kernel$", name):
        return 0
    return None


def _to_model_garden(name: str, value: np.ndarray, num_heads: int) -> np.ndarray:
    """An array of the original in Model Garden's layout."""
    axis = _heads_axis(name)
    if axis is None:
        return value.T if name in TRANSPOSED else value
    return value.reshape(*value.shape[:axis], num_heads, -1, *value.shape[axis + 1 :])


def write_model_garden(
    folder: str,
    weights: Mapping[str, np.ndarray],
    config: BertConfig,
    vocab_file: str | None,
    info: Mapping[str, Any],
) -> None:
    """Writes a model folder whose checkpoint has Model Garden's form.

    The files are those of `checkpoints.model_folder.write_model_folder`, and `checkpoint`, which lets
    Model Garden take the folder itself as `init_checkpoint` (it trains from random weights, without
    an error, where a folder has none).

    Heads are optional. So is the pooler, but the encoders of Model Garden always have one, so
    `assert_existing_objects_matched` fails without it; a warning says so.

    Args:
      folder: The folder, which must be new or empty. It appears when it is complete.
      weights: Float32 arrays by the original's names, of the shapes that `config` says.
      config: The architecture. `hidden_act` keeps our words (`modeling.config`): a Model Garden
        configuration knows "gelu", the tanh form, only.
      vocab_file: Copied to `vocab.txt`; None leaves the folder without one.
      info: JSON content of `model_info.json`; the digest of the weights is added.

    Raises:
      UserError: The encoder lacks a variable, or there is one that Model Garden has no place for;
        the folder has something in it or cannot be written.
    """
    _check_epsilon(config)
    checkpoint = _checkpoint(weights, config)
    with new_folder(folder) as staging:
        write_text(os.path.join(staging, CONFIG_FILE), config.to_json())
        if vocab_file:
            copy_vocabulary(vocab_file, os.path.join(staging, VOCAB_FILE))
        info = {**info, "weights_sha256": weights_digest(weights)}
        write_json(os.path.join(staging, INFO_FILE), info)
        state = tf.compat.v1.train.generate_checkpoint_state_proto(staging, MODEL_CHECKPOINT)
        write_text(os.path.join(staging, "checkpoint"), str(state))
        # Last: where a folder is not renamed as a whole (gs://), this makes it a model.
        with writing_errors_named(folder):
            checkpoint.write(os.path.join(staging, MODEL_CHECKPOINT))


def _checkpoint(weights: Mapping[str, np.ndarray], config: BertConfig) -> tf.train.Checkpoint:
    """Objects without code, named as those of Model Garden, with the weights in them."""
    num_layers = config.num_hidden_layers
    encoder_paths = {**paths_by_number(num_layers), **paths_by_attribute(num_layers)}
    names = {*encoder_paths.values(), *HEADS.values()}
    if superfluous := sorted(set(weights) - names):
        raise UserError(
            f"Variable {superfluous[0]} has no place in a Model Garden model of {num_layers} layers."
        )
    lacking = sorted(set(encoder_paths.values()) - set(weights))
    if other := [name for name in lacking if not name.startswith(POOLER)]:
        raise UserError(f"Variable {other[0]} is missing; a Model Garden encoder needs it.")
    if lacking:
        logging.warning(
            "This model has no pooler. Model Garden's encoders have one: its tasks refuse this "
            "checkpoint, and your own code has to restore it with expect_partial()."
        )

    of_encoder = {
        name: tf.Variable(_to_model_garden(name, value, config.num_attention_heads))
        for name, value in weights.items()
    }
    # The pooler of a head is a variable of its own in Model Garden.
    of_heads = {
        name: tf.Variable(variable) if name.startswith(POOLER) else variable
        for name, variable in of_encoder.items()
    }
    root = tf.train.Checkpoint()
    for encoder in ("encoder", "model", "model/encoder_network", "model/_network"):
        _attach(root, encoder, encoder_paths, of_encoder)
    _attach(root, "model", MODEL_HEADS, of_heads)
    _attach(root, "", ROOT_HEADS, of_heads)
    # `Checkpoint.restore` wants to find one, unlike `Checkpoint.read`.
    root.save_counter.assign_add(1)
    return root


def _attach(
    root: Any, place: str, paths: Mapping[str, str], variables: Mapping[str, tf.Variable]
) -> None:
    """Puts those of the variables that exist at their paths below `place`."""
    for path, name in paths.items():
        if name in variables:
            *parents, last = local_names(f"{place}/{path}" if place else path)
            node = root
            for parent in parents:
                if not hasattr(node, parent):
                    setattr(node, parent, tf.Module())
                node = getattr(node, parent)
            setattr(node, last, variables[name])


def _check_epsilon(config: BertConfig) -> None:
    from modeling.layers import LAYER_NORM_EPSILON

    if config.layer_norm_eps != LAYER_NORM_EPSILON:
        raise UserError(
            f"layer_norm_eps is {config.layer_norm_eps}, but Model Garden's encoder always has "
            f"{LAYER_NORM_EPSILON}; its outputs would differ, so write another form."
        )


def build_model_garden_encoder(config: BertConfig, weights: Mapping[str, np.ndarray]) -> Any:
    """`official.nlp.modeling.networks.BertEncoder` with the given weights.

    Args:
      config: The architecture, of any activation and number of heads.
      weights: As for `write_model_garden`; heads are left out. Without a pooler the encoder's is
        zero, and so is its `pooled_output`.

    Returns:
      A tf_keras model. It maps a list or dict of int32 `input_word_ids`, `input_mask` and
      `input_type_ids` [batch_size, seq_length] to a dict of float32 `sequence_output`
      [batch_size, seq_length, H], `pooled_output` [batch_size, H] and `encoder_outputs`, the list of
      the outputs of all layers.
    """
    import tf_keras
    from official.nlp.modeling import networks

    from modeling.layers import activation

    _check_epsilon(config)
    encoder = networks.BertEncoder(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        num_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        max_sequence_length=config.max_position_embeddings,
        type_vocab_size=config.type_vocab_size,
        inner_dim=config.intermediate_size,
        inner_activation=activation(config.hidden_act),
        output_dropout=config.hidden_dropout_prob,
        attention_dropout=config.attention_probs_dropout_prob,
        initializer=tf_keras.initializers.TruncatedNormal(stddev=config.initializer_range),
        dict_outputs=True,
    )

    size = config.hidden_size
    pooler = {f"{POOLER}/kernel": np.zeros([size, size]), f"{POOLER}/bias": np.zeros([size])}
    values = {**pooler, **weights}
    # Paths have the order in which the encoder made its variables.
    names = paths_by_attribute(config.num_hidden_layers).values()
    encoder.set_weights(
        [_to_model_garden(name, values[name], config.num_attention_heads) for name in names]
    )
    return encoder
