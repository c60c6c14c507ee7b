"""create_pretraining_data.py through its flags."""

import bz2
import gzip
import json
import lzma
import os
import random
import re
import sys
from typing import NamedTuple

import numpy as np
import pytest
from runs import contents
from scripts import ROOT

from experiments.fork_server import ForkServer

# A program that runs another in a folder, which is its user's home, with what a pipe brings.
IN_FOLDER = """
import os, runpy, subprocess, sys
_, folder, piped, *sys.argv = sys.argv
os.chdir(folder)
os.environ["HOME"] = folder
pipe = subprocess.Popen(["cat", piped], stdout=subprocess.PIPE)
os.dup2(pipe.stdout.fileno(), 0)
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""
SCRIPT = str(ROOT / "create_pretraining_data.py")
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["".join(random.Random(i).choices("abcdefghijklmnopqrstuvwxyz", k=5)) for i in range(500)]


class Result(NamedTuple):
    returncode: int
    output: str


@pytest.fixture(scope="module")
def server():
    """Starts the script in processes that have imported its modules already."""
    server = ForkServer(dict(os.environ), preloaded=["training.cli", "pretraining.data_creation"])
    yield server
    server.close()


@pytest.fixture
def run(server, tmp_path_factory):
    """Runs the script in a folder on text.txt and vocab.txt unless other flags are given."""
    here = tmp_path_factory.mktemp("process")
    (here / "program.py").write_text(IN_FOLDER)

    def run(folder, *flags, stdin=None, **replaced):
        values = {
            "input_file": "text.txt",
            "output_file": "out.tfrecord",
            "vocab_file": "vocab.txt",
        }
        values |= {"dupe_factor": 2, "num_processes": 1} | replaced
        flags = [*flags, *(f"--{k}={v}" for k, v in values.items() if v is not None)]
        (here / "stdin").write_bytes(stdin or b"")
        program = [str(here / "program.py"), str(folder), str(here / "stdin"), SCRIPT]
        process = server.start([sys.executable, *program, *flags], str(here / "log"))
        return Result(process.wait(), (here / "log").read_text())

    return run


def text(seed, num_documents):
    rng = random.Random(seed)
    return "\n\n".join(
        "\n".join(
            " ".join(rng.choices(WORDS, k=rng.randint(1, 30))) for _ in range(rng.randint(2, 30))
        )
        for _ in range(num_documents)
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIALS, *WORDS, "##a"]) + "\n")
    (tmp_path / "text.txt").write_text(text(0, 20))
    return tmp_path


def test_help_names_the_original_flags(run, folder):
    result = run(folder, "--help")
    for flag in (
        *("input_file", "output_file", "vocab_file", "do_lower_case", "do_whole_word_mask"),
        *("max_seq_length", "max_predictions_per_seq", "random_seed", "dupe_factor"),
        *("masked_lm_prob", "short_seq_prob"),
        *("input_format", "do_sentence_split", "num_processes", "gzip_compress"),
    ):
        assert re.search(rf"^  --(\[no\])?{flag}(=\S+)?(  \(|$)", result.output, re.M), flag
    for default in ("128", "20", "12345", "10", "0.15", "0.1"):
        assert f"(default: {default})" in result.output


def test_records_and_sidecars(run, folder):
    result = run(
        folder,
        output_file="new/a.tfrecord,new/b.tfrecord",
        max_seq_length=32,
        max_predictions_per_seq=5,
        random_seed=-3,
    )
    assert result.returncode == 0, result.output
    assert sorted(os.listdir(folder / "new")) == [
        *(".a.tfrecord.json", ".b.tfrecord.json", "a.tfrecord", "b.tfrecord")
    ]
    assert "Read 20 documents" in result.output
    assert result.output.count("*** Example ***") == 1

    import tensorflow as tf

    spec = {
        "input_ids": tf.io.FixedLenFeature([32], tf.int64),
        "input_mask": tf.io.FixedLenFeature([32], tf.int64),
        "segment_ids": tf.io.FixedLenFeature([32], tf.int64),
        "masked_lm_positions": tf.io.FixedLenFeature([5], tf.int64),
        "masked_lm_ids": tf.io.FixedLenFeature([5], tf.int64),
        "masked_lm_weights": tf.io.FixedLenFeature([5], tf.float32),
        "next_sentence_labels": tf.io.FixedLenFeature([1], tf.int64),
    }
    for name in ("a", "b"):
        path = str(folder / "new" / f"{name}.tfrecord")
        records = list(tf.data.TFRecordDataset(path).as_numpy_iterator())
        features = {k: v.numpy() for k, v in tf.io.parse_example(records, spec).items()}
        assert set(tf.train.Example.FromString(records[0]).features.feature) == set(spec)
        assert set(np.unique(np.diff(features["input_mask"]))) == {0, -1}
        assert not features["input_ids"][features["input_mask"] == 0].any()
        assert (features["input_ids"][:, 0] == 2).all()
        assert 0.3 < features["next_sentence_labels"].mean() < 0.8
        info = json.loads((folder / "new" / f".{name}.tfrecord.json").read_text())
        assert info.pop("num_examples") == len(records) > 100
        assert info.pop("file_size") == os.path.getsize(path)
        assert info.pop("file_mtime_ns") == os.stat(path).st_mtime_ns
        for digest in ("vocab_sha256", "file_sha256", "content_sha256"):
            assert len(info.pop(digest)) == 64
        assert [len(digest) for digest in info.pop("input_sha256")] == [64]
        assert info.pop("output_file") == "ab".index(name)
        assert 100 < info.pop("num_sentences") < info.pop("num_tokens")
        assert info == {
            "gzip_compress": False,
            "max_seq_length": 32,
            "max_predictions_per_seq": 5,
            "masked_lm_prob": 0.15,
            "short_seq_prob": 0.1,
            "dupe_factor": 2,
            "random_seed": -3,
            "do_whole_word_mask": False,
            "do_lower_case": True,
            "tokenizer_settings": {},
            "input_format": "text",
            "do_sentence_split": False,
            "vocab_size": len(SPECIALS) + len(WORDS) + 1,
            "input_files": ["text.txt"],
            "num_output_files": 2,
            "num_documents": 20,
        }


@pytest.mark.parametrize("gzip_compress", [False, True])
def test_output_is_the_same_for_any_number_of_processes(run, folder, gzip_compress):
    for i in range(5):
        (folder / f"part{i}.txt").write_text(text(i, 50))
    outputs = []
    for num_processes in (1, 2, 3):
        result = run(
            folder,
            f"--gzip_compress={gzip_compress}",
            "--do_whole_word_mask",
            input_file="part*.txt",
            output_file="out/a,out/b,out/c",
            dupe_factor=5,
            num_processes=num_processes,
        )
        assert result.returncode == 0, result.output
        outputs.append(contents(folder / "out"))
    assert len(outputs[0]) == 6
    assert outputs[0] == outputs[1] == outputs[2]
    assert len(set(outputs[0].values())) == 6


def test_transfer_set_is_the_same_for_any_number_of_processes(run, folder):
    rng = random.Random(1)
    lines = [
        "\t".join(" ".join(rng.choices(WORDS, k=rng.randint(1, 30))) for _ in range(2))
        for _ in range(20_000)
    ]
    (folder / "pairs.tsv").write_text("\n".join(lines) + "\n")
    outputs = []
    for num_processes in (1, 2):
        result = run(
            folder,
            input_format="transfer_set",
            input_file="pairs.tsv",
            output_file="out/a",
            dupe_factor=1,
            num_processes=num_processes,
        )
        assert result.returncode == 0, result.output
        outputs.append(contents(folder / "out"))
    assert outputs[0] == outputs[1]
    info = json.loads(outputs[0][".a.json"])
    assert (info["num_documents"], info["num_sentences"]) == (20_000, 40_000)
    assert info["input_format"] == "transfer_set"


def test_compressed_marked_and_crlf_text_gives_the_same_records(run, folder):
    plain = (folder / "text.txt").read_bytes()
    variants = {
        "plain.txt": plain,
        "newline.txt": plain + b"\n",
        "crlf.txt": b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n"),
        "text.gz": gzip.compress(plain),
        "text.xz": lzma.compress(plain),
    }
    records = set()
    for name, data in variants.items():
        (folder / name).write_bytes(data)
        result = run(folder, input_file=name, start_over=True)
        assert result.returncode == 0, result.output
        records.add((folder / "out.tfrecord").read_bytes())
    assert len(records) == 1


def test_a_second_run_skips_finished_files_and_mends_others(run, folder):
    flags = {"output_file": "new/a.tfrecord,new/b.tfrecord"}
    assert run(folder, **flags).returncode == 0
    before = contents(folder)
    times = [(folder / "new" / f"{n}.tfrecord").stat().st_mtime_ns for n in "ab"]
    again = run(folder, **flags)
    assert again.returncode == 0 and "finished already" in again.output
    assert times == [(folder / "new" / f"{n}.tfrecord").stat().st_mtime_ns for n in "ab"]
    data = bytearray((folder / "new" / "b.tfrecord").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "new" / "b.tfrecord").write_bytes(data)
    assert run(folder, **flags).returncode == 0
    assert contents(folder) == before
    # The same name for another text.
    (folder / "text.txt").write_text(text(9, 20))
    changed = run(folder, **flags)
    assert "finished already" not in changed.output
    assert contents(folder) != before


def test_very_long_line(run, folder):
    (folder / "text.txt").write_text(" ".join(WORDS * 3000) + "\n\n" + text(1, 3))
    result = run(folder)
    assert result.returncode == 0, result.output
    assert "Read 4 documents" in result.output


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"input_file": "missing*.txt"}, '--input_file: no file matches "missing*.txt"'),
        ({"input_file": "latin.txt"}, "latin.txt, line 3: byte 9 of the text (0xe9)"),
        ({"input_file": "one.txt"}, "hold 1 document(s)"),
        ({"input_file": "cut.txt.gz"}, "cut.txt.gz cannot be read to its end"),
        ({"vocab_file": "missing.txt"}, "Cannot read missing.txt: No such file"),
        ({"vocab_file": "text.txt"}, "text.txt lacks [PAD], [UNK]"),
        ({"vocab_file": "words.txt"}, "words.txt lacks [PAD], [UNK], [CLS], [SEP], [MASK]"),
        ({"input_format": "transfer_set", "input_file": "cut.txt.gz"}, "cannot be read to its end"),
        ({"input_format": "transfer_set", "input_file": "vocab"}, "vocab: cannot tell its format"),
        (
            {"input_format": "transfer_set", "do_sentence_split": True},
            "--do_sentence_split has no effect without --input_format=text",
        ),
        ({"masked_lm_prob": 1.5}, "--masked_lm_prob is 1.5"),
        ({"short_seq_prob": -1}, "--short_seq_prob is -1.0"),
        ({"max_predictions_per_seq": 0}, "--max_predictions_per_seq is 0"),
        ({"max_predictions_per_seq": 126}, "--max_predictions_per_seq is 126"),
        ({"max_seq_length": 4}, "--max_seq_length is 4"),
        ({"output_file": "out.tfrecord,./out.tfrecord"}, '"./out.tfrecord" is named twice'),
        ({"output_file": "new.tfrecord,text.txt"}, '"text.txt" is an input'),
        ({"output_file": "folder"}, '"folder" is a folder'),
        ({"output_file": ","}, '"," names no file'),
        ({"output_file": "vocab.txt/out"}, "Cannot create the folder vocab.txt"),
        ({"output_file": "out.tfrecord,/proc/out"}, "/proc"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(run, folder, replaced, message):
    (folder / "folder").mkdir()
    (folder / "latin.txt").write_bytes(b"abc\n\ndefg\xe9\n")
    (folder / "one.txt").write_text("abc\ndef\n")
    (folder / "words.txt").write_text("\n".join(WORDS))
    (folder / "vocab").write_text("\n".join(WORDS))
    (folder / "cut.txt.gz").write_bytes(gzip.compress((folder / "text.txt").read_bytes())[:-20])
    (folder / "out.tfrecord").write_bytes(b"earlier output")
    (folder / ".out.tfrecord.json").write_text("{}")
    before = contents(folder)
    result = run(folder, **replaced)
    assert result.returncode == 1
    errors = [line for line in result.output.splitlines() if line.startswith("ERROR: ")]
    assert len(errors) == 1 and message in errors[0], result.output
    assert "Traceback" not in result.output
    assert contents(folder) == before
    assert not [name for name in os.listdir(folder) if name.endswith(".tmp")]


def test_input_as_it_comes(run, folder, tmp_path_factory):
    """The same text from pipes, folders, and compressed in any way gives the same records."""
    plain = (folder / "text.txt").read_bytes()
    assert run(folder).returncode == 0
    expected = (folder / "out.tfrecord").read_bytes()
    (folder / "text.bz2").write_bytes(bz2.compress(plain))
    (folder / "no_ending").write_bytes(gzip.compress(plain))
    # Two files, one deep, and what stands beside texts.
    first, _, second = plain.partition(b"\n\n")
    for name, data in {"0": first, "a/b/1": second, ".hidden": b"x", "0.json": b"{}"}.items():
        (folder / "wiki" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "wiki" / name).write_bytes(data)
    for input_file, stdin in (
        *(("/dev/stdin", plain), ("/dev/stdin", lzma.compress(plain))),
        *(("text.bz2", None), ("no_ending", None)),
        *(("wiki", None), ("wiki/**/[01]", None)),
    ):
        output = tmp_path_factory.mktemp("out") / "out.tfrecord"
        result = run(folder, input_file=input_file, output_file=output, stdin=stdin)
        assert result.returncode == 0, result.output
        assert output.read_bytes() == expected, input_file
        if input_file.startswith("wiki"):
            assert "--input_file: 2 files, from wiki/0 to wiki/a/b/1." in result.output
    # The same command again finds its work done, for the text is the same; and is refused otherwise.
    again = run(folder, input_file="/dev/stdin", stdin=plain)
    assert "finished already and not damaged" in again.output
    again = run(folder, input_file="/dev/stdin", stdin=plain[1:])
    assert again.returncode == 1 and "was made with input_sha256" in again.output


def test_chinese_sentences(run, folder):
    line = "这是一个句子。你好吗？我很好！"
    (folder / "vocab.txt").write_text("\n".join([*SPECIALS, *sorted(set(line))]) + "\n")
    for text, expected in ((line, "60 sentences"), ("你好。", "20 of 20 documents have one")):
        (folder / "text.txt").write_text(f"{text}\n\n" * 20)
        result = run(folder, "--do_sentence_split", "--start_over")
        assert expected in result.output
        # Not advised to someone who has given it.
        assert "add --do_sentence_split" not in result.output


def test_home_folder(run, folder):
    """A shell does not expand ~ behind --name=; a folder of that name would be made."""
    result = run(folder, input_file="~/text.txt", output_file="~/new/a, ~/new/b")
    assert result.returncode == 0, result.output
    assert sorted(os.listdir(folder / "new")) == [".a.json", ".b.json", "a", "b"]
    assert not (folder / "~").exists()


def test_required_flags(run, folder):
    result = run(folder, vocab_file=None)
    assert result.returncode != 0
    assert "vocab_file must have a value" in result.output
