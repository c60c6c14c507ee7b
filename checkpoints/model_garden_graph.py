"""Object paths of the original BERT's variables in checkpoints of Model Garden."""

from __future__ import annotations

from collections.abc import Mapping

from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

from common.errors import UserError

OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"


VARIABLE_VALUE = "VARIABLE_VALUE"


QUERY_KERNEL = "bert/encoder/layer_0/attention/self/query/kernel"


POOLER = "bert/pooler/dense"


def _dense(path: str, scope: str) -> dict[str, str]:
    return {f"{path}/{part}": f"{scope}/{part}" for part in ("kernel", "bias")}


def _norm(path: str, scope: str) -> dict[str, str]:
    return {f"{path}/{part}": f"{scope}/{part}" for part in ("gamma", "beta")}


def _linear(path: str, scope: str) -> dict[str, str]:
    return {f"{path}/kernel": f"{scope}output_weights", f"{path}/bias": f"{scope}output_bias"}


# Paths as TensorFlow prints them in keys: ".S" is a "/" and ".." a "." within a name.
MASKED_LM = {
    **_dense("masked_lm/dense", "cls/predictions/transform/dense"),
    **_norm("masked_lm/layer_norm", "cls/predictions/transform/LayerNorm"),
    "masked_lm/output_bias.Sbias": "cls/predictions/output_bias",
}


# Below the root: what `checkpoint_items` of the models names.
ROOT_HEADS = {
    **MASKED_LM,
    **_dense("next_sentence..pooler_dense", POOLER),
    **_dense("sentence_prediction..pooler_dense", POOLER),
}


# Below the model.
MODEL_HEADS = {
    **MASKED_LM,
    **_linear("classification_heads/0/out_proj", "cls/seq_relationship/"),
    **_dense("classification_heads/0/dense", POOLER),
    **_linear("classifier/out_proj", ""),
    **_dense("classifier/dense", POOLER),
    **_linear("span_labeling/layer_with_weights-0", "cls/squad/"),
}


HEADS = {**ROOT_HEADS, **MODEL_HEADS}


def encoder_parts(num_layers: int) -> dict[str, dict[str, str]]:
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
        "_pooler_layer": {"kernel": f"{POOLER}/kernel", "bias": f"{POOLER}/bias"},
    }


FIRST_LAYER = len(encoder_parts(0)) - 1


def paths_by_attribute(num_layers: int) -> dict[str, str]:
    """Path below an encoder -> original name, as both classes of encoders have it."""
    return {
        f"{attribute}/{below}": name
        for attribute, variables in encoder_parts(num_layers).items()
        for below, name in variables.items()
    }


def paths_by_number(num_layers: int) -> dict[str, str]:
    """Path below an encoder -> original name, as `BertEncoder`, a functional model, has it too."""
    return {
        f"layer_with_weights-{number}/{below}": name
        for number, variables in enumerate(encoder_parts(num_layers).values())
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
            next((a.checkpoint_key for a in node.attributes if a.name == VARIABLE_VALUE), None)
            for node in nodes
        ]

    def find(self, node: int, path: str) -> int | None:
        """The node at a path below another one."""
        found: int | None = node
        for name in local_names(path):
            if found is None:
                break
            found = self.children[found].get(name)
        return found

    def key(self, node: int, path: str) -> str | None:
        """The key of the variable at a path below a node."""
        found = self.find(node, path)
        return None if found is None else self.keys[found]


def local_names(path: str) -> list[str]:
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
        _collect(graph, node, HEADS, heads)
    encoders = {}
    for node in nodes:
        if num_layers := _num_layers(graph, node):
            # Attributes first: they are right whatever other layers the encoder has.
            paths = {**paths_by_attribute(num_layers), **paths_by_number(num_layers)}
            encoder: dict[str, list[str]] = {}
            _collect(graph, node, paths, encoder)
            for name in paths.values():
                if name not in encoder and not name.startswith(POOLER):
                    raise UserError(
                        f"{source}: variable {name} is missing in an encoder of {num_layers} layers."
                    )
            encoders[encoder[QUERY_KERNEL][0]] = encoder
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
            int(name.removeprefix("layer_with_weights-")) - FIRST_LAYER
            for name, child in graph.children[node].items()
            if name.startswith("layer_with_weights-")
            and "_attention_layer" in graph.children[child]
        ]
    return max(indices, default=-1) + 1
