"""The XLA programs that training and inference are on a TPU, as StableHLO text."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from checkpoints.weights import variable_name
from modeling.bert import INPUTS, BertEncoder
from modeling.config import BertConfig
from modeling.heads import PretrainingModel
from modeling.layers import Build
from modeling.optimization import AdamWeightDecay, WarmupLinearDecay
from pretraining.objective import PretrainingObjective, feature_spec
from training.updates import Batch, replica_step

BatchSpec = Mapping[str, tf.TensorSpec]

# What a static program for the device alone does not have: a dimension whose size only running it
# would tell, as in tensor<?x3xf32>, and ways out of it.
NOT_STATIC = re.compile(
    r"tensor<[^>]*\?|custom_call @\w+|stablehlo\.(?:send|recv|infeed|outfeed)\b"
)


@dataclasses.dataclass(frozen=True)
class Program:
    """An XLA program and what its parameters and results are.

    Attributes:
      stablehlo: Its parameters are the batch in the order of its spec, then `variables`; its results
        are `results`, then the new values of `updated`.
      variables: Names of the variables it reads.
      results: Name -> shape of what the function returns, float32.
      updated: Names of those variables that it changes.
    """

    stablehlo: str
    variables: list[str]
    results: dict[str, list[int]]
    updated: list[str]


def stablehlo(function: Callable[[Batch], Any], spec: BatchSpec) -> str:
    """The StableHLO of `program`."""
    return _translated(function, spec)[0]


def program(
    function: Callable[[Batch], dict[str, tf.Tensor]],
    spec: BatchSpec,
    variables: Sequence[tf.Variable],
) -> Program:
    """Translates a function of a batch, with everything it calls, to one XLA program.

    Args:
      function: Computes on Tensors and variables.
      spec: Shapes and types of the batch.
      variables: All that it uses, and maybe others; their names must differ.

    Raises:
      ValueError: See `_translated`.
    """
    text, traced = _translated(function, spec)
    by_handle = {id(variable.handle): variable_name(variable) for variable in variables}
    names = [by_handle[id(handle)] for handle in traced.captured_inputs]
    # TensorFlow orders the values of a dictionary like this.
    results = {k: v.shape.as_list() for k, v in sorted(traced.structured_outputs.items())}
    # The program says of each new value which parameter it replaces.
    pairs = re.findall(r"parameter_number = (\d+) : i64\}, output_index = array<i64: (\d+)>", text)
    replaced = sorted((int(output), int(parameter)) for parameter, output in pairs)
    assert [output for output, _ in replaced] == [len(results) + i for i in range(len(replaced))]
    updated = [names[parameter - len(spec)] for _, parameter in replaced]
    return Program(text, names, results, updated)


def _translated(function: Callable[[Batch], Any], spec: BatchSpec) -> tuple[str, Any]:
    """StableHLO, and the concrete function it is of.

    Raises:
      ValueError: An operation has no XLA form, such as a Python function, or the program has a
        dynamic dimension or leaves the device.
    """
    traced = tf.function(
        lambda *tensors: function(dict(zip(spec, tensors, strict=True))),
        jit_compile=True,
        autograph=False,
    )
    concrete = traced.get_concrete_function(*spec.values())
    text = traced.experimental_get_compiler_ir(*spec.values())(stage="stablehlo")
    if found := NOT_STATIC.search(text):
        raise ValueError(f"not one static program for the device alone: {found[0]} ...")
    return text, concrete


def batch_spec(
    features: Mapping[str, tf.io.FixedLenFeature], batch_size: int
) -> dict[str, tf.TensorSpec]:
    """Shapes and dtypes of a batch of records with these features, as `data.batches` makes it."""
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
    return stablehlo(lambda batch: encoder(**batch).pooled_output, dict.fromkeys(INPUTS, ids))


def pretraining_program(
    config: BertConfig, precision: str, batch_size: int, seq_length: int, num_predictions: int
) -> str:
    """One update of pre-training on one core; `batch_size` is that of the core."""
    model = PretrainingModel(config, precision)
    optimizer = AdamWeightDecay(WarmupLinearDecay(1e-4, 1_000_000, 10_000))
    optimizer.build(model.trainable_variables)
    step = replica_step(PretrainingObjective(model), optimizer)
    spec = batch_spec(feature_spec(seq_length, num_predictions), batch_size)
    return stablehlo(step, spec)
