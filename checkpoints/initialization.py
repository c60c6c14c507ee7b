"""Initialization of a student from stored weights (Turc et al. 2019, section 6.1 and Figure 5).

A strategy is a view of the stored weights: it shows the student those it takes, under the names of
the student's own layers. Loading them is the same for all.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence

import numpy as np

from checkpoints.weights import WeightReader
from common.errors import UserError
from modeling.config import BertConfig
from modeling.heads import CLASSIFIER_BIAS, CLASSIFIER_WEIGHTS

FULL, RANDOM, EMBEDDINGS_ONLY = "full", "random", "embeddings_only"
TRUNCATE_BOTTOM, TRUNCATE_EVERY_OTHER = "truncate_bottom", "truncate_every_other"
STRATEGIES = (FULL, RANDOM, EMBEDDINGS_ONLY, TRUNCATE_BOTTOM, TRUNCATE_EVERY_OTHER)

AUTO, KEEP, NEW = "auto", "keep", "new"

_LAYER = re.compile(r"(?<=^bert/encoder/layer_)\d+(?=/)")
_WIDTH_VARIABLE = "bert/embeddings/word_embeddings"
POOLER = "bert/pooler/dense/kernel"


class WeightSelection:
    """Some of the variables of a `WeightReader`, under new names: a `WeightReader` too.

    Args:
      reader: The stored weights.
      names: New name -> name in `reader`.
    """

    def __init__(self, reader: WeightReader, names: Mapping[str, str]):
        self.source = reader.source
        self.shapes = {new: reader.shapes[old] for new, old in names.items()}
        self._reader, self._names = reader, names

    def read(self, name: str) -> np.ndarray:
        return self._reader.read(self._names[name])


def select_weights(
    reader: WeightReader, config: BertConfig, strategy: str, layers: Sequence[int] | None
) -> WeightReader:
    """The weights that a student takes.

    Args:
      reader: Weights of a model that may be deeper.
      config: The student's architecture.
      strategy: One of `STRATEGIES` but "random".
      layers: Layer of the stored model for each of the student's, counted from 0; takes the place
        of the strategy.

    Raises:
      UserError: The widths differ, there are too few layers, or "full" is asked of a model of another
        depth.
    """
    check_width(reader, config)
    depth, wanted = _depth(reader), config.num_hidden_layers
    if strategy == EMBEDDINGS_ONLY and not layers:
        logging.info("The student takes the embeddings of %s.", reader.source)
        names = {name: name for name in reader.shapes if name.startswith("bert/embeddings/")}
        return WeightSelection(reader, names)
    if strategy == FULL and not layers and not depth:
        return reader  # of another kind of model: what it holds instead is said where it is loaded
    if not layers:
        layers = _layers(reader.source, strategy, depth, wanted)
    if len(layers) != wanted or not all(0 <= layer < depth for layer in layers):
        raise UserError(
            f"--init_layers={','.join(map(str, layers))} names {len(layers)} layers; expected one of "
            f"0 to {depth - 1} for each of the student's {wanted}, because {reader.source} has "
            f"{depth} layers."
        )
    if list(layers) != list(range(depth)):
        taken = ", ".join(f"{new} from {old}" for new, old in enumerate(layers))
        logging.info("The student takes its layers from %s: %s.", reader.source, taken)
    names = {name: name for name in reader.shapes if not _LAYER.search(name)}
    for new, old in enumerate(layers):
        prefix = f"bert/encoder/layer_{old}/"
        for name in reader.shapes:
            if name.startswith(prefix):
                names[f"bert/encoder/layer_{new}/{name.removeprefix(prefix)}"] = name
    return WeightSelection(reader, names)


def check_width(reader: WeightReader, config: BertConfig) -> None:
    """Raises a UserError where a model cannot start from weights of any layer of another one."""
    check_heads(reader, config)
    width = _width(reader, config)
    if width != config.hidden_size:
        raise UserError(
            f"{reader.source} has hidden_size {width}, the student {config.hidden_size}; start from "
            "a model of the student's width."
        )


def select_head(
    reader: WeightReader,
    choice: str,
    recorded: Sequence[str] | None,
    labels: Sequence[str],
    other_head: str | None = None,
) -> WeightReader:
    """The stored weights that a new run takes, with or without their classifier.

    Args:
      reader: The stored weights.
      choice: AUTO keeps the stored classifier where its labels are those of the run in the same
        order, and leaves it out where they are not; KEEP and NEW do what they say.
      recorded: The labels of the stored classifier, none of a regression; None when they are not
        known, and then their number has to do.
      labels: The labels of the run, none for a regression.
      other_head: Purpose of a stored classifier for a kind of task that is not ours.

    Returns:
      The weights with the classifier, or without it for a new one.

    Raises:
      UserError: The classifier is to be kept, and there is none or one for other labels.
    """
    if POOLER not in reader.shapes and _depth(reader):
        logging.warning(
            "%s has no pooler, the layer between [CLS] and a classifier; it starts from random "
            "weights.",
            reader.source,
        )
    outputs = reader.shapes.get(CLASSIFIER_BIAS)
    difference = None
    if outputs is None:
        difference = "there is no classifier in it"
    elif other_head:
        difference = f"its classifier is for {other_head}"
    elif recorded is None and outputs != (len(labels) or 1,):
        difference = f"its classifier has {outputs[0]} outputs, this run needs {len(labels) or 1}"
    elif recorded is not None and list(recorded) != list(labels):
        difference = f"its classifier is for {_task(recorded)}, this run for {_task(labels)}"
    if choice == KEEP and difference:
        raise UserError(
            f"--init_head=keep cannot keep the classifier of {reader.source}: {difference}; pass "
            "--init_head=new to start with a new classifier on top of the encoder."
        )
    if choice != NEW and not difference:
        if recorded is None:
            warn_of_assumed_order(reader.source, labels)
        return reader
    if outputs is not None:
        logging.info(
            "A new classifier on top of %s: %s (--init_head=%s).",
            reader.source,
            difference or "its own is left out",
            choice,
        )
    head = (CLASSIFIER_WEIGHTS, CLASSIFIER_BIAS)
    return WeightSelection(reader, {name: name for name in reader.shapes if name not in head})


def warn_of_assumed_order(source: str, labels: Sequence[str]) -> None:
    """One line about outputs whose labels are not recorded."""
    if labels:
        logging.warning(
            "%s does not name the labels of its outputs; the order of its outputs is assumed to be "
            "%s.",
            source,
            ", ".join(labels),
        )


def _task(labels: Sequence[str]) -> str:
    return f"the labels {', '.join(labels)}" if labels else "a regression (a score, no labels)"


def check_whole(reader: WeightReader, config: BertConfig) -> None:
    """Compares stored weights with the configuration of a model that takes all of them.

    Raises:
      UserError: They have another width or depth, or other numbers of attention heads.
    """
    check_heads(reader, config)
    for name, stored, wanted in (
        ("hidden_size", _width(reader, config), config.hidden_size),
        ("num_hidden_layers", _depth(reader) or config.num_hidden_layers, config.num_hidden_layers),
    ):
        if stored != wanted:
            raise UserError(
                f"{reader.source} has {name} {stored}, the configuration says {wanted}; give the "
                "model its own configuration."
            )


def _width(reader: WeightReader, config: BertConfig) -> int:
    return reader.shapes.get(_WIDTH_VARIABLE, (0, config.hidden_size))[1]


def _depth(reader: WeightReader) -> int:
    """Number of layers, 0 of another kind of model."""
    numbers = [int(match[0]) for name in reader.shapes if (match := _LAYER.search(name))]
    return max(numbers, default=-1) + 1


def check_heads(reader: WeightReader, config: BertConfig) -> None:
    """Compares numbers of attention heads, where the stored layout shows one (Model Garden's).

    Raises:
      UserError: They differ.
    """
    stored = getattr(reader, "num_attention_heads", config.num_attention_heads)
    if stored != config.num_attention_heads:
        raise UserError(
            f"{reader.source} was made with {stored} attention heads, the configuration says "
            f"num_attention_heads {config.num_attention_heads}; give its own configuration."
        )


def _layers(source: str, strategy: str, depth: int, wanted: int) -> list[int]:
    """Layers of a model of `depth` layers for a student of `wanted` layers."""
    if strategy == FULL and depth != wanted:
        raise UserError(
            f"{source} has {depth} layers, the model {wanted}; say which to take with --init_layers, "
            f"or --init_strategy ({TRUNCATE_BOTTOM}, {TRUNCATE_EVERY_OTHER}, {EMBEDDINGS_ONLY})."
        )
    if depth < wanted:
        raise UserError(
            f"{source} has {depth} layers, too few for the student's {wanted}; "
            f"--init_strategy={strategy} needs a deeper model."
        )
    if strategy == TRUNCATE_EVERY_OTHER:
        if depth < 2 * wanted:
            raise UserError(
                f"{source} has {depth} layers, too few to take every other one for the student's "
                f"{wanted} ({2 * wanted} are needed); use --init_strategy={TRUNCATE_BOTTOM} or "
                "--init_layers."
            )
        return list(range(0, 2 * wanted, 2))
    return list(range(wanted))
