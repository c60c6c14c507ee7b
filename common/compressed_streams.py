"""Files of several compressed streams, one behind the other, as `cat a.xz b.xz` and pbzip2 make them.

The readers of the standard library take what they cannot read behind a stream for the end of the
file, and leave out all the rest without a word. Here it is an error.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import IO, Any

_READ_BYTES = 1 << 17


def open_streams(
    raw: IO[bytes], decompressor: Callable[[], Any], padding: bytes = b""
) -> IO[bytes]:
    """A reader of what all streams of a file hold, whose memory does not grow with their length.

    Args:
      raw: The file, at its beginning.
      decompressor: Makes one for a single stream, such as `bz2.BZ2Decompressor`.
      padding: Bytes that may stand behind a stream and mean nothing.

    Returns:
      A reader. At the end of a file that is cut short it raises EOFError, and at damage or anything
      else than another stream what the decompressor raises.
    """
    return io.BufferedReader(_Streams(raw, decompressor, padding), _READ_BYTES)


class _Streams(io.RawIOBase):
    def __init__(self, raw: IO[bytes], decompressor: Callable[[], Any], padding: bytes):
        self._raw, self._new, self._padding = raw, decompressor, padding
        self._stream = decompressor()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._next(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _next(self, most: int) -> bytes:
        """The next bytes, at most so many; none at the end of the file."""
        data = b""
        while not data:
            packed = b""
            if self._stream.eof:
                packed = self._stream.unused_data.lstrip(self._padding)
                while not packed:
                    if not (packed := self._raw.read(_READ_BYTES)):
                        return b""
                    packed = packed.lstrip(self._padding)
                self._stream = self._new()
            elif self._stream.needs_input and not (packed := self._raw.read(_READ_BYTES)):
                raise EOFError("the last compressed stream has no end")
            data = self._stream.decompress(packed, most)
        return data
