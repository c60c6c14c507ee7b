"""The training strategies of the paper, as commands of one task (Turc et al. 2019, Figure 4)."""

from __future__ import annotations

import dataclasses
import os

from experiments.commands import CommandGraph, Schedule, Start, trained_start


@dataclasses.dataclass(frozen=True)
class Strategy:
    """Training strategy of a student: its initial weights and its training data."""

    start: str
    learns_from: str


TEACHER, LABELS = "teacher, on transfer text", "labels"
STRATEGIES = {
    "Teacher": Strategy("pre-trained", LABELS),
    "Basic": Strategy("random", LABELS),
    "KD": Strategy("random", TEACHER),
    "PF": Strategy("pre-trained", LABELS),
    "PD": Strategy("pre-trained", TEACHER),
    "PD-F": Strategy("PD", LABELS),
    # Sun et al. 2019, beside which the paper stands in Table 3.
    "Patient KD": Strategy("truncated", TEACHER),
}
# The published weights of its loss (docs/recipes.md).
PATIENCE = (
    "--hard_label_weight=0.5",
    "--temperature=10",
    "--patience_weight=100",
    "--patience_layers=skip",
)


def is_distilled(name: str) -> bool:
    """Whether a student of this strategy learns from a teacher, or the one it starts from did."""
    strategy = STRATEGIES[name]
    return TEACHER in (
        strategy.learns_from,
        STRATEGIES.get(strategy.start, strategy).learns_from,
    )


@dataclasses.dataclass(frozen=True)
class TaskSettings:
    """A task, and how every model is trained on it.

    Attributes:
      task: Flags that name the task and its data.
      max_seq_length: In WordPieces.
      batch_size: Examples per update.
      teacher: Fine-tuning of the teacher.
      labels: Training of students with labels alone: Basic, PF.
      distillation: KD and PD.
      final: Fine-tuning after distillation, PD-F.
      predict: Whether trained models predict the test set.
      teacher_vocab_file: Vocabulary of the teacher, where it is not that of the students.
    """

    task: tuple[str, ...]
    max_seq_length: int
    batch_size: int
    teacher: Schedule
    labels: Schedule
    distillation: Schedule
    final: Schedule
    predict: bool = False
    teacher_vocab_file: str = ""


class TaskModels:
    """The models of one task: each method adds what it takes, and returns the folder of the model.

    Args:
      graph: Graph that stages are added to.
      settings: Of the task.
      prefix: Of the names of stages.
    """

    def __init__(self, graph: CommandGraph, settings: TaskSettings, prefix: str = ""):
        self._graph, self._settings, self._prefix = graph, settings, prefix
        self._shape = (
            *settings.task,
            f"--max_seq_length={settings.max_seq_length}",
            f"--train_batch_size={settings.batch_size}",
            *(("--do_predict", "--predict_batch_size=64") if settings.predict else ()),
        )

    def teacher(self, start: Start, seed: str, name: str = "teacher") -> str:
        vocab_file = self._settings.teacher_vocab_file
        vocab = f"--vocab_file={vocab_file}" if vocab_file else self._graph.vocab
        name, schedule = self._prefix + name, self._settings.teacher
        return self._training("run_classifier.py", name, (*start, vocab), schedule, seed)

    def soft_labels(self, teacher: str, files: str, *arguments: str, name: str = "") -> str:
        """The folder of the teacher's labels for texts, and for the training set with its flags."""
        name = f"{self._prefix}soft_labels{name}"
        return self._graph.add(
            name,
            "create_soft_labels.py",
            f"--init_checkpoint={teacher}",
            *((f"--input_file={files}",) if files else ()),
            *arguments,
            *((self._graph.vocab,) if self._settings.teacher_vocab_file else ()),
            f"--output_dir={self._graph.folder(name)}",
            f"--max_seq_length={self._settings.max_seq_length}",
            self._graph.precision,
        )

    def student(
        self,
        strategy: str,
        starts: dict[str, Start],
        soft_labels: str,
        seed: str,
        variant: str = "",
        epochs: float | None = None,
    ) -> str:
        """A student by a strategy of the paper.

        Args:
          strategy: Of `STRATEGIES`.
          starts: The flags of each start: "random", "pre-trained".
          soft_labels: Files of records, for strategies that learn from the teacher.
          seed: Random seed.
          variant: Part of the stage's name: the size of the student or of the transfer set.
          epochs: Passes over the soft labels, if other than in the settings.
        """
        start, learns_from = STRATEGIES[strategy].start, STRATEGIES[strategy].learns_from
        name = f"{self._prefix}{strategy.lower().replace(' ', '-')}{variant}_seed{seed}"
        if learns_from == TEACHER:
            schedule = self._settings.distillation
            if epochs is not None:
                schedule = dataclasses.replace(schedule, epochs=epochs)
            data = (*starts[start], self._graph.vocab, f"--input_file={soft_labels}")
            patience = PATIENCE if strategy == "Patient KD" else ()
            return self._training("run_distill.py", name, data, schedule, seed, *patience)
        begin, schedule = starts.get(start, ()), self._settings.labels
        if start in STRATEGIES:
            first = self.student(start, starts, soft_labels, seed, variant, epochs)
            begin, schedule = trained_start(first), self._settings.final
        data = (*begin, self._graph.vocab)
        return self._training("run_classifier.py", name, data, schedule, seed)

    def _training(
        self,
        program: str,
        name: str,
        data: tuple[str, ...],
        schedule: Schedule,
        seed: str,
        *arguments: str,
    ) -> str:
        """A model trained and evaluated; `data` are the flags of its start, vocabulary and input."""
        return self._graph.add(
            name,
            program,
            *data,
            *self._shape,
            f"--random_seed={seed}",
            *arguments,
            f"--output_dir={self._graph.folder(name)}",
            "--do_train",
            "--do_eval",
            "--eval_batch_size=64",
            f"--learning_rate={schedule.learning_rate}",
            f"--num_train_epochs={schedule.epochs}",
            self._graph.precision,
        )


def record_files(folder: str) -> str:
    """All files of soft labels in a folder."""
    return os.path.join(folder, "*.tfrecord")


def first_shards(folder: str, count: int) -> str:
    """The first files of soft labels in a folder, separated by commas."""
    files = (f"soft_labels-{i:05d}.tfrecord" for i in range(count))
    return ",".join(os.path.join(folder, file) for file in files)
