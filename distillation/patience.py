"""Patient Knowledge Distillation (Sun et al. 2019, "Patient Knowledge Distillation for BERT Model
Compression"): the student also follows the teacher's [CLS] states, layer by layer.

Layers are counted from 1, as in that paper; the last layer has no part in it, because its [CLS] state
is what the classifier reads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from common.errors import UserError
from modeling.config import BertConfig
from modeling.heads import ClassifierModel

LAST = "last"


@dataclasses.dataclass(frozen=True)
class Patience:
    """The part of the loss that patience adds.

    Attributes:
      weight: beta.
      student_layers: Layers of the student, counted from 1.
      columns: For each of them the position of the teacher's layer in `teacher_states`.
    """

    weight: float
    student_layers: tuple[int, ...]
    columns: tuple[int, ...]


def matched_layers(strategy: str, teacher_depth: int, student_depth: int) -> dict[int, int]:
    """The teacher's layer for each layer of the student (Patient KD).

    Args:
      strategy: "skip": every k-th layer, 2, 4, 6, 8, 10 for 12 and 6 layers; "last": the layers below
        the last, 7 to 11.
      teacher_depth: Number of layers of the teacher.
      student_depth: Number of layers of the student.

    Returns:
      Layer of the student -> layer of the teacher.

    Raises:
      UserError: The student is deeper than the teacher, or has no layer below its last.
    """
    if not 1 < student_depth <= teacher_depth:
        raise UserError(
            "--patience_weight needs a student of two layers or more, and of no more than the "
            f"teacher's {teacher_depth}; this one has {student_depth}."
        )
    layers = range(1, student_depth)
    if strategy == LAST:
        return {layer: teacher_depth - student_depth + layer for layer in layers}
    return {layer: layer * teacher_depth // student_depth for layer in layers}


def parse_layers(texts: Sequence[str] | None, teacher_depth: int) -> list[int]:
    """The layers that --hidden_state_layers names.

    Raises:
      UserError: One is no layer of the teacher.
    """
    layers = []
    for text in texts or ():
        if not text.isdecimal() or not 1 <= int(text) <= teacher_depth:
            raise UserError(
                f"--hidden_state_layers={','.join(texts or ())}: expected layers from 1 to "
                f"{teacher_depth}, the teacher's last, found {text}."
            )
        layers.append(int(text))
    return layers


def make_patience(
    weight: float, strategy: str, manifest: Mapping[str, Any], student: BertConfig
) -> tuple[Patience, tuple[int, int]]:
    """The patience of a student with the teacher whose soft labels it gets.

    Args:
      weight: beta.
      strategy: See `matched_layers`.
      manifest: Of the soft labels.
      student: Architecture of the student.

    Returns:
      The part of the loss, and the shape (layers, hidden size) of the stored states.

    Raises:
      UserError: The soft labels lack a layer, or the widths differ.
    """
    teacher = manifest.get("teacher_config")
    if not teacher:
        raise UserError(
            "--patience_weight needs hidden states, and these soft labels come from a file or from "
            "several teachers; create them with one teacher and --hidden_state_layers of "
            "create_soft_labels.py."
        )
    layers = matched_layers(strategy, teacher["num_hidden_layers"], student.num_hidden_layers)
    wanted, stored = list(layers.values()), manifest.get("hidden_state_layers") or []
    if missing := [layer for layer in wanted if layer not in stored]:
        raise UserError(
            f"--patience_weight needs the teacher's layers {_listed(wanted)}, the soft labels hold "
            f"{_listed(stored) or 'none'}, so {_listed(missing)} is missing; create them with "
            f"create_soft_labels.py --hidden_state_layers={_listed(wanted)}."
        )
    if teacher["hidden_size"] != student.hidden_size:
        raise UserError(
            f"--patience_weight compares hidden states of {teacher['hidden_size']} (teacher) and "
            f"{student.hidden_size} numbers (student); use a student of the teacher's width."
        )
    columns = tuple(stored.index(layer) for layer in wanted)
    return Patience(weight, tuple(layers), columns), (len(stored), student.hidden_size)


def _listed(layers: Sequence[int]) -> str:
    return ",".join(map(str, layers))


def teacher_outputs(
    model: ClassifierModel, layers: Sequence[int]
) -> Callable[[Mapping[str, tf.Tensor]], tf.Tensor]:
    """Function that computes a teacher's logits and [CLS] states of a batch, in one array.

    Args:
      model: The teacher.
      layers: Layers whose [CLS] states are wanted; may be empty.

    Returns:
      Batch -> float32 [batch_size, num_labels + num_layers * hidden_size].
    """

    def outputs(batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        logits, states = model.logits_and_states(batch)
        return tf.concat([logits, *(states[layer] for layer in layers)], axis=-1)

    return outputs


def patience_distance(student: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
    """Squared distance between the directions of hidden states, mean over layers.

    Args:
      student: float32 [batch_size, num_layers, hidden_size].
      teacher: As `student`.

    Returns:
      float32 [batch_size], between 0 and 4.
    """
    student, teacher = (tf.math.l2_normalize(x, axis=-1) for x in (student, teacher))
    return tf.reduce_mean(tf.reduce_sum(tf.square(student - teacher), axis=-1), axis=-1)
