"""A classifier on the labelled and unlabelled sets of a task."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.special import log_softmax, softmax

from classification.metrics import compute_metrics, primary_metric
from classification.predictions import write_predictions
from classification.tasks import Task, TaskFile
from modeling.tokenization import FullTokenizer
from training.classifier_records import feature_spec, write_classifier_records
from training.input import RecordSet, evaluation_batches, open_records, read_feature
from training.loop import Predictor
from training.reporting import write_results
from training.run import Evaluation


@dataclasses.dataclass(frozen=True)
class TaskSet:
    """One file of a task as records.

    Attributes:
      file: The table the records were made from.
      records: The records.
      max_seq_length: Their length.
    """

    file: TaskFile
    records: RecordSet
    max_seq_length: int


def write_task_sets(
    task: Task,
    data_dir: str,
    output_dir: str,
    tokenizer: FullTokenizer,
    max_seq_length: int,
    files: Sequence[TaskFile],
    stem: str,
) -> list[TaskSet]:
    """Converts tables of a task to records.

    Args:
      task: The task.
      data_dir: Folder of its tables.
      output_dir: Folder for the records.
      tokenizer: Of the model.
      max_seq_length: Length of the records.
      files: The task's `train`, `dev` or `test`.
      stem: "train", "eval" or "predict": the first table becomes `<stem>.tf_record` as in the
        original, a later one `<stem>_<its name>.tf_record`.
    """
    sets = []
    for file, name in zip(files, output_names(stem, files), strict=True):
        path = os.path.join(output_dir, f"{name}.tf_record")
        examples = task.read_examples(file, data_dir)
        write_classifier_records(path, tokenizer, examples, task.labels, max_seq_length)
        records = open_records(path, "data_dir", feature_spec(max_seq_length), {})
        sets.append(TaskSet(file, records, max_seq_length))
    return sets


def output_names(stem: str, files: Sequence[TaskFile]) -> list[str]:
    """`stem` for the first set of a task, and a name of its own for each other."""
    return [stem if i == 0 else f"{stem}_{file.name}" for i, file in enumerate(files)]


def predict_logits(predictor: Predictor, task_set: TaskSet, batch_size: int) -> np.ndarray:
    """float32 logits [num_examples, num_labels] in the order of the table."""
    batches = evaluation_batches(
        task_set.records,
        feature_spec(task_set.max_seq_length),
        batch_size=batch_size,
        group_by_length=True,
    )
    return predictor(batches, task_set.records.num_examples)


def evaluate_task(
    predictor: Predictor, task: Task, task_set: TaskSet, batch_size: int
) -> Evaluation:
    """The metrics of a labelled set, exact over all its rows.

    Returns:
      `eval_loss`, `eval_accuracy` and the task's other metrics as `eval_<name>`; `loss` repeats
      `eval_loss`, as in the original's `eval_results.txt`. The score is the task's primary metric.
    """
    logits = predict_logits(predictor, task_set, batch_size)
    labels = read_feature(task_set.records, feature_spec(task_set.max_seq_length), "label_ids")
    losses = -log_softmax(logits.astype(np.float64), axis=-1)[np.arange(len(labels)), labels]
    values = compute_metrics(task.metrics, labels, logits.argmax(axis=-1))
    metrics = {f"eval_{name}": value for name, value in values.items()}
    metrics["eval_loss"] = metrics["loss"] = float(losses.mean())
    return Evaluation(metrics, primary_metric(task.metrics, values))


def write_eval_results(
    dev_sets: Sequence[TaskSet],
    evaluations: Sequence[Evaluation],
    output_dir: str,
    step: int,
) -> None:
    """Writes `eval_results.txt` for the first development set, `eval_results_<name>.txt` for others.

    Args:
      dev_sets: From `write_task_sets`.
      evaluations: Of each of them.
      output_dir: Folder for the results.
      step: `global_step` of the evaluated model.
    """
    for evaluation, (_, name) in zip(evaluations, _named(dev_sets, "eval_results"), strict=True):
        results = {"global_step": step, **evaluation.metrics}
        write_results(os.path.join(output_dir, f"{name}.txt"), results)


def write_test_results(
    predictor: Predictor,
    task: Task,
    test_sets: Sequence[TaskSet],
    batch_size: int,
    output_dir: str,
) -> None:
    """Predicts each test set and writes `test_results.tsv` (`test_results_<name>.tsv`)."""
    for task_set, name in _named(test_sets, "test_results"):
        logits = predict_logits(predictor, task_set, batch_size)
        path = os.path.join(output_dir, f"{name}.tsv")
        write_predictions(path, softmax(logits, axis=-1), task.labels)


def _named(sets: Sequence[TaskSet], stem: str) -> Iterator[tuple[TaskSet, str]]:
    names = output_names(stem, [task_set.file for task_set in sets])
    return zip(sets, names, strict=True)
