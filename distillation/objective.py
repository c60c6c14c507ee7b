"""Distillation from stored teacher logits.

Source: Turc et al. (2019), section 5.1: cross-entropy between the teacher's distribution
softmax(z / T) and the student's, at T = 1 and without hard labels. Hinton et al. (2015) for the
factor T^2 and for the mix with hard labels, both off by default. Hidden states: `patience`.
"""

from __future__ import annotations

import tensorflow as tf

from distillation.patience import Patience, patience_distance
from modeling.heads import ClassifierModel
from training.loop import Batch, Objective


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


class DistillationObjective(Objective):
    """(1 - a) * soft cross-entropy + a * cross-entropy of the rows that have a true label, and, with
    patience, beta * distance between hidden states.

    Agreement with the teacher and KL are measured on the way; they have weight 0 in the loss.

    Args:
      model: The student.
      temperature: T of the soft cross-entropy.
      hard_label_weight: a, in [0, 1].
      patience: For Patient Knowledge Distillation.
    """

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
        self.loss_weights.update({"teacher_agreement": 0.0, "teacher_kl": 0.0})

    def counts(self, batch: Batch) -> dict[str, tf.Tensor]:
        rows = tf.reduce_sum(tf.cast(batch["is_real_example"], tf.float32))
        counts = dict.fromkeys(self.loss_weights, rows)
        if "hard_loss" in counts:
            counts["hard_loss"] = tf.reduce_sum(_has_label(batch))
        return counts

    def sums(self, batch: Batch, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        student, states = self.model.logits_and_states(batch, seed)
        teacher = batch["teacher_logits"]
        real = tf.cast(batch["is_real_example"], tf.float32)
        soft = soft_cross_entropy(teacher, student, self.temperature)
        measured = tf.stop_gradient(student)
        sums = {
            "soft_loss": tf.reduce_sum(real * soft),
            "teacher_agreement": tf.reduce_sum(real * agreement(teacher, measured)),
            "teacher_kl": tf.reduce_sum(real * kl_divergence(teacher, measured)),
        }
        if "hard_loss" in self.loss_weights:
            hard = tf.nn.sparse_softmax_cross_entropy_with_logits(batch["label_ids"], student)
            sums["hard_loss"] = tf.reduce_sum(_has_label(batch) * hard)
        if self.patience:
            distance = patience_distance(
                tf.stack([states[layer] for layer in self.patience.student_layers], axis=1),
                tf.gather(batch["teacher_states"], self.patience.columns, axis=1),
            )
            sums["patience_loss"] = tf.reduce_sum(real * distance)
        return sums

    def metrics(self, batch: Batch) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        """Agreement, KL and soft loss of the student without dropout."""
        student, teacher = self.model(batch), batch["teacher_logits"]
        real = batch["is_real_row"]
        values = {
            "soft_loss": soft_cross_entropy(teacher, student, self.temperature),
            "teacher_agreement": agreement(teacher, student),
            "teacher_kl": kl_divergence(teacher, student),
        }
        return {k: (tf.reduce_sum(real * v), tf.reduce_sum(real)) for k, v in values.items()}


def _has_label(batch: Batch) -> tf.Tensor:
    return tf.cast(batch["has_label"] * batch["is_real_example"], tf.float32)
