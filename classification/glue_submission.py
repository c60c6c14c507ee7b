"""The eleven files that the GLUE server scores, and the archive it takes them in.

Each file is a table with the header `index<TAB>prediction`. The predictions are the labels of the
task as they stand in its files; those of STS-B are scores between 0 and 5. The models of the tasks
come from runs of their own, which share one folder of files: the last one to be written makes the
archive. Source: gluebenchmark.com/faq.
"""

from __future__ import annotations

import logging
import os
import zipfile
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from classification.task import Task
from common.atomic import atomic_output, write_text
from common.errors import UserError
from common.files import exists, open_binary

ARCHIVE = "glue_submission.zip"
LOWEST_SCORE, HIGHEST_SCORE = 0.0, 5.0


class GlueTestSet(NamedTuple):
    """A test set of the benchmark.

    Attributes:
      name: Name of its file, without `.tsv`.
      num_examples: Their indexes count from 0.
    """

    name: str
    num_examples: int


# By task and, in the order of `Task.test`, by its files.
TEST_SETS: Mapping[str, tuple[GlueTestSet, ...]] = {
    "cola": (GlueTestSet("CoLA", 1063),),
    "sst-2": (GlueTestSet("SST-2", 1821),),
    "mrpc": (GlueTestSet("MRPC", 1725),),
    "sts-b": (GlueTestSet("STS-B", 1379),),
    "qqp": (GlueTestSet("QQP", 390965),),
    "mnli": (GlueTestSet("MNLI-m", 9796), GlueTestSet("MNLI-mm", 9847)),
    "qnli": (GlueTestSet("QNLI", 5463),),
    "rte": (GlueTestSet("RTE", 3000),),
    "wnli": (GlueTestSet("WNLI", 146),),
    "ax": (GlueTestSet("AX", 1104),),
}


class GlueSubmission:
    """The part of a submission that one task makes.

    Args:
      folder: For the files of all tasks and the archive.
      task: The task.
      data_dir: Folder of its test sets, which are read for their indexes.

    Raises:
      UserError: The task is not part of GLUE, or a test set is not the one the server has: rows are
        missing, repeated or of another set.
    """

    def __init__(self, folder: str, task: Task, data_dir: str):
        if task.name not in TEST_SETS:
            raise UserError(
                f"--make_glue_submission: task {task.name} is not part of GLUE, which has "
                f"{', '.join(TEST_SETS)}."
            )
        self._folder, self._task = folder, task
        self._indexes = [
            _read_indexes(task, data_dir, position) for position in range(len(task.test))
        ]

    def write(self, outputs: Sequence[np.ndarray]) -> None:
        """Writes the task's files and, if all eleven are there now, the archive.

        Args:
          outputs: For each test set, in the order of `Task.test`, the class probabilities float32
            [N, num_labels] or scores float32 [N, 1] of its examples.
        """
        for test_set, indexes, rows in zip(
            TEST_SETS[self._task.name], self._indexes, outputs, strict=True
        ):
            predictions = dict(zip(indexes, self._predictions(rows), strict=True))
            lines = [f"{index}\t{predictions[index]}\n" for index in range(len(indexes))]
            write_text(_path(self._folder, test_set.name), "index\tprediction\n" + "".join(lines))
        names = [test_set.name for test_sets in TEST_SETS.values() for test_set in test_sets]
        missing = [name for name in names if not exists(_path(self._folder, name))]
        if missing:
            logging.info(
                "GLUE submission in %s: %d of %d files; %s will be made once %s are there, too.",
                self._folder,
                len(names) - len(missing),
                len(names),
                ARCHIVE,
                ", ".join(f"{name}.tsv" for name in missing),
            )
        else:
            _write_archive(self._folder, names)

    def _predictions(self, outputs: np.ndarray) -> list[str]:
        if self._task.is_regression:
            return [f"{score:.5f}" for score in np.clip(outputs[:, 0], LOWEST_SCORE, HIGHEST_SCORE)]
        return [self._task.labels[position] for position in outputs.argmax(axis=-1)]


def _read_indexes(task: Task, data_dir: str, position: int) -> list[int]:
    """The server's numbers of the examples of a test set, in the order they are predicted in."""
    test_set = TEST_SETS[task.name][position]
    found: dict[int, str] = {}
    for example in task.read_examples(task.test[position], data_dir):
        text = example.index or ""
        index = int(text) if text.isdecimal() else -1
        if not 0 <= index < test_set.num_examples:
            raise UserError(
                f'{example.source}: found the index "{text}", but those of {test_set.name} '
                f"go from 0 to {test_set.num_examples - 1}; take the test set of GLUE."
            )
        if index in found:
            raise UserError(
                f"{example.source}: index {index} stands at {found[index]} already; take the test "
                "set of GLUE."
            )
        found[index] = example.source
    if len(found) < test_set.num_examples:
        first = next(index for index in range(test_set.num_examples) if index not in found)
        raise UserError(
            f"the predictions would not cover the test set of {test_set.name}: {data_dir} has "
            f"{len(found)} of its {test_set.num_examples} examples, the first that is missing is "
            f"index {first}; take the test set of GLUE."
        )
    return list(found)


def _path(folder: str, name: str) -> str:
    return os.path.join(folder, f"{name}.tsv")


def _write_archive(folder: str, names: Sequence[str]) -> None:
    path = os.path.join(folder, ARCHIVE)
    with (
        atomic_output(path) as temporary,
        open_binary(temporary, "wb") as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in names:
            with open_binary(_path(folder, name), decompress=False) as table:
                # Without the time of day, so that the same predictions make the same archive.
                info = zipfile.ZipInfo(f"{name}.tsv")
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, table.read())
    logging.info("GLUE submission: %s is complete.", path)
