"""Distillation from stored teacher logits, or from the scores of a regression teacher.

Source: Turc et al. (2019), section 5.1: cross-entropy between the teacher's distribution
softmax(z / T) and the student's, at T = 1 and without hard labels. Hinton et al. (2015) for the
factor T^2 and for the mix with hard labels, both off by default. Hidden states: `patience`.

The paper has no regression task. A score is no distribution, so the student matches it by squared
error, as it matches true scores in fine-tuning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from classification.metrics import pearson
from distillation.patience import Patience, patience_distance
from modeling.heads import ClassifierModel
from training.updates import Batch, Objective


def soft_cross_entropy(
    teacher_logits: tf.Tensor, student_logits: tf.Tensor, temperature: float
) -> tf.Tensor:
    """-sum_y softmax(z_teacher / T)_y log softmax(z_student / T)_y, times T^2, for each example.

    The factor keeps the size of the gradients, which shrink with 1 / T^2.

    Args:
      teacher_logits: float32 [batch_size, num_labels].
      student_logits: float32 [batch_size, num_labels].
      temperature: T > 0.

    Returns:
      float32 [batch_size].
    """
    targets = tf.nn.softmax(teacher_logits / temperature)
    cross_entropy = tf.nn.softmax_cross_entropy_with_logits(targets, student_logits / temperature)
    return temperature**2 * cross_entropy


def kl_divergence(teacher_logits: tf.Tensor, student_logits: tf.Tensor) -> tf.Tensor:
    """KL(teacher || student) at T = 1 for each example, in nats: float32 [batch_size]."""
    log_teacher = tf.nn.log_softmax(teacher_logits)
    log_student = tf.nn.log_softmax(student_logits)
    return tf.reduce_sum(tf.exp(log_teacher) * (log_teacher - log_student), axis=-1)


def agreement(teacher_logits: tf.Tensor, student_logits: tf.Tensor) -> tf.Tensor:
    """1.0 where student and teacher prefer the same label: float32 [batch_size]."""
    same = tf.equal(tf.argmax(teacher_logits, axis=-1), tf.argmax(student_logits, axis=-1))
    return tf.cast(same, tf.float32)


Agreement = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class DistillationObjective(Objective):
    """(1 - a) * soft cross-entropy + a * cross-entropy of the rows that have a true label, and, with
    patience, beta * distance between hidden states.

    Agreement with the teacher and KL are measured on the way; they have weight 0 in the loss.

    Args:
      model: The student.
      temperature: T of the soft cross-entropy.
      hard_label_weight: a, in [0, 1].
      patience: For Patient Knowledge Distillation.

    Attributes:
      distance: The metric of `agreement` that is 0 where the student equals its teacher.
    """

    distance = "teacher_kl"
    # Measured in training, too: name -> function of teacher and student, float32 [batch_size].
    measures: Mapping[str, Agreement] = {
        "teacher_agreement": agreement,
        "teacher_kl": kl_divergence,
    }

    def __init__(
        self,
        model: ClassifierModel,
        temperature: float = 1.0,
        hard_label_weight: float = 0.0,
        patience: Patience | None = None,
    ):
        self.model = model
        self.temperature = temperature
        self.patience = patience
        self.loss_weights = {"soft_loss": 1.0 - hard_label_weight}
        if hard_label_weight:
            self.loss_weights["hard_loss"] = hard_label_weight
        if patience:
            self.loss_weights["patience_loss"] = patience.weight
        self.loss_weights.update(dict.fromkeys(self.measures, 0.0))
        self.settings = (temperature, hard_label_weight, patience)

    def loss_denominators(self, batch: Batch) -> dict[str, tf.Tensor]:
        rows = tf.reduce_sum(tf.cast(batch["is_real_example"], tf.float32))
        denominators = dict.fromkeys(self.loss_weights, rows)
        if "hard_loss" in denominators:
            denominators["hard_loss"] = tf.reduce_sum(_has_label(batch))
        return denominators

    def sums(self, batch: Batch, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        student, states = self.model.logits_and_states(batch, seed)
        teacher = batch["teacher_logits"]
        real = tf.cast(batch["is_real_example"], tf.float32)
        sums = {"soft_loss": tf.reduce_sum(real * self.soft_loss(teacher, student))}
        measured = tf.stop_gradient(student)
        for name, measure in self.measures.items():
            sums[name] = tf.reduce_sum(real * measure(teacher, measured))
        if "hard_loss" in self.loss_weights:
            hard = self.hard_loss(batch["label_ids"], student)
            sums["hard_loss"] = tf.reduce_sum(_has_label(batch) * hard)
        if self.patience:
            distance = patience_distance(
                tf.stack([states[layer] for layer in self.patience.student_layers], axis=1),
                tf.gather(batch["teacher_states"], self.patience.columns, axis=1),
            )
            sums["patience_loss"] = tf.reduce_sum(real * distance)
        return sums

    def soft_loss(self, teacher: tf.Tensor, student: tf.Tensor) -> tf.Tensor:
        """The loss of each example, float32 [batch_size], from outputs [batch_size, num_outputs]."""
        return soft_cross_entropy(teacher, student, self.temperature)

    def hard_loss(self, label_ids: tf.Tensor, student: tf.Tensor) -> tf.Tensor:
        """The loss of each example with its true label, `label_ids` [batch_size] of the records."""
        return tf.nn.sparse_softmax_cross_entropy_with_logits(label_ids, student)

    def agreement(self, teacher: np.ndarray, student: np.ndarray) -> dict[str, float]:
        """Soft loss, agreement and KL divergence between teacher and student.

        Args:
          teacher: Outputs, float32 [num_examples, num_outputs].
          student: As `teacher`, without dropout.

        Returns:
          Means over the examples: soft loss, agreement and KL.
        """
        measures = {"soft_loss": self.soft_loss, **self.measures}
        return {name: float(np.mean(f(teacher, student))) for name, f in measures.items()}


class RegressionDistillationObjective(DistillationObjective):
    """(1 - a) * squared error from the teacher's score + a * squared error from the true score of the
    rows that have one, and patience as in the base class.

    Args:
      model: The student.
      hard_label_weight: a, in [0, 1].
      patience: For Patient Knowledge Distillation.
    """

    distance = "teacher_mse"
    measures: Mapping[str, Agreement] = {}

    def __init__(
        self,
        model: ClassifierModel,
        hard_label_weight: float = 0.0,
        patience: Patience | None = None,
    ):
        super().__init__(model, hard_label_weight=hard_label_weight, patience=patience)

    def soft_loss(self, teacher: tf.Tensor, student: tf.Tensor) -> tf.Tensor:
        """As in the base class; outputs are scores, [batch_size, 1]."""
        return tf.math.squared_difference(teacher[:, 0], student[:, 0])

    def hard_loss(self, label_ids: tf.Tensor, student: tf.Tensor) -> tf.Tensor:
        """As in the base class, with float32 `label_ids`."""
        return tf.math.squared_difference(label_ids, student[:, 0])

    def agreement(self, teacher: np.ndarray, student: np.ndarray) -> dict[str, float]:
        """Mean squared error, and Pearson's correlation (0 where all scores are the same)."""
        first, second = teacher[:, 0].astype(np.float64), student[:, 0].astype(np.float64)
        return {
            "teacher_mse": float(np.mean((first - second) ** 2)),
            "teacher_pearson": pearson(first, second),
        }


def _has_label(batch: Batch) -> tf.Tensor:
    return tf.cast(batch["has_label"] * batch["is_real_example"], tf.float32)
