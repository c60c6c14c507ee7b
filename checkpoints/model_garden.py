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
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

from checkpoints.tokenizer_files import INFO_FILE
from checkpoints.weights import MODEL_CHECKPOINT, checkpoint_shapes, weights_digest
from common.errors import UserError
from common.files import new_folder, write_json, write_text
from modeling.config import CONFIG_FILE, BertConfig
from modeling.vocabulary import VOCAB_FILE, copy_vocabulary

OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
_VARIABLE_VALUE = "VARIABLE_VALUE"
_KEY_SUFFIX = f"/.ATTRIBUTES/{_VARIABLE_VALUE}"
# Every encoder has this variable, and no other kind of checkpoint has one with such a key.
_QUERY_KEY = "_attention_layer/_query_dense/kernel" + _KEY_SUFFIX
_QUERY_KERNEL = "bert/encoder/layer_0/attention/self/query/kernel"
_POOLER = "bert/pooler/dense"

# Heads that Model Garden applies as they are stored, the original transposed.
_TRANSPOSED = (
    "output_weights",
    "cls/seq_relationship/output_weights",
    "cls/squad/output_weights",
)


def _dense(path: str, scope: str) -> dict[str, str]:
    return {f"{path}/{part}": f"{scope}/{part}" for part in ("kernel", "bias")}


def _norm(path: str, scope: str) -> dict[str, str]:
    return {f"{path}/{part}": f"{scope}/{part}" for part in ("gamma", "beta")}


def _linear(path: str, scope: str) -> dict[str, str]:
    return {f"{path}/kernel": f"{scope}output_weights", f"{path}/bias": f"{scope}output_bias"}


# Paths as TensorFlow prints them in keys: ".S" is a "/" and ".." a "." within a name.
_MASKED_LM = {
    **_dense("masked_lm/dense", "cls/predictions/transform/dense"),
    **_norm("masked_lm/layer_norm", "cls/predictions/transform/LayerNorm"),
    "masked_lm/output_bias.Sbias": "cls/predictions/output_bias",
}
# Below the root: what `checkpoint_items` of the models names.
_ROOT_HEADS = {
    **_MASKED_LM,
    **_dense("next_sentence..pooler_dense", _POOLER),
    **_dense("sentence_prediction..pooler_dense", _POOLER),
}
# Below the model.
_MODEL_HEADS = {
    **_MASKED_LM,
    **_linear("classification_heads/0/out_proj", "cls/seq_relationship/"),
    **_dense("classification_heads/0/dense", _POOLER),
    **_linear("classifier/out_proj", ""),
    **_dense("classifier/dense", _POOLER),
    **_linear("span_labeling/layer_with_weights-0", "cls/squad/"),
}
_HEADS = {**_ROOT_HEADS, **_MODEL_HEADS}


def _encoder_parts(num_layers: int) -> dict[str, dict[str, str]]:
    """Attribute of an encoder -> path below it -> original name, in the functional model's order."""

    def layer(scope: str) -> dict[str, str]:
        return {
            **_dense("_attention_layer/_query_dense", f"{scope}/attention/self/query"),
            **_dense("_attention_layer/_key_dense", f"{scope}/attention/self/key"),
            **_dense("_attention_layer/_value_dense", f"{scope}/attention/self/value"),
            **_dense("_attention_layer/_output_dense", f"{scope}/attention/output/dense"),
            **_norm("_attention_layer_norm", f"{scope}/attention/output/LayerNorm"),
            **_dense("_intermediate_dense", f"{scope}/intermediate/dense"),
            **_dense("_output_dense", f"{scope}/output/dense"),
            **_norm("_output_layer_norm", f"{scope}/output/LayerNorm"),
        }

    norm = "bert/embeddings/LayerNorm"
    return {
        "_embedding_layer": {"embeddings": "bert/embeddings/word_embeddings"},
        "_position_embedding_layer": {"embeddings": "bert/embeddings/position_embeddings"},
        "_type_embedding_layer": {"embeddings": "bert/embeddings/token_type_embeddings"},
        "_embedding_norm_layer": {"gamma": f"{norm}/gamma", "beta": f"{norm}/beta"},
        **{f"_transformer_layers/{i}": layer(f"bert/encoder/layer_{i}") for i in range(num_layers)},
        "_pooler_layer": {"kernel": f"{_POOLER}/kernel", "bias": f"{_POOLER}/bias"},
    }


