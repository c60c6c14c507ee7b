"""Reading text in any shape, and writing files as a whole or not at all."""

import bz2
import gzip
import hashlib
import logging
import lzma
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import threading
import zipfile

import pytest

from common import atomic, files, input_files
from common.errors import UserError

# What the ending of a name says, and what packs a file so.
PACKERS = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}
if files.zstd:
    PACKERS[".zst"] = files.zstd.compress


def compress(path, data):
    path.write_bytes(PACKERS.get(path.suffix, bytes)(data))
    return str(path)


def test_expand_globs_sorts_and_removes_duplicates(tmp_path):
    for name in ("b.txt", "a.txt", "c.csv", "d[1].txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.txt").mkdir()
    patterns = f"{tmp_path}/b.txt, {tmp_path}/*.txt,,{tmp_path}/c.*,{tmp_path}/d[1].txt"
    found = input_files.expand_globs(patterns, "input_file")
    assert [os.path.basename(path) for path in found] == ["a.txt", "b.txt", "c.csv", "d[1].txt"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("{0}/**/wiki_*", ["AA/wiki_1", "AB/more/wiki_2", "wiki_0"]),
        ("{0}/**", ["AA/notes.csv", "AA/wiki_1", "AB/more/wiki_2", "wiki_0"]),
        ("{0}", ["AA/notes.csv", "AA/wiki_1", "AB/more/wiki_2", "wiki_0"]),
        ("{0}/", ["AA/notes.csv", "AA/wiki_1", "AB/more/wiki_2", "wiki_0"]),
        ("{0}/AA/,{0}/AB", ["AA/notes.csv", "AA/wiki_1", "AB/more/wiki_2"]),
        ("{0}/*", ["wiki_0"]),
        ("{0}/wiki_0.json", ["wiki_0.json"]),
        ("{0}/AA/wiki_*, {0}/wiki_0", ["AA/wiki_1", "wiki_0"]),
    ],
)
def test_expand_globs_below_folders(tmp_path, caplog, pattern, names):
    caplog.set_level(logging.INFO)
    for name in (
        *("wiki_0", "wiki_0.json", ".wiki_0.json", "AA/wiki_1", "AA/.wiki_1", "AA/notes.csv"),
        *("AB/more/wiki_2", ".git/wiki_3"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    if pattern == "{0}":
        (tmp_path / "AB" / "up").symlink_to(tmp_path)  # Followed, it would never end.
    found = input_files.expand_globs(pattern.format(tmp_path), "input_file")
    assert [os.path.relpath(path, tmp_path) for path in found] == names
    if len(names) > 1:
        assert f"{len(names)} files, from {found[0]} to {found[-1]}" in caplog.text
    assert ("2 folders too, which are not read" in caplog.text) == (pattern == "{0}/*")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{}", "2 of another kind"),
        ("{}/*.csv", "1 of another kind"),
        ("{}/d*", r'1 folders do; write ".*/d\*/\*\*"'),
    ],
)
def test_expand_globs_says_what_else_matches(tmp_path, pattern, message):
    (tmp_path / "a.csv").touch()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.csv").touch()
    with pytest.raises(UserError, match=f"--train_file: no file matches .*{message}"):
        input_files.expand_globs(
            pattern.format(tmp_path), "train_file", lambda p: p.endswith(".txt")
        )


