"""run_pretraining.py against the original's mathematics (`reference_bert`), update by update."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from reference_bert import (
    ReferenceAdamWeightDecay,
    ReferencePretraining,
    Weights,
    random_weights,
)
from scripts import run_script

from checkpoints.weights import CheckpointReader, write_checkpoint
from data.batches import training_batches
from data.record_sets import open_records
from modeling.optimization import MAX_GRADIENT_NORM
from pretraining.objective import feature_spec

STEPS, WARMUP, PEAK, BATCH_SIZE, SEED = 100, 10, 4e-3, 16, 7
SEQ_LENGTH, PREDICTIONS = 24, 4
# float32 against float64: losses of 3 to 5 were 3e-6 apart at most, weights 2e-5.
LOSS_TOLERANCE, WEIGHT_TOLERANCE = 2e-5, 1e-4


@dataclasses.dataclass(frozen=True)
class Parity:
    """The same training twice: the reference's and ours.

    Attributes:
      config: Content of the bert_config.json.
      batches: What both were trained on.
      start: The weights both started from.
      expected_lines: The reference's losses and learning rate at each update.
      norms: Norm of the reference's gradients at each update, before clipping.
      expected_weights: The reference's at the end.
      lines: Of `metrics.jsonl`.
      weights: Of `bert_model.ckpt` at the end.
    """

    config: dict[str, Any]
    batches: list[dict[str, np.ndarray]]
    start: Weights
    expected_lines: list[dict[str, float]]
    norms: np.ndarray
    expected_weights: Weights
    lines: list[dict[str, float]]
    weights: Weights


@pytest.fixture(scope="module")
def parity(
    write_config: Callable[..., str],
    records_file: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Parity:
    folder = tmp_path_factory.mktemp("parity")
    config_file = write_config(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    config = json.loads(pathlib.Path(config_file).read_text())
    start = random_weights(config, deviation=0.25, seed=SEED)
    write_checkpoint(str(folder / "bert_model.ckpt"), start)

    run_script(
        "run_pretraining",
        bert_config_file=config_file,
        init_checkpoint=folder / "bert_model.ckpt",
        input_file=records_file,
        output_dir=folder / "run",
        max_seq_length=SEQ_LENGTH,
        max_predictions_per_seq=PREDICTIONS,
        do_train=True,
        train_batch_size=BATCH_SIZE,
        learning_rate=PEAK,
        num_train_steps=STEPS,
        num_warmup_steps=WARMUP,
        random_seed=SEED,
        log_steps=1,
    )
    lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    reader = CheckpointReader(str(folder / "run" / "bert_model.ckpt"))

    spec = feature_spec(SEQ_LENGTH, PREDICTIONS)
    records = open_records(records_file, "input_file", spec, {})
    dataset = training_batches(records, BATCH_SIZE, SEED)
    batches = list(dataset.take(STEPS).as_numpy_iterator())
    weights = {name: value.astype(np.float64) for name, value in start.items()}
    model = ReferencePretraining(config, weights)
    optimizer = ReferenceAdamWeightDecay(PEAK, STEPS, WARMUP)
    expected_lines, norms = [], []
    for batch in batches:
        losses, gradients = model.loss_and_gradients(batch)
        expected_lines.append({**losses, "learning_rate": optimizer.learning_rate})
        norms.append(optimizer.apply_gradients(weights, gradients))
    return Parity(
        config=config,
        batches=batches,
        start=start,
        expected_lines=expected_lines,
        norms=np.array(norms),
        expected_weights=weights,
        lines=[json.loads(line) for line in lines],
        weights={name: reader.read(name) for name in reader.shapes},
    )


def test_every_loss_and_rate_follows_the_reference(parity: Parity) -> None:
    assert [line["step"] for line in parity.lines] == list(range(1, STEPS + 1))
    for name in ("masked_lm_loss", "next_sentence_loss", "loss"):
        np.testing.assert_allclose(
            [line[name] for line in parity.lines],
            [line[name] for line in parity.expected_lines],
            rtol=0,
            atol=LOSS_TOLERANCE,
            err_msg=name,
        )
    np.testing.assert_allclose(
        [line["learning_rate"] for line in parity.lines],
        [line["learning_rate"] for line in parity.expected_lines],
        rtol=0,
        atol=1e-6 * PEAK,
    )


def test_norm_of_every_gradient_follows_the_reference(parity: Parity) -> None:
    """Before it is clipped."""
    found = [line["gradient_norm"] for line in parity.lines]
    np.testing.assert_allclose(found, parity.norms, rtol=1e-3)
    assert parity.norms.max() > MAX_GRADIENT_NORM


def test_every_final_weight_follows_the_reference(parity: Parity) -> None:
    assert set(parity.weights) == set(parity.expected_weights)
    for name, expected in parity.expected_weights.items():
        np.testing.assert_allclose(
            parity.weights[name], expected, rtol=0, atol=WEIGHT_TOLERANCE, err_msg=name
        )
        # Attention scores that all move by the same leave the softmax as it is.
        if not name.endswith("key/bias"):
            assert np.abs(expected - parity.start[name]).max() > 30 * WEIGHT_TOLERANCE, name


def test_the_run_has_what_could_go_wrong(parity: Parity) -> None:
    """Padding, unused predictions, both labels, updates with and without clipping, and learning."""
    everything = {
        name: np.concatenate([batch[name] for batch in parity.batches])
        for name in parity.batches[0]
    }
    for name in ("input_mask", "segment_ids", "masked_lm_weights", "next_sentence_labels"):
        assert set(np.unique(everything[name])) == {0, 1}, name
    after_warmup = parity.norms[WARMUP:]
    assert np.sum(after_warmup > 1.01) > 20
    assert np.sum(after_warmup < 0.99) > 20
    losses = [line["loss"] for line in parity.expected_lines]
    assert np.mean(losses[-10:]) < np.mean(losses[:5]) - 0.5


def test_gradients_of_the_reference_are_those_of_its_loss(parity: Parity) -> None:
    weights = {name: value.astype(np.float64) for name, value in parity.start.items()}
    model = ReferencePretraining(parity.config, weights)
    batch = parity.batches[0]
    _, gradients = model.loss_and_gradients(batch)
    rng = np.random.default_rng(SEED)
    for name, value in parity.start.items():
        direction = rng.normal(size=value.shape)
        losses = []
        for step in (-1e-5, 1e-5):
            weights[name] = value + step * direction
            losses.append(model.loss_and_gradients(batch)[0]["loss"])
        weights[name] = value.astype(np.float64)
        slope = (losses[1] - losses[0]) / 2e-5
        assert np.sum(gradients[name] * direction) == pytest.approx(slope, rel=1e-6, abs=1e-8), name
