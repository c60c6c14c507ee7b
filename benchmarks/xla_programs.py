"""The XLA programs that training and inference are on a TPU, as StableHLO text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from modeling.bert import BertEncoder
from modeling.config import BertConfig
from modeling.heads import PretrainingModel
from modeling.layers import Build
from modeling.optimization import AdamWeightDecay, WarmupLinearDecay
from pretraining.objective import PretrainingObjective, feature_spec
from training.loop import Batch, LoopOptions, replica_step

BatchSpec = Mapping[str, tf.TensorSpec]

# What a static program for the device alone does not have: a dimension whose size only running it
# would tell, as in tensor<?x3xf32>, and ways out of it.
NOT_STATIC = re.compile(
    r"tensor<[^>]*\?|custom_call @\w+|stablehlo\.(?:send|recv|infeed|outfeed)\b"
)


def stablehlo(function: Callable[[Batch], Any], spec: BatchSpec) -> str:
    """Translates a function of a batch, with everything it calls, to one XLA program.

    Args:
      function: Computes on Tensors and variables.
      spec: Shapes and types of the batch.

    Returns:
      StableHLO; its parameters are the batch in the order of `spec`, then the variables.

    Raises:
      ValueError: An operation has no XLA form, such as a Python function, or the program has a
        dynamic dimension or leaves the device.
    """
    traced = tf.function(
        lambda *tensors: function(dict(zip(spec, tensors, strict=True))), jit_compile=True
    )
    text = traced.experimental_get_compiler_ir(*spec.values())(stage="stablehlo")
    if found := NOT_STATIC.search(text):
        raise ValueError(f"not one static program for the device alone: {found[0]} ...")
    return text


def batch_spec(
    features: Mapping[str, tf.io.FixedLenFeature], batch_size: int
) -> dict[str, tf.TensorSpec]:
    """Shapes and dtypes of a batch of records with these features, as `data.record_sets` makes it."""
    return {
        name: tf.TensorSpec(
            [batch_size, *feature.shape],
            tf.int32 if feature.dtype == tf.int64 else feature.dtype,
        )
        for name, feature in features.items()
    }


def inference_program(config: BertConfig, precision: str, batch_size: int, seq_length: int) -> str:
    """The encoder: ids to pooled output, as `benchmark_models.py` times it."""
    encoder = BertEncoder(config, Build(config.initializer_range, precision))
    ids = tf.TensorSpec([batch_size, seq_length], tf.int32)
    names = ("input_ids", "input_mask", "segment_ids")
    return stablehlo(lambda batch: encoder(**batch).pooled_output, dict.fromkeys(names, ids))


def pretraining_program(
    config: BertConfig, precision: str, batch_size: int, seq_length: int, num_predictions: int
) -> str:
    """One update of pre-training on one core; `batch_size` is that of the core."""
    model = PretrainingModel(config, precision)
    optimizer = AdamWeightDecay(WarmupLinearDecay(1e-4, 1_000_000, 10_000))
    optimizer.build(model.trainable_variables)
    step = replica_step(PretrainingObjective(model), optimizer, LoopOptions(1_000_000))
    spec = batch_spec(feature_spec(seq_length, num_predictions), batch_size)
    return stablehlo(step, spec)
