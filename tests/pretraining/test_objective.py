"""The objectives of pre-training against log-softmax in SciPy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from models import ODD_CONFIG, random_weights
from scipy.special import log_softmax

from modeling.heads import PretrainingModel
from pretraining.objective import PretrainingObjective, feature_spec

CONFIG = dataclasses.replace(
    ODD_CONFIG, num_hidden_layers=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
)
ROWS, LENGTH, PREDICTIONS = 4, 7, 3
_RNG = np.random.default_rng(2)
ARRAYS = {
    "input_ids": _RNG.integers(0, 99, [ROWS, LENGTH]),
    "input_mask": np.ones([ROWS, LENGTH], int),
    "segment_ids": np.zeros([ROWS, LENGTH], int),
    "masked_lm_positions": _RNG.integers(1, LENGTH, [ROWS, PREDICTIONS]),
    "masked_lm_ids": _RNG.integers(0, 99, [ROWS, PREDICTIONS]),
    "masked_lm_weights": np.array([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 0, 0]], np.float32),
    "next_sentence_labels": np.array([[0], [1], [1], [0]]),
    # The last row only fills the batch.
    "is_real_row": np.array([1, 1, 1, 0], np.float32),
}
BATCH = {
    name: tf.constant(value, tf.float32 if value.dtype == np.float32 else tf.int32)
    for name, value in ARRAYS.items()
}


@pytest.fixture(scope="module")
def model() -> PretrainingModel:
    made = PretrainingModel(CONFIG)
    weights = random_weights(made)
    for variable in made.trainable_variables:
        variable.assign(weights[variable.name.removesuffix(":0")])
    return made


@pytest.fixture(scope="module")
def losses(model: PretrainingModel) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each masked word and of each row, and whether the answer is right."""
    words, sentences = (logits.numpy().astype(np.float64) for logits in model(BATCH))
    ids, labels = ARRAYS["masked_lm_ids"].ravel(), ARRAYS["next_sentence_labels"][:, 0]
    return (
        -log_softmax(words, axis=1)[np.arange(len(ids)), ids],
        words.argmax(axis=1) == ids,
        -log_softmax(sentences, axis=1)[np.arange(ROWS), labels],
        sentences.argmax(axis=1) == labels,
    )


def test_training(model: PretrainingModel, losses: tuple) -> None:
    """The sums over a part of a batch, and by what the whole is divided."""
    objective = PretrainingObjective(model)
    sums = objective.sums(BATCH, tf.constant([1, 2]))
    words, _, sentences, _ = losses
    wanted = (ARRAYS["masked_lm_weights"].ravel() * words).sum()
    assert float(sums["masked_lm_loss"]) == pytest.approx(wanted, rel=1e-5)
    assert float(sums["next_sentence_loss"]) == pytest.approx(sentences.sum(), rel=1e-5)
    denominators = {k: float(v) for k, v in objective.loss_denominators(BATCH).items()}
    assert denominators == {"masked_lm_loss": 7.0, "next_sentence_loss": 4.0}
    assert objective.loss_weights == {"masked_lm_loss": 1.0, "next_sentence_loss": 1.0}


def test_metrics_are_of_real_rows(model: PretrainingModel, losses: tuple) -> None:
    found = PretrainingObjective(model).metrics(BATCH)
    weights = (ARRAYS["masked_lm_weights"] * ARRAYS["is_real_row"][:, np.newaxis]).ravel()
    names = ("masked_lm_loss", "masked_lm_accuracy", "next_sentence_loss", "next_sentence_accuracy")
    assert list(found) == list(names)
    for name, values, of in zip(
        names, losses, (weights, weights, *[ARRAYS["is_real_row"]] * 2), strict=True
    ):
        total, count = map(float, found[name])
        assert (total, count) == pytest.approx(((values * of).sum(), of.sum()), rel=1e-5), name


def test_features_of_a_record() -> None:
    spec = feature_spec(LENGTH, PREDICTIONS)
    assert {name: tuple(feature.shape) for name, feature in spec.items()} == {
        name: value.shape[1:] for name, value in ARRAYS.items() if name != "is_real_row"
    }
    kinds = {name for name, feature in spec.items() if feature.dtype == tf.float32}
    assert kinds == {"masked_lm_weights"}
