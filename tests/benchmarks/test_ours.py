"""Our loops do the work that they are asked for."""

from __future__ import annotations

import argparse
import pathlib

import numpy as np

from benchmarks import ours
from modeling.config import load_config


def test_units_of_training(tmp_path: pathlib.Path) -> None:
    """Rows in fine-tuning, of which there are fewer than are trained on."""
    rows = tmp_path / "rows.npz"
    mask = (np.arange(16) < np.array([[3], [16], [9], [12]])).astype(np.int32)
    np.savez(
        rows,
        input_ids=5 * mask,
        input_mask=mask,
        segment_ids=0 * mask,
        label_ids=np.array([0, 1, 1, 0], np.int32),
        is_real_example=np.ones(4, np.int32),
    )
    arguments = argparse.Namespace(
        loop="finetuning",
        input=str(rows),
        model="1,64",
        precision="float32",
        batch_size=2,
        batches=3,
    )
    work, facts = ours.training(arguments)
    assert work() == 2 * 3
    parameters = load_config("1/64").num_parameters(with_heads=False)
    assert facts == {"parameters": parameters + 2 * 64 + 2}
