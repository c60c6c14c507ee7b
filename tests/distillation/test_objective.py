"""The distillation loss, its gradient and its metrics against NumPy in float64."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax, softmax
from scipy.stats import pearsonr

from distillation.objective import (
    DistillationObjective,
    RegressionDistillationObjective,
    agreement,
    kl_divergence,
    soft_cross_entropy,
)
from distillation.patience import Patience
from modeling.heads import ClassifierModel

TEMPERATURES = (0.5, 1.0, 2.0, 7.5)


class GivenLogits:
    """Stands for a student whose outputs are known; notes how it was called."""

    def __init__(self, logits: tf.Tensor, states: list[tf.Tensor] | None = None):
        self.logits, self.states = logits, states or []
        self.seeds: list[Any] = []

    def __call__(self, batch: Any, seed: Any = None) -> tf.Tensor:
        return self.logits_and_states(batch, seed)[0]

    def logits_and_states(self, batch: Any, seed: Any = None) -> tuple[tf.Tensor, list[tf.Tensor]]:
        self.seeds.append(seed)
        return self.logits, self.states


def random_logits(rows: int = 6, labels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Teacher and student, float32 [rows, labels]."""
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(0, 3, (2, rows, labels)).astype(np.float32)
    return teacher, student


def expected_cross_entropy(
    teacher: np.ndarray, student: np.ndarray, temperature: float
) -> np.ndarray:
    teacher, student = teacher.astype(np.float64), student.astype(np.float64)
    targets = softmax(teacher / temperature, axis=-1)
    return -(temperature**2) * (targets * log_softmax(student / temperature, axis=-1)).sum(axis=-1)


def objective_of(
    student: tf.Tensor, temperature: float, hard_label_weight: float
) -> DistillationObjective:
    model = cast(ClassifierModel, GivenLogits(student))
    return DistillationObjective(model, temperature, hard_label_weight)


def loss_of(objective: DistillationObjective, batch: dict[str, tf.Tensor]) -> tf.Tensor:
    """The loss as the training loop forms it from sums and counts."""
    sums, counts = objective.sums(batch, tf.constant([0, 0])), objective.loss_denominators(batch)
    assert set(sums) == set(counts) == set(objective.loss_weights)
    return tf.add_n(
        [w * tf.math.divide_no_nan(sums[k], counts[k]) for k, w in objective.loss_weights.items()]
    )


def batch_of(
    teacher: np.ndarray, label_ids: Any = None, has_label: Any = None, is_real: Any = None
) -> dict[str, tf.Tensor]:
    rows = len(teacher)
    return {
        "teacher_logits": tf.constant(teacher),
        "label_ids": tf.constant(np.zeros(rows) if label_ids is None else label_ids, tf.int32),
        "has_label": tf.constant(np.zeros(rows) if has_label is None else has_label, tf.int32),
        "is_real_example": tf.constant(np.ones(rows) if is_real is None else is_real, tf.int32),
    }


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_loss_and_gradient(temperature: float) -> None:
    teacher, student = random_logits()
    logits = tf.constant(student)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = soft_cross_entropy(tf.constant(teacher), logits, temperature)
    np.testing.assert_allclose(
        loss, expected_cross_entropy(teacher, student, temperature), rtol=1e-5
    )
    difference = softmax(student / temperature, axis=-1) - softmax(teacher / temperature, axis=-1)
    np.testing.assert_allclose(
        tape.gradient(loss, logits), temperature * difference, rtol=1e-4, atol=1e-5
    )


