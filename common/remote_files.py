"""The file systems that TensorFlow knows, with the errors of the standard library.

`common.files` imports this module for remote paths only: TensorFlow takes seconds.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

# TensorFlow's errors that mean the same as one of the system.
_ERRNOS = {tf.errors.NOT_FOUND: errno.ENOENT, tf.errors.RESOURCE_EXHAUSTED: errno.ENOSPC}


class _Remote:
    """A module or an open file whose functions raise OSError in place of TensorFlow's errors."""

    def __init__(self, wrapped: Any):
        self._wrapped = wrapped
        self.closed = False  # PyArrow asks for it, and TensorFlow's files do not say.

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._wrapped, name)
        return functools.partial(_call, found) if callable(found) else found

    def __enter__(self) -> _Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.closed = True
        _call(self._wrapped.close)

    def __iter__(self) -> Iterator[bytes]:
        with os_errors():
            yield from self._wrapped

    def glob(self, pattern: str) -> list[str]:
        """As on the local disk: what is hidden is found by a pattern that begins with a dot only."""
        found = _call(self._wrapped.glob, pattern)
        return [path for path in found if not _is_hidden(path, pattern)]

    def walk(self, folder: str) -> Iterator[Any]:
        with os_errors():  # A generator: it raises its errors on the way.
            yield from self._wrapped.walk(folder)


def _call(function: Any, *arguments: Any, **named: Any) -> Any:
    with os_errors():
        result = function(*arguments, **named)
    return _Remote(result) if isinstance(result, tf.io.gfile.GFile) else result


def _is_hidden(path: str, pattern: str) -> bool:
    """Whether a name in a path begins with a dot where its part of the pattern does not."""
    names, parts = (reversed(text.split("/")) for text in (path, pattern))
    return any(
        name.startswith(".") and not part.startswith(".")
        for name, part in zip(names, parts, strict=False)
    )


@contextlib.contextmanager
def os_errors() -> Iterator[None]:
    """Raises OSError in place of TensorFlow's errors."""
    try:
        yield
    except tf.errors.OpError as error:
        number = _ERRNOS.get(error.error_code, errno.EIO)
        raise OSError(number, error.message or os.strerror(number)) from error


# `tf.io.gfile`; what goes wrong is an OSError.
GFILE: Any = _Remote(tf.io.gfile)
