"""The sets of a task from tensorflow-datasets, in place of files (`--data_source=tfds`).

Labels go by their names: the numbers that tensorflow-datasets gives them have another order than
GLUE's own processors use (MNLI above all). The package is optional and imported when a set is read.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from classification.task_files import NO_LABEL
from common.errors import UserError
from data.classifier_records import Example

# Rows that tensorflow-datasets hands over at a time.
_BATCH_ROWS = 1000
_UNKNOWN_LABEL = -1
_INDEX = "idx"


@dataclasses.dataclass(frozen=True)
class TfdsDataset:
    """Names of a task's data set, features and splits in tensorflow-datasets.

    Attributes:
      name: Of the data set and its configuration.
      text_a: Feature of the (first) text.
      text_b: Feature of the second text; None for single texts.
      labels: Name of a class -> label of the task, where they differ.
      splits: Name of a set of the task -> split, where it does not follow from
        `dev` -> `validation`.
    """

    name: str
    text_a: str
    text_b: str | None = None
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    splits: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def split(self, name: str) -> str:
        """The split that is the set of the task of this name."""
        return self.splits.get(name, name.replace("dev", "validation"))


# By names of tasks; features and classes are those of tensorflow_datasets/text/glue.py and
# tensorflow_datasets/datasets/snli.
DATASETS: Mapping[str, TfdsDataset] = {
    "cola": TfdsDataset("glue/cola", "sentence", labels={"unacceptable": "0", "acceptable": "1"}),
    "sst-2": TfdsDataset("glue/sst2", "sentence", labels={"negative": "0", "positive": "1"}),
    "mrpc": TfdsDataset(
        "glue/mrpc", "sentence1", "sentence2", labels={"not_equivalent": "0", "equivalent": "1"}
    ),
    "sts-b": TfdsDataset("glue/stsb", "sentence1", "sentence2"),
    "qqp": TfdsDataset(
        "glue/qqp", "question1", "question2", labels={"not_duplicate": "0", "duplicate": "1"}
    ),
    "mnli": TfdsDataset("glue/mnli", "premise", "hypothesis"),
    "qnli": TfdsDataset("glue/qnli", "question", "sentence"),
    "rte": TfdsDataset("glue/rte", "sentence1", "sentence2"),
    "wnli": TfdsDataset(
        "glue/wnli", "sentence1", "sentence2", labels={"not_entailment": "0", "entailment": "1"}
    ),
    "ax": TfdsDataset("glue/ax", "premise", "hypothesis", splits={"diagnostic": "test"}),
    "snli": TfdsDataset("snli", "premise", "hypothesis"),
}


@dataclasses.dataclass(frozen=True)
class TfdsSplit:
    """A split of a data set as a set of a task (`classification.task_files.TaskFile`).

    Attributes:
      name: Of the set of the task.
      dataset: Its names in tensorflow-datasets.
      has_labels: False leaves the labels unread (test sets).
    """

    name: str
    dataset: TfdsDataset
    has_labels: bool

    def open(self, data_dir: str, task_name: str) -> tuple[str, Iterator[Example]]:
        """See `TaskFile`; downloads and prepares the data set first if `data_dir` lacks it."""
        builder = _prepared_builder(self.dataset.name, data_dir)
        split = self.dataset.split(self.name)
        if split not in builder.info.splits:
            raise UserError(
                f'{self.dataset.name} in {data_dir} has no split "{split}", which task {task_name} '
                f"needs; it has {', '.join(builder.info.splits)}."
            )
        title = f"{self.dataset.name}, split {split}"
        return title, self._examples(title, builder, split)

    def _examples(self, title: str, builder: Any, split: str) -> Iterator[Example]:
        import tensorflow_datasets as tfds

        label_of = self._label_names(builder.info.features["label"])
        batches = builder.as_dataset(split=split, batch_size=_BATCH_ROWS, shuffle_files=False)
        position = 0
        for batch in tfds.as_numpy(batches):
            for i, text_a in enumerate(batch[self.dataset.text_a]):
                text_b = batch[self.dataset.text_b][i].decode() if self.dataset.text_b else None
                index = str(batch[_INDEX][i]) if _INDEX in batch else None
                yield Example(
                    f"{self.name}-{position if index is None else index}",
                    f"{title}, example {position}",
                    text_a.decode(),
                    text_b,
                    label_of(batch["label"][i]) if self.has_labels else None,
                    index,
                )
                position += 1

    def _label_names(self, feature: Any) -> Callable[[Any], str]:
        """Function from a value of the label feature to a label of the task."""
        names = getattr(feature, "names", None)
        if names is None:
            return str  # A score.
        labels = [self.dataset.labels.get(name, name) for name in names]
        return lambda value: NO_LABEL if value == _UNKNOWN_LABEL else labels[int(value)]


def _prepared_builder(name: str, data_dir: str) -> Any:
    try:
        import tensorflow_datasets as tfds

        builder = tfds.builder(name, data_dir=data_dir)
    except ImportError as error:
        raise UserError(
            f"--data_source=tfds needs the package tensorflow-datasets ({error}); run `pip install "
            "tensorflow-datasets importlib_resources`, or read files (--data_source=files)."
        ) from None
    if not builder.is_prepared():
        logging.info("%s is not in %s yet: downloading it.", name, data_dir)
        try:
            builder.download_and_prepare()
        except (OSError, tfds.download.DownloadError) as error:
            raise UserError(
                f"{name} is not in --data_dir={data_dir} and cannot be downloaded ({error}); prepare "
                "it there with tensorflow-datasets, or read files (--data_source=files)."
            ) from None
    return builder
