"""Reading text in any shape."""

import hashlib
import os
import pathlib
import tarfile
import zipfile

import pytest
from packing import PACKERS, compress

from common import atomic, files, input_files
from common.errors import UserError


@pytest.mark.parametrize("suffix", ["", *PACKERS])
@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\r\n\r\ntwo", ["one", "", "two"]),
        (b"\xef\xbb\xbfone\n\xef\xbb\xbftwo", ["one", "\ufefftwo"]),
        (b"a\rb\x0bc\xc2\x85d\n", ["a\rb\x0bc\x85d"]),
        ("漢字\n".encode() * 3, ["漢字"] * 3),
    ],
)
def test_read_lines(tmp_path, suffix, data, lines):
    path = compress(tmp_path / f"text{suffix}", data)
    assert list(files.read_lines(path)) == list(enumerate(lines, 1))


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("name", ["text.txt", "text", "text.gz"])
def test_compression_is_told_by_the_content(tmp_path, suffix, name):
    (tmp_path / name).write_bytes(PACKERS[suffix](b"one\n") + PACKERS[suffix](b"two\n"))
    assert list(files.read_lines(str(tmp_path / name))) == [(1, "one"), (2, "two")]


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[:-1],
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:20] + bytes(20) + whole[40:],
    ],
    ids=["last byte", "half", "zeros"],
)
def test_compressed_file_that_is_cut_short_or_damaged(tmp_path, suffix, damage):
    whole = PACKERS[suffix](b"".join(b"line %d\n" % i for i in range(1000)))
    (tmp_path / "text").write_bytes(damage(whole))
    with pytest.raises(UserError, match="text cannot be read to its end"):
        list(files.read_lines(str(tmp_path / "text")))


def tar_of(path):
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"))


def zip_of(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "text")


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.txt.gz", tar_of, "is a tar archive"),
        ("a.txt", zip_of, "is a zip archive"),
        (
            "a.txt.gz",
            lambda path: path.write_text("text"),
            "is damaged or incomplete",
        ),
        (
            "a.txt.bz2",
            lambda path: path.write_text("BZh is text"),
            "is damaged or incomplete",
        ),
        ("a.txt.xz", pathlib.Path.touch, "is damaged or incomplete"),
    ],
)
def test_archives_and_wrong_names(tmp_path, name, write, message):
    write(tmp_path / name)
    with pytest.raises(UserError, match=f"{name} {message}"):
        list(files.read_lines(str(tmp_path / name)))


def test_zstd_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "zstd", None)
    (tmp_path / "a.txt").write_bytes(b"\x28\xb5\x2f\xfd......")
    with pytest.raises(
        UserError, match=r"a.txt is compressed with zstd.*pip install backports.zstd"
    ):
        list(files.read_lines(str(tmp_path / "a.txt")))
    with pytest.raises(UserError, match="pip install"), open(tmp_path / "b", "wb") as file:
        files.compressed_writer("b.zst", file)


@pytest.mark.parametrize("suffix", ["", *PACKERS])
def test_compressed_writer(tmp_path, suffix):
    paths = [str(tmp_path / f"{name}{suffix}") for name in "ab"]
    for path in paths:
        with open(path, "wb") as file, files.compressed_writer(path, file) as stream:
            stream.write(b"one\ntwo\n" * 1000)
    first, second = (pathlib.Path(path).read_bytes() for path in paths)
    assert first == second and len(first) < 1000 or not suffix
    assert len(list(files.read_lines(paths[0]))) == 2000


def test_lines_do_not_depend_on_the_blocks_they_are_read_in(tmp_path):
    expected = ["ä" * (7 * i % 50) for i in range(200)] + ["x" * 5000, "", "end"]
    path = compress(tmp_path / "text.gz", "\n".join(expected).encode())
    for block_bytes in (1, 10, 1000, 1 << 20):
        blocks = list(files.read_line_blocks(path, block_bytes))
        assert [line for block in blocks for line in files.decode_lines(block)] == expected
        assert blocks[-1].consumed == os.path.getsize(path)
        if block_bytes == 10:
            assert len(blocks) > 100


