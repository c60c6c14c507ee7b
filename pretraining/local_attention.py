"""Initial values with which attention looks at neighbours before it has learned to.

With the original's initial values, positions are random vectors and attention is the same everywhere.
A small model stays with the frequencies of words for tens of millions of tokens, until it has found
out which words stand beside a masked one. Here position embeddings begin as the sinusoids of Vaswani
et al. (2017), of which neighbours are alike, and the keys of a layer begin as its queries, so that a
token attends to what is like it (after Trockman and Kolter 2023, "Mimetic Initialization of
Self-Attention Layers"). The model and what it learns from are the same.
"""

from __future__ import annotations

import numpy as np

from checkpoints.weights import variable_name
from modeling.bert import BertEncoder

# Of queries and keys, beside the original's initial values: with 1 their products hardly differ.
SCALE = 3.0


class LocalAttention:
    """These initial values of an encoder, as a `checkpoints.weights.WeightReader`.

    Position embeddings, queries and keys are in it; all else keeps its own initial values.

    Args:
      encoder: With the original's initial values.
    """

    source = "--init_local_attention"

    def __init__(self, encoder: BertEncoder):
        config = encoder.config
        positions = encoder.embeddings.position_embeddings
        self._values = {
            variable_name(positions): sinusoids(
                config.max_position_embeddings, config.hidden_size, config.initializer_range
            )
        }
        for layer in encoder.transformer_layers:
            queries = SCALE * layer.query.kernel.numpy()
            for kernel in (layer.query.kernel, layer.key.kernel):
                self._values[variable_name(kernel)] = queries
        self.shapes = {name: value.shape for name, value in self._values.items()}

    def read(self, name: str) -> np.ndarray:
        return self._values[name]


def sinusoids(length: int, width: int, deviation: float) -> np.ndarray:
    """Position embeddings, float32 [length, width]: sines, then cosines, of falling frequencies.

    Args:
      length: Number of positions.
      width: Number of values of each.
      deviation: Root of the mean square of all values.
    """
    half = (width + 1) // 2
    frequencies = 10_000.0 ** -(np.arange(half) / half)
    angles = np.arange(length)[:, np.newaxis] * frequencies
    # Sine and cosine of an angle have a mean square of a half.
    values = np.concatenate([np.sin(angles), np.cos(angles)], axis=1) * deviation * np.sqrt(2.0)
    return values[:, :width].astype(np.float32)
