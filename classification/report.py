"""The outputs of a classifier on a labelled set, class by class, and how far they can be trusted."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import softmax

# Guo et al. 2017, "On Calibration of Modern Neural Networks".
NUM_BINS = 15
# Classes that a table in the log has room for.
_MOST_ROWS = 30


class ClassFigures(NamedTuple):
    """Figures of one class.

    Attributes:
      label: The class.
      rows: Rows whose label it is.
      predicted: Rows for which it is the most probable one.
      precision: Share of `predicted` that is right; 0 where there are none.
      recall: Share of `rows` that is found; 0 where there are none.
      f1: Harmonic mean of the two.
    """

    label: str
    rows: int
    predicted: int
    precision: float
    recall: float
    f1: float


class Bin(NamedTuple):
    """Rows of similar confidence.

    Attributes:
      low: Least probability of the most probable class, exclusive.
      high: Highest one, inclusive.
      rows: Number of rows.
      confidence: Mean probability of the most probable class.
      accuracy: Share of rows for which it is right.
    """

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


@dataclasses.dataclass(frozen=True)
class ClassReport:
    """A classifier's outputs on a labelled set.

    Attributes:
      labels: The classes, C of them, in the order of the outputs.
      label_ids: int [N], true classes.
      logits: float64 [N, C].
    """

    labels: Sequence[str]
    label_ids: np.ndarray
    logits: np.ndarray

    @functools.cached_property
    def predictions(self) -> np.ndarray:
        """The most probable class of each row, int [N]."""
        return self.logits.argmax(axis=1)

    @functools.cached_property
    def confusion(self) -> np.ndarray:
        """Rows by true class and predicted class, int [C, C]."""
        size = len(self.labels)
        cells = self.label_ids.astype(np.int64) * size + self.predictions
        return np.bincount(cells, minlength=size * size).reshape(size, size)

    @functools.cached_property
    def classes(self) -> list[ClassFigures]:
        from sklearn.metrics import precision_recall_fscore_support

        precision, recall, f1, rows = precision_recall_fscore_support(
            self.label_ids, self.predictions, labels=range(len(self.labels)), zero_division=0.0
        )
        columns = (rows, self.confusion.sum(axis=0), precision, recall, f1)
        return [
            ClassFigures(label, int(n), int(predicted), float(p), float(r), float(f))
            for label, n, predicted, p, r, f in zip(self.labels, *columns, strict=True)
        ]

    @functools.cached_property
    def accuracy(self) -> float:
        return float(np.mean(self.predictions == self.label_ids))

    @property
    def majority(self) -> tuple[str, float]:
        """The most frequent label, and the accuracy of whoever always says it."""
        rows = self.confusion.sum(axis=1)
        return self.labels[int(rows.argmax())], float(rows.max() / rows.sum())

    @functools.cached_property
    def bins(self) -> list[Bin]:
        """Rows by confidence in bins of equal width; empty bins are left out."""
        number, confidence, is_right = self._calibration
        found = []
        for i in np.unique(number).tolist():
            rows = number == i
            share = (i / NUM_BINS, (i + 1) / NUM_BINS, int(rows.sum()))
            found.append(Bin(*share, float(confidence[rows].mean()), float(is_right[rows].mean())))
        return found

    @property
    def calibration_error(self) -> float:
        """Mean distance of confidence and accuracy over the bins, weighted by their rows."""
        total = len(self.label_ids)
        return sum(b.rows * abs(b.confidence - b.accuracy) for b in self.bins) / total

    def calibration_errors(self, drawn: np.ndarray) -> np.ndarray:
        """`calibration_error` of resamples: positions of rows, int [resamples, N]."""
        number, confidence, is_right = self._calibration
        keys = number[drawn] + NUM_BINS * np.arange(len(drawn))[:, None]
        gaps = np.bincount(
            keys.ravel(), (confidence - is_right)[drawn].ravel(), len(drawn) * NUM_BINS
        )
        return np.abs(gaps).reshape(len(drawn), NUM_BINS).sum(axis=1) / drawn.shape[1]

    @functools.cached_property
    def _calibration(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Number of the bin, confidence, and whether the prediction is right, of each row."""
        confidence = softmax(self.logits, axis=1).max(axis=1)
        number = np.clip(np.ceil(confidence * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)
        return number, confidence, (self.predictions == self.label_ids).astype(np.float64)

    def warnings(self) -> list[str]:
        """Warnings about what a single figure hides, in words."""
        total = len(self.label_ids)
        found = [
            f'label "{c.label}" is never predicted, though {c.rows} of {total} rows have it'
            for c in self.classes
            if c.rows and not c.predicted
        ]
        label, share = self.majority
        if self.accuracy <= share:
            found.append(
                f"the accuracy of {self.accuracy:.3f} is not above {share:.3f}, the accuracy of "
                f'always predicting "{label}"'
            )
        return found

    def log(self) -> None:
        """Writes the table of the classes, and the warnings, to the log."""
        logging.info("Evaluation of the labels:\n%s", self.table())
        for warning in self.warnings():
            logging.warning("WARNING: %s.", warning)

    def table(self) -> str:
        """The classes, those that are recognized worst first where there are many, and a summary."""
        shown = self.classes
        if len(shown) > _MOST_ROWS:
            shown = sorted(shown, key=lambda c: c.f1)[:_MOST_ROWS]
        width = max(len("label"), *(len(_short(c.label)) for c in shown))
        lines = [f"{'label':{width}}  {'rows':>6}  predicted  precision  recall     F1"]
        lines += [
            f"{_short(c.label):{width}}  {c.rows:6d}  {c.predicted:9d}  {c.precision:9.3f}  "
            f"{c.recall:6.3f}  {c.f1:5.3f}"
            for c in shown
        ]
        if len(shown) < len(self.classes):
            lines.append(f"and {len(self.classes) - len(shown)} labels with a higher F1")
        label, share = self.majority
        lines.append(
            f"accuracy {self.accuracy:.3f}; always {_short(label)}: {share:.3f}; macro F1 "
            f"{self.macro_f1:.3f}; calibration error {self.calibration_error:.3f}"
        )
        return "\n".join(lines)

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that are there or predicted."""
        return float(np.mean([c.f1 for c in self.classes if c.rows or c.predicted]))

    def to_json(self) -> dict[str, Any]:
        """All of it but the rows."""
        label, share = self.majority
        return {
            "majority": {"label": label, "share": share},
            "classes": [c._asdict() for c in self.classes],
            "labels": list(self.labels),
            "confusion_matrix": self.confusion.tolist(),
            "calibration_bins": [b._asdict() for b in self.bins],
            "warnings": self.warnings(),
        }


def _short(label: str) -> str:
    label = " ".join(label.split())  # A tab or a line end would break the table.
    return label if len(label) <= 24 else label[:23] + "…"
