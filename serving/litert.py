"""LiteRT (TensorFlow Lite) programs of trained models, written by TensorFlow's own converter.

Batch size and length are dynamic, except in full int8, whose accelerators want static shapes: such a
file has a signature for each of `STATIC_LENGTHS`, and they share the weights.

Sources: "Post-training quantization" and "Signatures" on ai.google.dev/edge/litert.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from common.errors import UserError
from modeling.bert import INPUTS
from modeling.config import BertConfig
from modeling.heads import ClassifierModel
from serving.trained_model import TrainedModel, network_of, network_outputs

NONE, FLOAT16, DYNAMIC_INT8, FULL_INT8 = "none", "float16", "dynamic_int8", "full_int8"
QUANTIZATIONS = (NONE, FLOAT16, DYNAMIC_INT8, FULL_INT8)

LOGITS = "logits"

# Signature of a file with dynamic shapes; others are called len_32 and so on.
SIGNATURE = "serve"
STATIC_LENGTHS = (32, 64, 128)
# In place of -10000 (modeling.bert.MASKED_SCORE). exp(-50) is as good a zero, and the int8 scale of
# the scores then fits to scores, not to the mask: with -10000 attention is lost (81 % became 50 %).
_MASKED_SCORE = -50.0

# What is computed in int8; layer norms, softmax and sums of residuals stay in float32.
_INT8_OPERATIONS = (
    "FULLY_CONNECTED",
    "BATCH_MATMUL",
    "GATHER",
    "RESHAPE",
    "TRANSPOSE",
    "TANH",
    "GELU",
)


def convert(
    model: TrainedModel,
    quantization: str = NONE,
    calibration: Sequence[Mapping[str, np.ndarray]] = (),
) -> bytes:
    """The file of a LiteRT program.

    Its signature takes `input_ids`, `input_mask` and `segment_ids`, int32 [batch_size, seq_length],
    and returns what `network_outputs` does.

    Args:
      model: The model.
      quantization: `none`, float32; `float16`, weights of half the size; `dynamic_int8`, weights in
        int8 and activations quantized on the fly; `full_int8`, activations too, by scales that are
        measured on `calibration`.
      calibration: For `full_int8`: inputs of one row without padding, each an int32 array
        [1, length], as texts of the model's kind give them; length up to that of the longest
        signature (`static_lengths`).

    Raises:
      UserError: The package that quantizes activations is not installed, there is nothing to
        calibrate with, or TensorFlow cannot convert an operation.
    """
    if quantization == FULL_INT8:
        import_quantizer()
        if not calibration:
            raise UserError(
                "Full int8 needs texts to measure activations on, and there are none; give the task "
                "(its training set is taken) or a file of texts."
            )
        lengths = static_lengths(model)
        return _quantized(_converted(model, lengths, NONE), lengths, calibration)
    return _converted(model, (None,), quantization)


def convert_classifier(
    config: BertConfig, weights: Mapping[str, np.ndarray], quantization: str
) -> bytes:
    """The file of a program that returns `logits`, float32 [batch_size, num_outputs].

    Args:
      config: The architecture.
      weights: Float32 arrays by the original's names, with a classifier.
      quantization: As in `convert`, but for `full_int8`; so are the program's inputs.

    Raises:
      UserError: TensorFlow cannot convert an operation.
    """
    network = network_of(config, weights)

    def logits(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {LOGITS: network(dict(zip(INPUTS, inputs, strict=True)))}

    return _file(network, logits, (None,), quantization, "the model")


def static_lengths(model: TrainedModel) -> tuple[int, ...]:
    """Lengths of the signatures of a file in full int8, up to the model's longest input."""
    return tuple(sorted({min(length, model.max_seq_length) for length in STATIC_LENGTHS}))


def signature_name(length: int | None) -> str:
    return SIGNATURE if length is None else f"len_{length}"


def import_quantizer() -> Any:
    """The package ai_edge_quantizer with its modules, which quantizes activations.

    Raises:
      UserError: It is not installed.
    """
    try:
        import ai_edge_quantizer
    except ImportError as error:
        raise UserError(
            "Full int8 needs the package ai-edge-quantizer; install it (pip install -e '.[litert]'), "
            "or take dynamic_int8, which is faster on a CPU."
        ) from error
    return ai_edge_quantizer


