"""A stored model read as a whole and checked, to be written in another form.

A conversion is stricter than `--init_checkpoint`: there a missing head is new and a superfluous one
is left over, here the encoder must be complete and every head whole.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from checkpoints.formats import StoredWeights, open_weights
from checkpoints.initialization import check_heads
from checkpoints.model_folder import check_distinct
from checkpoints.weights import CheckpointReader, variable_name
from common.errors import UserError
from modeling.config import BertConfig
from modeling.heads import (
    CLASSIFIER_BIAS,
    CLASSIFIER_WEIGHTS,
    ClassifierModel,
    PretrainingModel,
)

# Parts that a model may lack as a whole; SQuAD's head is only passed on.
_OPTIONAL_PARTS = (
    "bert/pooler/",
    "cls/predictions/",
    "cls/seq_relationship/",
    "output_",
    "cls/squad/",
)


def read_weights(stored: StoredWeights, config: BertConfig) -> dict[str, np.ndarray]:
    """Reads all weights of a model and checks them against its configuration.

    Args:
      stored: The weights.
      config: The architecture they are for.

    Returns:
      Float32 arrays by the original's names; what is no part of a BERT model is left out, and named
      in the log.

    Raises:
      UserError: See `check_shapes`; or the files are damaged.
    """
    reader = open_weights(stored)
    check_heads(reader, config)
    left_out = check_shapes(reader.shapes, config, reader.source)
    if left_out:
        logging.info("Not part of a BERT model, left out: %s", ", ".join(left_out))
    return {name: reader.read(name) for name in sorted(reader.shapes) if name not in left_out}


def read_training_state(stored: StoredWeights) -> dict[str, np.ndarray]:
    """Adam moments and `global_step` of a training checkpoint by the original's names.

    Raises:
      UserError: The checkpoint holds no training state.
    """
    reader = open_weights(stored)
    state = reader.read_training_state() if isinstance(reader, CheckpointReader) else {}
    if not state:
        raise UserError(
            f"{reader.source} holds no optimizer state; give a checkpoint that was saved while "
            "training (model.ckpt-N), or leave out --include_optimizer."
        )
    return state


def expected_shapes(config: BertConfig, num_labels: int) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every variable a BERT model of this architecture can have."""
    # All layers are alike, and making variables takes long.
    one_layer = dataclasses.replace(config, num_hidden_layers=1)
    shapes = {
        "cls/squad/output_weights": (2, config.hidden_size),
        "cls/squad/output_bias": (2,),
    }
    for make_model in (
        lambda: PretrainingModel(one_layer),
        lambda: ClassifierModel(one_layer, num_labels),
    ):
        # Variables of a graph that never runs take no memory.
        with tf.Graph().as_default():
            variables = make_model().trainable_variables
        shapes.update({variable_name(v): tuple(v.shape) for v in variables})
    return {
        name.replace("/layer_0/", f"/layer_{layer}/"): shape
        for name, shape in shapes.items()
        for layer in range(config.num_hidden_layers if "/layer_0/" in name else 1)
    }


def check_shapes(
    found: Mapping[str, tuple[int, ...]], config: BertConfig, source: str
) -> list[str]:
    """Compares the variables of a stored model with its configuration.

    Args:
      found: Name -> shape.
      config: The architecture.
      source: File that holds the variables, for messages.

    Returns:
      Names of variables that are no part of a BERT model.

    Raises:
      UserError: The encoder or a head lacks a variable, there are more layers than the
        configuration says, or a shape is another one.
    """
    heads = [found[n] for n in (CLASSIFIER_WEIGHTS, CLASSIFIER_BIAS) if found.get(n)]
    num_labels = heads[0][0] if heads else 1
    expected = expected_shapes(config, num_labels)
    layers = {int(m[1]) for name in found if (m := re.match(r"bert/encoder/layer_(\d+)/", name))}
    if layers and max(layers) >= config.num_hidden_layers:
        raise UserError(
            f"{source}: variables bert/encoder/layer_{max(layers)}/... exist, but the configuration "
            f"has num_hidden_layers {config.num_hidden_layers} (layer_0 to "
            f"layer_{config.num_hidden_layers - 1}); give the configuration of these weights."
        )
    for name, shape in expected.items():
        part = next((part for part in _OPTIONAL_PARTS if name.startswith(part)), None)
        if name not in found:
            if part and not any(other.startswith(part) for other in found):
                continue
            near = ", ".join(sorted(set(found) - set(expected))[:3])
            raise UserError(
                f"{source}: variable {name} with shape {list(shape)} is missing"
                + (f" (there are others that no BERT model has: {near}, ...)." if near else ".")
            )
        if tuple(found[name]) != shape:
            transposed = shape != shape[::-1] and tuple(found[name]) == shape[::-1]
            raise UserError(
                f"{source}: variable {name} has shape {list(found[name])}, the configuration asks "
                f"for {list(shape)}" + ("; it is stored transposed." if transposed else ".")
            )
    return sorted(set(found) - set(expected))


def label_order(
    weights: Mapping[str, np.ndarray], recorded: Sequence[str] | None, wanted: Sequence[str]
) -> list[int]:
    """Index of the classifier's output for each of the wanted labels.

    Args:
      weights: A model's weights.
      recorded: Its labels in the order of its outputs, none of a regression; None takes the wanted
        ones as such.
      wanted: Labels in the order to have; upper and lower case count as equal where that leaves no
        doubt.

    Raises:
      UserError: There is no classifier, or its labels are others, or a wanted one is there twice.
    """
    num_outputs = len(weights.get(CLASSIFIER_WEIGHTS, ()))
    flag = f"--labels={','.join(wanted)}"
    if recorded is not None and not recorded:
        raise UserError(
            f"{flag}: the model is a regression, whose output is a score; leave --labels out."
        )
    if num_outputs != len(wanted):
        outputs = (
            f"the classifier has {num_outputs} outputs; name one label for each output"
            if num_outputs
            else "there is no classifier; leave --labels out"
        )
        raise UserError(f"{flag} names {len(wanted)} labels, {outputs}.")
    check_distinct(wanted, flag)
    if recorded is None:
        return list(range(num_outputs))
    order = [_index_of(label, recorded) for label in wanted]
    if sorted(order) != list(range(len(recorded))):
        raise UserError(
            f"{flag}: the model's labels are {','.join(recorded)}; give the same labels in the order "
            "you want."
        )
    return order


def _index_of(label: str, recorded: Sequence[str]) -> int:
    """Place of a label, which only an equal one has, or one alone but for the case; -1 for none."""
    if label in recorded:
        return list(recorded).index(label)
    alike = [i for i, other in enumerate(recorded) if other.lower() == label.lower()]
    return alike[0] if len(alike) == 1 else -1


def reorder_outputs(
    arrays: Mapping[str, np.ndarray], order: Sequence[int]
) -> dict[str, np.ndarray]:
    """Puts the rows of a classifier, and of its Adam moments, in another order.

    Other systems order the labels of a task otherwise than GLUE and the original (MNLI above all).
    """
    head = (CLASSIFIER_WEIGHTS, CLASSIFIER_BIAS)
    return {
        name: value[list(order)] if name.split("/")[0] in head else value
        for name, value in arrays.items()
    }
