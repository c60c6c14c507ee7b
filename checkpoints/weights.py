"""Weights in TensorFlow checkpoints: original ones and the saved states of our runs.

Variables are called as in google-research/bert everywhere (`modeling.layers`), so an original
checkpoint is a plain table name -> array, and so is what this module returns for a saved state.
The other forms of a model are read to the same names (`checkpoints.formats`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from common.errors import UserError

# What the object graph of a run checkpoint (`training.run_state`) puts around a variable's name.
RUN_WEIGHTS_PREFIX, RUN_SLOTS_PREFIX = "weights/", "slots/"
OBJECT_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
RUN_STEP_KEY = "step" + OBJECT_SUFFIX
# Moments and counter of an original training checkpoint; never part of a model.
_SLOT_SUFFIXES = ("/adam_m", "/adam_v")
GLOBAL_STEP = "global_step"

MODEL_CHECKPOINT = "bert_model.ckpt"


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """Result of loading weights: the variables that were matched, new and left over.

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


class WeightReader(Protocol):
    """Read access to stored weights by the original's variable names, whatever form they are in.

    Attributes:
      source: The file or prefix, for messages.
      shapes: Name -> shape in the original's layout.
    """

    source: str
    shapes: dict[str, tuple[int, ...]]

    def read(self, name: str) -> np.ndarray:
        """The float32 value of one variable, in the original's layout."""


def checkpoint_shapes(prefix: str) -> dict[str, tuple[int, ...]]:
    """Key -> shape of everything in a TensorFlow checkpoint.

    Raises:
      UserError: The files are not a checkpoint.
    """
    try:
        shapes = tf.compat.v1.train.NewCheckpointReader(prefix).get_variable_to_shape_map()
    except Exception as error:  # The reader raises errors of many kinds for damaged files.
        raise UserError(f"{prefix}: not a readable checkpoint ({error}).") from error
    return {key: tuple(shape) for key, shape in shapes.items()}


def is_run_checkpoint(keys: Iterable[str]) -> bool:
    """Whether the keys are those of a checkpoint that one of our training runs saved."""
    return any(_name_in_run(key, RUN_WEIGHTS_PREFIX) for key in keys)


class CheckpointReader:
    """The weights of an original checkpoint or of a saved state of ours: a `WeightReader`.

    Args:
      prefix: Of the checkpoint's files.

    Raises:
      UserError: The files are not a checkpoint, or hold no variables.
    """

    def __init__(self, prefix: str):
        self.source = prefix
        shapes = checkpoint_shapes(prefix)
        self._keys: dict[str, str] = {}
        # What training adds to the weights, by the names an original training checkpoint has.
        self._training_keys: dict[str, str] = {}
        is_run = is_run_checkpoint(shapes)
        for key in shapes:
            if is_run:
                name = _name_in_run(key, RUN_WEIGHTS_PREFIX)
                slot = _name_in_run(key, RUN_SLOTS_PREFIX)
                if key == RUN_STEP_KEY:
                    slot = GLOBAL_STEP
            else:
                is_slot = key == GLOBAL_STEP or key.endswith(_SLOT_SUFFIXES)
                name, slot = (None, key) if is_slot else (key, None)
            if name:
                self._keys[name] = key
            if slot:
                self._training_keys[slot] = key
        if not self._keys:
            raise UserError(f"{prefix}: this checkpoint holds no model weights.")
        self.shapes = {name: shapes[key] for name, key in self._keys.items()}
        self._reader = tf.compat.v1.train.NewCheckpointReader(prefix)

    def read(self, name: str) -> np.ndarray:
        """The value of one variable.

        Raises:
          UserError: The data is truncated or does not match its checksum.
        """
        return self._get(name, self._keys[name])

    def read_training_state(self) -> dict[str, np.ndarray]:
        """Adam moments (`<name>/adam_m`, `<name>/adam_v`) and `global_step`, where it has them.

        Raises:
          UserError: As `read`.
        """
        return {name: self._get(name, key) for name, key in sorted(self._training_keys.items())}

    @property
    def global_step(self) -> int:
        """Updates the weights have had, 0 where the checkpoint does not say."""
        key = self._training_keys.get(GLOBAL_STEP)
        return int(self._get(GLOBAL_STEP, key)) if key else 0

    def _get(self, name: str, key: str) -> np.ndarray:
        try:
            return self._reader.get_tensor(key)
        except Exception as error:  # As above; a truncated file even gives an IndexError.
            raise UserError(f"{self.source}: variable {name} is damaged ({error}).") from error


