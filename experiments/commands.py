"""The commands of a comparison as stages: calls of the top-level scripts, and the flags for them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from absl import flags

from experiments.stages import Stage
from training.flags import define_start_over_flag, define_task_flags, task_arguments
from training.help import group

# The command that labels a transfer set; every distillation waits for it.
SOFT_LABELS = "soft_labels"


def define_task_training_flags() -> None:
    """A task, its transfer set, and how models are trained on them, in groups."""
    group("The task and its transfer set")
    define_task_flags()
    flags.DEFINE_string(
        "transfer_file",
        None,
        "Unlabelled text of the task, for the teacher to label: files and globs, separated by "
        "commas.",
    )
    flags.DEFINE_integer(
        "max_seq_length", 128, "Length of inputs of the task and the transfer set in WordPieces."
    )

    group("The models")
    flags.DEFINE_string("vocab_file", None, "WordPiece vocabulary of teacher and student.")
    flags.DEFINE_string(
        "student",
        "tiny",
        "Architecture of the student: a size by name, number of layers and width (6/512), or a "
        "bert_config.json.",
    )
    flags.DEFINE_string(
        "student_checkpoint",
        None,
        "Pre-trained student: a model folder, or any other form that the scripts read.",
    )
    flags.DEFINE_string(
        "teacher_checkpoint",
        None,
        "Pre-trained teacher: a model folder, or any other form that the scripts read.",
    )

    group("Training on the task")
    flags.DEFINE_list("seeds", ["1", "2", "3"], "Random seeds; each student is trained with all.")
    flags.DEFINE_integer("batch_size", 32, "Examples per update, in fine-tuning and distillation.")
    flags.DEFINE_float("teacher_learning_rate", 5e-5, "Peak learning rate of the teacher.")
    flags.DEFINE_float("teacher_epochs", 3.0, "Passes of the teacher over the training set.")
    flags.DEFINE_float(
        "label_learning_rate",
        3e-4,
        "Peak learning rate of students that learn from labels, Basic, PF.",
    )
    flags.DEFINE_float(
        "label_epochs", 4.0, "Passes of Basic and PF students over the training set."
    )
    flags.DEFINE_float(
        "distill_learning_rate",
        3e-4,
        "Peak learning rate of students that are distilled, KD and PD.",
    )


def define_run_flags() -> None:
    """Defines the flags for running a comparison."""
    group("Running")
    flags.DEFINE_string("output_dir", None, "Folder for all models, logs and results.")
    define_start_over_flag(
        "Repeat finished stages whose command, or the content of whose files, has changed since, "
        "and the stages that need them. By default such a change is refused."
    )
    flags.DEFINE_integer("jobs", 2, "Number of commands to run at a time.", lower_bound=1)
    flags.DEFINE_string(
        "precision", "bfloat16", "Precision of matrix products in all runs: float32 or bfloat16."
    )


def script(name: str, *arguments: str) -> tuple[str, ...]:
    """A call of a top-level script."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return (sys.executable, os.path.join(root, name), *arguments)


class TaskCommands:
    """Stages that train on a task and its transfer set.

    Args:
      values: Of `define_task_training_flags`.
      predict: Whether trained models predict the test set.
    """

    def __init__(self, values: flags.FlagValues, predict: bool):
        self._values, self._predict = values, predict
        self.precision = f"--precision={values.precision}"
        self.vocab = f"--vocab_file={values.vocab_file}"
        self._length = f"--max_seq_length={values.max_seq_length}"
        self._task = task_arguments(values)

    def folder(self, name: str) -> str:
        """Output folder of a stage."""
        return os.path.join(self._values.output_dir, name)

    def fine_tuning(
        self,
        name: str,
        start: str | None,
        rate: float,
        epochs: float,
        seed: str,
        needs: Sequence[str] = (),
    ) -> Stage:
        """Training with labels, from a model folder or, without one, a student's random weights."""
        arguments = self._training(name, start, rate, epochs, seed)
        return Stage(name, script("run_classifier.py", *arguments), tuple(needs))

    def teacher(self, start: str | None, needs: Sequence[str] = ()) -> Stage:
        """The fine-tuned teacher."""
        rate, epochs = self._values.teacher_learning_rate, self._values.teacher_epochs
        return self.fine_tuning("teacher", start, rate, epochs, self._values.seeds[0], needs)

    def label_training(
        self, name: str, start: str | None, seed: str, needs: Sequence[str] = ()
    ) -> Stage:
        """A student by labels alone: Basic without a start, PF with a pre-trained one."""
        rate, epochs = self._values.label_learning_rate, self._values.label_epochs
        return self.fine_tuning(name, start, rate, epochs, seed, needs)

    def soft_labels(
        self, transfer_file: str, labelled_set: bool, *arguments: str, needs: Sequence[str] = ()
    ) -> Stage:
        """The teacher's labels for the transfer set, with `labelled_set` the training set's too."""
        command = script(
            "create_soft_labels.py",
            f"--init_checkpoint={self.folder('teacher')}",
            f"--input_file={transfer_file}",
            *(self._task if labelled_set else ()),
            f"--output_dir={self.folder(SOFT_LABELS)}",
            self._length,
            self.precision,
            *arguments,
        )
        return Stage(SOFT_LABELS, command, ("teacher", *needs))

    def distillation(
        self,
        name: str,
        start: str | None,
        seed: str,
        files: str,
        epochs: float,
        needs: Sequence[str] = (),
    ) -> Stage:
        """A student by soft labels: KD without a start, PD with a pre-trained one."""
        arguments = self._training(name, start, self._values.distill_learning_rate, epochs, seed)
        command = script("run_distill.py", f"--input_file={files}", *arguments)
        return Stage(name, command, (SOFT_LABELS, *needs))

    def _training(
        self, name: str, start: str | None, rate: float, epochs: float, seed: str
    ) -> list[str]:
        values = self._values
        return [
            f"--init_checkpoint={start}" if start else f"--bert_config_file={values.student}",
            self.vocab,
            *self._task,
            self._length,
            f"--output_dir={self.folder(name)}",
            "--do_train",
            "--do_eval",
            *(["--do_predict"] if self._predict else []),
            f"--train_batch_size={values.batch_size}",
            "--eval_batch_size=64",
            "--predict_batch_size=64",
            f"--learning_rate={rate}",
            f"--num_train_epochs={epochs}",
            f"--random_seed={seed}",
            self.precision,
        ]
