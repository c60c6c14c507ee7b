"""Models of earlier runs in this process, with what was compiled for them.

Half of a small run is making graphs, which hold the variables of their model. A further run of the
same architecture takes the model itself, gives it its own initial values, and finds the graphs there.
So searches over settings and seeds compile once; results are those of a new process.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import tensorflow as tf
import tf_keras

Program = TypeVar("Program")

# A graph takes some 30 MB, and an update holds moments twice the size of its model. Making a graph
# takes a small part of the time that a larger model is trained.
MAX_MODELS = 3
MAX_PROGRAMS = 8
MAX_PARAMETERS = 12_000_000


class Programs:
    """Compiled functions of one model, by what they depend on beside it; the latest are kept."""

    def __init__(self) -> None:
        self._programs: dict[Hashable, Any] = {}

    def get(self, key: Hashable, compile_it: Callable[[], Program]) -> Program:
        """The program of this key, which is made the first time."""
        program = self._programs.pop(key) if key in self._programs else compile_it()
        self._programs[key] = program
        for oldest in list(self._programs)[:-MAX_PROGRAMS]:
            del self._programs[oldest]
        return program


@dataclasses.dataclass(frozen=True)
class KeptModel:
    """A model that belongs to one run at a time.

    Attributes:
      key: Devices, class and architecture, on which its graphs depend.
      model: The model.
      programs: The functions that were compiled for it.
    """

    key: tuple[Hashable, ...]
    model: tf_keras.Model
    programs: Programs = dataclasses.field(default_factory=Programs)


_kept: list[KeptModel] = []
_lock = threading.Lock()


def take_model(
    strategy: tf.distribute.Strategy,
    make_model: Callable[..., tf_keras.Model],
    architecture: tuple[Hashable, ...],
    seed: int,
) -> KeptModel:
    """A model with the initial values of `seed`, new or of an earlier run.

    Args:
      strategy: The devices of its variables.
      make_model: Its class.
      architecture: First arguments of the class; the last one is the seed.
      seed: Of the initial values.
    """
    with strategy.scope():
        model = make_model(*architecture, seed)
    key = (strategy, make_model, *architecture)
    with _lock:
        found = next((kept for kept in _kept if kept.key == key), None)
        if found is None:
            return KeptModel(key, model)
        _kept.remove(found)
    for variable, initial in zip(found.model.variables, model.variables, strict=True):
        variable.assign(tf.convert_to_tensor(initial))
    return found


def keep_model(used: KeptModel) -> None:
    """Keeps the model of a run that has ended for further ones."""
    if sum(variable.shape.num_elements() for variable in used.model.variables) <= MAX_PARAMETERS:
        with _lock:
            _kept.append(used)
            del _kept[:-MAX_MODELS]