_FIRST_LAYER = len(_encoder_parts(0)) - 1


def _paths_by_attribute(num_layers: int) -> dict[str, str]:
    """Path below an encoder -> original name, as both classes of encoders have it."""
    return {
        f"{attribute}/{below}": name
        for attribute, variables in _encoder_parts(num_layers).items()
        for below, name in variables.items()
    }


def _paths_by_number(num_layers: int) -> dict[str, str]:
    """Path below an encoder -> original name, as `BertEncoder`, a functional model, has it too."""
    return {
        f"layer_with_weights-{number}/{below}": name
        for number, variables in enumerate(_encoder_parts(num_layers).values())
        for below, name in variables.items()
    }


class ObjectGraph:
    """The graph of Python objects in a TF2 checkpoint; node 0 is the root.

    Args:
      serialized: The value stored under `OBJECT_GRAPH_KEY`.

    Attributes:
      children: For each node, name -> node.
      keys: For each node, the key of its value; None for objects that are no variables.

    Raises:
      DecodeError: `serialized` is something else.
    """

    def __init__(self, serialized: bytes):
        nodes = TrackableObjectGraph.FromString(serialized).nodes
        self.children = [{c.local_name: c.node_id for c in node.children} for node in nodes]
        self.keys = [
            next((a.checkpoint_key for a in node.attributes if a.name == _VARIABLE_VALUE), None)
            for node in nodes
        ]

    def find(self, node: int, path: str) -> int | None:
        """The node at a path below another one."""
        found: int | None = node
        for name in _local_names(path):
            if found is None:
                break
            found = self.children[found].get(name)
        return found

    def key(self, node: int, path: str) -> str | None:
        """The key of the variable at a path below a node."""
        found = self.find(node, path)
        return None if found is None else self.keys[found]


def _local_names(path: str) -> list[str]:
    return [part.replace(".S", "/").replace("..", ".") for part in path.split("/")]


def original_variables(graph: ObjectGraph, source: str) -> dict[str, list[str]]:
    """Original name -> keys of the variables of a BERT model, heads included.

    The encoder may be saved alone or inside any model, under any name. Where several variables have
    a name, the one to use comes first: the pooler of a head before the encoder's, because Model
    Garden trains that one only.

    Args:
      graph: The stored objects.
      source: The checkpoint, for messages.

    Raises:
      UserError: There is no encoder, or there are several; a layer is missing.
    """
    nodes = range(len(graph.children))
    heads: dict[str, list[str]] = {}
    for node in nodes:
        _collect(graph, node, _HEADS, heads)
    encoders = {}
    for node in nodes:
        if num_layers := _num_layers(graph, node):
            # Attributes first: they are right whatever other layers the encoder has.
            paths = {**_paths_by_attribute(num_layers), **_paths_by_number(num_layers)}
            encoder: dict[str, list[str]] = {}
            _collect(graph, node, paths, encoder)
            for name in paths.values():
                if name not in encoder and not name.startswith(_POOLER):
                    raise UserError(
                        f"{source}: variable {name} is missing in an encoder of {num_layers} layers."
                    )
            encoders[encoder[_QUERY_KERNEL][0]] = encoder
    if len(encoders) != 1:
        raise UserError(
            f"{source}: expected one BERT encoder of Model Garden, found {len(encoders)}"
            + "".join(f", {key}" for key in sorted(encoders))
            + "; save the encoder to use alone."
        )
    (encoder,) = encoders.values()
    return {name: heads.get(name, []) + encoder.get(name, []) for name in {**encoder, **heads}}


def _collect(
    graph: ObjectGraph, node: int, paths: Mapping[str, str], found: dict[str, list[str]]
) -> None:
    """Adds the keys of the variables below a node to `found`, by original names."""
    for path, name in paths.items():
        key = graph.key(node, path)
        if key and key not in found.setdefault(name, []):
            found[name].append(key)


