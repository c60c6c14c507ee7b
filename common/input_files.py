"""The files that flags stand for: globs, folders, `~` and pipes."""

from __future__ import annotations

import atexit
import contextlib
import csv
import functools
import itertools
import logging
import os
import shutil
import tempfile
from collections.abc import Callable

from common.atomic import scratch_folder
from common.errors import UserError
from common.files import (
    BLOCK_BYTES,
    exists,
    file_size,
    file_system,
    is_folder,
    is_remote,
    list_folder,
    make_folder,
    move,
    open_binary,
    read_lines,
)

_STDIN = "/dev/stdin"
_PARQUET_MAGIC = b"PAR1"
# Lines of a text that are read to tell its format.
_FIRST_LINES = 200


def expand_globs(
    patterns: str,
    flag: str,
    fits: Callable[[str], bool] = lambda path: True,
    level: int = logging.INFO,
) -> list[str]:
    """The files that a comma-separated list of names, globs and folders stands for, each once.

    `-` is standard input, `**` any depth of folders, and a folder stands for all files below it.
    What is found, rather than named, leaves out hidden files and each `<name>.json` beside a
    `<name>`, which describes that file. A local file counts once, also under several names or behind
    links. Pipes are copied (`readable_again`). The log says how many files there are.

    Args:
      patterns: The list, as given by a user.
      flag: Flag that it comes from, for messages.
      fits: Selects files in folders and behind globs; a file that is named is always taken.
      level: Level of the lines in the log.

    Returns:
      The paths, sorted.

    Raises:
      UserError: A pattern matches no file; the message names `flag` and the pattern.
    """
    paths: set[str] = set()
    wanted = [part.strip() for part in patterns.split(",") if part.strip()]
    for pattern in wanted:
        if pattern == "-":
            pattern = _STDIN
        # A name with brackets in it is a file before it is a pattern.
        if exists(pattern) and not is_folder(pattern):
            paths.add(pattern)
            continue
        found = files_below(pattern) if is_folder(pattern) else _matches(pattern, flag)
        described = {f"{path}.json" for path in found}
        files = [path for path in found if path not in described and fits(path)]
        left_out = len(found) - len(files)
        if not files:
            hint = f" ({left_out} of another kind, such as {found[0]})" if left_out else ""
            raise UserError(f'--{flag}: no file matches "{pattern}"{hint}.')
        if left_out:
            logging.log(level, '--%s: "%s": left out %d of another kind.', flag, pattern, left_out)
        paths.update(files)
    if not paths:
        raise UserError(f'--{flag}: "{patterns}" names no file.')
    files = _one_name_each(sorted(paths), flag, level)
    if files != wanted:
        count = f"{len(files)} files, from {files[0]} to" if len(files) > 1 else "1 file,"
        logging.log(level, "--%s: %s %s.", flag, count, files[-1])
    return list(map(readable_again, files))


def _one_name_each(paths: list[str], flag: str, level: int) -> list[str]:
    """The paths without those of a file that another one of them stands for."""
    names: dict[str, str] = {}
    for path in paths:
        real = path if is_remote(path) else os.path.realpath(path)
        name = names.setdefault(real, path)
        if name != path:
            logging.log(level, "--%s: left out %s, the same file as %s.", flag, path, name)
    return list(names.values())


def readable_again(path: str) -> str:
    """A path with the content of `path` that can be read any number of times.

    A pipe, `/dev/stdin` or `<(...)` can be read once only: it is copied to a temporary file, which is
    removed when the process ends. If its name has no ending, the copy gets one by its content:
    `.parquet` if it begins as such a file does, `.jsonl` if it begins with a JSON object, `.tsv` if
    there is a tab in the first line, `.csv` if the first line is a header with commas and the rows
    have as many fields, else `.txt` (none for bytes that are not text).

    Raises:
      UserError: It cannot be read, or the disk is full.
    """
    if path == _STDIN and os.path.isfile(path):
        return os.path.realpath(path)  # A file behind a `<`, whose name has an ending.
    if is_remote(path) or not exists(path) or is_folder(path) or os.path.isfile(path):
        return path
    return _copied_pipe(path)


@functools.cache
def _copied_pipe(path: str) -> str:
    number = len(list_folder(_copies_folder())) + 1
    folder = os.path.join(_copies_folder(), str(number))
    make_folder(folder)
    name = os.path.basename(path)
    copy = os.path.join(folder, name if "." in name else f"pipe-{number}")
    with open_binary(path, decompress=False) as pipe, open_binary(copy, "wb") as file:
        shutil.copyfileobj(pipe, file, BLOCK_BYTES)
    if "." not in name:
        nameless, copy = copy, copy + _ending_of_text(copy)
        move(nameless, copy)
    logging.info(
        "%s can be read once only: its %d bytes are read from a copy, %s.",
        path,
        file_size(copy),
        copy,
    )
    return copy


@functools.cache
def _copies_folder() -> str:
    """Temporary folder for copies of pipes, deleted when this process ends."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(scratch_folder(os.path.join(tempfile.gettempdir(), "pipes")))


def _ending_of_text(path: str) -> str:
    with open_binary(path, decompress=False) as file:
        if file.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC:
            return ".parquet"
    try:
        line = next((text for _, text in read_lines(path) if text.strip()), "")
    except UserError:
        return ""  # No text, perhaps records.
    if line.lstrip().startswith("{"):
        return ".jsonl"
    if "\t" in line:
        return ".tsv"
    return ".csv" if _is_csv(path) else ".txt"


def _is_csv(path: str) -> bool:
    """Whether a text begins like a CSV: names without spaces behind the commas, and rows as long."""
    lines = (text for _, text in itertools.islice(read_lines(path), _FIRST_LINES))
    try:
        header, *rows = [*itertools.islice(csv.reader(lines), 3)] or [[]]
    except csv.Error:
        return False
    are_names = len(set(header)) == len(header) and all(n and n == n.strip() for n in header)
    return len(header) > 1 and are_names and all(len(row) in (0, len(header)) for row in rows)


def _matches(pattern: str, flag: str) -> list[str]:
    """The files, not folders, that match a glob."""
    if is_remote(pattern) and "**" in pattern:
        raise UserError(
            f'--{flag}: "{pattern}": ** is for local disks only; name the folder, and all files '
            "below it are read."
        )
    found = file_system(pattern).glob(pattern)
    files = [path for path in found if not is_folder(path)]
    num_folders = len(found) - len(files)
    if num_folders and "**" not in pattern:
        if not files:
            raise UserError(
                f'--{flag}: no file matches "{pattern}", but {num_folders} folders do; write '
                f'"{pattern.rstrip("/")}/**" for the files below them.'
            )
        logging.warning(
            '--%s: "%s" matches %d folders too, which are not read; "**" reads what is below them.',
            flag,
            pattern,
            num_folders,
        )
    return files


def files_below(folder: str) -> list[str]:
    """The files in a folder and in all folders below it; what is hidden is left out."""
    files: list[str] = []
    seen: set[str] = set()
    for parent, folders, names in file_system(folder).walk(folder):
        real = os.path.realpath(parent)
        if real in seen:  # A link may lead back to a folder above it.
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += (os.path.join(parent, name) for name in names if not name.startswith("."))
    return files
