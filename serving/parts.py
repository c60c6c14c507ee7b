"""Long outputs written in parts: a killed command continues, and the file appears complete.

    .out.csv.parts/000000-<digest>   a hidden folder beside `out.csv`; each part complete or absent
    out.csv                          all of them, in order

The digest in the name of a part is that of everything it depends on. So a part that exists need not
be made again, and a command with another model or input makes parts of its own.
"""

from __future__ import annotations

import abc
import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Generic, TypeVar

import tensorflow as tf
from tqdm import tqdm

from common.atomic import atomic_output
from common.errors import UserError
from common.files import BLOCK_BYTES, compressed_writer, exists, open_binary, remove_folder
from common.overlap import in_background
from training.strategy import ahead_if_alone, chief_value, is_chief

Window = TypeVar("Window", bound=Sized)
Prepared = TypeVar("Prepared")
Outputs = TypeVar("Outputs")


class Stages(abc.ABC, Generic[Window, Prepared, Outputs]):
    """The way from a window of the input to bytes of the output.

    The first and the last step are taken in threads, beside the middle one of other windows.
    """

    @abc.abstractmethod
    def key(self, window: Window) -> str:
        """Everything that decides the content of a window."""

    @abc.abstractmethod
    def prepare(self, window: Window) -> Prepared:
        """Input of the model."""

    @abc.abstractmethod
    def compute(self, prepared: Prepared) -> Outputs:
        """Outputs of the model; on all workers, of whom the chief writes."""

    @abc.abstractmethod
    def content(self, window: Window, outputs: Outputs) -> bytes:
        """The bytes of a window."""


def write_in_parts(
    path: str,
    windows: Iterable[Window],
    stages: Stages[Window, Prepared, Outputs],
    head: Callable[[], bytes],
    progress: tqdm,
    strategy: tf.distribute.Strategy,
) -> None:
    """Writes a file window by window, in flat memory.

    Args:
      path: The file; compressed if its name says so. An earlier one is replaced at the end.
      windows: Yields the rows that the parts are made from.
      stages: Make the parts.
      head: The bytes before the first part, asked for at the end.
      progress: Counts the rows.
      strategy: The devices.

    Raises:
      UserError: Whatever `windows` and `stages` raise, or the disk is full. The parts stay.
    """
    chief = is_chief(strategy)
    parent, name = os.path.split(path)
    folder = os.path.join(parent, f".{name}.parts")
    parts: list[str] = []

    def planned() -> Iterator[tuple[Window, str, Prepared | None]]:
        for i, window in enumerate(windows):
            digest = hashlib.sha256(stages.key(window).encode("utf-8", "surrogatepass")).hexdigest()
            part = os.path.join(folder, f"{i:06d}-{digest[:32]}")
            # Asked of the chief: another worker may see a part that the chief has just written.
            is_there = chief_value(strategy, exists(part))
            yield window, part, None if is_there else stages.prepare(window)

    def write(window: Window, part: str, outputs: Outputs) -> None:
        data = stages.content(window, outputs)
        with atomic_output(part) as temporary, open_binary(temporary, "wb") as file:
            file.write(data)

    with in_background() as later:
        for window, part, prepared in ahead_if_alone(planned(), strategy):
            if prepared is not None:
                outputs = stages.compute(prepared)
                if chief:
                    later(write, window, part, outputs)
            parts.append(part)
            progress.update(len(window))
    if not chief:
        return
    with (
        atomic_output(path) as temporary,
        open_binary(temporary, "wb") as raw,
        compressed_writer(path, raw) as file,
    ):
        file.write(head())
        for part in parts:
            with open_binary(part, decompress=False) as piece:
                while chunk := piece.read(BLOCK_BYTES):
                    file.write(chunk)
    if exists(folder):
        remove_folder(folder)


def write_to_standard_output(
    windows: Iterable[Window],
    stages: Stages[Window, Prepared, Outputs],
    head: Callable[[], bytes],
    progress: tqdm,
    strategy: tf.distribute.Strategy,
) -> None:
    """Writes window by window; arguments as of `write_in_parts`.

    Raises:
      UserError: Whatever reads it has ended.
    """
    chief = is_chief(strategy)
    output = sys.stdout.buffer

    def write(window: Window, outputs: Outputs, is_first: bool) -> None:
        data = stages.content(window, outputs)
        output.write(head() + data if is_first else data)
        output.flush()

    try:
        with in_background() as later:
            planned = ((window, stages.prepare(window)) for window in windows)
            for i, (window, prepared) in enumerate(ahead_if_alone(planned, strategy)):
                outputs = stages.compute(prepared)
                if chief:
                    later(write, window, outputs, i == 0)
                progress.update(len(window))
    except BrokenPipeError:
        # Python flushes once more at its end, and would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise UserError(
            "the command that reads standard output has ended before all was written; write to a "
            "file with --output_file."
        ) from None
