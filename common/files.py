"""Files on the local disk, or on any file system TensorFlow knows (`gs://...`).

Outputs appear under their name only when they are complete. Text is UTF-8, may be compressed (which
its first bytes tell, whatever its name), and is read in blocks, so memory does not grow with the
length of a file. TensorFlow is imported for remote paths only: it takes seconds, and most runs of
most tools need none.
"""

from __future__ import annotations

import atexit
import bz2
import contextlib
import errno
import fcntl
import functools
import glob
import gzip
import hashlib
import importlib
import json
import logging
import lzma
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple, cast

from common.errors import UserError

# In the standard library from Python 3.14 on; for earlier ones a package has it.
zstd: Any = None
for _name in ("compression.zstd", "backports.zstd"):
    with contextlib.suppress(ImportError):
        zstd = importlib.import_module(_name)
        break

# Endings of the names of compressed text and tables, "" for plain ones, and the same for messages.
COMPRESSIONS = ("", ".gz", ".xz", ".bz2", ".zst")
COMPRESSED = ".gz, .xz, .bz2 or .zst"

_BLOCK_BYTES = 1 << 20
_BYTE_ORDER_MARK = "\ufeff"
# What a write to an open file fails with when the disk, and not the program, is the reason.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


# What compressed files begin with; a bzip2 file may be empty inside. Then the ending of their names.
_MAGIC = {
    "gzip": (rb"\x1f\x8b", ".gz"),
    "xz": (rb"\xfd7zXZ\x00", ".xz"),
    "bzip2": (rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", ".bz2"),
    "zstd": (rb"[\x50-\x5f]\x2a\x4d\x18|\x28\xb5\x2f\xfd", ".zst"),
    "zip": (rb"PK\x03\x04", ".zip"),
    "7-Zip": (rb"7z\xbc\xaf\x27\x1c", ".7z"),
}
_HEAD_BYTES = 10
_ZSTD_ERROR = zstd.ZstdError if zstd else EOFError
# Where a tar archive says that it is one.
_TAR = slice(257, 262), b"ustar"


class LineBlock(NamedTuple):
    """Whole lines of a text file, not yet decoded.

    Attributes:
      path: The file.
      data: The lines with their line ends; the last line of a file may lack its own.
      first_line: Number of the first line, counted from 1.
      offset: Position of the first byte in the (decompressed) file.
      consumed: Bytes read so far from the file as stored, for progress displays.
    """

    path: str
    data: bytes
    first_line: int
    offset: int
    consumed: int


def is_remote(path: str) -> bool:
    """Whether TensorFlow's file systems are needed to reach `path`."""
    return "://" in path


def exists(path: str) -> bool:
    return _gfile().exists(path) if is_remote(path) else os.path.exists(path)


def is_folder(path: str) -> bool:
    return _gfile().isdir(path) if is_remote(path) else os.path.isdir(path)


def file_size(path: str) -> int:
    """Size in bytes, as stored (that is, compressed if the file is)."""
    return _gfile().stat(path).length if is_remote(path) else os.path.getsize(path)


def compression_of(head: bytes) -> str:
    """The compression of a file that begins with these bytes, 10 or more; "" if none is known."""
    return next((kind for kind, (magic, _) in _MAGIC.items() if re.match(magic, head)), "")


def last_change(path: str) -> int:
    """When a file was last written or renamed, in nanoseconds; on a disk nobody can set it back."""
    return _gfile().stat(path).mtime_nsec if is_remote(path) else os.stat(path).st_ctime_ns


def expand_globs(
    patterns: str,
    flag: str,
    fits: Callable[[str], bool] = lambda path: True,
    level: int = logging.INFO,
) -> list[str]:
    """The files that a comma-separated list of names, globs and folders stands for, each once.

    `**` is any depth of folders, and a folder stands for all files below it. What is found, rather
    than named, leaves out hidden files and each `<name>.json` beside a `<name>`, which describes that
    file. Pipes are copied (`readable_again`). The log says how many files there are.

    Args:
      patterns: The list, as given by a user.
      flag: Where it comes from, for messages.
      fits: Which files in folders and behind globs are wanted; one that is named is always.
      level: Of what is logged.

    Returns:
      The paths, sorted.

    Raises:
      UserError: A pattern matches no file; the message names `flag` and the pattern.
    """
    paths: set[str] = set()
    wanted = [part.strip() for part in patterns.split(",") if part.strip()]
    for pattern in wanted:
        # A name with brackets in it is a file before it is a pattern.
        if exists(pattern) and not is_folder(pattern):
            paths.add(pattern)
            continue
        found = _files_below(pattern) if is_folder(pattern) else _matches(pattern, flag)
        described = {f"{path}.json" for path in found}
        files = [path for path in found if path not in described and fits(path)]
        left_out = len(found) - len(files)
        if not files:
            hint = f" ({left_out} of another kind)" if left_out else ""
            raise UserError(f'--{flag}: no file matches "{pattern}"{hint}.')
        if left_out:
            logging.log(level, '--%s: "%s": %d other files left out.', flag, pattern, left_out)
        paths.update(files)
    if not paths:
        raise UserError(f'--{flag}: "{patterns}" names no file.')
    files = sorted(paths)
    if files != wanted:
        logging.log(level, "--%s: %d files, from %s to %s.", flag, len(files), files[0], files[-1])
    return list(map(readable_again, files))


def readable_again(path: str) -> str:
    """A path with the content of `path` that can be read any number of times.

    A pipe, `/dev/stdin` or `<(...)` can be read once only: it is copied to a temporary file, which is
    removed when the process ends. A name without an ending gets the one of what the text begins with:
    `.jsonl` for a JSON object, `.tsv` for a tab in the first line, else `.txt`.

    Raises:
      UserError: It cannot be read, or the disk is full.
    """
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
        while chunk := pipe.read(_BLOCK_BYTES):
            file.write(chunk)
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
    """Where copies of pipes are until this process ends."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(scratch_folder(os.path.join(tempfile.gettempdir(), "pipes")))


def _ending_of_text(path: str) -> str:
    try:
        line = next((text for _, text in read_lines(path) if text.strip()), "")
    except UserError:
        return ""  # No text, perhaps records.
    if line.lstrip().startswith("{"):
        return ".jsonl"
    return ".tsv" if "	" in line else ".txt"


def _matches(pattern: str, flag: str) -> list[str]:
    """The files, not folders, that match a glob."""
    if is_remote(pattern) and "**" in pattern:
        raise UserError(
            f'--{flag}: "{pattern}": ** is for local disks only; name the folder, and all files '
            "below it are read."
        )
    found = _gfile().glob(pattern) if is_remote(pattern) else glob.glob(pattern, recursive=True)
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


def _files_below(folder: str) -> list[str]:
    """The files in a folder and in all folders below it; what is hidden is left out."""
    files: list[str] = []
    seen: set[str] = set()
    walk = _gfile().walk(folder) if is_remote(folder) else os.walk(folder, followlinks=True)
    for parent, folders, names in walk:
        if not is_remote(folder):
            real = os.path.realpath(parent)
            if real in seen:  # A link may lead back to a folder above it.
                folders.clear()
                continue
            seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += (os.path.join(parent, name) for name in names if not name.startswith("."))
    return files


@contextlib.contextmanager
def open_binary(path: str, mode: str = "rb", decompress: bool = True) -> Iterator[IO[bytes]]:
    """Opens a file of bytes, as a context manager.

    Args:
      path: A local path or a URL of a file system that TensorFlow knows.
      mode: "rb", "wb" or "ab".
      decompress: Whether compressed files are decompressed when read; writing never compresses.

    Raises:
      UserError: The file cannot be opened, or the disk is full.
    """
    if mode == "rb":
        with _open_raw(path, mode) as raw:
            if decompress:
                with _decompressed(path, raw) as file:
                    yield file
            else:
                yield raw
        return
    with _disk_errors_named(path), _open_raw(path, mode) as raw:
        yield raw


def read_line_blocks(path: str, block_bytes: int = _BLOCK_BYTES) -> Iterator[LineBlock]:
    """Yields the lines of a text file in blocks of about `block_bytes`, more for longer lines.

    Raises:
      UserError: The file cannot be opened, or its compressed data is corrupt or cut short.
    """
    first_line, offset = 1, 0
    parts: list[bytes] = []
    with _open_raw(path, "rb") as raw, _decompressed(path, raw) as file:
        while chunk := _read(path, file, block_bytes):
            if not offset and not parts and chunk[_TAR[0]] == _TAR[1]:
                raise UserError(f"{path} is a tar archive, which is not read; unpack it first.")
            head, newline, tail = chunk.rpartition(b"\n")
            if not newline:
                parts.append(chunk)
                continue
            data = b"".join([*parts, head, newline])
            yield LineBlock(path, data, first_line, offset, raw.tell())
            first_line += data.count(b"\n")
            offset += len(data)
            parts = [tail]
        if data := b"".join(parts):
            yield LineBlock(path, data, first_line, offset, raw.tell())


def decode_lines(block: LineBlock) -> list[str]:
    """The lines of a block without their line ends and without a byte-order mark.

    Raises:
      UserError: A byte is not UTF-8; the message names file, line and byte.
    """
    try:
        text = block.data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = block.first_line + block.data.count(b"\n", 0, error.start)
        raise UserError(
            f"{block.path}, line {line}: byte {block.offset + error.start} of the text "
            f"(0x{block.data[error.start]:02x}) is not valid UTF-8; convert the file, for example "
            "with `iconv -f latin1 -t utf-8`."
        ) from None
    if block.offset == 0:
        text = text.removeprefix(_BYTE_ORDER_MARK)
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines] if "\r" in text else lines


def read_lines(path: str) -> Iterator[tuple[int, str]]:
    """Yields (line number counted from 1, line without its end) of a UTF-8 text file.

    A byte-order mark is dropped, lines end in LF or CRLF and may be of any length, and the last one
    may lack its end.

    Raises:
      UserError: The file cannot be opened, is damaged, or is not UTF-8.
    """
    for block in read_line_blocks(path):
        yield from enumerate(decode_lines(block), block.first_line)


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
        if exists(os.path.join(folder, last)):
            remove(os.path.join(folder, last))
        for name in names:
            move(os.path.join(temporary, name), os.path.join(folder, name))


def move(source: str, target: str) -> None:
    """Renames a file, over another one if there is one; UserError if that is impossible."""
    if is_remote(target):
        _gfile().rename(source, target, overwrite=True)
        return
    try:
        os.replace(source, target)
    except OSError as error:
        raise UserError(f"Cannot write {target}: {_reason(error)}.") from None


def copy_file(source: str, target: str) -> None:
    """Copies a file as a whole or not at all; a file onto itself stays as it is."""
    if os.path.abspath(source) == os.path.abspath(target):
        return
    with (
        open_binary(source, decompress=False) as original,
        atomic_output(target) as temporary,
        open_binary(temporary, "wb") as copy,
    ):
        while chunk := original.read(_BLOCK_BYTES):
            copy.write(chunk)


@contextlib.contextmanager
def new_folder(path: str) -> Iterator[str]:
    """Yields a temporary folder beside `path`, renamed to `path` on success, else removed.

    Raises:
      UserError: `path` is a file or a folder with something in it, or cannot be written.
    """
    path = path.rstrip("/")
    if exists(path) and (not is_folder(path) or list_folder(path)):
        raise UserError(f"{path} exists already and is not empty; remove it or choose another.")
    make_folder(os.path.dirname(path) or ".")
    with _temporary(path, as_folder=True) as temporary:
        yield temporary
        if is_remote(path):
            _gfile().rename(temporary, path)
        else:
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

    What killed processes left under such names is removed first. A living one holds a lock on its
    own, which ends with it however it ends; so nothing is taken from another process.
    """
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.tmp")
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_any, temporary)
        if is_remote(path):
            if as_folder:
                make_folder(temporary)
        else:
            pattern = os.path.join(glob.escape(folder), f".{glob.escape(name)}.*.tmp")
            for leftover in glob.glob(pattern):
                with contextlib.suppress(OSError), _locked(leftover):
                    _remove_any(leftover)
            try:
                if as_folder:
                    os.mkdir(temporary)
                else:
                    open(temporary, "wb").close()
                stack.enter_context(_locked(temporary))
            except OSError as error:
                raise UserError(f"Cannot write {path}: {_reason(error)}.") from None
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


