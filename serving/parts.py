"""Long outputs written in parts: what is killed goes on, and the file appears when it is whole.

    .out.csv.parts/000000-<digest>   a hidden folder beside `out.csv`; each part complete or absent
    out.csv                          all of them, in order

The digest in the name of a part is that of everything it depends on. So a part that is there is the
one that would be written, and a command with another model or input makes parts of its own.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterable
from typing import TypeVar

import tensorflow as tf

from common.atomic import atomic_output
from common.errors import UserError
from common.files import BLOCK_BYTES, compressed_writer, exists, open_binary, remove_folder
from training.strategy import chief_value, is_chief

Window = TypeVar("Window")


def write_in_parts(
    path: str,
    windows: Iterable[Window],
    key: Callable[[Window], str],
    content: Callable[[Window], bytes],
    head: Callable[[], bytes],
    strategy: tf.distribute.Strategy,
) -> None:
    """Writes a file window by window, in flat memory.

    Args:
      path: The file; compressed if its name says so. An earlier one is replaced at the end.
      windows: Yields what the parts are made from.
      key: Everything that decides the content of a window.
      content: Computes the bytes of a window; by all workers, of whom the chief writes.
      head: The bytes before the first part, asked for at the end.
      strategy: The devices.

    Raises:
      UserError: Whatever `windows` and `content` raise, or the disk is full. The parts stay.
    """
    chief = is_chief(strategy)
    parent, name = os.path.split(path)
    folder = os.path.join(parent, f".{name}.parts")
    parts: list[str] = []
    for window in windows:
        digest = hashlib.sha256(key(window).encode("utf-8", "surrogatepass")).hexdigest()
        part = os.path.join(folder, f"{len(parts):06d}-{digest[:32]}")
        # Asked of the chief: another worker may see a part that the chief has just written.
        if not chief_value(strategy, exists(part)):
            data = content(window)
            if chief:
                with atomic_output(part) as temporary, open_binary(temporary, "wb") as file:
                    file.write(data)
        parts.append(part)
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
    content: Callable[[Window], bytes],
    head: Callable[[], bytes],
    strategy: tf.distribute.Strategy,
) -> None:
    """Writes window by window; arguments as of `write_in_parts`.

    Raises:
      UserError: Whatever reads it has ended.
    """
    chief = is_chief(strategy)
    output = sys.stdout.buffer
    try:
        for i, window in enumerate(windows):
            data = content(window)
            if chief:
                output.write(data if i else head() + data)
                output.flush()
    except BrokenPipeError:
        # Python flushes once more at its end, and would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise UserError(
            "the command that reads standard output has ended before all was written; write to a "
            "file with --output_file."
        ) from None
