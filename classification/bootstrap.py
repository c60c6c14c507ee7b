"""Bootstrap intervals of the figures of an evaluation: how far other rows would move them.

Rows are drawn with replacement, `RESAMPLES` times; an interval holds the middle 95 % of the results
(the percentile method of Efron and Tibshirani 1993, chapter 13). The seed is fixed, so the same
predictions have the same intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

RESAMPLES = 1000
SEED = 12345
LEVEL = 0.95
# Drawn numbers that are held at a time.
_DRAWS = 1 << 22

Interval = tuple[float, float]


def class_intervals(
    labels: np.ndarray, predictions: np.ndarray, num_labels: int
) -> dict[str, Interval]:
    """Intervals of the figures that follow from the confusion matrix.

    To draw rows is to draw cells of the matrix, so a resample costs no more than there are cells.

    Args:
      labels: int [N], the true classes.
      predictions: int [N].
      num_labels: C, number of classes.

    Returns:
      Name, as in `classification.metrics.METRICS` -> interval.
    """
    cells, counts = np.unique(labels * num_labels + predictions, return_counts=True)
    rng = np.random.default_rng(SEED)
    drawn = rng.multinomial(len(labels), counts / len(labels), RESAMPLES).astype(np.float64)
    true, predicted = cells // num_labels, cells % num_labels
    classes = np.arange(num_labels)
    is_true = (true[:, None] == classes).astype(np.float64)
    is_predicted = (predicted[:, None] == classes).astype(np.float64)
    rows, answers = drawn @ is_true, drawn @ is_predicted
    hits = drawn @ (is_true * is_predicted)
    either = rows + answers
    f1 = np.divide(2 * hits, either, out=np.zeros_like(hits), where=either > 0)
    total, right = len(labels), hits.sum(axis=1)
    covariance = right * total - (rows * answers).sum(axis=1)
    variances = (total**2 - (rows**2).sum(axis=1)) * (total**2 - (answers**2).sum(axis=1))
    matthews = np.divide(
        covariance, np.sqrt(variances), out=np.zeros_like(covariance), where=variances > 0
    )
    values = {
        "accuracy": right / total,
        "macro_f1": f1.sum(axis=1) / (either > 0).sum(axis=1),
        "matthews_correlation": matthews,
    }
    if num_labels == 2:
        values["f1"] = f1[:, 1]
    return {name: _interval(resampled) for name, resampled in values.items()}


def row_intervals(
    figures: Mapping[str, Callable[[np.ndarray], np.ndarray]], num_rows: int
) -> dict[str, Interval]:
    """Intervals of figures that are computed from rows.

    Args:
      figures: Name -> function of the positions of drawn rows, int [resamples, N], to one figure for
        each resample.
      num_rows: N.
    """
    values: dict[str, list[np.ndarray]] = {name: [] for name in figures}
    for drawn in _drawn_rows(num_rows):
        for name, figure in figures.items():
            values[name].append(figure(drawn))
    return {name: _interval(np.concatenate(parts)) for name, parts in values.items()}


def mean_of(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A figure that is the mean of a value of each row, float [N]."""
    return lambda drawn: values[drawn].mean(axis=1)


def correlations_of(
    labels: np.ndarray, predictions: np.ndarray
) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """The figures of a regression by their names in `classification.metrics.METRICS`."""
    pair = labels.astype(np.float64), predictions.astype(np.float64)
    return {"pearson": pearson_of(*pair), "spearman": spearman_of(*pair)}


def pearson_of(first: np.ndarray, second: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The correlation of two values of each row, float [N]; 0 where it is not defined."""
    return lambda drawn: _correlations(first[drawn], second[drawn])


def spearman_of(first: np.ndarray, second: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The correlation of the ranks, which each resample has of its own."""
    from scipy.stats import rankdata

    return lambda drawn: _correlations(
        rankdata(first[drawn], axis=1), rankdata(second[drawn], axis=1)
    )


def _correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    first = first - first.mean(axis=1, keepdims=True)
    second = second - second.mean(axis=1, keepdims=True)
    products = (first * second).sum(axis=1)
    norms = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    return np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)


def _drawn_rows(num_rows: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(SEED)
    at_once = max(1, _DRAWS // num_rows)
    for start in range(0, RESAMPLES, at_once):
        yield rng.integers(0, num_rows, (min(at_once, RESAMPLES - start), num_rows))


def _interval(values: np.ndarray) -> Interval:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
