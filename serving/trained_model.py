"""A trained model, read from any form, to be written as a program for some runtime."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from checkpoints.conversion import read_weights
from checkpoints.formats import find_weights
from checkpoints.lineage import Lineage
from checkpoints.model_folder import check_distinct
from checkpoints.model_sources import resolve_model
from checkpoints.weights import variable_name
from common.errors import UserError
from data.classifier_records import check_segments
from modeling.bert import INPUTS
from modeling.config import BertConfig
from modeling.heads import CLASSIFIER_WEIGHTS, ClassifierModel
from modeling.tokenization import FullTokenizer

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
      labels: Of the classifier in the order of its outputs; none of a regression and of an encoder;
        of a classifier whose labels are not recorded, numbers.
      labels_are_known: Whether they are recorded.
      lineage: As in `checkpoints.model_folder.ModelFolder`.
      max_seq_length: Longest input in WordPieces.
      pairs: Whether an input is a pair of texts.
      pairs_are_known: Whether that is recorded or was given.
    """

    source: str
    config: BertConfig
    weights: Mapping[str, np.ndarray]
    tokenizer: FullTokenizer
    labels: tuple[str, ...]
    max_seq_length: int
    pairs: bool = False
    pairs_are_known: bool = False
    labels_are_known: bool = True
    lineage: Lineage = ()

    @property
    def known_labels(self) -> list[str] | None:
        """`labels` where they are recorded, as in `ModelFolder`."""
        return list(self.labels) if self.labels_are_known else None

    @property
    def known_pairs(self) -> bool | None:
        """`pairs` where that is known, as in `ModelFolder`."""
        return self.pairs if self.pairs_are_known else None

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

    def renamed(self, names: Sequence[str] | None) -> TrainedModel:
        """The model with other names for its labels, in the same order; None changes nothing.

        Raises:
          UserError: There are no labels, or not as many as names.
        """
        if not names:
            return self
        given = f"--label_names={','.join(names)}"
        if not self.labels:
            kind = "a regression" if self.has_classifier else "an encoder"
            raise UserError(f"{given}: {self.source} is {kind}, which has no labels.")
        check_distinct(names, given)
        if len(names) != len(self.labels) or not all(names):
            raise UserError(
                f"{given}: expected {len(self.labels)} different names, one for each of the labels "
                f"{', '.join(self.labels)}."
            )
        return dataclasses.replace(self, labels=tuple(names), labels_are_known=True)

    @property
    def num_parameters(self) -> int:
        return sum(value.size for value in self.weights.values())

    def network(self) -> ClassifierModel:
        """The model in TensorFlow, with the weights; an encoder has an untrained classifier."""
        return network_of(self.config, self.weights)


def network_of(config: BertConfig, weights: Mapping[str, np.ndarray]) -> ClassifierModel:
    """A model in TensorFlow, with these weights; without a classifier in them it has one of zeros."""
    num_outputs = len(weights[CLASSIFIER_WEIGHTS]) if CLASSIFIER_WEIGHTS in weights else 1
    network = ClassifierModel(config, num_outputs, seed=None)
    for variable in network.trainable_variables:
        if (name := variable_name(variable)) in weights:
            variable.assign(weights[name])
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
    max_seq_length: int | None = None,
    pairs: bool | None = None,
    bert_config_file: str | None = None,
    vocab_file: str | None = None,
    do_lower_case: bool | None = None,
    flag: str = "input_path",
) -> TrainedModel:
    """Reads a model of any form that `checkpoints.formats` knows.

    Args:
      path: The model.
      max_seq_length: As in `TrainedModel`; None for that of the training.
      pairs: As in `TrainedModel`; None for what the training recorded, else single texts.
      bert_config_file: Architecture, where it does not lie beside the weights.
      vocab_file: Vocabulary, where it does not lie there.
      do_lower_case: Casing, where it is not recorded.
      flag: Name of the flag that says `path`, for messages.

    Raises:
      UserError: It is damaged or incomplete, has no vocabulary or no pooler, its classifier is for no
        task of ours, or it cannot take such inputs.
    """
    stored = find_weights(path, flag)
    sources = resolve_model(bert_config_file, vocab_file, stored.path, do_lower_case)
    if sources.tokenizer is None:
        raise UserError(
            f"--{flag}={path}: there is no vocab.txt or tokenizer.json beside the weights; name "
            "the model's vocabulary (--vocab_file)."
        )
    stored_weights = read_weights(stored, sources.config)
    weights = {n: value for n, value in stored_weights.items() if not n.startswith("cls/")}
    if "bert/pooler/dense/kernel" not in weights:
        raise UserError(
            f"--{flag}={path} has no pooler (bert/pooler/dense), so nothing can be classified "
            "by it; fine-tune it first (run_classifier.py)."
        )
    takes_pairs = sources.takes_pairs(pairs, path)
    check_segments(
        sources.config.type_vocab_size, takes_pairs, "--pairs" if pairs else "its training", path
    )
    num_outputs = len(weights.get(CLASSIFIER_WEIGHTS, ()))
    labels: Sequence[str] | None = ()
    if num_outputs:
        sources.check_head(stored.path)
        labels = sources.labels
        if labels is None:
            labels = () if num_outputs == 1 else tuple(map(str, range(num_outputs)))
    return TrainedModel(
        source=path,
        config=sources.config,
        weights=weights,
        tokenizer=sources.tokenizer,
        labels=tuple(labels or ()),
        max_seq_length=sources.input_length(max_seq_length),
        pairs=takes_pairs,
        pairs_are_known=pairs is not None or sources.pairs is not None,
        labels_are_known=sources.labels is not None or not num_outputs,
        lineage=sources.lineage,
    )
