"""A trained model in Python: texts in, labels, probabilities, logits or vectors out.

from serving import Predictor

student = Predictor.load("student")
student.predict(["a film that never drags"])[0].label
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf
from scipy.special import softmax

from checkpoints.formats import find_weights, open_weights
from checkpoints.model_folder import check_distinct
from checkpoints.model_sources import ModelSources, check_labels, resolve_model
from checkpoints.weights import VariableValues, weights_digest
from common.chunks import chunks
from common.errors import UserError
from data.classifier_records import check_segments, encode_rows
from modeling.bert import INPUTS, BertEncoder
from modeling.heads import CLASSIFIER_BIAS, ClassifierModel
from modeling.layers import computing_in
from serving.cpu_engines import FLOAT32, INT8, Program
from serving.engine_choice import (
    TENSORFLOW,
    Agreement,
    Batches,
    ChosenEngine,
    Outputs,
    check_engine,
    compare_logits,
    compare_values,
)
from serving.given_inputs import checked_texts, windows_of_ids
from training.engine import WINDOW_ROWS, compiled, fastest_tokens
from training.options import DeviceOptions
from training.strategy import check_batch_size, create_strategy
from training.trained_models import load_trained_encoder, load_trained_weights

# Texts or pairs of texts; or ids by the names of `INPUTS`, of which the first is needed.
Inputs: TypeAlias = Sequence[str | tuple[str, str]] | Mapping[str, Any]
Batch: TypeAlias = Mapping[str, tf.Tensor]

# In a batch: with a quarter of them, Tiny takes a third longer.
BATCH_TOKENS = 4096

CLS, MEAN = "cls", "mean"
POOLINGS = (CLS, MEAN)


class Prediction(NamedTuple):
    """The model's answer for one text.

    Attributes:
      label: The most probable label; None of a regression.
      probability: Probability of `label`; None for a regression.
      probabilities: Label -> probability, in the order of the outputs; None of a regression.
      score: Of a regression, else None.
    """

    label: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] | None = None
    score: float | None = None


class Predictor:
    """A trained model, made by `load`.

    Attributes:
      labels: Of the classifier, in the order of its outputs; none of a regression, and None where
        they are not known or there is no classifier.
      num_outputs: Of the classifier: logits per text; None where there is no classifier.
      max_seq_length: Longer texts are cut to this number of tokens, [CLS] and [SEP] included.
      sources: The model's architecture, vocabulary and casing.
      strategy: The devices.
    """

    def __init__(
        self,
        model: ClassifierModel | BertEncoder,
        sources: ModelSources,
        labels: Sequence[str] | None,
        max_seq_length: int,
        batch_size: int,
        engine: str,
        precision: str,
        strategy: tf.distribute.Strategy,
        source: str,
    ):
        """As it says in `load`; `source` is the model's name in messages."""
        self._classifier = model if isinstance(model, ClassifierModel) else None
        self.encoder = model.encoder if isinstance(model, ClassifierModel) else model
        self.labels = None if labels is None else list(labels)
        self.num_outputs = self._classifier and int(
            self._classifier.classifier.output_bias.shape[0]
        )
        self.sources, self.max_seq_length, self.strategy = sources, max_seq_length, strategy
        self._batch_size, self._source = batch_size, source
        self._asked = engine, precision
        self._engines: dict[str, ChosenEngine] = {}

    @classmethod
    def load(
        cls,
        path: str,
        *,
        max_seq_length: int | None = None,
        batch_size: int | None = None,
        threads: int | None = None,
        engine: str = TENSORFLOW,
        precision: str = FLOAT32,
        labels: Sequence[str] | None = None,
        bert_config_file: str | None = None,
        vocab_file: str | None = None,
        do_lower_case: bool | None = None,
        strategy: tf.distribute.Strategy | None = None,
    ) -> Predictor:
        """Opens a model.

        Args:
          path: A model folder, or any other form that `convert_checkpoint.py` reads; an encoder
            without a classifier makes vectors alone.
          max_seq_length: By default that of the training, or 128 where it is not recorded.
          batch_size: Texts of full length per batch; short ones come in batches of as many tokens. By
            default as many as have 4,096 tokens, 32 of length 128. A CPU takes fewer at a time where
            that is faster (`training.engine.fastest_tokens`).
          threads: Of a CPU; by default all. The first model that is loaded in a process decides.
          engine: Computes the logits: "tensorflow"; "openvino", "onnxruntime" or "litert", on a CPU;
            or "auto", the fastest that is installed. It is chosen on the first inputs: another
            than TensorFlow is compared with it on them, and "auto" takes another only where they are
            `serving.engine_choice.MIN_ROWS` or more.
          precision: "float32" or "bfloat16"; "int8" by ONNX Runtime and LiteRT; or "auto", bfloat16
            where the devices multiply it and the first inputs' answers are close to float32's.
          labels: In the order of the outputs, none for a regression, where they are not recorded.
          bert_config_file: Architecture, where none is beside the weights.
          vocab_file: Vocabulary, where none is beside the weights; not needed for ids.
          do_lower_case: Casing, where it is not recorded.
          strategy: Devices; by default all GPUs of the machine, or its CPU.

        Raises:
          UserError: There is no model, it is damaged, or an argument contradicts it; or the engine is
            not installed.
        """
        if threads is not None:
            set_threads(threads)
        if strategy is None:
            strategy = create_strategy(DeviceOptions())
        asked = engine, precision
        check_engine(*asked, strategy)
        sources = resolve_model(bert_config_file, vocab_file, path, do_lower_case)
        length = sources.input_length(max_seq_length)
        replicas = strategy.num_replicas_in_sync
        batch_size = batch_size or replicas * max(1, BATCH_TOKENS // (length * replicas))
        check_batch_size("batch_size", batch_size, strategy)
        shapes = open_weights(find_weights(path)).shapes
        if CLASSIFIER_BIAS not in shapes:
            with strategy.scope():
                encoder = ClassifierModel(sources.config, 1, seed=None).encoder
            load_trained_encoder(encoder, path)
            return cls(encoder, sources, None, length, batch_size, *asked, strategy, path)
        (num_outputs,) = shapes[CLASSIFIER_BIAS]
        labels = _checked_labels(sources, labels, num_outputs, path)
        with strategy.scope():
            classifier = ClassifierModel(sources.config, num_outputs, seed=None)
        load_trained_weights(classifier, path)
        return cls(classifier, sources, labels, length, batch_size, *asked, strategy, path)

    def predict(self, inputs: Inputs) -> list[Prediction]:
        """Labels and probabilities, or scores of a regression.

        Args:
          inputs: Texts, or pairs of texts; or ids: `input_ids`, rows of any lengths with [CLS] and
            [SEP] in them, and if need be `segment_ids` (by default 0) and `input_mask` (by default
            1).

        Raises:
          UserError: The inputs are of another kind, or the labels are not known.
        """
        logits, labels = self.logits(inputs), self.known_labels()
        if not labels:
            return [Prediction(score=float(score)) for score in logits[:, 0]]
        return [
            Prediction(labels[best], float(row[best]), dict(zip(labels, row.tolist(), strict=True)))
            for best, row in zip(logits.argmax(axis=1), probabilities(logits), strict=True)
        ]

    def logits(self, inputs: Inputs) -> np.ndarray:
        """The classifier's unscaled outputs, float32 [N, num_outputs]; arguments as of `predict`."""
        width = self.num_outputs or 0
        return self._outputs(self.logits_engine(), inputs, width, self._texts_of_its_kind)

    def _texts_of_its_kind(
        self, inputs: Sequence[str | tuple[str, str]]
    ) -> Iterator[tuple[str, str | None]]:
        """`checked_texts` for the classifier; vectors are made of single texts and pairs alike."""
        for i, (first, second) in enumerate(checked_texts(inputs)):
            self.sources.check_pairs(
                second is not None, self._source, f"input {i}", "pass what it was trained on"
            )
            yield first, second

    def logits_engine(self) -> ChosenEngine:
        """The engine of `logits`, of ids from `features`; UserError where there is no classifier."""
        classifier = self.classifier()
        engine, precision = self._asked
        return self._chosen("logits", classifier, engine, precision, compare_logits, self._program)

    def _program(self) -> Program:
        threads = tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count() or 1
        weights = VariableValues(self.classifier().trainable_variables)
        return Program(self.encoder.config, weights, threads)

    def classifier(self) -> ClassifierModel:
        """The whole model, batch -> logits; UserError where there is no classifier in it."""
        if self._classifier is None:
            raise UserError(
                f"{self._source} holds no classifier, so it makes vectors, but no predictions; "
                "fine-tune it first (run_classifier.py)."
            )
        self.sources.check_head(self._source)
        return self._classifier

    def embed(self, inputs: Inputs, pooling: str = MEAN) -> np.ndarray:
        """Vectors of texts or pairs, from the last layer of the encoder.

        Args:
          inputs: As of `predict`.
          pooling: "mean", over all tokens of a row, [CLS] and [SEP] included; or "cls", what stands
            at [CLS].

        Returns:
          float32 [N, hidden_size].
        """
        if pooling not in POOLINGS:
            raise UserError(f"pooling is {pooling!r}, expected {' or '.join(POOLINGS)}.")
        vectors = layer_vectors(self.encoder, (-1,), pooling)
        width = self.encoder.config.hidden_size
        engine = self.engine(pooling, lambda batch: vectors(batch)[:, 0])
        return self._outputs(engine, inputs, width)

    def known_labels(self) -> list[str]:
        """`labels`, none of a regression; UserError where they are not known."""
        if self.labels is None:
            raise UserError(
                f"{self._source} does not say which labels it predicts; pass labels in the order of "
                "its outputs."
            )
        return self.labels

    def identity(self, engine: ChosenEngine) -> tuple[Any, ...]:
        """Everything that decides the outputs of this model and its chosen engine for a text."""
        tokenizer = self.sources.tokenizer
        return (
            weights_digest(VariableValues((self._classifier or self.encoder).trainable_variables)),
            self.encoder.config.to_json(),
            self.sources.tokenizer_info(),
            tokenizer and tokenizer.do_lower_case,
            self.max_seq_length,
            engine.choice,
        )

    def features(self, rows: Sequence[tuple[str, str | None]]) -> dict[str, np.ndarray]:
        """Texts as the model reads them: int32 `INPUTS` [N, max_seq_length].

        Raises:
          UserError: No vocabulary is known; or there is a pair, and the model has one segment only.
        """
        if self.sources.tokenizer is None:
            raise UserError(
                f"there is no vocabulary beside the weights of {self._source}; pass a vocab_file, or "
                "ids in place of texts."
            )
        has_pairs = any(second for _, second in rows)
        check_segments(self.sources.config.type_vocab_size, has_pairs, "the input", self._source)
        encoded = encode_rows(self.sources.tokenizer, rows, self.max_seq_length)
        return {name: encoded[name] for name in INPUTS}

    def engine(self, name: str, outputs: Callable[[Batch], tf.Tensor]) -> ChosenEngine:
        """TensorFlow's engine for outputs of this model, one for each name.

        In the precision that was asked for; in float32 where that is int8.
        """
        precision = FLOAT32 if self._asked[1] == INT8 else self._asked[1]
        return self._chosen(name, outputs, TENSORFLOW, precision, compare_values)

    def _chosen(
        self,
        name: str,
        outputs: Callable[[Batch], tf.Tensor],
        engine: str,
        precision: str,
        compare: Callable[[Batches, Batches], Agreement],
        program: Callable[[], Program] | None = None,
    ) -> ChosenEngine:
        if name in self._engines:
            return self._engines[name]
        model = self._classifier or self.encoder

        def outputs_in(precision: str) -> Callable[[Batch], tf.Tensor]:
            def computed(batch: Batch) -> tf.Tensor:
                with computing_in(precision, model):
                    return outputs(batch)

            return computed

        def by_tensorflow(precision: str) -> Callable[[Mapping[str, np.ndarray]], np.ndarray]:
            return compiled(outputs_in(precision), self.strategy)

        found = Outputs(by_tensorflow, compare, program)
        most_tokens = fastest_tokens(self.encoder.config, self.strategy)
        self._engines[name] = ChosenEngine(
            found, engine, precision, self.strategy, self._batch_size, most_tokens
        )
        return self._engines[name]

    def _outputs(
        self,
        compute: Callable[[Mapping[str, np.ndarray]], np.ndarray],
        inputs: Inputs,
        width: int,
        texts: Callable[..., Iterator[tuple[str, str | None]]] = checked_texts,
    ) -> np.ndarray:
        if isinstance(inputs, Mapping):
            windows = windows_of_ids(inputs, self.encoder.config)
        else:
            windows = map(self.features, chunks(texts(inputs), WINDOW_ROWS))
        found = [compute(features) for features in windows]
        return np.concatenate(found) if found else np.zeros([0, width], np.float32)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, float32."""
    return softmax(logits.astype(np.float64), axis=-1).astype(np.float32)


def layer_vectors(
    encoder: BertEncoder, layers: Sequence[int], pooling: str | None
) -> Callable[[Batch], tf.Tensor]:
    """A function of batches: what stands in some layers, for every token or pooled.

    Args:
      encoder: The model.
      layers: Counted from 0, or from -1 for the last one downwards.
      pooling: One of `POOLINGS`; None for every token.

    Returns:
      Batch -> float32 [batch_size, layers, hidden_size], or without pooling
      [batch_size, seq_length, layers, hidden_size].
    """

    def vectors(batch: Batch) -> tf.Tensor:
        outputs = encoder(*(batch[name] for name in INPUTS)).layer_outputs[1:]
        states = tf.stack([tf.cast(outputs[layer], tf.float32) for layer in layers], axis=2)
        if pooling is None:
            return states
        if pooling == CLS:
            return states[:, 0]
        mask = tf.cast(batch["input_mask"], tf.float32)[:, :, tf.newaxis, tf.newaxis]
        return tf.reduce_sum(states * mask, axis=1) / tf.reduce_sum(mask, axis=1)

    return vectors


def _checked_labels(
    sources: ModelSources, given: Sequence[str] | None, num_outputs: int, source: str
) -> Sequence[str] | None:
    if given is not None:
        check_distinct(given, f"labels={','.join(given)}")
        check_labels(sources.labels, given, source)
    labels = sources.labels if given is None else given
    if labels is None and num_outputs == 1:
        logging.info("%s names no labels and has one output: taken for a regression.", source)
        labels = []
    if labels is not None and (len(labels) or 1) != num_outputs:
        raise UserError(
            f"{source} has {num_outputs} outputs, but {len(labels)} labels ({', '.join(labels)}); "
            "pass one for each output, in their order."
        )
    return labels


def set_threads(threads: int) -> None:
    """Sets the threads of a CPU; UserError where TensorFlow computes with another number already."""
    threading = tf.config.threading
    try:
        if threading.get_intra_op_parallelism_threads() != threads:
            threading.set_intra_op_parallelism_threads(threads)
            threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        raise UserError(
            f"threads is {threads}, but TensorFlow computes in this process already, with "
            f"{threading.get_intra_op_parallelism_threads() or 'all'} threads; pass threads when "
            "the first model of the process is loaded."
        ) from None