def test_gradient_keeps_its_size_at_high_temperature() -> None:
    """Hinton et al. (2015), equation 4: it tends to the difference of centred logits over C."""
    teacher, student = random_logits()
    logits = tf.constant(student)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = soft_cross_entropy(tf.constant(teacher), logits, 1000.0)
    difference = student - teacher
    limit = (difference - difference.mean(axis=-1, keepdims=True)) / difference.shape[1]
    np.testing.assert_allclose(tape.gradient(loss, logits), limit, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_a_student_that_equals_its_teacher_has_no_gradient(temperature: float) -> None:
    teacher, _ = random_logits()
    logits = tf.constant(teacher)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = soft_cross_entropy(tf.constant(teacher), logits, temperature)
    np.testing.assert_allclose(tape.gradient(loss, logits), np.zeros_like(teacher), atol=1e-6)
    np.testing.assert_allclose(kl_divergence(logits, logits), np.zeros(len(teacher)), atol=1e-6)


def test_cross_entropy_is_divergence_plus_entropy_of_the_teacher() -> None:
    teacher, student = random_logits()
    log_probs = log_softmax(teacher.astype(np.float64), axis=-1)
    entropy = -(np.exp(log_probs) * log_probs).sum(axis=-1)
    divergence = kl_divergence(teacher, student)
    np.testing.assert_allclose(
        soft_cross_entropy(teacher, student, 1.0), divergence + entropy, rtol=1e-5
    )
    assert np.min(divergence) > 0


def test_extreme_logits_stay_finite() -> None:
    teacher = np.array([[900.0, -900.0], [0.0, 0.0]], np.float32)
    student = np.array([[-900.0, 900.0], [900.0, -900.0]], np.float32)
    np.testing.assert_allclose(soft_cross_entropy(teacher, student, 1.0), [1800.0, 900.0])
    np.testing.assert_allclose(
        kl_divergence(teacher, student), [1800.0, 900.0 - np.log(2)], rtol=1e-6
    )


def test_agreement() -> None:
    teacher = np.array([[1.0, 2.0, 0.0], [3.0, 2.0, 0.0], [0.0, 0.1, 0.2]], np.float32)
    student = np.array([[-1.0, 9.0, 8.0], [3.0, 4.0, 0.0], [-3.0, -2.0, -1.0]], np.float32)
    np.testing.assert_array_equal(agreement(teacher, student), [1.0, 0.0, 1.0])


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("hard_weight", [0.0, 0.3, 1.0])
def test_objective_mixes_true_labels_of_the_rows_that_have_one(
    temperature: float, hard_weight: float
) -> None:
    teacher, student = random_logits()
    label_ids, has_label = np.array([2, 0, 1, 0, 2, 1]), np.array([1, 0, 1, 0, 0, 1])
    is_real = np.array([1, 1, 1, 1, 0, 0])
    batch = batch_of(teacher, label_ids, has_label, is_real)
    logits = tf.constant(student)
    objective = objective_of(logits, temperature, hard_weight)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = loss_of(objective, batch)

    soft = expected_cross_entropy(teacher, student, temperature)[:4].mean()
    log_probs = log_softmax(student.astype(np.float64), axis=-1)
    labelled = [0, 2]  # Row 5 has a label but only fills up the batch.
    hard = -log_probs[labelled, label_ids[labelled]].mean()
    assert float(loss) == pytest.approx((1 - hard_weight) * soft + hard_weight * hard, rel=1e-5)

    gradient = temperature * (
        softmax(student / temperature, axis=-1) - softmax(teacher / temperature, axis=-1)
    )
    gradient *= (1 - hard_weight) * is_real[:, None] / 4
    one_hot = np.eye(3)[label_ids]
    for row in labelled:
        gradient[row] += hard_weight * (np.exp(log_probs[row]) - one_hot[row]) / len(labelled)
    np.testing.assert_allclose(tape.gradient(loss, logits), gradient, rtol=1e-4, atol=1e-6)


def test_a_batch_without_true_labels_has_the_soft_loss_alone() -> None:
    teacher, student = random_logits()
    objective = objective_of(tf.constant(student), 1.0, 0.25)
    soft = expected_cross_entropy(teacher, student, 1.0).mean()
    assert float(loss_of(objective, batch_of(teacher))) == pytest.approx(0.75 * soft, rel=1e-5)


def test_padding_rows_weigh_nothing() -> None:
    teacher, student = random_logits()
    labels = np.zeros(6)
    whole = objective_of(tf.constant(student[:4]), 2.0, 0.5)
    padded = objective_of(tf.constant(student), 2.0, 0.5)
    batch = batch_of(teacher[:4], labels[:4], np.ones(4))
    padded_batch = batch_of(teacher, labels, np.ones(6), [1, 1, 1, 1, 0, 0])
    for name, value in whole.sums(batch, tf.constant([0, 0])).items():
        padded_value = padded.sums(padded_batch, tf.constant([0, 0]))[name]
        assert float(padded_value) == pytest.approx(float(value), rel=1e-6), name
    for name, count in whole.loss_denominators(batch).items():
        assert float(padded.loss_denominators(padded_batch)[name]) == float(count) == 4.0, name


def test_training_uses_dropout() -> None:
    teacher, student = random_logits()
    objective = objective_of(tf.constant(student), 2.0, 0.0)
    objective.sums(batch_of(teacher), tf.constant([1, 2]))
    assert cast(GivenLogits, objective.model).seeds[0].numpy().tolist() == [1, 2]


def test_agreement_over_a_set() -> None:
    teacher, student = random_logits()
    objective = objective_of(tf.constant(student), 2.0, 0.0)
    means = objective.agreement(teacher[:5], student[:5])
    log_teacher, log_student = (
        log_softmax(x[:5].astype(np.float64), axis=-1) for x in (teacher, student)
    )
    divergence = (np.exp(log_teacher) * (log_teacher - log_student)).sum(axis=-1)
    same = teacher[:5].argmax(axis=-1) == student[:5].argmax(axis=-1)
    assert means == {
        "soft_loss": pytest.approx(
            expected_cross_entropy(teacher, student, 2.0)[:5].mean(), rel=1e-5
        ),
        "teacher_agreement": pytest.approx(same.mean()),
        "teacher_kl": pytest.approx(divergence.mean(), rel=1e-5),
    }


def test_patience_is_the_distance_of_directions() -> None:
    rng = np.random.default_rng(3)
    teacher, logits = random_logits()
    rows, width = len(teacher), 5
    # Embeddings and four layers of the student; the teacher's layers 3, 1 and 2 are stored.
    states = rng.normal(size=(5, rows, width)).astype(np.float32)
    stored = rng.normal(size=(rows, 3, width)).astype(np.float32)
    is_real = np.array([1, 1, 0, 1, 1, 0])
    model = cast(ClassifierModel, GivenLogits(tf.constant(logits), list(tf.constant(states))))
    patience = Patience(weight=10.0, student_layers=(1, 3), columns=(1, 0))
    objective = DistillationObjective(model, patience=patience)
    batch = {**batch_of(teacher, is_real=is_real), "teacher_states": tf.constant(stored)}

    def directions(x: np.ndarray) -> np.ndarray:
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    pairs = [(states[1], stored[:, 1]), (states[3], stored[:, 0])]
    distances = [((directions(s) - directions(t)) ** 2).sum(-1) for s, t in pairs]
    expected_patience = np.mean(distances, axis=0)[is_real > 0].mean()
    soft = expected_cross_entropy(teacher, logits, 1.0)[is_real > 0].mean()
    np.testing.assert_allclose(loss_of(objective, batch), soft + 10 * expected_patience, rtol=1e-5)


@pytest.mark.parametrize("hard_weight", [0.0, 0.3, 1.0])
def test_regression_is_squared_error(hard_weight: float) -> None:
    teacher, student = random_logits(labels=1)
    scores, has_label = np.array([2.5, 0, 4.25, 0, 1, 3], np.float32), np.array([1, 0, 1, 0, 0, 1])
    is_real = np.array([1, 1, 1, 1, 1, 0])
    batch = batch_of(teacher, None, has_label, is_real)
    batch["label_ids"] = tf.constant(scores)
    outputs = tf.constant(student)
    model = cast(ClassifierModel, GivenLogits(outputs))
    objective = RegressionDistillationObjective(model, hard_weight)
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        loss = loss_of(objective, batch)
    from_teacher = (student - teacher)[:, 0].astype(np.float64)
    from_labels = (student[:, 0] - scores).astype(np.float64)
    labelled = [0, 2]  # Row 5 has a score but only fills up the batch.
    soft, hard = (from_teacher[:5] ** 2).mean(), (from_labels[labelled] ** 2).mean()
    assert float(loss) == pytest.approx((1 - hard_weight) * soft + hard_weight * hard, rel=1e-5)
    gradient = (1 - hard_weight) * 2 * from_teacher * is_real / 5
    gradient[labelled] += hard_weight * 2 * from_labels[labelled] / 2
    np.testing.assert_allclose(tape.gradient(loss, outputs)[:, 0], gradient, rtol=1e-4, atol=1e-6)


def test_agreement_of_scores() -> None:
    teacher, student = random_logits(labels=1)
    objective = RegressionDistillationObjective(cast(ClassifierModel, GivenLogits(student)))
    assert objective.agreement(teacher, student) == {
        "teacher_mse": pytest.approx(np.mean((teacher - student) ** 2), rel=1e-6),
        "teacher_pearson": pytest.approx(pearsonr(teacher[:, 0], student[:, 0])[0], rel=1e-5),
    }
    constant = np.ones_like(teacher)
    assert objective.agreement(teacher, constant)["teacher_pearson"] == 0.0
    assert objective.distance in objective.agreement(teacher, student)
