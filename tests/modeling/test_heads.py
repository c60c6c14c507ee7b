"""Heads against NumPy and SciPy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from models import ODD_CONFIG, random_weights
from scipy.special import log_softmax

from modeling.heads import (
    CLASSIFIER_BIAS,
    CLASSIFIER_WEIGHTS,
    ClassifierModel,
    LinearHead,
    PretrainingModel,
    tied_softmax_loss_sum,
)
from modeling.layers import Build

CONFIG = dataclasses.replace(
    ODD_CONFIG,
    num_hidden_layers=2,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    classifier_dropout=0.0,
)
_RNG = np.random.default_rng(1)
BATCH = {
    "input_ids": _RNG.integers(0, CONFIG.vocab_size, [3, 7]),
    "input_mask": np.array([[1] * 7, [1] * 4 + [0] * 3, [1] * 2 + [0] * 5]),
    "segment_ids": np.zeros([3, 7], int),
    "masked_lm_positions": np.array([[1, 6], [3, 0], [1, 0]]),
    "masked_lm_ids": _RNG.integers(0, CONFIG.vocab_size, [3, 2]),
}
BATCH = {name: tf.constant(value, tf.int32) for name, value in BATCH.items()}
SEED = tf.constant([1, 2])


def assign(model: tf_keras.Model) -> dict[str, np.ndarray]:
    """Random weights, by their names."""
    weights = random_weights(model)
    for variable in model.trainable_variables:
        variable.assign(weights[variable.name.removesuffix(":0")])
    return weights


def test_linear_head_applies_its_weights_transposed() -> None:
    head = LinearHead("scope", 3, 5, Build(0.02))
    weights, bias, x = (_RNG.normal(size=shape) for shape in ([3, 5], [3], [4, 5]))
    head.output_weights.assign(weights)
    head.output_bias.assign(bias)
    np.testing.assert_allclose(head(x.astype(np.float32)), x @ weights.T + bias, rtol=1e-4)
    # In float32 also after layers in bfloat16.
    assert head(tf.cast(x, tf.bfloat16)).dtype == tf.float32


def test_classifier_reads_the_pooled_vector() -> None:
    model = ClassifierModel(CONFIG, 3)
    weights = assign(model)
    logits, states = model.logits_and_states(BATCH)
    output = model.encoder(BATCH["input_ids"], BATCH["input_mask"], BATCH["segment_ids"])
    expected = output.pooled_output @ weights[CLASSIFIER_WEIGHTS].T + weights[CLASSIFIER_BIAS]
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(model(BATCH), logits)
    assert len(states) == CONFIG.num_hidden_layers + 1
    np.testing.assert_allclose(states[-1], output.sequence_output[:, 0], rtol=1e-5, atol=1e-5)


def test_dropout_of_the_classifier_is_beside_that_of_the_encoder() -> None:
    """Some numbers of the pooled vector are 0, the others twice what they were."""
    config = dataclasses.replace(CONFIG, classifier_dropout=0.5)
    model = ClassifierModel(config, config.hidden_size)
    assign(model)
    # The logits are the vector that the head sees.
    model.classifier.output_weights.assign(np.eye(config.hidden_size))
    model.classifier.output_bias.assign(np.zeros(config.hidden_size))
    pooled, dropped = model(BATCH).numpy(), model(BATCH, seed=SEED).numpy()
    is_kept = dropped != 0
    np.testing.assert_allclose(dropped[is_kept], 2 * pooled[is_kept], rtol=1e-5)
    assert 0.3 < is_kept.mean() < 0.7


def test_classifier_begins_with_its_own_deviation() -> None:
    """Whatever that of the other layers is, as in the original; truncated at two of them."""
    config = dataclasses.replace(CONFIG, initializer_range=5.0)
    model = ClassifierModel(config, 500)
    weights = model.classifier.output_weights.numpy()
    # The deviation of a normal distribution that is cut at ±2 is 0.8796 of the other's.
    assert weights.std() == pytest.approx(0.8796 * 0.02, rel=0.02)
    assert np.abs(weights).max() <= 0.04
    assert not model.classifier.output_bias.numpy().any()


def test_masked_words_are_decoded_by_the_word_embeddings() -> None:
    model = PretrainingModel(CONFIG)
    weights = assign(model)
    logits, next_sentence = model(BATCH)
    output = model.encoder(BATCH["input_ids"], BATCH["input_mask"], BATCH["segment_ids"])
    hidden = output.sequence_output.numpy()
    rows = np.concatenate([hidden[i, p] for i, p in enumerate(BATCH["masked_lm_positions"])])
    scope = "cls/predictions/transform"
    x = rows @ weights[f"{scope}/dense/kernel"] + weights[f"{scope}/dense/bias"]
    x = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    x = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-12)
    x = x * weights[f"{scope}/LayerNorm/gamma"] + weights[f"{scope}/LayerNorm/beta"]
    expected = x @ weights["bert/embeddings/word_embeddings"].T
    expected = expected + weights["cls/predictions/output_bias"]
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)
    pooled = output.pooled_output @ weights["cls/seq_relationship/output_weights"].T
    expected = pooled + weights["cls/seq_relationship/output_bias"]
    np.testing.assert_allclose(next_sentence, expected, rtol=1e-4, atol=1e-5)


def test_training_loss_is_that_of_the_logits() -> None:
    model = PretrainingModel(CONFIG)
    assign(model)
    weights = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]], np.float32)
    batch = {**BATCH, "masked_lm_weights": tf.constant(weights)}
    loss, next_sentence = model.training_outputs(batch, SEED)
    logits, expected = model(BATCH)
    logs = log_softmax(logits.numpy(), axis=-1)
    ids = BATCH["masked_lm_ids"].numpy().ravel()
    wanted = -(weights.ravel() * logs[np.arange(len(ids)), ids]).sum()
    assert float(loss) == pytest.approx(wanted, rel=1e-5)
    np.testing.assert_allclose(next_sentence, expected, rtol=1e-5, atol=1e-6)


def test_masked_lm_loss_and_its_gradient_are_those_of_the_logits() -> None:
    rng = np.random.default_rng(3)
    hidden, embeddings, bias = (
        tf.constant(rng.normal(size=shape), tf.float32) for shape in ([7, 5], [11, 5], [11])
    )
    ids = tf.constant([0, 10, 3, 3, 7, 1, 0])
    weights = tf.constant([1.0, 1.0, 0.0, 2.0, 1.0, 1.0, 0.0])

    def plain(hidden: tf.Tensor, embeddings: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        logits = tf.matmul(hidden, embeddings, transpose_b=True) + bias
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits)
        return tf.reduce_sum(weights * losses)

    def fused(hidden: tf.Tensor, embeddings: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        return tied_softmax_loss_sum(hidden, embeddings, bias, ids, weights)

    results = []
    for function in (plain, fused):
        with tf.GradientTape() as tape:
            tape.watch([hidden, embeddings, bias])
            loss = 3.0 * function(hidden, embeddings, bias)
        results.append([loss, *tape.gradient(loss, [hidden, embeddings, bias])])
    for expected, actual in zip(*results, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_masked_lm_loss_of_extreme_logits() -> None:
    """An impossible word has a large finite loss; what is not a number stays visible."""

    def loss(value: float) -> float:
        hidden = tf.constant([[value, 0.0]])
        embeddings = tf.constant([[1.0, 0.0], [-1.0, 0.0]])
        ids, weights = tf.constant([1]), tf.constant([1.0])
        return float(tied_softmax_loss_sum(hidden, embeddings, tf.zeros(2), ids, weights))

    assert loss(10.0) == pytest.approx(20.0, rel=1e-5)
    assert loss(1000.0) == pytest.approx(87.33, abs=0.01)
    assert np.isnan(loss(float("nan")))
