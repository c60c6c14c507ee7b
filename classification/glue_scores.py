"""Scores over several GLUE tasks, from the figures of each.

A task's figures are those GLUE reports: two for MRPC and QQP (F1, accuracy), STS-B (Pearson,
Spearman) and MNLI (matched, mismatched), one for each other task. Figures of a task are averaged
first.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

Figures = Mapping[str, Sequence[float]]

# The tasks that Sun et al. (2019a) chose; Turc et al. (2019), Table 3.
META_TASKS = ("sst-2", "mrpc", "qqp", "mnli", "qnli", "rte")
# All of GLUE but the diagnostic set AX; the table of miniatures in google-research/bert's README.
README_TASKS = ("cola", "sst-2", "mrpc", "sts-b", "qqp", "mnli", "qnli", "rte", "wnli")


def meta_score(figures: Figures) -> float:
    """The "Meta Score" of Turc et al. (2019), Table 3.

    Args:
      figures: Task, by its name in `classification.tasks`, -> its figures.

    Raises:
      ValueError: A task is missing or has no figure.
    """
    return _mean(figures, META_TASKS)


def readme_score(figures: Figures) -> float:
    """The "Score" of the released miniatures: google-research/bert's README; see `meta_score`."""
    return _mean(figures, README_TASKS)


def _mean(figures: Figures, tasks: Sequence[str]) -> float:
    if missing := [task for task in tasks if not figures.get(task)]:
        raise ValueError(f"no figures for {', '.join(missing)}")
    return statistics.fmean(statistics.fmean(figures[task]) for task in tasks)
