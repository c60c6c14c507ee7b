"""Protection of output files and folders from being inputs, or outputs of other processes.

Nothing that was an input is ever written to, and two processes never write to the same place.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import posixpath
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from common.errors import UserError
from common.files import exists, is_folder, is_remote, make_folder

# A file system without locks answers with one of these.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)

# Locks of this process: path of the lock file -> descriptor. The system releases them when the
# process ends, however it ends.
_held: dict[str, int] = {}


# What a command reads: flag -> the file or folder that it names, or several, or none.
Inputs: TypeAlias = Mapping[str, str | Sequence[str] | None]


def check_folder_apart(flag: str, folder: str, inputs: Inputs) -> None:
    """Refuses an output folder that is, contains or lies inside an input.

    Links, `..` and the like are followed first.

    Args:
      flag: The flag that names the output folder.
      folder: Its value; need not exist.
      inputs: Files and folders that the command reads.

    Raises:
      UserError: One of the inputs would be written to.
    """
    output = _real_path(folder)
    named = ((n, [p] if isinstance(p, str) else p or ()) for n, p in inputs.items())
    for name, path in ((name, path) for name, paths in named for path in paths):
        found = _real_path(path)
        if found == output:
            relation = "is the same folder as"
        elif _is_inside(found, output):
            relation = "contains"
        elif _is_inside(output, found):
            relation = "lies inside"
        else:
            continue
        raise UserError(
            f"--{flag}={folder} {relation} --{name}={path}, and nothing that is an input is ever "
            f"written to; give --{flag} a folder of its own."
        )


def checkpoint_file(path: str) -> str:
    """One of the files of a TensorFlow checkpoint, given its prefix; other paths are returned."""
    return f"{path}.index" if exists(f"{path}.index") else path


def check_files_apart(flag: str, files: Sequence[str], inputs: Iterable[str]) -> None:
    """Refuses output files that are inputs, are named twice, or are folders.

    Args:
      flag: The flag that names the output files.
      files: Their paths; need not exist.
      inputs: Paths of the files that the command reads.

    Raises:
      UserError: One of the inputs would be written to, or one output over another.
    """
    read = set(map(_real_path, inputs))
    taken: set[str] = set()
    for path in files:
        if _real_path(path) in read | taken:
            what = "is an input file as well" if _real_path(path) in read else "is named twice"
            raise UserError(f'--{flag}: "{path}" {what}; give every output a name of its own.')
        if is_folder(path):
            raise UserError(f'--{flag}: "{path}" is a folder; name a file in it.')
        taken.add(_real_path(path))


def lock_folder(flag: str, folder: str, part: str | None = None) -> None:
    """Keeps other processes out of an output folder until `release_locks`, or the end of this one.

    A process that has crashed holds no lock. The workers of one job share the lock of their chief,
    which alone writes. Nothing is locked on remote file systems, which have no locks.

    Args:
      flag: The flag that names the folder.
      folder: The folder; made when it does not exist.
      part: Name of a part of the work that this process does: processes with different parts share
        the folder, none shares it with one that does the whole.

    Raises:
      UserError: Another process works in the folder, or it cannot be made.
    """
    make_folder(folder)
    _lock(flag, folder, os.path.join(folder, ".lock"), shared=part is not None)
    if part is not None:
        _lock(flag, folder, os.path.join(folder, f".lock-{part}"))


def lock_files(flag: str, files: Iterable[str]) -> None:
    """Keeps other processes from writing the same files; see `lock_folder`."""
    for path in files:
        folder, name = os.path.split(path)
        make_folder(folder or ".")
        _lock(flag, path, os.path.join(folder, f".{name}.lock"))


def _lock(flag: str, output: str, path: str, shared: bool = False) -> None:
    if is_remote(path) or os.path.realpath(path) in _held:
        return
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise UserError(f"Cannot write {path}: {error.strerror or error}.") from None
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(descriptor, 200).decode("utf-8", "replace").strip()
            os.close(descriptor)
            if error.errno in _NO_LOCKS:
                logging.warning(
                    "%s cannot be locked (%s); make sure that no other process writes to --%s=%s.",
                    path,
                    error.strerror,
                    flag,
                    output,
                )
                return
            raise UserError(
                f"--{flag}={output} is in use by another process ({owner or 'unknown'}); wait until "
                "it has ended, or choose another place."
            ) from None
        if _is_still(path, descriptor):
            break
        os.close(descriptor)  # Its owner has removed it in the meantime.
    os.ftruncate(descriptor, 0)
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}, since {now}".encode())
    _held[os.path.realpath(path)] = descriptor


def _is_still(path: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def release_locks() -> None:
    """Gives up all locks of this process and removes their files."""
    while _held:
        path, descriptor = _held.popitem()
        with contextlib.suppress(OSError):
            # The file of a shared lock goes with the last of those that hold it.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.remove(path)
        os.close(descriptor)


def _real_path(path: str) -> str:
    if is_remote(path):
        scheme, _, rest = path.partition("://")
        return f"{scheme}://{posixpath.normpath(rest)}"
    return os.path.realpath(os.path.expanduser(path))


def _is_inside(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")
