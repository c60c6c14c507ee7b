"""Files on the local disk, or on any file system TensorFlow knows (`gs://...`).

Text is UTF-8, may be compressed (which its first bytes tell, whatever its name), and is read in
blocks, so memory does not grow with the length of a file. TensorFlow is imported for remote paths
only: it takes seconds, and most runs of most tools need none. Outputs that appear under their name
only when they are complete are in `common.atomic`.
"""

from __future__ import annotations

import bz2
import codecs
import contextlib
import errno
import functools
import glob
import gzip
import hashlib
import importlib
import json
import lzma
import os
import re
import shutil
import types
import zlib
from collections.abc import Iterator
from typing import IO, Any, NamedTuple, cast

from common.compressed_streams import open_streams
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

BLOCK_BYTES = 1 << 20
_BYTE_ORDER_MARK = "\ufeff"
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
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


# The part of `tf.io.gfile` that is used here, on the local disk.
_LOCAL = types.SimpleNamespace(
    exists=os.path.exists,
    glob=functools.partial(glob.glob, recursive=True),
    isdir=os.path.isdir,
    listdir=os.listdir,
    makedirs=functools.partial(os.makedirs, exist_ok=True),
    remove=os.remove,
    rename=lambda source, target, overwrite: os.replace(source, target),
    rmtree=shutil.rmtree,
    walk=functools.partial(os.walk, followlinks=True),
)


def file_system(path: str) -> Any:
    """`tf.io.gfile` or, for local paths, functions of the same names from the standard library.

    Both raise OSError, which a script shows as one line where nobody says more about it.
    """
    if not is_remote(path):
        return _LOCAL
    from common.remote_files import GFILE

    return GFILE


def exists(path: str) -> bool:
    return file_system(path).exists(path)


def is_folder(path: str) -> bool:
    return file_system(path).isdir(path)


def file_size(path: str) -> int:
    """Size in bytes, as stored (that is, compressed if the file is)."""
    return file_system(path).stat(path).length if is_remote(path) else os.path.getsize(path)


def compression_of(head: bytes) -> str:
    """The compression of a file that begins with these bytes, 10 or more; "" if none is known."""
    return next((kind for kind, (magic, _) in _MAGIC.items() if re.match(magic, head)), "")


def last_change(path: str) -> int:
    """Time of a file's last change in nanoseconds; a local file's ctime, which cannot be set back."""
    return file_system(path).stat(path).mtime_nsec if is_remote(path) else os.stat(path).st_ctime_ns


def last_write(path: str) -> int:
    """Time at which a file's content was written, in nanoseconds; some copies keep it."""
    return file_system(path).stat(path).mtime_nsec if is_remote(path) else os.stat(path).st_mtime_ns


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


def read_line_blocks(path: str, block_bytes: int = BLOCK_BYTES) -> Iterator[LineBlock]:
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


def decode_block(block: LineBlock) -> str:
    """The text of a block with its line ends, without a byte-order mark.

    Raises:
      UserError: A byte is not UTF-8; the message names file, line and byte.
    """
    try:
        text = block.data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = block.first_line + block.data.count(b"\n", 0, error.start)
        is_utf_16 = not block.offset and block.data.startswith(_UTF_16_MARKS)
        raise UserError(
            f"{block.path}, line {line}: byte {block.offset + error.start} of the text "
            f"(0x{block.data[error.start]:02x}) is not valid UTF-8; convert the file, for example "
            f"with `iconv -f {'utf-16' if is_utf_16 else 'latin1'} -t utf-8`."
        ) from None
    return text.removeprefix(_BYTE_ORDER_MARK) if block.offset == 0 else text


def decode_lines(block: LineBlock) -> list[str]:
    """The lines of a block without their line ends; else like `decode_block`."""
    text = decode_block(block)
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


def move(source: str, target: str) -> None:
    """Renames a file, over another one if there is one; UserError if that is impossible."""
    try:
        file_system(target).rename(source, target, overwrite=True)
    except OSError as error:
        raise UserError(f"Cannot write {target}: {reason_of(error)}.") from None


def remove_folder(path: str) -> None:
    """Deletes a folder and all that is in it."""
    file_system(path).rmtree(path)


def list_folder(path: str) -> list[str]:
    """Names in a folder."""
    # Some file systems mark folders.
    return [name.rstrip("/") for name in file_system(path).listdir(path)]


def make_folder(path: str) -> None:
    """Creates a folder and its parents unless they exist.

    Raises:
      UserError: It cannot be created.
    """
    try:
        file_system(path).makedirs(path)
    except OSError as error:
        raise UserError(f"Cannot create the folder {path}: {reason_of(error)}.") from None


def remove(path: str) -> None:
    """Deletes a file, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        if exists(path):
            file_system(path).remove(path)


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
        while chunk := file.read(BLOCK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _open_raw(path: str, mode: str) -> IO[bytes]:
    try:
        if not is_remote(path):
            return open(path, mode)
        # Some file systems tell at the first read only that there is no such file.
        if mode == "rb" and not exists(path):
            raise UserError(f"Cannot read {path}: no such file.")
        file = file_system(path).GFile(path, mode)
        # Else it would be opened at the first read or write, whose errors have no words of ours.
        file.read(0) if mode == "rb" else file.write(b"")
        return file
    except OSError as error:
        verb = "read" if mode == "rb" else "write"
        raise UserError(f"Cannot {verb} {path}: {reason_of(error)}.") from None


def _decompressed(path: str, raw: IO[bytes]) -> IO[bytes]:
    """A reader of what is in a file: what it begins with counts, not what it is called."""
    head = raw.read(_HEAD_BYTES)
    raw.seek(0)
    kind = compression_of(head)
    if kind == "gzip":
        return cast(IO[bytes], gzip.open(raw))
    if kind == "xz":
        return open_streams(raw, functools.partial(lzma.LZMADecompressor, lzma.FORMAT_XZ), b"\0")
    if kind == "bzip2":
        return open_streams(raw, bz2.BZ2Decompressor)
    if kind == "zstd":
        check_compression(path, ".zst")
        return open_streams(raw, zstd.ZstdDecompressor)
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
        # Alone of the four, it has no checksum unless it is asked for.
        flags = zstd.CompressionParameter
        options = {flags.compression_level: 1, flags.checksum_flag: 1}
        stream = zstd.open(file, "wb", options=options)
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
            f"Cannot write {path}: {reason_of(error)}; make room or choose another folder, and run "
            "the same command again."
        ) from None


def reason_of(error: OSError) -> str:
    return error.strerror or str(error)
