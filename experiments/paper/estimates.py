"""Seconds that commands are thought to take, from the operations of the model."""

from __future__ import annotations

import dataclasses

from experiments.paper.artifacts import layers_and_width

# Of the original vocabulary.
VOCAB_SIZE = 30_522


@dataclasses.dataclass(frozen=True)
class Machine:
    """Rates of a machine.

    Attributes:
      name: In a few words.
      operations: Floating-point operations a second, in bfloat16, of a whole update.
      update: Seconds of an update besides: optimizer, input.
      run: Seconds of a command besides: imports, compilation, saving.
    """

    name: str
    operations: float
    update: float
    run: float


MACHINES = {
    # From the pre-training of 2/128 and 4/256, two commands of one thread side by side.
    "2-cores": Machine("two cores of a server with bfloat16", 0.5e12, 0.012, 12.0),
    # From the compiler's training steps of 2/128 and 8/512 on a core of v2, times the speed of v3
    # beside v2 in inference, 1.5 (`benchmarks/results/tpu_estimate.md`); eight cores.
    "tpu-v3-8": Machine("a TPU v3-8, by its compiler and not measured", 7.6e13, 0.0027, 60.0),
    # From the pre-training of 2/128 and 4/512 under JAX (`docs/results/pretraining.json`).
    "h200": Machine("one NVIDIA H200, by pre-training under JAX", 2.6e14, 0.0015, 40.0),
}


def training_seconds(
    machine: Machine,
    size: str,
    examples: float,
    batch_size: int,
    tokens: float,
    predictions: float = 0.0,
    vocab_size: int = VOCAB_SIZE,
) -> float:
    """Seconds of a training run.

    Args:
      machine: The machine that it runs on.
      size: Layers/width.
      examples: Seen by the run in all.
      batch_size: Examples per update.
      tokens: WordPieces per example.
      predictions: Masked words per example, in pre-training.
      vocab_size: Entries that the softmax of a masked word goes over.
    """
    forward = examples * (
        tokens * _per_token(size) + predictions * _per_prediction(size, vocab_size)
    )
    # The gradient takes twice what the forward pass takes.
    return machine.run + examples / batch_size * machine.update + 3 * forward / machine.operations


def labelling_seconds(machine: Machine, size: str, examples: float, tokens: float) -> float:
    """Seconds of a forward pass over examples."""
    return machine.run + examples * tokens * _per_token(size) / machine.operations


def _per_token(size: str) -> float:
    """Operations of the encoder's matrix products: two per weight, 12 H² weights a layer."""
    layers, width = layers_and_width(size)
    return 2 * 12 * layers * width**2


def _per_prediction(size: str, vocab_size: int) -> float:
    return 2 * vocab_size * layers_and_width(size)[1]
