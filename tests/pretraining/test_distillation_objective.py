"""The triple loss against NumPy in float64."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from models import ODD_CONFIG, random_weights
from scipy.special import log_softmax, softmax

from checkpoints.weights import variable_name
from common.errors import UserError
from modeling.heads import PretrainingModel
from pretraining.distillation_objective import MaskedLmDistillationObjective, TripleLoss

BATCH, LENGTH, PREDICTIONS = 3, 11, 4
NO_DROPOUT = dataclasses.replace(
    ODD_CONFIG, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
)
SEED = tf.constant([1, 2])


def model_of(depth: int, seed: int) -> PretrainingModel:
    model = PretrainingModel(dataclasses.replace(NO_DROPOUT, num_hidden_layers=depth))
    rng = np.random.default_rng(seed)
    for name, value in random_weights(model).items():
        (variable,) = [v for v in model.trainable_variables if variable_name(v) == name]
        variable.assign(value + rng.normal(scale=0.05, size=value.shape))
    return model


@pytest.fixture(scope="module")
def batch() -> dict[str, tf.Tensor]:
    rng = np.random.default_rng(0)
    mask = np.arange(LENGTH) < np.array([[11], [7], [5]])
    return {
        "input_ids": tf.constant(rng.integers(0, 99, (BATCH, LENGTH)) * mask, tf.int32),
        "input_mask": tf.constant(mask, tf.int32),
        "segment_ids": tf.zeros([BATCH, LENGTH], tf.int32),
        "masked_lm_positions": tf.constant(rng.integers(0, 5, (BATCH, PREDICTIONS)), tf.int32),
        "masked_lm_ids": tf.constant(rng.integers(0, 99, (BATCH, PREDICTIONS)), tf.int32),
        "masked_lm_weights": tf.constant([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], tf.float32),
        "next_sentence_labels": tf.constant([[0], [1], [1]], tf.int32),
    }


def test_loss_and_what_is_trained(batch: dict[str, tf.Tensor]) -> None:
    student, teacher = model_of(2, 1), model_of(3, 2)
    loss = TripleLoss(temperature=3.0, soft_weight=4.0, masked_lm_weight=2.0, cosine_weight=0.5)
    objective = MaskedLmDistillationObjective(student, teacher, loss)
    with tf.GradientTape() as tape:
        sums, counts = objective.sums(batch, SEED), objective.loss_denominators(batch)
        total = tf.add_n([w * sums[k] / counts[k] for k, w in objective.loss_weights.items()])
    assert set(sums) == set(counts) == set(objective.loss_weights)

    def numpy_outputs(model: PretrainingModel) -> tuple[np.ndarray, np.ndarray]:
        logits, _ = model(batch)
        states = model.encoder(
            batch["input_ids"], batch["input_mask"], batch["segment_ids"]
        ).sequence_output
        return logits.numpy().astype(np.float64), states.numpy().astype(np.float64)

    (student_logits, student_states), (teacher_logits, teacher_states) = map(
        numpy_outputs, (student, teacher)
    )
    weights = batch["masked_lm_weights"].numpy().reshape(-1)
    soft = -(softmax(teacher_logits / 3, -1) * log_softmax(student_logits / 3, -1)).sum(-1)
    ids = batch["masked_lm_ids"].numpy().reshape(-1)
    hard = -log_softmax(student_logits, -1)[np.arange(len(ids)), ids]
    cosine = (student_states * teacher_states).sum(-1) / (
        np.linalg.norm(student_states, axis=-1) * np.linalg.norm(teacher_states, axis=-1)
    )
    distance = (1 - cosine)[batch["input_mask"].numpy() > 0].mean()
    expected = {
        "soft_masked_lm_loss": 9 * (weights * soft).sum() / 7,
        "masked_lm_loss": (weights * hard).sum() / 7,
        "cosine_loss": distance,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(sums[name] / counts[name], value, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(
        total,
        4 * expected["soft_masked_lm_loss"] + 2 * expected["masked_lm_loss"] + 0.5 * distance,
        rtol=1e-5,
    )
    # The teacher stays as it is, and every variable of the student gets a gradient.
    trained = objective.model.trainable_variables
    assert {v.ref() for v in trained}.isdisjoint(v.ref() for v in teacher.trainable_variables)
    gradients = map(tf.convert_to_tensor, tape.gradient(total, trained))
    unmoved = [v.name for v, g in zip(trained, gradients, strict=True) if not np.any(g)]
    # Softmax does not see what is added to all keys; next sentences are not predicted.
    assert {name for name in unmoved if not name.endswith("key/bias:0")} == {
        *("bert/pooler/dense/kernel:0", "bert/pooler/dense/bias:0"),
        *(f"cls/seq_relationship/output_{kind}:0" for kind in ("weights", "bias")),
    }


def test_a_student_equal_to_its_teacher_has_only_the_masked_words_to_learn(
    batch: dict[str, tf.Tensor],
) -> None:
    model = model_of(2, 1)
    objective = MaskedLmDistillationObjective(model, model, TripleLoss(masked_lm_weight=0.0))
    with tf.GradientTape() as tape:
        sums, counts = objective.sums(batch, SEED), objective.loss_denominators(batch)
        total = tf.add_n([w * sums[k] / counts[k] for k, w in objective.loss_weights.items()])
    np.testing.assert_allclose(sums["cosine_loss"], 0.0, atol=1e-4)
    gradient = tape.gradient(total, model.masked_lm.output_bias)
    np.testing.assert_allclose(gradient, np.zeros(99), atol=1e-6)


def test_models_that_cannot_be_compared() -> None:
    student = PretrainingModel(NO_DROPOUT)
    wide = PretrainingModel(dataclasses.replace(NO_DROPOUT, hidden_size=48))
    with pytest.raises(UserError, match="hidden_size 48, the student 32.*--cosine_weight=0"):
        MaskedLmDistillationObjective(student, wide, TripleLoss())
    MaskedLmDistillationObjective(student, wide, TripleLoss(cosine_weight=0.0))
    other = PretrainingModel(dataclasses.replace(NO_DROPOUT, vocab_size=98))
    with pytest.raises(UserError, match="vocabulary of 98 entries, the student of 99"):
        MaskedLmDistillationObjective(student, other, TripleLoss())
