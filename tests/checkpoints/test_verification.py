"""Differences that the check of a converted model finds, and those it lets pass."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from models import ODD_CONFIG, random_weights, write_vocabulary

from checkpoints.formats import find_weights
from checkpoints.model_folder import write_model_folder
from checkpoints.verification import (
    check_outputs,
    check_written,
    compare,
    model_outputs,
    random_batch,
)
from common.errors import UserError
from modeling.heads import ClassifierModel, PretrainingModel

MASK = np.array([[1, 1, 0], [1, 0, 0]])


def outputs(**changes: float) -> dict[str, np.ndarray]:
    """Of two rows: vectors of each token, and of each row; the largest is 4."""
    found = {
        "sequence_output": np.full([2, 3, 2], 2.0),
        "pooled_output": np.array([[4.0, 1.0], [1.0, 1.0]]),
    }
    for name, difference in changes.items():
        found[name].flat[0] += difference
    return found


@pytest.mark.parametrize(
    ("changes", "worst"),
    [
        ({"sequence_output": 1e-5, "pooled_output": 8e-5}, "2e-05"),
        ({"sequence_output": 1.8e-4}, "9e-05"),
        ({"pooled_output": 3.9e-4}, "0.0001"),
    ],
)
def test_rounding_passes(changes: dict[str, float], worst: str) -> None:
    text = compare("X", outputs(**changes), outputs(), MASK)
    assert text.startswith("pooled_output, sequence_output equal X's on random input")
    assert f"largest difference {worst} of the magnitude" in text


@pytest.mark.parametrize(
    ("name", "difference"),
    [
        ("sequence_output", 2.1e-4),
        ("pooled_output", -4.1e-4),
        ("sequence_output", float("nan")),
        ("pooled_output", float("nan")),
    ],
)
def test_another_model_is_refused(name: str, difference: float) -> None:
    with pytest.raises(UserError, match=f"{name} of X differs from ours by"):
        compare("X", outputs(**{name: difference}), outputs(), MASK)


def test_padding_may_differ() -> None:
    ours = outputs()
    ours["sequence_output"][0, 2] = ours["sequence_output"][1, 1:] = 99.0
    assert "largest difference 0 of" in compare("X", ours, outputs(), MASK)


def test_batch_has_rows_of_all_lengths() -> None:
    batch = random_batch(ODD_CONFIG)
    lengths = batch["input_mask"].sum(axis=1)
    assert (lengths.min(), lengths.max()) == (1, 17) and len(set(lengths)) == 8
    assert set(np.unique(batch["segment_ids"])) == {0, 1}
    for value in batch.values():
        assert value.dtype == np.int32 and not value[batch["input_mask"] == 0].any()


@pytest.mark.parametrize("has_classifier", [True, False])
def test_outputs_are_those_of_the_heads_that_are_there(has_classifier: bool) -> None:
    models = [PretrainingModel(ODD_CONFIG)]
    models += [ClassifierModel(ODD_CONFIG, 3)] * has_classifier
    shapes = {
        "sequence_output": (8, 17, 32),
        "pooled_output": (8, 32),
        "masked_lm_logits": (8, 17, 99),
        "next_sentence_logits": (8, 2),
        **({"classifier_logits": (8, 3)} if has_classifier else {}),
    }
    found = model_outputs(ODD_CONFIG, random_weights(*models), random_batch(ODD_CONFIG))
    assert {name: value.shape for name, value in found.items()} == shapes


def test_written_weights_are_read_back(tmp_path: pathlib.Path) -> None:
    """A single bit is a difference; an original checkpoint belongs to no other library."""
    weights = random_weights(ClassifierModel(ODD_CONFIG, 3))
    vocab_file = write_vocabulary(tmp_path / "vocab.txt", [])
    folder = str(tmp_path / "model")
    write_model_folder(folder, weights, ODD_CONFIG, vocab_file, {})
    (finding,) = check_written(folder, ODD_CONFIG, {**weights, "of_another_form": np.zeros(1)})
    assert finding.startswith(f"{len(weights)} of {len(weights) + 1} variables read back")
    assert check_outputs(find_weights(folder), ODD_CONFIG, weights) is None
    bias = weights["output_bias"]
    bias[1] = np.nextafter(bias[1], np.float32(9))
    with pytest.raises(UserError, match="variable output_bias was not written as it was read"):
        check_written(folder, ODD_CONFIG, weights)
