"""Files of several compressed streams."""

import pathlib

import pytest
from packing import PACKERS

from common.errors import UserError
from common.files import read_lines

TEXTS = [b"".join(b"line %d of stream %d\n" % (i, s) for i in range(100)) for s in range(3)]


def num_lines(path: pathlib.Path, *parts: bytes) -> int:
    path.write_bytes(b"".join(parts))
    return sum(1 for _ in read_lines(str(path)))


@pytest.mark.parametrize("suffix", PACKERS)
def test_streams_behind_each_other(tmp_path, suffix):
    first, second, third = [PACKERS[suffix](text) for text in TEXTS]
    path = tmp_path / "text"
    assert num_lines(path, first, second, third) == 300
    assert num_lines(path, PACKERS[suffix](b""), first, PACKERS[suffix](b""), second) == 200
    # More than is read at a time, packed and unpacked.
    assert num_lines(path, *[first] * 3000) == 300_000


@pytest.mark.parametrize("suffix", PACKERS)
def test_what_follows_a_stream_is_one_or_an_error(tmp_path, suffix):
    first, second, third = [PACKERS[suffix](text) for text in TEXTS]
    damaged = [bytearray(second + third) for _ in range(3)]
    for position, data in enumerate(damaged):
        data[position] ^= 0xFF
    cut = [second[:1], second[:9], second[:-1]]
    for follows in (*damaged, *cut, b"more text\n", first[-7:]):
        with pytest.raises(UserError, match="text cannot be read to its end"):
            num_lines(tmp_path / "text", first, follows)


def test_zeros_behind_a_stream_of_xz(tmp_path):
    first, second, _ = [PACKERS[".xz"](text) for text in TEXTS]
    for zeros in (bytes(4), bytes(1 << 18)):
        assert num_lines(tmp_path / "text", first, zeros) == 100
        assert num_lines(tmp_path / "text", first, zeros, second, zeros) == 200
