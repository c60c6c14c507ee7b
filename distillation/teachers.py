"""The teachers of a transfer set: a model, or several whose answers become one.

A teacher reads texts as in its training, in its own vocabulary, casing and length. Soft labels are
made for a student, whose records may have other ones.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from scipy.special import log_softmax, logsumexp

from checkpoints.formats import find_weights
from checkpoints.initialization import warn_of_assumed_order
from checkpoints.model_folder import read_model_folder
from checkpoints.tokenizer_files import open_tokenizer_of_file
from checkpoints.weights import VariableValues, weights_digest
from common.errors import UserError
from common.files import exists
from common.outputs import checkpoint_file
from data.classifier_records import encode_rows, num_outputs
from distillation.patience import parse_layers, teacher_outputs
from distillation.soft_labels import TransferExample
from modeling.tokenization import FullTokenizer
from modeling.vocabulary import read_vocabulary, vocabulary_digest
from serving.engine_choice import ChosenEngine
from serving.predictor import Predictor
from training.reporting import describe_model

PROBABILITIES, LOGITS = "probabilities", "logits"

Features = Mapping[str, np.ndarray]


class TextEncoding(NamedTuple):
    """The way from texts to ids: a tokenizer, and the length to which texts are cut."""

    tokenizer: FullTokenizer
    max_seq_length: int

    def features(self, examples: Sequence[TransferExample]) -> Features:
        """Classifier features of texts, int32 [N, ...]."""
        rows = [(example.text_a, example.text_b) for example in examples]
        return encode_rows(self.tokenizer, rows, self.max_seq_length)

    def facts(self) -> dict[str, Any]:
        """Settings that decide the ids, for the record."""
        return {"max_seq_length": self.max_seq_length, **self.tokenizer.record_facts()}

    def is_like(self, other: TextEncoding) -> bool:
        """Whether all texts become the same ids."""
        same_words = self.tokenizer.settings == other.tokenizer.settings
        return same_words and self.facts() == other.facts()


class StudentText(NamedTuple):
    """Flags about the text of records; all None stands for the text of the teacher."""

    vocab_file: str | None
    do_lower_case: bool | None
    max_seq_length: int | None


class Teacher(NamedTuple):
    """A model that labels.

    Attributes:
      path: Its path, for messages.
      predictor: The model.
      reading: Its reading of texts.
    """

    path: str
    predictor: Predictor
    encoding: TextEncoding


def teacher_paths(init_checkpoint: str) -> list[str]:
    """The models that --init_checkpoint names; one that exists may have commas in its name."""
    if exists(checkpoint_file(init_checkpoint)):
        return [init_checkpoint]
    return [path.strip() for path in init_checkpoint.split(",") if path.strip()]


def load_teacher(
    path: str,
    bert_config_file: str | None,
    text: StudentText,
    labels: Sequence[str] | None,
    engine: str,
    precision: str,
    batch_size: int,
    strategy: tf.distribute.Strategy,
) -> Teacher:
    """Opens a fine-tuned model.

    Without a vocabulary of the student, the flags of `text` are for the teacher. With one, it reads
    in its own vocabulary and casing, if it has any, and in the length of its training.

    Raises:
      UserError: There is no model or no classifier in it, or a flag contradicts it.
    """
    vocab_file, casing, length = text
    folder = read_model_folder(find_weights(path))
    if vocab_file and folder:
        known = folder.vocabulary
        is_its_own = known and known.sha256 == vocabulary_digest(read_vocabulary(vocab_file))
        if folder.vocab_file and not is_its_own:
            vocab_file, casing = None, None
        if folder.max_seq_length:
            length = folder.max_seq_length
    predictor = Predictor.load(
        path,
        max_seq_length=length,
        batch_size=batch_size,
        engine=engine,
        precision=precision,
        labels=labels,
        bert_config_file=bert_config_file,
        vocab_file=vocab_file,
        do_lower_case=casing,
        strategy=strategy,
    )
    predictor.classifier()
    if predictor.sources.tokenizer is None:
        raise UserError(
            f"--init_checkpoint: there is no vocabulary beside the weights of {path}; pass "
            "--vocab_file, or for a student of another vocabulary write the teacher with its own "
            "(convert_checkpoint.py --vocab_file)."
        )
    return Teacher(
        path, predictor, TextEncoding(predictor.sources.tokenizer, predictor.max_seq_length)
    )


def encoding_of_records(text: StudentText, teacher: TextEncoding) -> TextEncoding:
    """The reading of the student: as flags say, else that of its teacher."""
    if text.vocab_file is None:
        return teacher
    tokenizer = teacher.tokenizer
    if tokenizer.sha256 != vocabulary_digest(read_vocabulary(text.vocab_file)):
        tokenizer = open_tokenizer_of_file(text.vocab_file, text.do_lower_case)
    records = TextEncoding(tokenizer, text.max_seq_length or teacher.max_seq_length)
    if not records.is_like(teacher):
        logging.info(
            "The records are made with the vocabulary %s and %d tokens per text; the teacher reads "
            "the same texts with %s and %d tokens.",
            text.vocab_file,
            records.max_seq_length,
            teacher.tokenizer.vocab_file,
            teacher.max_seq_length,
        )
    return records


class Teachers:
    """One teacher or several, as one.

    Attributes:
      labels: In the order of the logits; none of a regression.
      layers: Layers whose [CLS] states are put behind the logits.
    """

    def __init__(
        self,
        teachers: Sequence[Teacher],
        labels: Sequence[str],
        ensemble: str = PROBABILITIES,
        weights: Sequence[str] | None = None,
        layers: Sequence[str] | None = None,
    ):
        """Puts teachers together.

        Args:
          teachers: One or more.
          labels: Of the first.
          ensemble: `PROBABILITIES` or `LOGITS`, of which the mean is taken.
          weights: Values of --teacher_weights.
          layers: Values of --hidden_state_layers.

        Raises:
          UserError: They have other labels, or the flags do not fit their number.
        """
        self.labels = list(labels)
        self._teachers, self._ensemble = teachers, ensemble
        first = teachers[0].predictor
        if layers and len(teachers) > 1:
            raise UserError(
                f"--hidden_state_layers={','.join(layers)}: hidden states are those of one teacher, "
                f"but there are {len(teachers)}; leave it out, or name one teacher."
            )
        self.layers = parse_layers(layers, first.encoder.config.num_hidden_layers)
        self._weights = _parse_weights(weights, len(teachers))
        for teacher in teachers[1:]:
            if teacher.predictor.labels is None:
                warn_of_assumed_order(teacher.path, labels)
        self._orders = [_order(teacher, self.labels) for teacher in teachers]
        self._engines = [self._engine(teacher.predictor) for teacher in teachers]

    def _engine(self, predictor: Predictor) -> ChosenEngine:
        if not self.layers:
            return predictor.logits_engine()
        return predictor.engine("states", teacher_outputs(predictor.classifier(), self.layers))

    def choose(self, examples: Sequence[TransferExample], num_rows: int) -> dict[str, str]:
        """Opens the engines; errors as of `ChosenEngine.choose`.

        Args:
          examples: The first texts, on which they are compared.
          num_rows: Number of all texts.

        Returns:
          `engine` and `precision` of the outputs, for the record (`soft_labels.recorded_engines`).
        """
        found = []
        for teacher, engine in zip(self._teachers, self._engines, strict=True):
            engine.choose(teacher.encoding.features(examples), num_rows)
            assert engine.choice
            found.append(engine.choice)
        engines, precisions = (list(dict.fromkeys(names)) for names in zip(*found, strict=True))
        return {"engine": ", ".join(engines), "precision": ", ".join(precisions)}

    def outputs(
        self, examples: Sequence[TransferExample], records: TextEncoding, features: Features
    ) -> np.ndarray:
        """Logits or scores, and behind them the hidden states of `layers`.

        Args:
          examples: N texts.
          records: The reading of the student.
          features: Features of the texts in that reading.

        Returns:
          float32 [N, num_outputs + layers * hidden_size].
        """
        found = []
        for teacher, compute, order in zip(
            self._teachers, self._engines, self._orders, strict=True
        ):
            is_read = teacher.encoding.is_like(records)
            outputs = compute(features if is_read else teacher.encoding.features(examples))
            found.append(np.concatenate([outputs[:, order], outputs[:, len(order) :]], axis=1))
        if len(found) == 1:
            return found[0]
        return combine(np.stack(found), self._weights, self._ensemble, bool(self.labels))

    def facts(self, records: TextEncoding) -> dict[str, Any]:
        """Facts that decide the outputs beside the texts; the teacher's reading where it differs."""
        each = []
        for teacher in self._teachers:
            classifier = teacher.predictor.classifier()
            each.append(
                {
                    "teacher_config": teacher.predictor.encoder.config.to_dict(),
                    "teacher_weights_sha256": weights_digest(
                        VariableValues(classifier.trainable_variables)
                    ),
                }
            )
            if not teacher.encoding.is_like(records):
                each[-1]["teacher_text"] = teacher.encoding.facts()
        if len(each) == 1:
            # Named in any case, since it is compared with what earlier shards name.
            return {**each[0], "teacher_text": each[0].get("teacher_text")}
        teachers = [
            {**facts, "weight": weight} for facts, weight in zip(each, self._weights, strict=True)
        ]
        together = json.dumps([self._ensemble, teachers, self._orders])
        digest = hashlib.sha256(together.encode()).hexdigest()
        return {
            "teachers": teachers,
            "ensemble": self._ensemble,
            "teacher_weights_sha256": digest,
        }

    def summary(self) -> dict[str, str]:
        """Lines of the start summary."""
        if len(self._teachers) == 1:
            teacher = self._teachers[0]
            model = describe_model(teacher.predictor.classifier())
            return {"Teacher": model, "Weights from": teacher.path}
        lines = {
            f"Teacher {i}": f"{describe_model(teacher.predictor.classifier())}, weight {weight:.3g}, "
            f"from {teacher.path}"
            for i, (teacher, weight) in enumerate(
                zip(self._teachers, self._weights, strict=True), 1
            )
        }
        return {**lines, "Ensemble": f"mean of {self._ensemble if self.labels else 'scores'}"}


