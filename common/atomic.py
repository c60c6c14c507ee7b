"""Outputs that appear under their name only when they are complete."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from common.errors import UserError
from common.files import (
    BLOCK_BYTES,
    exists,
    is_folder,
    is_remote,
    list_folder,
    make_folder,
    move,
    open_binary,
    reason_of,
    remove,
    remove_folder,
)


@contextlib.contextmanager
def atomic_output(path: str) -> Iterator[str]:
    """Yields a temporary path in the folder of `path`, renamed to `path` on success.

    If the body raises, the temporary file is removed and `path` stays as it was. The folder is
    created if need be.

    Raises:
      UserError: The folder cannot be created, or the file not be renamed.
    """
    make_folder(os.path.dirname(path) or ".")
    with _temporary(path, as_folder=False) as temporary:
        yield temporary
        move(temporary, path)


@contextlib.contextmanager
def atomic_files(folder: str, last: str) -> Iterator[str]:
    """Yields a temporary folder whose files are moved to `folder` on success, else removed.

    Other files in `folder` stay. An earlier file called `last` goes first and the new one comes
    last: so whoever finds it finds all files, and of one writing.

    Raises:
      UserError: The folder cannot be created, or a file not be moved.
    """
    make_folder(folder)
    with _temporary(os.path.join(folder, "files"), as_folder=True) as temporary:
        yield temporary
        names = sorted(list_folder(temporary), key=lambda name: (name == last, name))
        remove(os.path.join(folder, last))
        for name in names:
            move(os.path.join(temporary, name), os.path.join(folder, name))


def copy_file(source: str, target: str) -> None:
    """Copies a file as a whole or not at all; a file onto itself stays as it is."""
    if os.path.abspath(source) == os.path.abspath(target):
        return
    with (
        open_binary(source, decompress=False) as original,
        atomic_output(target) as temporary,
        open_binary(temporary, "wb") as copy,
    ):
        shutil.copyfileobj(original, copy, BLOCK_BYTES)


# Temporary folders that `new_folder` has yielded and that are still in the making.
_in_the_making: set[str] = set()


@contextlib.contextmanager
def new_folder(path: str) -> Iterator[str]:
    """Yields a temporary folder beside `path`, renamed to `path` on success, else removed.

    One that an outer call has yielded is yielded as it is: under another folder in its place, the
    lock on it would be lost.

    Raises:
      UserError: `path` is a file or a folder with something in it, or cannot be written.
    """
    path = path.rstrip("/")
    if path in _in_the_making:
        yield path
        return
    if exists(path) and (not is_folder(path) or list_folder(path)):
        raise UserError(f"{path} exists already and is not empty; remove it or choose another.")
    make_folder(os.path.dirname(path) or ".")
    with _temporary(path, as_folder=True) as temporary:
        _in_the_making.add(temporary)
        try:
            yield temporary
        finally:
            _in_the_making.remove(temporary)
        move(temporary, path)


@contextlib.contextmanager
def scratch_folder(path: str) -> Iterator[str]:
    """Yields a temporary folder beside `path` (on the local disk if that is remote)."""
    if is_remote(path):
        with tempfile.TemporaryDirectory() as folder:
            yield folder
        return
    make_folder(os.path.dirname(path) or ".")
    with _temporary(path, as_folder=True) as folder:
        yield folder


@contextlib.contextmanager
def _temporary(path: str, as_folder: bool) -> Iterator[str]:
    """Yields a hidden name beside `path`; what is under it afterwards is removed.

    First removes what killed processes have left under such names. A running process holds a lock
    on its own temporary file or folder, which the system releases when the process ends; so nothing
    of a running process is removed.
    """
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.tmp")
    with contextlib.ExitStack() as stack:
        if is_remote(path):
            stack.callback(remove_any, temporary)
            if as_folder:
                make_folder(temporary)
        else:
            pattern = os.path.join(glob.escape(folder), f".{glob.escape(name)}.*.tmp")
            for leftover in glob.glob(pattern):
                with contextlib.suppress(OSError), _locked(leftover):
                    remove_any(leftover)
            # It gets the name by which others may remove it when it is locked, and is removed before
            # it is free again.
            unlocked = f"{temporary}.new"
            stack.callback(remove_any, unlocked)
            try:
                if as_folder:
                    os.makedirs(unlocked, exist_ok=True)
                else:
                    open(unlocked, "wb").close()
                stack.enter_context(_locked(unlocked))
                stack.callback(remove_any, temporary)
                os.rename(unlocked, temporary)
            except OSError as error:
                raise UserError(f"Cannot write {path}: {reason_of(error)}.") from None
        yield temporary


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """Holds a lock on a file or folder; OSError if another process does."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def remove_any(path: str) -> None:
    if is_folder(path):
        remove_folder(path)
    else:
        remove(path)


def write_text(path: str, text: str) -> None:
    """Writes a UTF-8 file as a whole or not at all."""
    with atomic_output(path) as temporary, open_binary(temporary, "wb") as file:
        file.write(text.encode("utf-8"))


def write_json(path: str, value: Any) -> None:
    """Writes a JSON file as a whole or not at all; numbers as of `finite`."""
    text = json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def finite(value: Any) -> Any:
    """A value for JSON with None in place of NaN and infinities, for which JSON has no form."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(entry) for key, entry in value.items()}
    return [finite(entry) for entry in value] if isinstance(value, (list, tuple)) else value
