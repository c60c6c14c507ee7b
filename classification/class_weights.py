"""Weights of classes in the loss of fine-tuning, for classes that are rare or matter more.

With weights, the loss of an update is the weighted mean

    sum_i w(y_i) * cross-entropy_i / sum_i w(y_i)

over its examples, so a factor common to all weights changes nothing. `balanced` gives class c the
weight N / (C * N_c), as in scikit-learn: N rows, C classes, N_c rows of the class. Evaluations have
no weights.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import numpy as np

from classification.task import Task
from common.errors import UserError

BALANCED = "balanced"


def check_class_weights(given: Sequence[str] | None, task: Task) -> None:
    """Raises a UserError for weights that are none, or not of the task's classes."""
    if given is not None and task.is_regression:
        raise UserError(f"--class_weights={','.join(given)}: a regression has no classes.")
    if given is not None and list(given) != [BALANCED]:
        _given_weights(given, task.labels)


def complete_class_weights(
    given: Sequence[str] | None, labels: Sequence[str]
) -> dict[str, float] | str | None:
    """The weight of each label, or `balanced`; the same for every way to write it."""
    if given is None:
        return None
    if list(given) == [BALANCED]:
        return BALANCED
    return dict(zip(labels, _given_weights(given, labels), strict=True))


def class_weights(
    given: Sequence[str] | None, labels: Sequence[str], label_ids: np.ndarray
) -> list[float] | None:
    """The weight of each class, in the order of the outputs; None without weights.

    Args:
      given: The flag: `balanced` alone, or `<label>:<weight>` each; classes that are not named have
        weight 1.
      labels: The classes.
      label_ids: int [N], classes of the training rows.
    """
    if given is None:
        return None
    if list(given) != [BALANCED]:
        weights = _given_weights(given, labels)
    else:
        rows = np.bincount(label_ids, minlength=len(labels))
        # A class without rows has no weight to say anything with.
        weights = [len(label_ids) / (len(labels) * n) if n else 1.0 for n in rows.tolist()]
    logging.info(
        "Weights in the loss: %s.",
        ", ".join(f"{label} {weight:.3g}" for label, weight in zip(labels, weights, strict=True)),
    )
    return weights


def _given_weights(given: Sequence[str], labels: Sequence[str]) -> list[float]:
    flag = f"--class_weights={','.join(given)}"
    weights: dict[str, float] = {}
    for part in given:
        label, _, number = part.rpartition(":")
        try:
            weight = float(number)
        except ValueError:
            weight = 0.0
        if not label or not 0 < weight < math.inf:
            raise UserError(
                f'{flag}: found "{part}"; expected {BALANCED}, or <label>:<weight> with weights '
                "above 0, such as a:2,b:1, where a label with a comma in it is quoted as in a CSV "
                'file, such as "a, b:2",c:1.'
            )
        if label not in labels:
            raise UserError(f'{flag}: no label is "{label}"; the labels are {", ".join(labels)}.')
        if label in weights:
            raise UserError(f'{flag} names the label "{label}" twice.')
        weights[label] = weight
    return [weights.get(label, 1.0) for label in labels]
