"""The metrics of the tasks, from the labels and predictions of a whole set.

Where a metric is not defined, because all labels or all predictions are the same, it is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np


def accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Fraction of predictions that equal the label."""
    return float(np.mean(labels == predictions))


def f1(labels: np.ndarray, predictions: np.ndarray) -> float:
    """F1 of class 1, as GLUE scores MRPC and QQP; 0 if class 1 is never predicted correctly."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, zero_division=0.0))


def macro_f1(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Mean F1 of the classes that are there or predicted."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, average="macro", zero_division=0.0))


def matthews_correlation(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Matthews correlation coefficient of any number of classes, as GLUE scores CoLA and AX."""
    from sklearn.metrics import matthews_corrcoef

    if _is_constant(labels) or _is_constant(predictions):
        return 0.0
    return float(matthews_corrcoef(labels, predictions))


def pearson(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Pearson correlation coefficient, as GLUE scores STS-B."""
    from scipy.stats import pearsonr

    if _is_constant(labels) or _is_constant(predictions):
        return 0.0
    return float(pearsonr(labels.astype(np.float64), predictions.astype(np.float64))[0])


def spearman(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Spearman rank correlation coefficient, as GLUE scores STS-B; ties have their mean rank."""
    from scipy.stats import spearmanr

    if _is_constant(labels) or _is_constant(predictions):
        return 0.0
    return float(spearmanr(labels, predictions)[0])


def _is_constant(values: np.ndarray) -> bool:
    return bool(np.ptp(values) == 0)


METRICS: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": accuracy,
    "f1": f1,
    "macro_f1": macro_f1,
    "matthews_correlation": matthews_correlation,
    "pearson": pearson,
    "spearman": spearman,
}


def compute_metrics(
    names: Sequence[str], labels: np.ndarray, predictions: np.ndarray
) -> dict[str, float]:
    """The named metrics.

    Args:
      names: Keys of `METRICS`.
      labels: int [N] or, for correlations of scores, float [N]; N > 0, rows that only fill up a batch
        left out.
      predictions: The most probable class of each row, int [N], or its score, float [N].

    Returns:
      Values between -1 and 1 by metric name.
    """
    return {name: METRICS[name](labels, predictions) for name in names}


def primary_metric(names: Sequence[str], values: Mapping[str, float]) -> float:
    """The one figure checkpoints are compared by: the mean of a task's official metrics.

    Two-metric tasks count as the mean of the two in the meta score of Turc et al. (2019), Table 3.

    Args:
      names: The task's official metrics.
      values: A result of `compute_metrics`.
    """
    return float(np.mean([values[name] for name in names]))
