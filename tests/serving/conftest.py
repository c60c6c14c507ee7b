"""A vocabulary and inputs for models of odd sizes."""

from __future__ import annotations

import numpy as np
import pytest
from models import ODD_CONFIG, write_vocabulary

WORDS = ["un", "##aff", "##able", "the", "a", "b", "c", "naive", ".", "σ", "ς"]


@pytest.fixture(scope="package")
def odd_vocab_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_vocabulary(tmp_path_factory.mktemp("vocab") / "vocab.txt", WORDS)


@pytest.fixture(scope="package")
def padded_batch() -> dict[str, np.ndarray]:
    """int32 [4, 11], rows of different lengths."""
    rng = np.random.default_rng(3)
    mask = (np.arange(11) < np.array([[1], [4], [9], [11]])).astype(np.int32)
    ids, segments = rng.integers(0, ODD_CONFIG.vocab_size, [4, 11]), rng.integers(0, 2, [4, 11])
    return {
        "input_ids": (ids * mask).astype(np.int32),
        "input_mask": mask,
        "segment_ids": (segments * mask).astype(np.int32),
    }