def _name_in_run(key: str, prefix: str) -> str | None:
    """The variable behind a key of an object-based run checkpoint; None for other objects."""
    if not (key.startswith(prefix) and key.endswith(OBJECT_SUFFIX)):
        return None
    # TensorFlow writes "/" inside a name as ".S" and "." as "..".
    return key[len(prefix) : -len(OBJECT_SUFFIX)].replace(".S", "/").replace("..", ".")


def variable_name(variable: tf.Variable) -> str:
    """The name a variable has in an original checkpoint."""
    return variable.name.removesuffix(":0")


def variable_values(variables: Sequence[tf.Variable]) -> dict[str, np.ndarray]:
    """The values of variables by their names in an original checkpoint."""
    return dict(VariableValues(variables))


class VariableValues(Mapping[str, np.ndarray]):
    """The values of variables by those names, each copied whenever it is asked for."""

    def __init__(self, variables: Sequence[tf.Variable]):
        self._variables = {variable_name(v): v for v in variables}

    def __getitem__(self, name: str) -> np.ndarray:
        return self._variables[name].numpy()

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)

    def __contains__(self, name: object) -> bool:
        return name in self._variables


def load_weights(variables: Sequence[tf.Variable], reader: WeightReader) -> LoadReport:
    """Assigns stored weights to the variables of the same names.

    Args:
      variables: The model's variables.
      reader: See `checkpoints.formats.open_weights`.

    Raises:
      UserError: Nothing matches, or a shape differs, and no variable has been changed; or a value is
        damaged, and the model is of no use.
    """
    by_name = {variable_name(v): v for v in variables}
    matched = tuple(name for name in by_name if name in reader.shapes)
    if not matched:
        raise UserError(
            f"{reader.source}: none of its {len(reader.shapes)} variables is in the model; it has "
            f"{next(iter(sorted(reader.shapes)))}, the model wants {next(iter(by_name))}."
        )
    for name in matched:
        expected = tuple(by_name[name].shape)
        if reader.shapes[name] != expected:
            raise UserError(
                f"{reader.source}: variable {name} has shape {list(reader.shapes[name])}, the "
                f"model's has {list(expected)}; the checkpoint was made with another "
                "configuration, vocabulary or label list."
            )
    for name in matched:  # One at a time: TensorFlow keeps the memory that it once had.
        by_name[name].assign(reader.read(name))
    return LoadReport(
        source=reader.source,
        matched=matched,
        new=tuple(name for name in by_name if name not in reader.shapes),
        left_over=tuple(sorted(set(reader.shapes) - set(matched))),
    )


def write_checkpoint(prefix: str, values: Mapping[str, np.ndarray]) -> None:
    """Writes `prefix.index` and `prefix.data-00000-of-00001` in the original's name-based form.

    Raises:
      UserError: The disk is full, or the folder cannot be written.
    """
    names = sorted(values)
    with writing_errors_named(prefix):
        tf.raw_ops.SaveV2(
            prefix=prefix,
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=[tf.constant(values[name]) for name in names],
        )


@contextlib.contextmanager
def writing_errors_named(path: str) -> Iterator[None]:
    """Makes a UserError that names the path of what TensorFlow cannot write."""
    try:
        yield
    except tf.errors.OpError as error:
        raise UserError(
            f"Cannot write {path}: {error.message}; make room or choose another folder, and run "
            "the same command again."
        ) from error


def weights_digest(values: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, shapes and float32 values: equal for equal models, however stored."""
    return _digest(values, values.__getitem__)


def stored_weights_digest(reader: WeightReader, names: Iterable[str]) -> str:
    """`weights_digest` of some stored variables, of which one at a time is held.

    Raises:
      UserError: The stored data is damaged.
    """
    return _digest(names, reader.read)


def _digest(names: Iterable[str], read: Callable[[str], np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(names):
        array = np.ascontiguousarray(read(name), dtype="<f4")
        digest.update(f"{name}{list(array.shape)}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
