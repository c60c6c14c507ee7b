"""A trained model, read from any form, to be written as a program for some runtime."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from checkpoints.conversion import read_weights
from checkpoints.formats import find_weights
from checkpoints.model_sources import check_max_seq_length, resolve_model
from checkpoints.weights import variable_name
from common.errors import UserError
from modeling.config import BertConfig
from modeling.heads import CLASSIFIER_WEIGHTS, ClassifierModel
from modeling.tokenization import FullTokenizer

# Inputs of every program, int32 or int64 [batch_size, seq_length].
INPUTS = ("input_ids", "input_mask", "segment_ids")
PROBABILITIES, SCORE, POOLED, SEQUENCE = (
    "probabilities",
    "score",
    "pooled_output",
    "sequence_output",
)


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A model with its tokenizer.

    Attributes:
      source: Path of the model, for messages.
      config: The architecture.
      weights: Float32 arrays by the original's names.
      tokenizer: Of its vocabulary, casing and settings.
      labels: Of the classifier in the order of its outputs; none of a regression, and of an encoder.
      max_seq_length: Longest input in WordPieces.
      pairs: Whether an input is a pair of texts.
    """

    source: str
    config: BertConfig
    weights: Mapping[str, np.ndarray]
    tokenizer: FullTokenizer
    labels: tuple[str, ...]
    max_seq_length: int
    pairs: bool = False

    @property
    def has_classifier(self) -> bool:
        return CLASSIFIER_WEIGHTS in self.weights

    @property
    def is_regression(self) -> bool:
        return self.has_classifier and not self.labels

    @property
    def output(self) -> str:
        """Name of what a program of the model returns first."""
        if not self.has_classifier:
            return POOLED
        return PROBABILITIES if self.labels else SCORE

    @property
    def num_parameters(self) -> int:
        return sum(value.size for value in self.weights.values())

    def network(self) -> ClassifierModel:
        """The model in TensorFlow, with the weights; an encoder has an untrained classifier."""
        num_outputs = len(self.weights[CLASSIFIER_WEIGHTS]) if self.has_classifier else 1
        network = ClassifierModel(self.config, num_outputs)
        for variable in network.trainable_variables:
            if (name := variable_name(variable)) in self.weights:
                variable.assign(self.weights[name])
        return network


def network_outputs(model: TrainedModel, network: ClassifierModel, *inputs: tf.Tensor) -> dict:
    """Outputs of a program of the model, by name.

    Args:
      model: Says what they are.
      network: From `TrainedModel.network`.
      *inputs: Those of `INPUTS`, int32 [batch_size, seq_length].

    Returns:
      Float32 `probabilities` [batch_size, num_labels]; `score` [batch_size, 1] of a regression;
      `pooled_output` [batch_size, hidden_size] and `sequence_output` [batch_size, seq_length,
      hidden_size] of an encoder.
    """
    if not model.has_classifier:
        output = network.encoder(*inputs)
        return {POOLED: output.pooled_output, SEQUENCE: output.sequence_output}
    logits = network(dict(zip(INPUTS, inputs, strict=True)))
    return {model.output: tf.nn.softmax(logits) if model.labels else logits}


def read_trained_model(
    path: str,
    max_seq_length: int,
    pairs: bool = False,
    label_names: Sequence[str] | None = None,
    flag: str = "input_path",
) -> TrainedModel:
    """Reads a model of any form that `checkpoints.formats` knows.

    Args:
      path: The model.
      max_seq_length: As in `TrainedModel`; a model with fewer positions is refused.
      pairs: As in `TrainedModel`.
      label_names: New names of the classifier's labels, in the order of its outputs.
      flag: The flag that names the model.

    Raises:
      UserError: It is damaged or incomplete, has no vocabulary, has no pooler, its classifier is
        for no task of ours, its labels are not known, or `label_names` are of another number.
    """
    stored = find_weights(path, flag)
    sources = resolve_model(None, None, stored.path, None)
    weights = {
        name: value
        for name, value in read_weights(stored, sources.config).items()
        if not name.startswith("cls/")
    }
    if sources.tokenizer is None:
        raise UserError(
            f"--{flag}={path}: there is no vocab.txt or tokenizer.json beside the weights; put the "
            "model's vocabulary there."
        )
    if "bert/pooler/dense/kernel" not in weights:
        raise UserError(
            f"--{flag}={path} has no pooler (bert/pooler/dense), so nothing can be classified by it; "
            "fine-tune it first (run_classifier.py)."
        )
    check_max_seq_length(sources.config, max_seq_length)
    labels: Sequence[str] = ()
    if CLASSIFIER_WEIGHTS in weights:
        sources.check_head(stored.path)
        labels = _named_labels(path, sources.labels, label_names, len(weights[CLASSIFIER_WEIGHTS]))
    elif label_names:
        raise UserError(f"--label_names={','.join(label_names)}: {path} holds no classifier.")
    if pairs and sources.config.type_vocab_size < 2:
        raise UserError(f"--pairs: {path} has one segment only, so it was not trained on pairs.")
    return TrainedModel(
        path, sources.config, weights, sources.tokenizer, tuple(labels), max_seq_length, pairs
    )


def _named_labels(
    path: str, labels: Sequence[str] | None, names: Sequence[str] | None, num_outputs: int
) -> Sequence[str]:
    """The labels of a classifier under their new names; none of a regression."""
    if names:
        given = f"--label_names={','.join(names)}"
        if num_outputs == 1:
            raise UserError(f"{given}: {path} is a regression, whose one output is no label.")
        if len(names) != num_outputs or len(set(names)) < num_outputs or not all(names):
            now = f" (now {', '.join(labels)})" if labels else ""
            raise UserError(
                f"{given}: expected {num_outputs} different names, one for each output of the "
                f"classifier{now}."
            )
        return names
    if labels is None and num_outputs > 1:
        raise UserError(
            f"The names of the {num_outputs} labels of {path} are not recorded; pass them in the "
            "order of the outputs (--label_names)."
        )
    return labels or ()
