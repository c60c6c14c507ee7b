"""Rows of pre-training for the tests of benchmarks/accelerator."""

from __future__ import annotations

import dataclasses

import numpy as np
from models import ODD_CONFIG

LENGTH, PREDICTIONS = 16, 3
CONFIG = dataclasses.replace(ODD_CONFIG, num_hidden_layers=2)


def random_features(count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    positions = np.arange(LENGTH)
    lengths = rng.integers(6, LENGTH + 1, [count, 1])
    first = rng.integers(2, 5, [count, 1])
    is_real = positions < lengths
    weights = np.arange(PREDICTIONS) < rng.integers(1, PREDICTIONS + 1, [count, 1])
    return {
        "input_ids": (rng.integers(1, 99, [count, LENGTH]) * is_real).astype(np.int32),
        "input_mask": is_real,
        "segment_ids": is_real & (positions >= first),
        "masked_lm_positions": (rng.integers(1, 6, weights.shape) * weights).astype(np.int32),
        "masked_lm_ids": (rng.integers(1, 99, weights.shape) * weights).astype(np.int32),
        "masked_lm_weights": weights.astype(np.float32),
        "next_sentence_labels": rng.integers(0, 2, [count, 1]) > 0,
    }
