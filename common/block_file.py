"""A temporary file of blocks of bytes: written once, then read in order as often as needed."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator

from common.errors import UserError

_LENGTH = struct.Struct("<Q")


class BlockFile:
    """Temporary file of blocks; it has no name, so nothing is left behind when the process ends.

    Every block is a fixed number of parts.

    Args:
      parts_per_block: Number of parts of every block.
      folder: Folder of the file; by default the system's folder for temporary files.

    Raises:
      UserError: The file cannot be created.
    """

    def __init__(self, parts_per_block: int, folder: str | None = None):
        self._parts_per_block = parts_per_block
        try:
            self._folder = folder or tempfile.gettempdir()
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
        except OSError as error:
            place = folder or "the folder for temporary files (variable TMPDIR)"
            raise UserError(
                f"Cannot write temporary files to {place}: {error.strerror or error}; make room or "
                "choose another folder."
            ) from None
        self.close = self._file.close

    def append(self, *parts: bytes) -> None:
        """Writes a block.

        Raises:
          UserError: The disk is full.
        """
        try:
            for part in parts:
                self._file.write(_LENGTH.pack(len(part)))
                self._file.write(part)
        except OSError as error:
            raise self._cannot_write(error) from None

    def __iter__(self) -> Iterator[list[bytes]]:
        """Yields the parts of each block.

        Raises:
          UserError: The disk is full, which may show at the last writes only.
        """
        try:
            self._file.seek(0)
        except OSError as error:
            raise self._cannot_write(error) from None
        while head := self._file.read(_LENGTH.size):
            parts = [self._file.read(*_LENGTH.unpack(head))]
            while len(parts) < self._parts_per_block:
                parts.append(self._file.read(*_LENGTH.unpack(self._file.read(_LENGTH.size))))
            yield parts

    def _cannot_write(self, error: OSError) -> UserError:
        return UserError(
            f"Cannot write temporary files to {self._folder}: {error.strerror}; make room there, or "
            "set the variable TMPDIR to another folder if it is the one of the system."
        )