@pytest.mark.parametrize("pattern", ["{}/*.txt", "{}/missing", "{}/empty", "", " , "])
def test_expand_globs_refuses_what_matches_no_file(tmp_path, pattern):
    (tmp_path / "a.csv").touch()
    (tmp_path / "empty").mkdir()
    pattern = pattern.format(tmp_path)
    with pytest.raises(UserError, match="--train_file: .*no ?.* file") as error:
        input_files.expand_globs(f"{pattern}", "train_file")
    assert pattern in str(error.value)


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
def test_compressed_file_that_is_cut_short_or_damaged(tmp_path, suffix):
    whole = PACKERS[suffix](b"".join(b"line %d\n" % i for i in range(1000)))
    for data in (whole[:-1], whole[: len(whole) // 2], whole[:20] + bytes(20) + whole[40:]):
        (tmp_path / "text").write_bytes(data)
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


@pytest.mark.parametrize(
    ("name", "data", "copy"),
    [
        ("reviews.tsv", b"a\tb\n", "reviews.tsv"),
        ("fifo", b"\none text\n", "pipe-.*[.]txt"),
        ("fifo", b"a\tb\n", "pipe-.*[.]tsv"),
        ("fifo", b' {"text": "a"}\n', "pipe-.*[.]jsonl"),
        ("fifo", gzip.compress(b"a\tb\n", mtime=0), "pipe-.*[.]tsv"),
        ("fifo", b"\xff\x00records" * 300_000, "pipe-[0-9]*"),
        ("fifo", b"", "pipe-.*[.]txt"),
    ],
)
def test_pipes_can_be_read_again(tmp_path, caplog, name, data, copy):
    caplog.set_level(logging.INFO)
    fifo = str(tmp_path / name)
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: pathlib.Path(fifo).write_bytes(data))
    writer.start()
    [path] = input_files.expand_globs(fifo, "input_file")
    writer.join()
    assert pathlib.Path(path).read_bytes() == data == pathlib.Path(path).read_bytes()
    assert re.fullmatch(copy, os.path.basename(path))
    assert f"{fifo} can be read once only: its {len(data)} bytes" in caplog.text
    # A second flag with the same name gets the same content.
    assert input_files.readable_again(fifo) == path


def test_copies_of_pipes_go_with_the_process(tmp_path):
    code = "from common.input_files import readable_again; print(readable_again('/dev/stdin'))"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", code]
    result = subprocess.run(
        command, input="text\n", text=True, capture_output=True, env=environment, check=True
    )
    assert result.stdout.startswith(str(tmp_path)) and not os.listdir(tmp_path)


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


def test_atomic_output_replaces_on_success_only(tmp_path):
    path = tmp_path / "new" / "result"
    atomic.write_text(str(path), "first")
    with pytest.raises(RuntimeError), atomic.atomic_output(str(path)) as temporary:
        with open(temporary, "w") as file:
            file.write("half")
        raise RuntimeError
    assert path.read_text() == "first"
    with atomic.atomic_output(str(path)) as temporary:
        assert os.path.dirname(temporary) == str(path.parent)
        with open(temporary, "w") as file:
            file.write("second")
        assert path.read_text() == "first"
    assert path.read_text() == "second"
    assert os.listdir(path.parent) == ["result"]


def test_leftovers_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path):
    path, folder = tmp_path / "result", tmp_path / "out"
    dead_file, living_file = tmp_path / ".result.1.tmp", tmp_path / ".result.2.tmp"
    dead_folder, living_folder = tmp_path / ".out.1.tmp", tmp_path / ".out.2.tmp"
    dead_file.touch()
    living_file.touch()
    (dead_folder / "sub").mkdir(parents=True)
    living_folder.mkdir()
    other = tmp_path / ".results.1.tmp"
    other.touch()
    holder = (
        "import fcntl, os, sys\nfor p in sys.argv[1:]: fcntl.flock(os.open(p, 0), fcntl.LOCK_EX)\n"
    )
    command = [sys.executable, "-c", holder + "print(flush=True); input()"]
    with subprocess.Popen(
        [*command, living_file, living_folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        atomic.write_text(str(path), "text")
        with atomic.scratch_folder(str(folder)):
            pass
        assert not dead_file.exists() and not dead_folder.exists()
        assert living_file.exists() and living_folder.exists() and other.exists()
        process.kill()
    atomic.write_text(str(path), "text")
    with atomic.new_folder(str(folder)) as temporary:
        assert os.path.dirname(temporary) == str(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"result", "out", other.name}


def test_atomic_files_move_in_with_one_of_them_last(tmp_path, monkeypatch):
    folder = tmp_path / "new" / "model"
    for text in ("one", "two"):
        with atomic.atomic_files(str(folder), last="b") as temporary:
            for name in "abc":
                atomic.write_text(os.path.join(temporary, name), text)
    assert {p.name: p.read_text() for p in folder.iterdir()} == dict.fromkeys("abc", "two")
    with pytest.raises(RuntimeError), atomic.atomic_files(str(folder), last="b") as temporary:
        atomic.write_text(os.path.join(temporary, "a"), "three")
        raise RuntimeError
    assert {p.name: p.read_text() for p in folder.iterdir()} == dict.fromkeys("abc", "two")

    moved = []
    move = files.move

    def killed_after_two(source, target):
        moved.append(os.path.basename(target))
        move(source, target)
        if len(moved) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), atomic.atomic_files(str(folder), last="b") as temporary:
        for name in "abc":
            (pathlib.Path(temporary) / name).write_text("three")
        monkeypatch.setattr(atomic, "move", killed_after_two)
    assert moved == ["a", "c"]
    assert sorted(os.listdir(folder)) == ["a", "c"]


def test_output_below_a_file_is_a_user_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="Cannot create the folder .*file/sub"):
        atomic.write_text(str(tmp_path / "file" / "sub" / "x"), "text")


def test_output_in_place_of_a_folder_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match=f"Cannot write {tmp_path}/folder"):
        (tmp_path / "folder").mkdir()
        atomic.write_text(str(tmp_path / "folder"), "text")
    assert os.listdir(tmp_path) == ["folder"]


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


def test_new_folder_appears_complete_or_not_at_all(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(ZeroDivisionError), atomic.new_folder(str(target)) as staging:
        (pathlib.Path(staging) / "half").write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    target.mkdir()  # An empty folder may be taken.
    with atomic.new_folder(f"{target}/") as staging:
        (pathlib.Path(staging) / "whole").write_text("whole")
        assert list(target.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (target / "whole").read_text() == "whole"
    with (
        pytest.raises(UserError, match="exists already and is not empty"),
        atomic.new_folder(str(target)),
    ):
        pass
    with pytest.raises(UserError, match="exists already"), atomic.new_folder(str(target / "whole")):
        pass
    assert (target / "whole").read_text() == "whole"


def test_copy_file(tmp_path: pathlib.Path) -> None:
    source, target = tmp_path / "a", tmp_path / "folder" / "b"
    source.write_bytes(b"\x00\xff" * 3)
    atomic.copy_file(str(source), str(target))
    atomic.copy_file(str(target), str(target))
    assert target.read_bytes() == source.read_bytes()
    assert [path.name for path in target.parent.iterdir()] == ["b"]
