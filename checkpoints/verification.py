"""Checks of a converted model: the written weights read back, and outputs compared between libraries.

The same random, padded input goes through our model and through the library the other form belongs
to, where that library is installed: Model Garden and SavedModel always, Hugging Face with PyTorch.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from checkpoints.formats import HUGGINGFACE, MODEL_GARDEN, StoredWeights, find_weights, open_weights
from checkpoints.model_garden import build_model_garden_encoder
from checkpoints.weights import variable_name
from common.errors import UserError
from common.files import exists, read_json
from modeling.bert import INPUTS
from modeling.config import BertConfig
from modeling.heads import CLASSIFIER_WEIGHTS, ClassifierModel, PretrainingModel

# Largest difference allowed, as a share of the largest magnitude of an output. Float32 rounding grows
# to some 1e-5 over many layers; the other GELU or a matrix in the wrong place gives 1e-3 and more.
TOLERANCE = 1e-4
BATCH_SIZE, MAX_LENGTH = 8, 64

Outputs = dict[str, np.ndarray]


def check_written(folder: str, config: BertConfig, weights: Mapping[str, np.ndarray]) -> list[str]:
    """Compares a written model with what was to be written, bit for bit and by its outputs.

    Args:
      folder: A model in any form of `checkpoints.formats`, or a SavedModel.
      config: The architecture.
      weights: Name -> value. What the form has no place for is not compared.

    Returns:
      Sentences about what was compared.

    Raises:
      UserError: Something differs.
    """
    is_saved_model = exists(os.path.join(folder, "saved_model.pb"))
    variables = os.path.join(folder, tf.saved_model.VARIABLES_DIRECTORY, "variables")
    stored = find_weights(variables if is_saved_model else folder)
    reader = open_weights(stored)
    compared = [name for name in weights if name in reader.shapes]
    for name in compared:
        if not np.array_equal(reader.read(name), weights[name]):
            raise UserError(f"{reader.source}: variable {name} was not written as it was read.")
    findings = [f"{len(compared)} of {len(weights)} variables read back, bit for bit the same"]
    if is_saved_model:
        batch = random_batch(config)
        ours, theirs = model_outputs(config, weights, batch), saved_model_outputs(folder, batch)
        return [*findings, compare("the SavedModel", ours, theirs, batch["input_mask"])]
    of_library = check_outputs(stored, config, weights)
    return [*findings, of_library] if of_library else findings


def check_outputs(
    stored: StoredWeights, config: BertConfig, weights: Mapping[str, np.ndarray]
) -> str | None:
    """Compares our outputs with those of the library that a stored form belongs to.

    Args:
      stored: The model as that library reads it.
      config: The architecture.
      weights: The model by the original's names.

    Returns:
      A sentence about what was compared; None where no other library applies or is installed.

    Raises:
      UserError: The outputs differ.
    """
    batch = random_batch(config)
    if stored.form == HUGGINGFACE:
        if not all(map(importlib.util.find_spec, ("torch", "transformers"))):
            return None
        library, theirs = "Hugging Face", huggingface_outputs(stored.path, batch)
    elif stored.form == MODEL_GARDEN:
        library, theirs = "Model Garden", model_garden_outputs(config, weights, batch)
    else:
        return None
    return compare(library, model_outputs(config, weights, batch), theirs, batch["input_mask"])


def compare(library: str, ours: Outputs, theirs: Outputs, input_mask: np.ndarray) -> str:
    """Compares outputs at all tokens that are no padding.

    Raises:
      UserError: They differ by more than `TOLERANCE` of the largest magnitude.
    """
    real = input_mask.astype(bool)
    differences = {}
    for name in sorted(set(ours) & set(theirs)):
        expected, found = theirs[name], ours[name]
        if found.shape[:2] == real.shape:
            expected, found = expected[real], found[real]
        differences[name] = float(np.max(np.abs(expected - found)) / np.max(np.abs(expected)))
    # What is not a number is the worst.
    worst = max(differences, key=lambda name: np.nan_to_num(differences[name], nan=np.inf))
    if not differences[worst] <= TOLERANCE:
        raise UserError(
            f"{worst} of {library} differs from ours by {differences[worst]:.2g} of its largest "
            f"magnitude, allowed is {TOLERANCE:g}; the converted model would not be the same model."
        )
    return (
        f"{', '.join(differences)} equal {library}'s on random input (largest difference "
        f"{differences[worst]:.1g} of the magnitude)"
    )


def random_batch(config: BertConfig) -> dict[str, np.ndarray]:
    """int32 `input_ids`, `input_mask`, `segment_ids` [BATCH_SIZE, length], padded to many lengths."""
    rng = np.random.default_rng(0)
    shape = (BATCH_SIZE, min(MAX_LENGTH, config.max_position_embeddings))
    lengths = np.linspace(1, shape[1], BATCH_SIZE).astype(np.int32)
    mask = np.arange(shape[1])[np.newaxis] < lengths[:, np.newaxis]
    return {
        "input_ids": (rng.integers(0, config.vocab_size, shape) * mask).astype(np.int32),
        "input_mask": mask.astype(np.int32),
        "segment_ids": (rng.integers(0, config.type_vocab_size, shape) * mask).astype(np.int32),
    }


def model_outputs(
    config: BertConfig, weights: Mapping[str, np.ndarray], batch: Mapping[str, np.ndarray]
) -> Outputs:
    """Outputs of our model, of those heads that are in `weights`.

    Returns:
      `sequence_output` [B, S, H], `pooled_output` [B, H], `masked_lm_logits` [B, S, V],
      `next_sentence_logits` [B, 2], `classifier_logits` [B, num_labels].
    """
    model = PretrainingModel(config)
    variables = list(model.trainable_variables)
    classifier = None
    if CLASSIFIER_WEIGHTS in weights:
        classifier = ClassifierModel(config, len(weights[CLASSIFIER_WEIGHTS]))
        variables += classifier.trainable_variables
    for variable in variables:
        if variable_name(variable) in weights:
            variable.assign(weights[variable_name(variable)])
    inputs = {name: tf.constant(value) for name, value in batch.items()}
    shape = batch["input_ids"].shape
    output = model.encoder(inputs["input_ids"], inputs["input_mask"], inputs["segment_ids"])
    outputs = {"sequence_output": output.sequence_output}
    if "bert/pooler/dense/kernel" in weights:
        outputs["pooled_output"] = output.pooled_output
    if "cls/predictions/output_bias" in weights:
        words = model.encoder.embeddings.word_embeddings
        logits = model.masked_lm(output.sequence_output, words)
        outputs["masked_lm_logits"] = tf.reshape(logits, [*shape, config.vocab_size])
    if "cls/seq_relationship/output_bias" in weights:
        outputs["next_sentence_logits"] = model.next_sentence(output.pooled_output)
    if classifier:
        outputs["classifier_logits"] = classifier(inputs)
    return {name: value.numpy() for name, value in outputs.items()}


def huggingface_outputs(folder: str, batch: Mapping[str, np.ndarray]) -> Outputs:
    """Outputs of the Hugging Face library's model in a folder, named as in `model_outputs`."""
    import torch
    import transformers

    (architecture,) = read_json(os.path.join(folder, "config.json")).get(
        "architectures", ["BertModel"]
    )
    model = getattr(transformers, architecture).from_pretrained(folder).eval()
    input_ids, input_mask, segment_ids = (
        torch.tensor(batch[name].astype(np.int64)) for name in INPUTS
    )
    with torch.no_grad():
        result = model(
            input_ids,
            attention_mask=input_mask,
            token_type_ids=segment_ids,
            output_hidden_states=True,
        )
    outputs = {"sequence_output": result.hidden_states[-1]}
    is_masked_lm = architecture == "BertForMaskedLM"
    for ours, theirs in (
        ("pooled_output", "pooler_output"),
        ("masked_lm_logits", "prediction_logits"),
        ("next_sentence_logits", "seq_relationship_logits"),
        ("masked_lm_logits" if is_masked_lm else "classifier_logits", "logits"),
    ):
        if result.get(theirs) is not None:
            outputs[ours] = result[theirs]
    return {name: value.float().numpy() for name, value in outputs.items()}


