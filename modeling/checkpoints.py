"""Weights in files: reading any of our checkpoints or an original one, writing the original's form.

Variables are called as in google-research/bert everywhere (`modeling.layers`), so an original
checkpoint is a plain table name -> array, and so is what this module returns for a run checkpoint.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import re
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from common.errors import UserError

# What the object graph of a run checkpoint (`training.run_state`) puts around a variable's name.
RUN_WEIGHTS_PREFIX = "weights/"
_OBJECT_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
# Slots and counters of a training checkpoint; never part of a model.
_TRAINING_ONLY = ("/adam_m", "/adam_v", "global_step")

MODEL_CHECKPOINT = "bert_model.ckpt"


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What became of each variable when weights were loaded.

    Attributes:
      source: Prefix of the checkpoint that was read.
      matched: Names of the model's variables that took the checkpoint's value.
      new: Names of the model's variables the checkpoint does not have; they keep initial values.
      left_over: Names of the checkpoint's variables the model has no place for.
    """

    source: str
    matched: tuple[str, ...]
    new: tuple[str, ...]
    left_over: tuple[str, ...]

    def log(self) -> None:
        logging.info("Weights from %s: %d variables matched.", self.source, len(self.matched))
        for title, names in (("new, keep initial values", self.new), ("not used", self.left_over)):
            if names:
                logging.info("  %d %s: %s", len(names), title, ", ".join(names))


def checkpoint_exists(path: str) -> bool:
    """Whether `find_checkpoint` would find one."""
    return _find(path) is not None


def find_checkpoint(path: str) -> str:
    """The prefix of the checkpoint that `--init_checkpoint` names.

    Args:
      path: A model folder, the folder of a run, or the prefix of a checkpoint (also given as one of
        its files). In a folder that holds both, the finished model comes before saved states.

    Raises:
      UserError: There is no checkpoint.
    """
    prefix = _find(path)
    if prefix is None:
        raise UserError(
            f"--init_checkpoint={path}: no checkpoint found; give a model folder (with "
            f"{MODEL_CHECKPOINT}.index in it), the folder of a run, or the prefix of a checkpoint."
        )
    return prefix


def _find(path: str) -> str | None:
    prefix = re.sub(r"\.(index|meta|data-\d+-of-\d+)$", "", path)
    for candidate in (prefix, os.path.join(path, MODEL_CHECKPOINT)):
        if tf.io.gfile.exists(candidate + ".index"):
            return candidate
    return tf.train.latest_checkpoint(path) if tf.io.gfile.isdir(path) else None


class CheckpointReader:
    """Read access to a checkpoint by original variable names.

    Args:
      prefix: As returned by `find_checkpoint`.

    Raises:
      UserError: The files are not a checkpoint, or hold no variables.
    """

    def __init__(self, prefix: str):
        self.prefix = prefix
        try:
            self._reader = tf.train.load_checkpoint(prefix)
            shapes = self._reader.get_variable_to_shape_map()
        except Exception as error:  # The reader raises errors of many kinds for damaged files.
            raise UserError(f"{prefix}: not a readable checkpoint ({error}).") from error
        is_run = any(key.endswith(_OBJECT_SUFFIX) for key in shapes)
        self._keys = {}
        for key in shapes:
            name = _name_in_run(key) if is_run else key
            if name and not name.endswith(_TRAINING_ONLY):
                self._keys[name] = key
        if not self._keys:
            raise UserError(f"{prefix}: this checkpoint holds no model weights.")
        self.shapes = {name: tuple(shapes[key]) for name, key in self._keys.items()}

    def read(self, name: str) -> np.ndarray:
        """The value of one variable.

        Raises:
          UserError: The data is truncated or does not match its checksum.
        """
        try:
            return self._reader.get_tensor(self._keys[name])
        except Exception as error:  # As above; a truncated file even gives an IndexError.
            raise UserError(f"{self.prefix}: variable {name} is damaged ({error}).") from error


def _name_in_run(key: str) -> str | None:
    """The variable behind a key of an object-based run checkpoint; None for other objects."""
    if not (key.startswith(RUN_WEIGHTS_PREFIX) and key.endswith(_OBJECT_SUFFIX)):
        return None
    # TensorFlow writes "/" inside a name as ".S" and "." as "..".
    escaped = key[len(RUN_WEIGHTS_PREFIX) : -len(_OBJECT_SUFFIX)]
    return escaped.replace(".S", "/").replace("..", ".")


def variable_name(variable: tf.Variable) -> str:
    """The name a variable has in an original checkpoint."""
    return variable.name.removesuffix(":0")


def variable_values(variables: Sequence[tf.Variable]) -> dict[str, np.ndarray]:
    """The values of variables by their names in an original checkpoint."""
    return {variable_name(v): v.numpy() for v in variables}


def load_weights(variables: Sequence[tf.Variable], path: str) -> LoadReport:
    """Assigns the weights of a checkpoint to the variables of the same names.

    Args:
      variables: The model's variables.
      path: See `find_checkpoint`.

    Raises:
      UserError: Nothing matches, or a shape differs. No variable has been changed then.
    """
    reader = CheckpointReader(find_checkpoint(path))
    by_name = {variable_name(v): v for v in variables}
    matched = tuple(name for name in by_name if name in reader.shapes)
    if not matched:
        raise UserError(
            f"{reader.prefix}: none of its {len(reader.shapes)} variables is in the model; it has "
            f"{next(iter(sorted(reader.shapes)))}, the model wants {next(iter(by_name))}."
        )
    for name in matched:
        expected = tuple(by_name[name].shape)
        if reader.shapes[name] != expected:
            raise UserError(
                f"{reader.prefix}: variable {name} has shape {list(reader.shapes[name])}, the "
                f"model's has {list(expected)}; the checkpoint was made with another "
                "configuration, vocabulary or label list."
            )
    values = {name: reader.read(name) for name in matched}
    for name, value in values.items():
        by_name[name].assign(value)
    return LoadReport(
        source=reader.prefix,
        matched=matched,
        new=tuple(name for name in by_name if name not in reader.shapes),
        left_over=tuple(sorted(set(reader.shapes) - set(matched))),
    )


def write_checkpoint(prefix: str, values: Mapping[str, np.ndarray]) -> None:
    """Writes `prefix.index` and `prefix.data-00000-of-00001` in the original's name-based form."""
    names = sorted(values)
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(values[name]) for name in names],
    )


def weights_digest(values: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, shapes and float32 values: equal for equal models, however stored."""
    digest = hashlib.sha256()
    for name in sorted(values):
        array = np.ascontiguousarray(values[name], dtype="<f4")
        digest.update(f"{name}{list(array.shape)}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
