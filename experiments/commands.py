"""Calls of the top-level scripts as a graph of stages; what is asked for twice is made once."""

from __future__ import annotations

import dataclasses
import math
import os
import sys
from collections.abc import Iterable, Sequence

from absl import flags

from experiments.stages import ROOT, Stage
from training.flags import define_start_over_flag
from training.help import group

# The flags that say what a model starts from; see the functions below.
Start = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Peak learning rate, and passes over the training examples."""

    learning_rate: float
    epochs: float


def random_start(size: str) -> Start:
    """Random weights; `size` is a name, layers/width as in 6/512, or a bert_config.json."""
    return (f"--bert_config_file={size}",)


def trained_start(model: str) -> Start:
    """A model folder, or any other form of a model that the scripts read."""
    return (f"--init_checkpoint={model}",)


class CommandGraph:
    """The stages of an experiment. Each method adds one and returns the folder of its output.

    A stage that is added twice is there once, so whoever needs an output asks for it. A stage needs
    those whose folders stand in its flags.

    Args:
      output_dir: Each stage has a folder of its own in it.
      vocab_file: WordPiece vocabulary of the students, and of the teacher unless it has another.
      precision: float32 or bfloat16.
    """

    def __init__(self, output_dir: str, vocab_file: str, precision: str):
        self._output_dir = output_dir
        self.vocab = f"--vocab_file={vocab_file}"
        self.precision = f"--precision={precision}"
        self._stages: dict[str, Stage] = {}

    @property
    def stages(self) -> list[Stage]:
        """All stages, each after those it needs."""
        return list(self._stages.values())

    def estimate(self, folder: str, seconds: float) -> str:
        """Notes how long the command of an output is thought to take; returns the folder."""
        name = os.path.basename(folder)
        if name in self._stages:
            self._stages[name] = dataclasses.replace(self._stages[name], estimate=seconds)
        return folder

    def folder(self, name: str) -> str:
        return os.path.join(self._output_dir, name)

    def add(
        self,
        name: str,
        program: str,
        *arguments: str,
        start_over: tuple[str, ...] = ("--start_over",),
    ) -> str:
        """Adds a call of a script (`run_distill.py`) or module (`experiments.label_subset`).

        Raises:
          ValueError: Another command has the same name.
        """
        command = (*script(program), *arguments)
        if name not in self._stages:
            self._stages[name] = Stage(name, command, self._needs(arguments), start_over)
        if self._stages[name].command != command:
            raise ValueError(f"two commands are called {name}")
        return self.folder(name)

    def _needs(self, arguments: Sequence[str]) -> tuple[str, ...]:
        paths = [path for argument in arguments for path in argument.split("=", 1)[-1].split(",")]
        return tuple(dict.fromkeys(name for path in paths if (name := self._stage_of(path))))

    def _stage_of(self, path: str) -> str | None:
        """Name of the stage in whose folder a path is, or whose folder it is."""
        parent = os.path.join(self._output_dir, "")
        name = path.removeprefix(parent).partition(os.sep)[0]
        return name if path.startswith(parent) and name in self._stages else None

    def needed_for(self, folders: Iterable[str]) -> list[Stage]:
        """The stages of these outputs and all that they need, in the order of `stages`."""
        wanted: set[str] = set()
        waiting = [name for folder in folders if (name := self._stage_of(folder))]
        while waiting:
            name = waiting.pop()
            if name not in wanted:
                wanted.add(name)
                waiting += self._stages[name].needs
        return [stage for stage in self.stages if stage.name in wanted]

    def transfer_set(self, name: str, *arguments: str) -> str:
        """Texts without duplicates, in `texts.tsv`, or `texts-SIZE.tsv` with --sizes.

        `arguments` name the source, as --input_file or --input_task.
        """
        output = f"--output_file={os.path.join(self.folder(name), 'texts.tsv')}"
        # It is made anew in any case.
        return self.add(name, "create_transfer_set.py", *arguments, output, start_over=())

    def vocabulary(self, name: str, files: str, size: int) -> str:
        """The vocabulary of all other stages, in `vocab.txt`, learned from text."""
        path = os.path.join(self.folder(name), "vocab.txt")
        self.vocab = f"--vocab_file={path}"
        return self.add(
            name,
            "experiments.learn_vocabulary",
            f"--input_file={files}",
            f"--output_file={path}",
            f"--vocab_size={size}",
            start_over=(),
        )

    def pretraining_records(self, name: str, files: str, length: int, *arguments: str) -> str:
        """Records for pre-training, in `records.tfrecord`."""
        return self.add(
            name,
            "create_pretraining_data.py",
            f"--input_file={files}",
            f"--output_file={os.path.join(self.folder(name), 'records.tfrecord')}",
            self.vocab,
            *_lm_shape(length),
            *arguments,
        )

    def pretraining(
        self,
        name: str,
        start: Start,
        records: str,
        length: int,
        batch: int,
        rate: float,
        steps: int,
        *arguments: str,
    ) -> str:
        """A model pre-trained on the output of `pretraining_records`."""
        return self.add(
            name,
            "run_pretraining.py",
            *start,
            self.vocab,
            f"--input_file={os.path.join(records, 'records.tfrecord')}",
            f"--output_dir={self.folder(name)}",
            "--do_train",
            "--do_eval",
            *_lm_shape(length),
            f"--train_batch_size={batch}",
            f"--learning_rate={rate}",
            f"--num_train_steps={steps}",
            f"--num_warmup_steps={steps // 10}",
            f"--save_checkpoints_steps={max(100, steps // 5)}",
            *arguments,
            self.precision,
        )


def script(program: str) -> tuple[str, ...]:
    """A call of a top-level script (`predict.py`) or of a module (`experiments.label_subset`)."""
    if program.endswith(".py"):
        return (sys.executable, os.path.join(ROOT, program))
    return (sys.executable, "-m", program)


def _lm_shape(length: int) -> tuple[str, str]:
    """As many predictions as 15 % of a full record, rounded up: 20 of 128 as in the original."""
    return f"--max_seq_length={length}", f"--max_predictions_per_seq={math.ceil(0.15 * length)}"


def define_run_flags() -> None:
    """Defines the flags for running the commands of an experiment."""
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