def combine(
    outputs: np.ndarray, weights: Sequence[float], ensemble: str, are_logits: bool
) -> np.ndarray:
    """The outputs of an ensemble.

    Args:
      outputs: float32 [teachers, N, num_outputs].
      weights: One for each teacher; they sum to 1.
      ensemble: Of classes: the weighted mean of `probabilities`, whose logarithm is returned, or of
        `logits`.
      are_logits: Whether they are logits; else scores, whose weighted mean is returned.

    Returns:
      float32 [N, num_outputs].
    """
    values = outputs.astype(np.float64)
    shares = np.array(weights)[:, np.newaxis, np.newaxis]
    if are_logits and ensemble == PROBABILITIES:
        return logsumexp(log_softmax(values, axis=-1), axis=0, b=shares).astype(np.float32)
    return (values * shares).sum(axis=0).astype(np.float32)


def _parse_weights(texts: Sequence[str] | None, num_teachers: int) -> list[float]:
    """Shares of the teachers, from --teacher_weights; equal ones by default."""
    if texts is None:
        return [1 / num_teachers] * num_teachers
    flag = f"--teacher_weights={','.join(texts)}"
    if len(texts) != num_teachers:
        raise UserError(
            f"{flag}: {len(texts)} weights, but --init_checkpoint names {num_teachers} "
            f"teacher{'s' * (num_teachers > 1)}; pass one for each, in their order."
        )
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        numbers = [0.0]
    if not all(0 < number < float("inf") for number in numbers):
        raise UserError(f"{flag}: expected numbers above 0, such as 2,1,1.")
    return [number / sum(numbers) for number in numbers]


def _order(teacher: Teacher, labels: Sequence[str]) -> list[int]:
    """Position of each label among a teacher's outputs."""
    own = labels if teacher.predictor.labels is None else teacher.predictor.labels
    if len(own) != len(labels) or set(own) != set(labels):
        raise UserError(
            f"{teacher.path} was made for {_named(own)}, but the first teacher for {_named(labels)}; "
            "teachers of one set have the same labels, in any order."
        )
    if num_outputs(own) != teacher.predictor.num_outputs:
        raise UserError(
            f"{teacher.path} has {teacher.predictor.num_outputs} outputs, but there are "
            f"{len(labels)} labels ({', '.join(labels)}); pass --labels, one for each output."
        )
    return [list(own).index(label) for label in labels] or [0]


def _named(labels: Sequence[str]) -> str:
    return f"the labels {', '.join(labels)}" if labels else "a regression"
