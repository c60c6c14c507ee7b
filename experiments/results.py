"""Scores of trained models, from the runs' own files, and the files that a comparison leaves."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from classification.metrics import compute_metrics, primary_metric
from classification.task import Task
from classification.task_files import TableFile
from classification.tasks import OWN_TABLES
from common.atomic import write_json, write_text
from common.errors import UserError
from common.figures import save_figure
from common.files import read_json, read_lines
from experiments.scores import Row, Score
from modeling.config import BertConfig
from training.metrics_log import read_results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def collect_rows(
    models: Mapping[str, Sequence[str]], task: Task, test_labels: np.ndarray | None = None
) -> dict[str, Row]:
    """Reads the scores of every row of a table.

    Args:
      models: Row -> folders of the models it averages.
      task: The task.
      test_labels: From `read_test_labels`. No run has seen them: they are compared here only.
    """
    rows = {}
    for name, folders in models.items():
        config = BertConfig.from_dict(read_json(os.path.join(folders[0], "bert_config.json")))
        test = None
        if test_labels is not None:
            test = Score(tuple(_test_score(folder, task, test_labels) for folder in folders))
        dev = Score(tuple(dev_score(folder, task) for folder in folders))
        rows[name] = Row(dev, test, config.num_parameters())
    return rows


def dev_score(folder: str, task: Task) -> float:
    """The task's metric on the development set, or the mean of two, in percent."""
    values = read_results(os.path.join(folder, "eval_results.txt"))
    names = {name: values[f"eval_{name}"] for name in task.metrics}
    return 100 * primary_metric(task.metrics, names)


def read_test_labels(task: Task, data_dir: str, label: str | None) -> np.ndarray | None:
    """Values of the test rows' labels, None where the test set has no column of labels.

    Args:
      task: The task; of a known one, no labels of the test set are public.
      data_dir: Folder of its sets.
      label: Column or key of the label.

    Returns:
      `Task.label_value` of each row: positions of labels, or scores.

    Raises:
      UserError: A label is none of the task's.
    """
    (test,) = task.test[:1] or (None,)
    if task.name not in OWN_TABLES or label is None or not isinstance(test, TableFile):
        return None
    if not test.has_column(data_dir, task.name, label):
        return None
    examples = task.read_examples(dataclasses.replace(test, label=label), data_dir)
    return np.array([task.label_value(example.label or "") for example in examples])


def _test_score(folder: str, task: Task, labels: np.ndarray) -> float:
    path = os.path.join(folder, "test_results.tsv")
    rows = [[float(cell) for cell in line.split("\t")] for _, line in read_lines(path)]
    if len(rows) != len(labels):
        raise UserError(f"{path} has {len(rows)} predictions for {len(labels)} test examples.")
    outputs = np.array(rows)
    predictions = outputs[:, 0] if task.is_regression else outputs.argmax(axis=1)
    values = compute_metrics(task.metrics, labels, predictions)
    return 100 * primary_metric(task.metrics, values)


def write_results(
    folder: str, content: Mapping[str, Any], markdown: str, figure: Figure | None = None
) -> None:
    """Writes `results.json`, `results.md` and `results.png`."""
    write_json(os.path.join(folder, "results.json"), dict(content))
    write_text(os.path.join(folder, "results.md"), markdown)
    if figure is not None:
        save_figure(figure, os.path.join(folder, "results.png"))
