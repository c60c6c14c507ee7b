"""SavedModels: models as programs that run without this project's code.

`write_encoder_saved_model` writes the encoder with the interface of the BERT models on TF-Hub,
`write_classifier_saved_model` a fine-tuned model that takes raw strings. Both hold our own encoder
rather than Model Garden's: it needs no other layouts of the weights, and TensorFlow stores the
computation alone, without a Keras model around it. `weights` in the stored object maps the
original's names to the variables, as in a saved state of a run, so the same reader reads both.

Besides TensorFlow's own files a folder has `assets.extra`, which TensorFlow leaves alone: the
`bert_config.json` and, of a classifier, `model_info.json`, `vocab.txt` and `labels.txt`.

Sources: `official/nlp/tools/export_tfhub_lib.py` of Model Garden; "Reusable SavedModels" and
"Common SavedModel APIs for Text Tasks" on tensorflow.org/hub.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from checkpoints.model_folder import tokenizer_info
from checkpoints.model_sources import check_max_seq_length
from checkpoints.tokenizer_files import INFO_FILE
from checkpoints.weights import variable_name, writing_errors_named
from classification.predictions import LABELS_FILE, label_lines
from common.atomic import new_folder, write_json, write_text
from common.errors import UserError
from data.classifier_records import check_segments
from modeling.bert import INPUTS, BertEncoder
from modeling.config import CONFIG_FILE, BertConfig
from modeling.heads import CLASSIFIER_BIAS, CLASSIFIER_WEIGHTS, ClassifierModel
from modeling.layers import Build
from modeling.tokenization import FullTokenizer
from modeling.vocabulary import VOCAB_FILE, copy_vocabulary
from serving.graph_tokenization import GraphTokenizer
from serving.trained_model import TrainedModel
from serving.warm_up import WARM_UP_FILE, write_warm_up

EXTRA_FOLDER = "assets.extra"

_IDS = tf.TensorSpec([None, None], tf.int32)
_TEXT = tf.TensorSpec([None], tf.string)


def write_encoder_saved_model(
    path: str,
    weights: Mapping[str, np.ndarray],
    config: BertConfig,
    vocab_file: str | None,
    do_lower_case: bool | None,
) -> None:
    """Writes the encoder as a SavedModel with the interface of TF-Hub's BERT models.

    What `tf.saved_model.load` returns is called with a dict of int32 `input_word_ids`, `input_mask`
    and `input_type_ids` [batch_size, seq_length], and `training` (False) for dropout. It returns a
    dict of float32 `pooled_output` and the same as `default` [batch_size, H], `sequence_output`
    [batch_size, seq_length, H], and `encoder_outputs`, the list of all layers' outputs. It has
    `variables` and `trainable_variables`, so `hub.KerasLayer(path, trainable=True)` trains it. The
    signature `serving_default` gives the same without `encoder_outputs`.

    Args:
      path: New or empty folder; it appears when it is complete.
      weights: By the original's names; heads are left out.
      config: The architecture.
      vocab_file: Stored as the asset `vocab_file`, a plain `vocab.txt`, if it is given.
      do_lower_case: Stored as the variable `do_lower_case`, if it is known.

    Raises:
      UserError: A variable of encoder or pooler is missing or has another shape than `config` asks
        for; or `path` exists and is not empty.
    """
    encoder = BertEncoder(config, Build(config.initializer_range, seed=None))
    _assign(encoder.trainable_variables, weights)
    root = _stored_object(encoder.trainable_variables)

    @tf.function(autograph=False)
    def call(inputs: dict[str, tf.Tensor], training: bool = False) -> dict[str, Any]:
        # A seed of the moment: nothing here has to be repeated.
        seed = tf.random.uniform([2], maxval=tf.int32.max, dtype=tf.int32) if training else None
        output = encoder(
            inputs["input_word_ids"], inputs["input_mask"], inputs["input_type_ids"], seed=seed
        )
        return {
            "default": output.pooled_output,
            "pooled_output": output.pooled_output,
            "sequence_output": output.sequence_output,
            "encoder_outputs": output.layer_outputs[1:],
        }

    inputs = {
        name: tf.TensorSpec([None, None], tf.int32, name=name)
        for name in ("input_word_ids", "input_mask", "input_type_ids")
    }
    call.get_concrete_function(inputs, training=True)
    predict = call.get_concrete_function(inputs, training=False)

    @tf.function(autograph=False, input_signature=[_IDS, _IDS, _IDS])
    def serve(
        input_word_ids: tf.Tensor, input_mask: tf.Tensor, input_type_ids: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        outputs = predict(
            input_word_ids=input_word_ids, input_mask=input_mask, input_type_ids=input_type_ids
        )
        return {name: value for name, value in outputs.items() if name != "encoder_outputs"}

    root.__call__ = call
    if do_lower_case is not None:
        root.do_lower_case = tf.Variable(do_lower_case, trainable=False)
        root.variables.append(root.do_lower_case)
    with new_folder(path) as folder, tempfile.TemporaryDirectory() as assets:
        if vocab_file:
            plain = os.path.join(assets, VOCAB_FILE)
            copy_vocabulary(vocab_file, plain)
            root.vocab_file = tf.saved_model.Asset(plain)
        with writing_errors_named(path):
            tf.saved_model.save(root, folder, signatures=serve)
        _write_config(folder, config)


def write_classifier_saved_model(
    path: str,
    weights: Mapping[str, np.ndarray],
    config: BertConfig,
    tokenizer: FullTokenizer | None,
    labels: Sequence[str] | None,
    max_seq_length: int,
    pairs: bool,
) -> None:
    """Writes a fine-tuned model as a SavedModel that takes raw strings.

    It runs with tensorflow and, for its operations, tensorflow_text. Its signatures:

        serving_default   `text`, or `text_a` and `text_b`: string [batch_size], UTF-8
        ids               `input_ids`, `input_mask`, `segment_ids`: int32 [batch_size, seq_length]
        labels            no input; returns `labels`, string [num_labels]; not for regression

    The first two return float32 `probabilities` and `logits` [batch_size, num_labels] and the most
    likely `label`, string [batch_size]; regression returns float32 `score` [batch_size]. Ids equal
    those of `tokenizer`, and long texts are truncated as in training.

    Args:
      path: New or empty folder; it appears when it is complete.
      weights: By the original's names, with `output_weights` and `output_bias`.
      config: The architecture.
      tokenizer: Of the model's vocabulary and casing; None to take ids only, by both signatures.
      labels: In the order of the outputs; None, or an empty list, for regression, which has one
        output.
      max_seq_length: Longer texts are truncated to this number of tokens.
      pairs: Whether the model was trained on pairs of texts.

    Raises:
      UserError: A variable is missing or has another shape than `config` and `labels` ask for; the
        model has too few positions, or for pairs too few segments; `path` exists and is not empty.
    """
    model = ClassifierModel(config, _num_outputs(weights, labels), seed=None)
    _assign(model.trainable_variables, weights)

    @tf.function(autograph=False, input_signature=[_IDS, _IDS, _IDS])
    def classify_ids(
        input_ids: tf.Tensor, input_mask: tf.Tensor, segment_ids: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        logits = model(
            {"input_ids": input_ids, "input_mask": input_mask, "segment_ids": segment_ids}
        )
        if not labels:
            return {"score": logits[:, 0]}
        return {
            "logits": logits,
            "probabilities": tf.nn.softmax(logits),
            "label": tf.gather(tf.constant(labels), tf.argmax(logits, axis=1)),
        }

    @tf.function(autograph=False, input_signature=[])
    def label_list() -> dict[str, tf.Tensor]:
        return {"labels": tf.constant(labels)}

    signatures = {"serving_default": classify_ids, "ids": classify_ids}
    info: dict[str, Any] = {"labels": list(labels or ())}
    if labels:
        signatures["labels"] = label_list
    if tokenizer:
        check_max_seq_length(config, max_seq_length)
        check_segments(config.type_vocab_size, pairs, "--pairs")
        signatures["serving_default"] = _text_function(
            GraphTokenizer(tokenizer), classify_ids, max_seq_length, pairs
        )
        info.update(tokenizer_info(tokenizer))
        info["max_seq_length"] = max_seq_length
        info["pairs"] = pairs
    with new_folder(path) as folder:
        root = _stored_object(model.trainable_variables)
        with writing_errors_named(path):
            tf.saved_model.save(root, folder, signatures=signatures)
        extra = _write_config(folder, config)
        write_json(os.path.join(extra, INFO_FILE), info)
        if labels:
            write_text(os.path.join(extra, LABELS_FILE), label_lines(labels))
        if tokenizer:
            copy_vocabulary(tokenizer.vocab_file, os.path.join(extra, VOCAB_FILE))


def write_model_program(path: str, model: TrainedModel) -> None:
    """Writes a model as a SavedModel, with requests that warm TensorFlow Serving up.

    Args:
      path: New or empty folder. TensorFlow Serving wants it to be called by the number of a version.
      model: A classifier or regression, which takes texts or pairs; or an encoder.

    Raises:
      UserError: `path` exists and is not empty.
    """
    ids = {name: np.ones([1, min(8, model.max_seq_length)], np.int32) for name in INPUTS}
    tokenizer = model.tokenizer
    if model.has_classifier:
        write_classifier_saved_model(
            path,
            model.weights,
            model.config,
            tokenizer,
            model.labels,
            model.max_seq_length,
            model.pairs,
        )
        texts = ("text_a", "text_b") if model.pairs else ("text",)
        requests: list[tuple[str, Mapping[str, Any]]] = [("ids", ids)]
        requests.append(("serving_default", {name: ["warm up"] for name in texts}))
    else:
        write_encoder_saved_model(
            path, model.weights, model.config, tokenizer.vocab_file, tokenizer.do_lower_case
        )
        names = ("input_word_ids", "input_mask", "input_type_ids")
        requests = [("serving_default", dict(zip(names, ids.values(), strict=True)))]
    write_warm_up(os.path.join(path, EXTRA_FOLDER, WARM_UP_FILE), requests)


def _text_function(
    tokenizer: GraphTokenizer,
    classify_ids: Callable[..., dict[str, tf.Tensor]],
    max_seq_length: int,
    pairs: bool,
) -> Callable[..., dict[str, tf.Tensor]]:
    """`classify_ids` for strings."""

    @tf.function(autograph=False, input_signature=[_TEXT])
    def classify_text(text: tf.Tensor) -> dict[str, tf.Tensor]:
        return classify_ids(**tokenizer.encode(text, None, max_seq_length))

    @tf.function(autograph=False, input_signature=[_TEXT, _TEXT])
    def classify_pair(text_a: tf.Tensor, text_b: tf.Tensor) -> dict[str, tf.Tensor]:
        return classify_ids(**tokenizer.encode(text_a, text_b, max_seq_length))

    return classify_pair if pairs else classify_text


def _stored_object(variables: Iterable[tf.Variable]) -> tf.train.Checkpoint:
    """The object to save, with the variables under the names that TF-Hub's interface wants."""
    root = tf.train.Checkpoint()
    # First of all: the names in the file are the first that lead to a variable.
    root.weights = {variable_name(v): v for v in variables}
    root.variables, root.trainable_variables = list(variables), list(variables)
    root.regularization_losses = []
    return root


