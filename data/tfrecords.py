"""TFRecord files of `tf.train.Example`s, written without TensorFlow.

TensorFlow takes seconds to import and far longer to build an Example than NumPy to encode a whole
matrix. The files are what `tf.io.TFRecordWriter` would have written, and TensorFlow of any version
reads them. A record stands in the file as (TensorFlow's core/lib/io/record_writer.h)

    uint64  length of the data, little-endian
    uint32  masked CRC-32C of those 8 bytes
    byte    data[length]
    uint32  masked CRC-32C of the data
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import itertools
import math
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import IO, cast

import google_crc32c
import numpy as np

from common.atomic import atomic_output
from common.errors import UserError
from common.files import (
    compression_of,
    make_folder,
    move,
    open_binary,
)
from data.sidecars import remove_sidecar

# Fields of `Feature` in TensorFlow's feature.proto.
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3
_HEAD_BYTES = 12  # Of a record: its length and that number's checksum.
_CHUNK_BYTES = 1 << 16


class RecordWriter:
    """Context manager that writes a TFRecord file, put in place when it is left without an error.

    A sidecar of an earlier file of that name is deleted at the same time.

    Attributes:
      path: The file.
      num_records: Records written so far.
    """

    def __init__(self, path: str, gzip_compress: bool = False):
        """Does not touch the disk yet.

        Args:
          path: The file.
          gzip_compress: Whether to write a gzip stream (its bytes depend on the records alone).
        """
        self.path = path
        self.num_records = 0
        self._gzip_compress = gzip_compress

    def __enter__(self) -> RecordWriter:
        """Creates a temporary file in the same folder; UserError if that is impossible."""
        with contextlib.ExitStack() as stack:
            temporary = stack.enter_context(atomic_output(self.path))
            stack.push(self._delete_old_sidecar)
            file = stack.enter_context(open_binary(temporary, "wb"))
            if self._gzip_compress:
                stream = gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0)
                file = cast(IO[bytes], stack.enter_context(stream))
            self._file = file
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exit.__exit__(kind, error, traceback)

    def write(self, record: bytes) -> None:
        self.write_many([record])

    def write_many(self, records: Sequence[bytes]) -> None:
        self.write_framed(frame_records(records), len(records))

    def write_framed(self, data: bytes, num_records: int) -> None:
        """Writes what `frame_records` made of that many records."""
        self._file.write(data)
        self.num_records += num_records

    def _delete_old_sidecar(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            remove_sidecar(self.path)


def frame_records(records: Sequence[bytes]) -> bytes:
    """The bytes of records in a (not compressed) file."""
    checksums = _masked(np.fromiter(map(google_crc32c.value, records), np.uint32, len(records)))
    parts: list[bytes] = []
    for record, checksum in zip(records, checksums.tolist(), strict=True):
        parts += _frame_head(len(record)), record, checksum.to_bytes(4, "little")
    return b"".join(parts)


def first_record(path: str, compression: str) -> bytes | None:
    """The first record of a file; None where there is no whole one with the right checksums.

    TensorFlow, which reads all records when they are used, takes a hundred times as long to begin.

    Args:
      path: The file.
      compression: "", "GZIP" or "ZLIB".
    """
    either_kind = 32 + zlib.MAX_WBITS
    expanded = zlib.decompressobj(either_kind).decompress if compression else bytes
    data, end = b"", _HEAD_BYTES
    try:
        with open_binary(path, decompress=False) as file:
            while len(data) < end:
                if not (chunk := file.read(_CHUNK_BYTES)):
                    return None
                data += expanded(chunk)
                if len(data) >= _HEAD_BYTES:
                    if (size := _framed_size(data[:_HEAD_BYTES])) is None:
                        return None
                    end = _HEAD_BYTES + size + 4
    except (zlib.error, OSError, UserError):
        return None
    record = data[_HEAD_BYTES : end - 4]
    return record if data[:end] == frame_records([record]) else None


def move_records(source: str, path: str) -> None:
    """Gives a finished file its name, in place of an earlier one, whose sidecar is deleted."""
    make_folder(os.path.dirname(path) or ".")
    remove_sidecar(path)
    move(source, path)


def serialize_examples(features: Mapping[str, np.ndarray]) -> list[bytes]:
    """Encodes N `tf.train.Example`s.

    Args:
      features: Arrays whose first axis is the N examples. Integers (none negative) of shape [N] or
        [N, K] become an Int64List, floats of these shapes a FloatList of float32, and `bytes` in an
        object array of shape [N] a BytesList of one value.

    Returns:
      N serialized messages, features in the order of their names.

    Raises:
      ValueError: An array of another type or shape, or a negative integer.
    """
    entries = [_map_entries(name, features[name]) for name in sorted(features)]
    messages = map(b"".join, zip(*entries, strict=True))
    return [b"\x0a" + varint(len(message)) + message for message in messages]


def record_compression(path: str) -> str:
    """Compression of a record file, by its content: "", "GZIP" or "ZLIB".

    Raises:
      UserError: In a way that TensorFlow does not read.
    """
    with open_binary(path, decompress=False) as file:
        head = file.read(_HEAD_BYTES)
    if _framed_size(head) is not None:
        return ""
    kind = compression_of(head)
    if kind == "gzip":
        return "GZIP"
    if kind:
        raise UserError(
            f"{path} is compressed with {kind}, which TensorFlow does not read in records; unpack it "
            "or compress it with gzip."
        )
    # A zlib stream begins with its method, 8, and a check of two bytes.
    is_zlib = len(head) > 1 and head[0] & 15 == 8 and int.from_bytes(head[:2], "big") % 31 == 0
    return "ZLIB" if is_zlib else ""


def is_record_name(path: str) -> bool:
    """Whether a file found in a folder of records may be one: JSON files describe records."""
    return not path.endswith(".json")


def _masked(checksums: np.ndarray) -> np.ndarray:
    """TensorFlow's masking: CRCs of data that itself holds CRCs would be weak."""
    rotated = (checksums >> np.uint32(15)) | (checksums << np.uint32(17))
    return rotated + np.uint32(0xA282EAD8)