def _remove_any(path: str) -> None:
    if is_folder(path):
        remove_folder(path)
    elif exists(path):
        remove(path)


def remove_folder(path: str) -> None:
    """Deletes a folder and all that is in it."""
    _gfile().rmtree(path) if is_remote(path) else shutil.rmtree(path)


def list_folder(path: str) -> list[str]:
    """Names in a folder."""
    if is_remote(path):
        # Some file systems mark folders.
        return [name.rstrip("/") for name in _gfile().listdir(path)]
    return os.listdir(path)


def make_folder(path: str) -> None:
    """Creates a folder and its parents unless they exist.

    Raises:
      UserError: It cannot be created.
    """
    if is_remote(path):
        _gfile().makedirs(path)
        return
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot create the folder {path}: {_reason(error)}.") from None


def remove(path: str) -> None:
    """Deletes a file."""
    if is_remote(path):
        _gfile().remove(path)
    else:
        os.remove(path)


def write_text(path: str, text: str) -> None:
    """Writes a UTF-8 file as a whole or not at all."""
    with atomic_output(path) as temporary, open_binary(temporary, "wb") as file:
        file.write(text.encode("utf-8"))


def write_json(path: str, value: Any) -> None:
    """Writes a JSON file as a whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str) -> Any:
    """Reads a JSON file.

    Raises:
      UserError: The file cannot be opened or is not JSON; the message names line and column.
    """
    text = "\n".join(line for _, line in read_lines(path))
    try:
        return parse_json(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}, line {error.lineno}, column {error.colno}: not valid JSON ({error.msg}); "
            "correct the file."
        ) from None


def parse_json(text: str) -> Any:
    """`json.loads` for text from anywhere: what it cannot take is a `json.JSONDecodeError`."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except (RecursionError, ValueError) as error:  # Thousands of brackets, or of digits.
        raise json.JSONDecodeError(str(error), text, 0) from None


