"""Masked LM distillation: the triple loss of DistilBERT (Sanh et al., 2019).

A student that is pre-trained beside a teacher: cross-entropy with the teacher's distribution over the
vocabulary at a temperature, cross-entropy with the masked words, and the angle between the last
hidden states of both. The first two are taken at the masked positions. There is no next-sentence
loss; its value is reported with weight 0.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from common.errors import UserError
from modeling.heads import PretrainingModel
from pretraining.objective import PretrainingObjective
from training.updates import Batch


@dataclasses.dataclass(frozen=True)
class TripleLoss:
    """Weights of the three parts and the temperature of the first.

    The defaults are those of the published training command.

    Attributes:
      temperature: T of teacher and student in the soft cross-entropy, which is scaled by T^2.
      soft_weight: Of the soft cross-entropy.
      masked_lm_weight: Of the cross-entropy with the masked words.
      cosine_weight: Of one minus the cosine of the hidden states; needs a student of the teacher's
        width.
    """

    temperature: float = 2.0
    soft_weight: float = 5.0
    masked_lm_weight: float = 2.0
    cosine_weight: float = 1.0


class MaskedLmDistillationObjective(PretrainingObjective):
    """Weighted sum of soft cross-entropy, masked LM loss and cosine distance.

    Args:
      model: The student.
      teacher: Gives targets without dropout; it is not trained.
      loss: See `TripleLoss`.

    Raises:
      UserError: The models have other vocabularies, or other widths and the cosine loss is used.
    """

    def __init__(self, model: PretrainingModel, teacher: PretrainingModel, loss: TripleLoss):
        super().__init__(model)
        student_config, teacher_config = model.encoder.config, teacher.encoder.config
        if student_config.vocab_size != teacher_config.vocab_size:
            raise UserError(
                f"--teacher has a vocabulary of {teacher_config.vocab_size} entries, the student of "
                f"{student_config.vocab_size}; give the student the teacher's vocabulary."
            )
        if loss.cosine_weight and student_config.hidden_size != teacher_config.hidden_size:
            raise UserError(
                f"--teacher has hidden_size {teacher_config.hidden_size}, the student "
                f"{student_config.hidden_size}: their hidden states cannot be compared; use a "
                "student of the teacher's width, or --cosine_weight=0."
            )
        self.teacher = teacher
        self.settings = (teacher, loss)
        self.temperature = loss.temperature
        self.loss_weights = {
            "soft_masked_lm_loss": loss.soft_weight,
            "masked_lm_loss": loss.masked_lm_weight,
            "next_sentence_loss": 0.0,
        }
        if loss.cosine_weight:
            self.loss_weights["cosine_loss"] = loss.cosine_weight

    def loss_denominators(self, batch: Batch) -> dict[str, tf.Tensor]:
        denominators = super().loss_denominators(batch)
        denominators["soft_masked_lm_loss"] = denominators["masked_lm_loss"]
        if "cosine_loss" in self.loss_weights:
            denominators["cosine_loss"] = tf.reduce_sum(tf.cast(batch["input_mask"], tf.float32))
        return denominators

    def sums(self, batch: Batch, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        student_states, student_logits, next_sentence_logits = _outputs(self.model, batch, seed)
        teacher_states, teacher_logits, _ = _outputs(self.teacher, batch, None)
        weights = tf.reshape(batch["masked_lm_weights"], [-1])
        targets = tf.stop_gradient(tf.nn.softmax(teacher_logits / self.temperature))
        soft = tf.nn.softmax_cross_entropy_with_logits(targets, student_logits / self.temperature)
        hard = tf.nn.sparse_softmax_cross_entropy_with_logits(
            tf.reshape(batch["masked_lm_ids"], [-1]), student_logits
        )
        next_sentence = tf.nn.sparse_softmax_cross_entropy_with_logits(
            batch["next_sentence_labels"][:, 0], next_sentence_logits
        )
        sums = {
            "soft_masked_lm_loss": self.temperature**2 * tf.reduce_sum(weights * soft),
            "masked_lm_loss": tf.reduce_sum(weights * hard),
            "next_sentence_loss": tf.reduce_sum(next_sentence),
        }
        if "cosine_loss" in self.loss_weights:
            student_directions, teacher_directions = (
                tf.math.l2_normalize(tf.cast(states, tf.float32), axis=-1)
                for states in (student_states, tf.stop_gradient(teacher_states))
            )
            cosine = tf.reduce_sum(student_directions * teacher_directions, axis=-1)
            is_token = tf.cast(batch["input_mask"], tf.float32)
            sums["cosine_loss"] = tf.reduce_sum(is_token * (1.0 - cosine))
        return sums


def _outputs(
    model: PretrainingModel, batch: Batch, seed: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Last hidden states [B, S, H], MLM logits [B * P, V] and NSP logits [B, 2]."""
    output = model.encoder(batch["input_ids"], batch["input_mask"], batch["segment_ids"], seed=seed)
    at_masks = tf.gather(output.sequence_output, batch["masked_lm_positions"], batch_dims=1)
    masked_lm_logits = model.masked_lm(at_masks, model.encoder.embeddings.word_embeddings)
    return output.sequence_output, masked_lm_logits, model.next_sentence(output.pooled_output)