@functools.lru_cache(maxsize=4096)
def _frame_head(size: int) -> bytes:
    length = struct.pack("<Q", size)
    return length + _masked(np.array([google_crc32c.value(length)], np.uint32)).tobytes()


def _framed_size(head: bytes) -> int | None:
    """Size of the record that begins with these bytes; None if they are not `_frame_head` of any."""
    size = int.from_bytes(head[:8], "little")
    return size if head == _frame_head(size) else None


def _map_entries(name: str, values: np.ndarray) -> list[bytes]:
    """Per example, the entry `name: Feature` of the map in `Features`, with its tag and size."""
    if values.dtype.kind == "O" and values.ndim == 1:
        kind, payloads = _BYTES_LIST, values.tolist()
    elif values.dtype.kind == "f" and values.ndim in (1, 2):
        data = values.astype("<f4").tobytes()
        row_bytes = 4 * math.prod(values.shape[1:])
        kind, payloads = _FLOAT_LIST, _cut(data, np.full(len(values), row_bytes))
    elif values.dtype.kind in "iub" and values.ndim in (1, 2):
        matrix = values if values.ndim == 2 else values[:, None]
        kind, payloads = _INT64_LIST, _varint_rows(matrix)
    else:
        raise ValueError(f'feature "{name}": no encoding for {values.dtype} {values.shape}')
    key = name.encode()
    return [_entry_head(key, kind, len(payload)) + payload for payload in payloads]


@functools.lru_cache(maxsize=1 << 16)
def _entry_head(key: bytes, kind: int, size: int) -> bytes:
    """All of a map entry that comes before the `size` bytes of its only list's content."""
    # Every one of the three lists has one field, number 1, and every message here is nested as the
    # last field of its parent, so the head grows from the inside out.
    head = b"\x0a" + varint(size)
    head = bytes([kind << 3 | 2]) + varint(len(head) + size) + head
    head = b"\x0a" + varint(len(key)) + key + b"\x12" + varint(len(head) + size) + head
    return b"\x0a" + varint(len(head) + size) + head


def varint(value: int) -> bytes:
    """Protocol Buffers' integer: 7 bits a byte, lowest first; the high bit says more follow."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _varint_rows(values: np.ndarray) -> list[bytes]:
    """The varints of each row of an integer matrix [N, K]."""
    if values.size and values.min() < 0:
        raise ValueError(f"negative integers are not supported, found {values.min()}")
    largest = int(values.max(initial=0))
    if largest <= 0x7F:
        data = values.astype(np.uint8).tobytes()
        return _cut(data, np.full(len(values), values.shape[1]))
    values = values.astype(np.uint32 if largest < 1 << 32 else np.uint64)
    planes, is_used = [], []
    for shift in range(0, largest.bit_length(), 7):
        rest = values >> values.dtype.type(shift)
        more = rest > 0x7F
        planes.append((rest & values.dtype.type(0x7F)).astype(np.uint8) | more.view(np.uint8) << 7)
        is_used.append(rest > 0 if shift else np.ones_like(more))
    used = np.stack(is_used, axis=-1)
    return _cut(np.stack(planes, axis=-1)[used].tobytes(), used.sum(axis=(1, 2)))


def _cut(data: bytes, sizes: np.ndarray) -> list[bytes]:
    """Consecutive pieces of `data` of the given sizes."""
    ends = itertools.accumulate(sizes.tolist(), initial=0)
    return [data[start:end] for start, end in itertools.pairwise(ends)]
