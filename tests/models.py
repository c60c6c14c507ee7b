"""Models that no test trains: odd sizes, random weights."""

from __future__ import annotations

import numpy as np
import tf_keras

from checkpoints.weights import variable_values
from modeling.config import BertConfig

# No two sizes agree, and the heads are not 64 wide, so that a transposed matrix cannot hide.
ODD_CONFIG = BertConfig(
    vocab_size=99,
    hidden_size=32,
    num_hidden_layers=5,
    num_attention_heads=4,
    intermediate_size=37,
    max_position_embeddings=17,
)


def random_weights(*models: tf_keras.Model) -> dict[str, np.ndarray]:
    """Random values for all variables of the models, by the original's names.

    Their deviation is ten times the usual one, so that no activation is nearly linear, and yet small
    enough for softmax not to blow rounding up.
    """
    rng = np.random.default_rng(0)
    shapes = {
        name: value.shape
        for model in models
        for name, value in variable_values(model.trainable_variables).items()
    }
    return {
        name: rng.normal(scale=0.2, size=shape).astype(np.float32) for name, shape in shapes.items()
    }
