"""Tables of a task with few labels (`experiments.label_subset`)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence

import numpy as np

from classification.task import Task
from common.atomic import write_text
from common.errors import UserError
from common.files import make_folder
from common.outputs import check_folder_apart
from data.classifier_records import Example


def write_subset(task: Task, data_dir: str, num_labels: int, seed: int, output_dir: str) -> None:
    """Writes `train.tsv`, `dev.tsv`, `unlabelled.txt` (of pairs `.tsv`) and `dev_texts.tsv`.

    Args:
      task: The task; its first development set is taken.
      data_dir: Folder of its sets.
      num_labels: Training examples that keep their labels, each label in its share of the whole
        training set; 0 for all.
      seed: Of the choice and of the order.
      output_dir: Folder to write to.

    Raises:
      UserError: There are fewer examples; or the folder is that of the data.
    """
    check_folder_apart("output_dir", output_dir, {"data_dir": data_dir})
    train = [e for file in task.train for e in task.read_examples(file, data_dir)]
    dev = list(task.read_examples(task.dev[0], data_dir))
    kept = stratified_choice([e.label or "" for e in train], num_labels or len(train), seed)
    others = sorted(set(range(len(train))) - set(kept))
    make_folder(output_dir)
    are_pairs = train[0].text_b is not None
    header = ["text_a", "text_b", "label"] if are_pairs else ["text_a", "label"]
    tables = {
        "dev_texts.tsv": [_texts(e) for e in dev],
        f"unlabelled.{'tsv' if are_pairs else 'txt'}": [_texts(train[i]) for i in others],
        "dev.tsv": [header, *(_row(e) for e in dev)],
        "train.tsv": [header, *(_row(train[i]) for i in kept)],
    }
    for name, rows in tables.items():
        path = os.path.join(output_dir, name)
        write_text(path, "".join("\t".join(row) + "\n" for row in rows))
        logging.info("%s: %d rows.", path, len(rows) - (rows[:1] == [header]))


def stratified_choice(labels: Sequence[str], number: int, seed: int) -> list[int]:
    """Positions of some rows in random order, each label in about its share of all rows.

    Raises:
      UserError: There are fewer rows than that.
    """
    if number > len(labels):
        raise UserError(f"--num_labels={number}, but there are {len(labels)} training examples.")
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(labels))
    # The k-th of n rows with a label comes at (k + 1/2) / n: the beginning of this order holds
    # every label in its share.
    seen: dict[str, int] = {}
    counts = {label: labels.count(label) for label in set(labels)}
    places = []
    for i in shuffled:
        label = labels[i]
        seen[label] = seen.get(label, 0) + 1
        places.append(((seen[label] - 0.5) / counts[label], int(i)))
    chosen = [i for _, i in sorted(places)[:number]]
    return [chosen[i] for i in generator.permutation(number)]


def _texts(example: Example) -> list[str]:
    return list(_cells([example.text_a, example.text_b]))


def _row(example: Example) -> list[str]:
    # A score may have line ends around it; labels hold none (`classification.own_tables`).
    return [*_texts(example), (example.label or "").strip("\t\n\r")]


def _cells(texts: Iterable[str | None]) -> Iterable[str]:
    """A table has no tabs and line breaks in its cells; to BERT they are spaces."""
    return (" ".join(text.split()) for text in texts if text is not None)