def _assign(variables: Iterable[tf.Variable], weights: Mapping[str, np.ndarray]) -> None:
    """Gives all variables the values of their names, or raises a UserError."""
    by_name = {variable_name(v): v for v in variables}
    missing = [name for name in by_name if name not in weights]
    if missing:
        raise UserError(
            f"A SavedModel needs the variables {', '.join(missing)}, which the model does not have."
        )
    for name, variable in by_name.items():
        if weights[name].shape != tuple(variable.shape):
            raise UserError(
                f"Variable {name} has shape {list(weights[name].shape)}, the configuration asks "
                f"for {list(variable.shape)}; give the configuration of these weights."
            )
        variable.assign(weights[name])


def _num_outputs(weights: Mapping[str, np.ndarray], labels: Sequence[str] | None) -> int:
    """Outputs of the classifier, checked against the label list."""
    if CLASSIFIER_WEIGHTS not in weights:
        raise UserError(
            f"There is no classifier ({CLASSIFIER_WEIGHTS}, {CLASSIFIER_BIAS}) in the model; "
            "fine-tune it with run_classifier.py first."
        )
    num_outputs = len(weights[CLASSIFIER_WEIGHTS])
    if not labels and num_outputs != 1:
        raise UserError(
            f"The classifier has {num_outputs} outputs and no label list; name the labels in order."
        )
    if labels and len(labels) != num_outputs:
        raise UserError(
            f"The classifier has {num_outputs} outputs, but there are {len(labels)} labels "
            f"({', '.join(labels)})."
        )
    return num_outputs


def _write_config(folder: str, config: BertConfig) -> str:
    """Writes the configuration into `assets.extra` and returns that folder."""
    extra = os.path.join(folder, EXTRA_FOLDER)
    write_text(os.path.join(extra, CONFIG_FILE), config.to_json())
    return extra