def _converted(model: TrainedModel, lengths: Sequence[int | None], quantization: str) -> bytes:
    network = model.network()
    return _file(
        network,
        lambda *inputs: network_outputs(model, network, *inputs),
        lengths,
        quantization,
        model.source,
    )


def _file(
    network: ClassifierModel,
    outputs: Callable[..., dict[str, tf.Tensor]],
    lengths: Sequence[int | None],
    quantization: str,
    source: str,
) -> bytes:
    """The file of a program with a signature for each of the lengths; `source` is for messages."""
    network.encoder.masked_score = _MASKED_SCORE
    network.encoder.embeddings.gathers_positions = True
    # The variables alone: a Keras layer would be stored with functions that nothing can trace.
    root = tf.train.Checkpoint()
    root.stored = list(network.trainable_variables)
    signatures = {}
    for length in lengths:
        shape = [None, None] if length is None else [1, length]
        specs = [tf.TensorSpec(shape, tf.int32, name=name) for name in INPUTS]

        @tf.function(autograph=False, input_signature=specs)
        def serve(
            input_ids: tf.Tensor, input_mask: tf.Tensor, segment_ids: tf.Tensor
        ) -> dict[str, tf.Tensor]:
            return outputs(input_ids, input_mask, segment_ids)

        signatures[signature_name(length)] = serve
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(root, folder, signatures=signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=list(signatures)
        )
        if quantization != NONE:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantization == FLOAT16:
            converter.target_spec.supported_types = [tf.float16]
        try:
            return converter.convert()
        except Exception as error:  # The converter's own kinds of errors, which name the operation.
            raise UserError(
                f"{source} cannot be converted to LiteRT ({_first_line(error)}); export it in "
                "another form."
            ) from error


def _quantized(
    content: bytes, lengths: Sequence[int], calibration: Sequence[Mapping[str, np.ndarray]]
) -> bytes:
    """A float file with weights and activations in int8."""
    package = import_quantizer()
    with tempfile.TemporaryDirectory() as folder:
        source, target = os.path.join(folder, "float.tflite"), os.path.join(folder, "int8.tflite")
        with open(source, "wb") as file:
            file.write(content)
        work = package.Quantizer(source)
        for name in _INT8_OPERATIONS:
            work.add_static_config(".*", package.qtyping.TFLOperationName[name], 8, 8)
        samples: dict[str, list[dict[str, Any]]] = {}
        for row in calibration:
            length = next((x for x in lengths if row[INPUTS[0]].shape[1] <= x), lengths[-1])
            samples.setdefault(signature_name(length), []).append(
                {name: padded(value, length) for name, value in row.items()}
            )
        for length in lengths:  # Scales are measured in each of them.
            longest = max(samples.values(), key=len)
            samples.setdefault(
                signature_name(length),
                [{n: padded(v, length) for n, v in row.items()} for row in longest[:32]],
            )
        logging.info(
            "Calibrating on %d texts of %s tokens.", len(calibration), "/".join(map(str, lengths))
        )
        # The package's own choice is a moving average of each text's range, which cuts off what is
        # computed at [CLS] alone: a text has one such vector, and half of them are above the mean.
        recipe = package.recipe_manager.RecipeManager()
        recipe.load_quantization_recipe(work.get_quantization_recipe())
        least_and_greatest = package.utils.qsv_utils.min_max_update
        ranges = package.calibrator.Calibrator(source, qsv_update_func=least_and_greatest)
        ranges.calibrate(samples, recipe)
        work.quantize(ranges.get_model_qsvs()).export_model(target, overwrite=True)
        with open(target, "rb") as file:
            return file.read()


def padded(rows: np.ndarray, length: int) -> np.ndarray:
    """Rows [batch_size, n] with zeros up to a length, or cut to it."""
    return np.pad(rows[:, :length], [(0, 0), (0, max(0, length - rows.shape[1]))])


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[0] if lines else repr(error))