def sha256_file(path: str) -> str:
    """Hexadecimal SHA-256 of a file's bytes, as stored."""
    digest = hashlib.sha256()
    with open_binary(path, decompress=False) as file:
        while chunk := file.read(_BLOCK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _open_raw(path: str, mode: str) -> IO[bytes]:
    if is_remote(path):
        # Opened at the first read, whose error would be TensorFlow's.
        if mode == "rb" and not exists(path):
            raise UserError(f"Cannot read {path}: no such file.")
        return _gfile().GFile(path, mode)
    try:
        return open(path, mode)
    except OSError as error:
        verb = "read" if mode == "rb" else "write"
        raise UserError(f"Cannot {verb} {path}: {_reason(error)}.") from None


def _decompressed(path: str, raw: IO[bytes]) -> IO[bytes]:
    """A reader of what is in a file: what it begins with counts, not what it is called."""
    head = raw.read(_HEAD_BYTES)
    raw.seek(0)
    kind = compression_of(head)
    if kind == "gzip":
        return cast(IO[bytes], gzip.open(raw))
    if kind == "xz":
        return lzma.open(raw)
    if kind == "bzip2":
        return bz2.open(raw)
    if kind == "zstd":
        check_compression(path, ".zst")
        return cast(IO[bytes], zstd.open(raw))
    if kind:
        raise UserError(f"{path} is a {kind} archive, which is not read; unpack it first.")
    if path.endswith(COMPRESSIONS[1:]):
        raise UserError(
            f"{path} is damaged or incomplete, or not compressed as its name says; get or create it "
            "again, or correct its name."
        )
    return raw


def check_compression(path: str, suffix: str) -> None:
    """Raises a UserError where files of this ending can be neither read nor written here."""
    if suffix == ".zst" and zstd is None:
        raise UserError(
            f"{path} is compressed with zstd, which needs a package on this Python; run `pip install "
            "backports.zstd`, or unpack the file."
        )


def compressed_writer(path: str, file: IO[bytes]) -> contextlib.AbstractContextManager[IO[bytes]]:
    """A stream that compresses into an open file in the way that `path` ends in, or not at all.

    The fast end of each method: the other is a little smaller and several times slower. The bytes
    depend on the content alone.
    """
    if path.endswith(".gz"):
        stream = gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0)
        return cast(contextlib.AbstractContextManager[IO[bytes]], stream)
    if path.endswith(".xz"):
        return lzma.open(file, "wb", preset=0)
    if path.endswith(".bz2"):
        return bz2.open(file, "wb", compresslevel=1)
    if path.endswith(".zst"):
        check_compression(path, ".zst")
        stream = zstd.open(file, "wb", level=1)
        return cast(contextlib.AbstractContextManager[IO[bytes]], stream)
    return contextlib.nullcontext(file)


def _read(path: str, file: IO[bytes], num_bytes: int) -> bytes:
    try:
        return file.read(num_bytes)
    except (EOFError, OSError, zlib.error, lzma.LZMAError, _ZSTD_ERROR) as error:
        raise UserError(
            f"{path} cannot be read to its end ({error}); it is damaged or incomplete, so get or "
            "create it again."
        ) from None


@contextlib.contextmanager
def _disk_errors_named(path: str) -> Iterator[None]:
    """Names the file in errors of writing to it, which come without a name."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_ERRORS or error.filename is not None:
            raise
        raise UserError(
            f"Cannot write {path}: {_reason(error)}; make room or choose another folder, and run the "
            "same command again."
        ) from None


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _gfile() -> Any:
    import tensorflow as tf

    return tf.io.gfile
