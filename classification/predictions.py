"""The prediction files of a model, as google-research/bert `run_classifier.py` writes them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

import numpy as np

from common.atomic import write_text

LABELS_FILE = "labels.txt"


def write_predictions(path: str, outputs: Iterable[np.ndarray], labels: Sequence[str]) -> None:
    """Writes `test_results.tsv` and, beside it, `labels.txt`, which says what its columns are.

    Args:
      path: The table: no header, one line per test example, class probabilities separated by tabs.
      outputs: One float32 [num_labels] per test example, in the order of the test file; the score,
        float32 [1], in a regression task.
      labels: In the order of the classifier's outputs; written one per line. None of them, and no
        `labels.txt`, in a regression task.
    """
    if labels:
        write_text(os.path.join(os.path.dirname(path), LABELS_FILE), label_lines(labels))
    write_text(path, "".join("\t".join(map(str, row)) + "\n" for row in outputs))


def label_lines(labels: Iterable[str]) -> str:
    """Content of `labels.txt`: a line for each label, whose own line ends become spaces."""
    return "".join(re.sub(r"[\r\n]+", " ", label) + "\n" for label in labels)
