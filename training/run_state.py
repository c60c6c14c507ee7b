"""The state of a run on disk: what a restarted command needs to go on.

One `tf.train.Checkpoint` per save, called `model.ckpt-<step>` in the output folder as the original's
are. It holds weights and optimizer moments under the original variable names, the step, and the
best evaluation so far; data order and dropout follow from the step and the seed.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from common.errors import UserError
from common.files import exists, read_json, write_json
from modeling.checkpoints import variable_name
from modeling.optimization import AdamWeightDecay
from training.strategy import chief_first, chief_value, is_chief

RUN_CONFIG_FILE = "run_config.json"


class RunState:
    """Weights, moments, step and best evaluation of one run.

    Made in the scope of a strategy; of its workers only the chief saves, and it decides which state
    is restored.

    Args:
      output_dir: Folder of the run.
      variables: The model's variables.
      optimizer: Its moments and step count are part of the state.
      keep: Number of saved states to keep.
    """

    def __init__(
        self,
        output_dir: str,
        variables: Sequence[tf.Variable],
        optimizer: AdamWeightDecay,
        keep: int,
    ):
        self.step_variable = optimizer.iterations
        self.best_value = tf.Variable(float("-inf"), dtype=tf.float64, trainable=False)
        self.best_step = tf.Variable(-1, dtype=tf.int64, trainable=False)
        self._checkpoint = tf.train.Checkpoint(
            weights={variable_name(v): v for v in variables},
            slots=optimizer.slots(variables),
            step=self.step_variable,
            best_value=self.best_value,
            best_step=self.best_step,
        )
        self._manager = tf.train.CheckpointManager(
            self._checkpoint,
            output_dir,
            max_to_keep=keep,
            checkpoint_name="model.ckpt",
            step_counter=self.step_variable,
        )
        self._output_dir = output_dir
        self._strategy = tf.distribute.get_strategy()

    @property
    def step(self) -> int:
        return int(self.step_variable.numpy())

    def save(self) -> None:
        if not is_chief(self._strategy):
            return
        path = self._manager.save(checkpoint_number=self.step)
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
        path = os.path.join(self._output_dir, f"model.ckpt-{step}")
        try:
            self._checkpoint.restore(path).assert_existing_objects_matched()
        except (tf.errors.OpError, IndexError, AssertionError, ValueError) as error:
            raise UserError(
                f"The chief goes on from {path}, which this worker cannot restore ({error}); all "
                "workers need the same --output_dir, on a file system that they share."
            ) from error
        return True

    def _restore_newest(self) -> bool:
        damaged = []
        # The manager's own list leaves out states whose times it does not know or trust.
        saved = tf.train.get_checkpoint_state(self._output_dir)
        for path in reversed(saved.all_model_checkpoint_paths if saved else []):
            try:
                status = self._checkpoint.restore(path)
                status.assert_existing_objects_matched()
            except (tf.errors.OpError, IndexError, AssertionError, ValueError) as error:
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

    def evaluations_since_best(self, evaluate_steps: int) -> int:
        """How many evaluations in a row were no new best, when there is one every `evaluate_steps`.

        It follows from what is saved, so an interrupted run that goes on counts as one that was not.
        """
        best_step = int(self.best_step.numpy())
        if best_step < 0:
            return 0
        return self.step // evaluate_steps - best_step // evaluate_steps

    def is_best(self, value: float) -> bool:
        """Notes the value of an evaluation (higher is better); True when it is the best so far."""
        if value <= float(self.best_value.numpy()):
            return False
        self.best_value.assign(value)
        self.best_step.assign(self.step)
        return True


def has_state(output_dir: str) -> bool:
    """Whether a run was started in this folder and saved a state."""
    return tf.train.latest_checkpoint(output_dir) is not None


def check_run_config(
    output_dir: str, values: Mapping[str, Any], strategy: tf.distribute.Strategy
) -> None:
    """Keeps a run from being continued as another one, and workers from running different ones.

    Args:
      output_dir: Folder of the run.
      values: Everything that changes what is computed. Written when the folder has no saved state,
        else compared with what was written then.
      strategy: Of whose workers only the chief writes; the others compare theirs with it.

    Raises:
      UserError: A value differs from that of the run in the folder.
    """
    with chief_first(strategy) as chief:
        _check_run_config(output_dir, values, chief)


def _check_run_config(output_dir: str, values: Mapping[str, Any], chief: bool) -> None:
    path = os.path.join(output_dir, RUN_CONFIG_FILE)
    values = json.loads(json.dumps(values))
    if chief and not (has_state(output_dir) and exists(path)):
        write_json(path, values)
        return
    if not exists(path):
        raise UserError(
            f"--output_dir={output_dir}: the chief has written {RUN_CONFIG_FILE}, this worker does "
            "not find it; all workers need the same --output_dir, on a file system that they share."
        )
    before = read_json(path)
    for name in sorted({*values, *before}):
        if before.get(name) != values.get(name):
            raise UserError(
                f"--output_dir={output_dir} holds a run with {name}={before.get(name)}, this command "
                f"has {name}={values.get(name)}; continue with the same value or use another folder."
            )


def remove_leftovers(output_dir: str) -> None:
    """Removes temporary folders a killed run left while saving."""
    if not tf.io.gfile.isdir(output_dir):
        return
    for name in tf.io.gfile.listdir(output_dir):
        if re.fullmatch(r"model\.ckpt-\d+_temp/?|model\.tmp/?", name):
            tf.io.gfile.rmtree(os.path.join(output_dir, name))
