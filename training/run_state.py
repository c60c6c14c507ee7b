"""The state of a run on disk: what a restarted command needs to go on.

One `tf.train.Checkpoint` per save, called `model.ckpt-<step>` in the output folder as the original's
are. It holds weights and optimizer moments under the original variable names, the step, the best
evaluation so far, how many evaluations came after it, and the losses since the last line of the log;
data order and dropout follow from the step and the seed. The folder itself says which states there
are: those with an index file, which comes last.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Mapping, Sequence

import tensorflow as tf

from checkpoints.weights import OBJECT_SUFFIX, variable_name
from common.atomic import atomic_files, write_text
from common.errors import UserError
from common.files import is_folder, list_folder, remove
from modeling.optimization import AdamWeightDecay
from training.strategy import chief_first, chief_value, is_chief

_COUNTER = "evaluations_since_best"


def planned_steps(output_dir: str) -> int:
    """Updates of the whole run in a folder, by its newest saved state; 0 where none tells."""
    for step in reversed(saved_steps(output_dir)):
        with contextlib.suppress(Exception):  # As in `_restore_newest`: a truncated file is one.
            reader = tf.compat.v1.train.NewCheckpointReader(
                os.path.join(output_dir, f"model.ckpt-{step}")
            )
            return int(reader.get_tensor(f"num_train_steps{OBJECT_SUFFIX}"))
    return 0


class RunState:
    """Weights, moments, step, best evaluation and unlogged losses of one run.

    Made in the scope of a strategy; of its workers only the chief saves, and it decides which state
    is restored.

    Args:
      output_dir: Folder of the run.
      variables: The model's variables.
      optimizer: Its moments and step count are part of the state.
      keep: Number of saved states to keep.
      loss_names: The losses that are logged.
    """

    def __init__(
        self,
        output_dir: str,
        variables: Sequence[tf.Variable],
        optimizer: AdamWeightDecay,
        keep: int,
        loss_names: Sequence[str] = (),
    ):
        self.step_variable = optimizer.iterations
        self.best_value = tf.Variable(float("-inf"), dtype=tf.float64, trainable=False)
        self.best_step = tf.Variable(-1, dtype=tf.int64, trainable=False)
        # Of those that early stopping counts.
        self._evaluations_since_best = tf.Variable(0, dtype=tf.int64, trainable=False)
        # In float64, so that the sums of float32 losses do not depend on how they are grouped.
        self._loss_sums = {
            name: tf.Variable(0.0, dtype=tf.float64, trainable=False) for name in loss_names
        }
        self._logged_step = tf.Variable(0, dtype=tf.int64, trainable=False)
        # Steps of the whole run; 0 before the first save.
        self._num_train_steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._parts = {
            "weights": {variable_name(v): v for v in variables},
            "slots": optimizer.slots(variables),
            "step": self.step_variable,
            "best_value": self.best_value,
            "best_step": self.best_step,
            _COUNTER: self._evaluations_since_best,
            "loss_sums": self._loss_sums,
            "logged_step": self._logged_step,
            "num_train_steps": self._num_train_steps,
        }
        self._output_dir = output_dir
        self._keep = keep
        self._strategy = tf.distribute.get_strategy()

    @property
    def step(self) -> int:
        return int(self.step_variable.numpy())

    def save(self) -> None:
        """Writes the state and removes all but the newest ones.

        Raises:
          UserError: The disk is full, or the folder cannot be written; the earlier states stay.
        """
        if not is_chief(self._strategy):
            return
        name = f"model.ckpt-{self.step}"
        path = os.path.join(self._output_dir, name)
        try:
            with atomic_files(self._output_dir, last=f"{name}.index") as folder:
                tf.train.Checkpoint(**self._parts).write(os.path.join(folder, name))
        except tf.errors.OpError as error:
            raise UserError(
                f"Cannot save the state of the run as {path}: {error.message}; make room or mend the "
                "disk, and run the same command again to continue from the state before."
            ) from error
        # Newer ones are damaged: this run went on from an older state.
        older = [step for step in saved_steps(self._output_dir) if step < self.step]
        kept = [*older, self.step][-self._keep :]
        # What `tf.train.latest_checkpoint` reads.
        listed = tf.compat.v1.train.generate_checkpoint_state_proto(
            self._output_dir, name, [f"model.ckpt-{step}" for step in kept]
        )
        write_text(os.path.join(self._output_dir, "checkpoint"), str(listed))
        for file, step in _state_files(self._output_dir):
            if step not in kept:
                remove(os.path.join(self._output_dir, file))
        logging.info("Saved the state of the run: %s", path)

    def restore(self) -> bool:
        """Restores the newest readable state; returns False when the folder holds none.

        Every worker restores the state that the chief could read.

        Raises:
          UserError: There are states, but none can be read; or this worker cannot read the chief's.
        """
        with chief_first(self._strategy) as chief:
            restored = self._restore_newest() if chief else False
        step = chief_value(self._strategy, self.step if restored else -1)
        if chief or step < 0:
            return step >= 0
        path = self._path(step)
        try:
            self._read(path)
        except Exception as error:  # As below.
            raise UserError(
                f"The chief goes on from {path}, which this worker cannot restore ({error}); all "
                "workers need the same --output_dir, on a file system that they share."
            ) from error
        return True

    def _restore_newest(self) -> bool:
        steps = saved_steps(self._output_dir)
        for step in sorted({step for _, step in _state_files(self._output_dir)} - set(steps)):
            logging.warning(
                "%s has no index file: it is unfinished, and not used.", self._path(step)
            )
        damaged = []
        for step in reversed(steps):
            path = self._path(step)
            try:
                self._read(path)
            except Exception as error:  # TensorFlow's readers raise errors of many kinds.
                damaged.append(path)
                logging.warning("Cannot restore %s (%s); trying an older state.", path, error)
                continue
            logging.info("Continuing from %s (step %d).", path, self.step)
            return True
        if damaged:
            raise UserError(
                f"{self._output_dir}: no saved state can be restored ({', '.join(damaged)}); if the "
                "model was changed, use another --output_dir, else remove the damaged files."
            )
        return False

    def _read(self, path: str) -> None:
        parts, reader = dict(self._parts), tf.compat.v1.train.NewCheckpointReader(path)
        # States of earlier versions have none.
        if not reader.has_tensor(f"{_COUNTER}{OBJECT_SUFFIX}"):
            del parts[_COUNTER]
        tf.train.Checkpoint(**parts).read(path).assert_existing_objects_matched()

    def _path(self, step: int) -> str:
        return os.path.join(self._output_dir, f"model.ckpt-{step}")

    def plan(self, num_train_steps: int) -> None:
        """Notes the length of the whole run, which may grow.

        Raises:
          UserError: The run in the folder has more steps.
        """
        steps = int(self._num_train_steps.numpy())
        if steps > num_train_steps:
            raise UserError(
                f"--output_dir={self._output_dir} holds a run of num_train_steps={steps}, this "
                f"command has num_train_steps={num_train_steps} in all; a run can be made longer, "
                "not shorter, so use another folder, or --start_over to discard the run that is "
                "there."
            )
        if 0 < steps < num_train_steps:
            logging.warning(
                "The run was planned with num_train_steps=%d and goes on to %d. From step %d on the "
                "learning rate is that of the longer run, so the result is not that of a run of this "
                "length from the start.",
                steps,
                num_train_steps,
                self.step,
            )
        self._num_train_steps.assign(num_train_steps)

    def add_losses(self, sums: Mapping[str, float]) -> None:
        """Adds the sums of the losses over the updates just done."""
        for name, value in sums.items():
            self._loss_sums[name].assign_add(value)

    def take_mean_losses(self) -> dict[str, float]:
        """Mean losses of the updates since the last call."""
        count = self.step - int(self._logged_step.numpy())
        means = {name: float(total.numpy()) / count for name, total in self._loss_sums.items()}
        for total in self._loss_sums.values():
            total.assign(0.0)
        self._logged_step.assign(self.step)
        return means

    @property
    def evaluations_since_best(self) -> int:
        """Number of evaluations in a row that were no better than the best one."""
        return int(self._evaluations_since_best.numpy())

    def count_evaluation(self) -> None:
        """Counts the evaluation of this step for early stopping, once there is a best one."""
        if 0 <= int(self.best_step.numpy()) < self.step:
            self._evaluations_since_best.assign_add(1)

    def is_best(self, value: float) -> bool:
        """Notes the value of an evaluation (higher is better); True when it is the best so far."""
        # What is not a number is never better.
        if not value > float(self.best_value.numpy()):
            return False
        self.best_value.assign(value)
        self.best_step.assign(self.step)
        self._evaluations_since_best.assign(0)
        return True


def saved_steps(output_dir: str) -> list[int]:
    """Steps of the states that a run has saved, in order."""
    return sorted({step for name, step in _state_files(output_dir) if name.endswith(".index")})


def _state_files(output_dir: str) -> list[tuple[str, int]]:
    """(name, step) of each file of a saved state."""
    names = list_folder(output_dir) if is_folder(output_dir) else []
    matches = [re.fullmatch(r"model\.ckpt-(\d+)\.(index|data-\d+-of-\d+)", name) for name in names]
    return [(match[0], int(match[1])) for match in matches if match]
