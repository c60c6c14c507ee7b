"""The metrics of the tasks, from arrays of label ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np


def accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Fraction of predictions that equal the label."""
    return float(np.mean(labels == predictions))


def f1(labels: np.ndarray, predictions: np.ndarray) -> float:
    """F1 of class 1, as GLUE scores MRPC; 0 if class 1 is never predicted correctly."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, zero_division=0.0))


def matthews_correlation(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Matthews correlation coefficient, as GLUE scores CoLA; 0 if only one class is predicted."""
    from sklearn.metrics import matthews_corrcoef

    if np.ptp(predictions) == 0 or np.ptp(labels) == 0:
        return 0.0
    return float(matthews_corrcoef(labels, predictions))


METRICS: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": accuracy,
    "f1": f1,
    "matthews_correlation": matthews_correlation,
}


def compute_metrics(
    names: Sequence[str], labels: np.ndarray, predictions: np.ndarray
) -> dict[str, float]:
    """The named metrics and, as the original reports it for every task, accuracy.

    Args:
      names: Keys of `METRICS`.
      labels: int [N], N > 0, rows that only fill up a batch left out.
      predictions: int [N], the most probable class of each row.

    Returns:
      Values between -1 and 1 by metric name.
    """
    return {
        name: METRICS[name](labels, predictions) for name in dict.fromkeys(("accuracy", *names))
    }


def primary_metric(names: Sequence[str], values: Mapping[str, float]) -> float:
    """The one figure checkpoints are compared by: the mean of a task's official metrics.

    Two-metric tasks count as the mean of the two in the meta score of Turc et al. (2019), Table 3.

    Args:
      names: The task's official metrics.
      values: A result of `compute_metrics`.
    """
    return float(np.mean([values[name] for name in names]))