def test_very_long_line(tmp_path):
    path = compress(tmp_path / "text", b"short\n" + b"y" * (5 << 20) + b"\nlast")
    lengths = [(number, len(line)) for number, line in files.read_lines(path)]
    assert lengths == [(1, 5), (2, 5 << 20), (3, 4)]


@pytest.mark.parametrize("suffix", ["", ".xz"])
def test_invalid_utf8_names_file_line_and_byte(tmp_path, suffix):
    good = b"first line\n" * 200_000
    path = compress(tmp_path / f"text{suffix}", good + b"caf\xe9\nmore\n")
    with pytest.raises(UserError) as error:
        list(files.read_lines(path))
    assert f"{path}, line 200001: byte {len(good) + 3} of the text (0xe9)" in str(error.value)


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
@pytest.mark.parametrize("damage", ["cut", "flip", "plain"])
def test_damaged_compressed_file(tmp_path, suffix, damage):
    path = tmp_path / f"text{suffix}"
    compress(path, os.urandom(20_000).hex().encode())
    data = bytearray(path.read_bytes())
    if damage == "cut":
        del data[-30:]
    elif damage == "flip":
        data[10_000] ^= 0xFF
    else:
        data[:] = b"not compressed at all\n"
    path.write_bytes(data)
    with pytest.raises(UserError, match="damaged or incomplete") as error:
        list(files.read_lines(str(path)))
    assert str(path) in str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="Cannot read .*nowhere: No such file"):
        list(files.read_lines(str(tmp_path / "nowhere")))


def test_open_binary_decompresses_unless_told_otherwise(tmp_path):
    path = compress(tmp_path / "a.gz", b"content")
    with files.open_binary(path) as file:
        assert file.read() == b"content"
    with files.open_binary(path, decompress=False) as file:
        assert file.read(2) == b"\x1f\x8b"


def test_json_round_trip_and_error_position(tmp_path):
    path = str(tmp_path / "a.json")
    value = {"b": [1, 2.5, None], "a": "naïve"}
    atomic.write_json(path, value)
    assert files.read_json(path) == value
    with open(path, "w") as file:
        file.write('{"a": 1,\n "b" 2}')
    with pytest.raises(UserError, match=r"a\.json, line 2, column 6: not valid JSON"):
        files.read_json(path)


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000])
def test_json_that_python_cannot_take(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UserError, match="a.json, line 1, column 1: not valid JSON"):
        files.read_json(str(path))


def test_size_digest_and_existence(tmp_path):
    path = compress(tmp_path / "a.gz", b"content")
    with open(path, "rb") as file:
        stored = file.read()
    assert files.file_size(path) == len(stored)
    assert files.sha256_file(path) == hashlib.sha256(stored).hexdigest()
    assert files.exists(path) and files.exists(str(tmp_path))
    assert not files.exists(path + "x")


def test_remote_files(tmp_path):
    """`file://` goes the same way as `gs://`, through TensorFlow's file systems."""
    url = f"file://{tmp_path}/sub/text.gz"
    (tmp_path / "sub").mkdir()
    compress(tmp_path / "sub" / "text.gz", b"one\ntwo")
    assert input_files.expand_globs(f"file://{tmp_path}/sub/*.gz", "input_file") == [url]
    assert list(files.read_lines(url)) == [(1, "one"), (2, "two")]
    assert files.file_size(url) == os.path.getsize(tmp_path / "sub" / "text.gz")
    atomic.write_json(f"file://{tmp_path}/deep/er/a.json", [1])
    assert files.read_json(f"file://{tmp_path}/deep/er/a.json") == [1]
    assert os.listdir(tmp_path / "deep" / "er") == ["a.json"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_called_by_its_name(tmp_path: pathlib.Path, encoding: str) -> None:
    path = tmp_path / "new.csv"
    path.write_bytes("\ufefftext\ngood\n".encode(encoding))
    with pytest.raises(UserError, match="line 1: byte 0 .*`iconv -f utf-16 -t utf-8`"):
        list(files.read_lines(str(path)))