def model_garden_outputs(
    config: BertConfig, weights: Mapping[str, np.ndarray], batch: Mapping[str, np.ndarray]
) -> Outputs:
    """Outputs of Model Garden's encoder, named as in `model_outputs`."""
    encoder = build_model_garden_encoder(config, weights)
    inputs = {
        "input_word_ids": batch["input_ids"],
        "input_mask": batch["input_mask"],
        "input_type_ids": batch["segment_ids"],
    }
    result = encoder(inputs)
    outputs = {"sequence_output": result["sequence_output"].numpy()}
    if "bert/pooler/dense/kernel" in weights:
        outputs["pooled_output"] = result["pooled_output"].numpy()
    return outputs


def saved_model_outputs(folder: str, batch: Mapping[str, np.ndarray]) -> Outputs:
    """Outputs of a SavedModel of ours (`serving.saved_model`), named as in `model_outputs`."""
    signatures = tf.saved_model.load(folder).signatures
    if "ids" in signatures:
        result = signatures["ids"](**{name: tf.constant(value) for name, value in batch.items()})
        logits = result["logits"] if "logits" in result else result["score"][:, tf.newaxis]
        return {"classifier_logits": logits.numpy()}
    result = signatures["serving_default"](
        input_word_ids=tf.constant(batch["input_ids"]),
        input_mask=tf.constant(batch["input_mask"]),
        input_type_ids=tf.constant(batch["segment_ids"]),
    )
    return {name: result[name].numpy() for name in ("sequence_output", "pooled_output")}
