"""The tables and figures of the paper as data (Turc et al. 2019).

A figure is made of panels, a panel of lines, and a point of a line is a student: what it starts from,
what it learns from, on which task. Students that several figures show are trained once
(`experiments.paper.plan`); sizes, tasks and settings are those of a scale
(`experiments.paper.scales`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from experiments.commands import Schedule


@dataclasses.dataclass(frozen=True)
class Student:
    """Runs that differ in their seeds only.

    Attributes:
      task: Of the scale's tasks.
      size: Layers/width.
      strategy: Of `experiments.students.STRATEGIES`.
      start: Other weights than the strategy's; a key of `STARTS`.
      transfer: Another transfer set than the task's: a name of texts, or `LABELLED_SET`.
      texts: Number of transfer texts; 0 for all.
      teacher: Size of a teacher that is pre-trained like the students; "" for the given one.
    """

    task: str
    size: str
    strategy: str
    start: str = ""
    transfer: str = ""
    texts: int = 0
    teacher: str = ""


# The transfer set that is the training set without its labels (section 4).
LABELLED_SET = "labelled set"
# Starts besides those of the strategies, in the words of sections 4, 6.1 and 6.3.
STARTS = {
    "truncated": "bottom layers of a deep pre-trained model of the same width",
    "embeddings": "word embeddings of a pre-trained one-layer model",
    "transfer text": "pre-trained on the transfer set",
    "distilled": "every other layer of a deep one, then pre-trained by it as teacher (DistilBERT)",
}


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a panel: the strategy and the start of its students, and its name in the legend."""

    label: str
    strategy: str
    start: str = ""


@dataclasses.dataclass(frozen=True)
class Panel:
    """Lines over one axis.

    Attributes:
      title: Above it.
      lines: From bottom to top of the legend.
      axis: Quantity along the axis: "size", "texts", "transfer" or "task".
      points: The values of that along the axis.
      fixed: The rest of each student; its strategy and start are the lines'.
    """

    title: str
    lines: tuple[Line, ...]
    axis: str
    points: tuple[str | int, ...]
    fixed: Student

    def student(self, line: Line, point: str | int) -> Student:
        changes: dict[str, Any] = {"strategy": line.strategy, "start": line.start, self.axis: point}
        return dataclasses.replace(self.fixed, **changes)


@dataclasses.dataclass(frozen=True)
class Claim:
    """A sentence of the paper as a difference of means over points: higher minus lower.

    Attributes:
      text: In a few words, with its section.
      higher: Label of a line.
      lower: Label of a line.
      higher_points: Points that count; () for all.
      lower_points: As `higher_points`; where they differ, the points are other models.
      panel: Number of the panel in the artifact; None for the mean of all.
    """

    text: str
    higher: str
    lower: str
    higher_points: tuple[str | int, ...] = ()
    lower_points: tuple[str | int, ...] = ()
    panel: int | None = None


@dataclasses.dataclass(frozen=True)
class Artifact:
    """A table or figure.

    Attributes:
      title: In the paper's words.
      panels: Side by side; () for a table that needs no training.
      claims: Claims that the paper makes from it.
      published: (Line, task) -> the value that the paper prints.
    """

    title: str
    panels: tuple[Panel, ...] = ()
    claims: tuple[Claim, ...] = ()
    published: Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class PaperTask:
    """A task of the paper's, or what stands in its place.

    Attributes:
      title: In figures.
      flags: Of scripts, without the folder of the data.
      data: Name of the folder in the paths that are given.
      transfer: Names of texts in the paths that make its transfer set.
      num_train: Labelled examples, for estimates and Table 4.
      num_transfer: Unlabelled texts.
      seq_length: In WordPieces.
      label_epochs: Passes of students over the labels.
      distill_epochs: Passes over the transfer set.
      teacher_epochs: Passes of the teacher over the labels.
      num_labels: Train on that many examples; the others' texts join the transfer set. 0 for all.
    """

    title: str
    flags: tuple[str, ...]
    data: str
    transfer: tuple[str, ...]
    num_train: int
    num_transfer: int
    seq_length: int = 128
    label_epochs: float = 4.0
    distill_epochs: float = 3.0
    teacher_epochs: float = 3.0
    num_labels: int = 0


@dataclasses.dataclass(frozen=True)
class Pretraining:
    """Settings of the students' pre-training, where no checkpoints are given.

    Attributes:
      texts: Names of texts in the paths; or `files` themselves.
      seq_length: In WordPieces.
      batch_size: Records per update.
      learning_rates: Width -> peak learning rate.
      steps: Updates.
      records: More flags of create_pretraining_data.py.
      training: More flags of run_pretraining.py.
      initialization: Flags of run_pretraining.py for models that start from random weights.
      files: Of text.
    """

    texts: tuple[str, ...]
    seq_length: int
    batch_size: int
    learning_rates: Mapping[int, float]
    steps: int
    records: tuple[str, ...] = ()
    training: tuple[str, ...] = ()
    initialization: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Scale:
    """Tasks, sizes and settings, and the artifacts they give.

    Attributes:
      tasks: By key.
      pretraining: On the language-model texts.
      transfer_pretraining: On a transfer set (Figure 10).
      distilled_steps: Updates of a student that a language-model teacher pre-trains (Table 3).
      teacher: Fine-tuning of the given teacher.
      teacher_size: Of the given teacher, for estimates.
      learning_rates: Width -> peak learning rate of students, the same for every strategy.
      final: Fine-tuning after distillation.
      batch_size: Examples per update.
      shard: Soft labels per file; the numbers of texts of Figures 8 and 9 are multiples of it.
      seeds: Layers/width -> number of seeds.
      deep: Width -> the deep model that is truncated.
      artifacts: By name.
      vocab_size: Of a vocabulary that is learned from the pre-training texts where none is given; 0
        where one must be.
    """

    tasks: Mapping[str, PaperTask]
    pretraining: Pretraining
    transfer_pretraining: Pretraining
    distilled_steps: int
    teacher: Schedule
    teacher_size: str
    learning_rates: Mapping[int, float]
    final: Schedule
    batch_size: int
    shard: int
    seeds: Mapping[str, int]
    deep: Mapping[int, str]
    artifacts: Mapping[str, Artifact]
    vocab_size: int = 0

    def num_seeds(self, size: str) -> int:
        return self.seeds.get(size, 3)

    def source_size(self, student: Student) -> str:
        """Size of the model whose weights it begins with; pre-trained on the general texts."""
        width = layers_and_width(student.size)[1]
        if student.start in ("truncated", "distilled"):
            return student.teacher or self.deep[width]
        return f"1/{width}" if student.start == "embeddings" else student.size


def layers_and_width(size: str) -> tuple[int, int]:
    """Of a size such as 2/128 or, with the number of heads, 2/128/2."""
    layers, width = map(int, size.split("/")[:2])
    return layers, width