def _num_layers(graph: ObjectGraph, node: int) -> int:
    """Number of Transformer layers of an encoder; 0 when the node is something else."""
    layers = graph.find(node, "_transformer_layers")
    if layers is not None:
        indices = [int(name) for name in graph.children[layers] if name.isdigit()]
    else:
        indices = [
            int(name.removeprefix("layer_with_weights-")) - _FIRST_LAYER
            for name, child in graph.children[node].items()
            if name.startswith("layer_with_weights-")
            and "_attention_layer" in graph.children[child]
        ]
    return max(indices, default=-1) + 1


def is_model_garden_checkpoint(keys: Iterable[str]) -> bool:
    """Whether these are the keys of a Model Garden checkpoint with an encoder in it."""
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
        query_shape = stored[self._keys[_QUERY_KERNEL]]
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
        if name in _TRANSPOSED:
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
            return stored[::-1] if name in _TRANSPOSED else stored
        if stored[axis] != self.num_attention_heads:
            raise UserError(
                f"{self.source}: variable {name} is stored with shape {list(stored)}, that is for "
                f"{stored[axis]} attention heads; {_QUERY_KERNEL} has {self.num_attention_heads}."
            )
        return (*stored[:axis], stored[axis] * stored[axis + 1], *stored[axis + 2 :])

    def _get(self, name: str, key: str) -> Any:
        try:
            return self._reader.get_tensor(key)
        except Exception as error:  # Errors of many kinds; a truncated file gives an IndexError.
            raise UserError(f"{self.source}: variable {name} is damaged ({error}).") from error


def _heads_axis(name: str) -> int | None:
    """Where Model Garden has [heads, head size] in place of the width, if it has."""
    if re.search(r"/attention/self/\w+/kernel$", name):
        return 1
    if re.search(r"/attention/self/\w+/bias$|/attention/output/dense/kernel$", name):
        return 0
    return None


def _to_model_garden(name: str, value: np.ndarray, num_heads: int) -> np.ndarray:
    """An array of the original in Model Garden's layout."""
    axis = _heads_axis(name)
    if axis is None:
        return value.T if name in _TRANSPOSED else value
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
        checkpoint.write(os.path.join(staging, MODEL_CHECKPOINT))


def _checkpoint(weights: Mapping[str, np.ndarray], config: BertConfig) -> tf.train.Checkpoint:
    """Objects without code, named as those of Model Garden, with the weights in them."""
    num_layers = config.num_hidden_layers
    encoder_paths = {**_paths_by_number(num_layers), **_paths_by_attribute(num_layers)}
    names = {*encoder_paths.values(), *_HEADS.values()}
    if superfluous := sorted(set(weights) - names):
        raise UserError(
            f"Variable {superfluous[0]} has no place in a Model Garden model of {num_layers} layers."
        )
    lacking = sorted(set(encoder_paths.values()) - set(weights))
    if other := [name for name in lacking if not name.startswith(_POOLER)]:
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
        name: tf.Variable(variable) if name.startswith(_POOLER) else variable
        for name, variable in of_encoder.items()
    }
    root = tf.train.Checkpoint()
    for encoder in ("encoder", "model", "model/encoder_network", "model/_network"):
        _attach(root, encoder, encoder_paths, of_encoder)
    _attach(root, "model", _MODEL_HEADS, of_heads)
    _attach(root, "", _ROOT_HEADS, of_heads)
    # `Checkpoint.restore` wants to find one, unlike `Checkpoint.read`.
    root.save_counter.assign_add(1)
    return root


def _attach(
    root: Any, place: str, paths: Mapping[str, str], variables: Mapping[str, tf.Variable]
) -> None:
    """Puts those of the variables that exist at their paths below `place`."""
    for path, name in paths.items():
        if name in variables:
            *parents, last = _local_names(f"{place}/{path}" if place else path)
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
    pooler = {f"{_POOLER}/kernel": np.zeros([size, size]), f"{_POOLER}/bias": np.zeros([size])}
    values = {**pooler, **weights}
    # Paths have the order in which the encoder made its variables.
    names = _paths_by_attribute(config.num_hidden_layers).values()
    encoder.set_weights(
        [_to_model_garden(name, values[name], config.num_attention_heads) for name in names]
    )
    return encoder
