"""The pipeline of Apache Beam beside the local path, on Beam's DirectRunner."""

from __future__ import annotations

import functools
import lzma
import pathlib
import random
from typing import Any

import numpy as np
import pytest

pytest.importorskip("apache_beam", reason="needs Apache Beam: requirements-beam.lock")

from apache_beam.utils.shared import Shared
from scripts import run_script

from common import files
from common.beam import BeamOptions
from common.errors import UserError
from common.files import LineBlock, compression_of, exists, list_folder, open_binary
from data.tfrecords import frame_records
from modeling.tokenization import FullTokenizer
from pretraining import beam_records as beam_pipeline
from pretraining import corpus
from pretraining import record_writing as records
from pretraining.corpus import TokenBlock, build_token_store
from pretraining.record_writing import InstanceOptions

WORDS = ["".join(random.Random(i).choices("abcdefghijklmnopqrstuvwxyz", k=4)) for i in range(300)]


def text(seed: int, num_documents: int) -> str:
    rng = random.Random(seed)
    return "\n\n".join(
        "\n".join(
            " ".join(rng.choices(WORDS, k=rng.randint(1, 20))) for _ in range(rng.randint(1, 20))
        )
        for _ in range(num_documents)
    )


@pytest.fixture
def texts(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with three texts and a vocabulary."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "##a"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    (tmp_path / "a.txt").write_text(text(1, 40))
    (tmp_path / "b.txt.xz").write_bytes(lzma.compress(text(2, 30).encode()))
    # One long document, which is cut into units, at the front of a file.
    (tmp_path / "c.txt").write_text(text(3, 40).replace("\n\n", "\n") + "\n\n" + text(4, 5))
    return tmp_path


@pytest.fixture
def folder(texts: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """`texts`, and sizes that make many blocks, units, tasks and files of them."""
    small_blocks = functools.partial(files.read_line_blocks, block_bytes=1500)
    monkeypatch.setattr(corpus, "read_line_blocks", small_blocks)
    monkeypatch.setattr(beam_pipeline, "read_line_blocks", small_blocks)
    monkeypatch.setattr(corpus, "_UNIT_TOKENS", 400)
    monkeypatch.setattr(records, "_TASK_TOKENS", 2000)
    monkeypatch.setattr(beam_pipeline, "_BLOCKS_PER_FILE", 3)
    monkeypatch.setattr(beam_pipeline, "_TASKS_PER_RUN", 2)
    return texts


def create(folder: pathlib.Path, output: str, **flags: Any) -> dict[str, bytes]:
    """Runs the script; what is then in the folder `output`."""
    run_script(
        "create_pretraining_data",
        **{
            "input_file": f"{folder}/a.txt,{folder}/b.txt.xz,{folder}/c.txt",
            "output_file": ",".join(f"{folder}/{output}/{i}" for i in range(3)),
            "vocab_file": folder / "vocab.txt",
            "dupe_factor": 3,
            "max_seq_length": 32,
            "max_predictions_per_seq": 5,
            **flags,
        },
    )
    return {path.name: path.read_bytes() for path in (folder / output).iterdir()}


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"gzip_compress": True, "do_whole_word_mask": True, "do_sentence_split": True},
    ],
)
def test_files_are_those_of_the_local_path(folder: pathlib.Path, flags: dict[str, Any]) -> None:
    local = create(folder, "local", num_processes=1, **flags)
    assert create(folder, "beam", beam_runner="DirectRunner", **flags) == local
    assert sorted(local) == [".0.json", ".1.json", ".2.json", "0", "1", "2"]
    assert len(set(local.values())) == 6


def test_transfer_set(folder: pathlib.Path) -> None:
    rng = random.Random(0)
    rows = ["\t".join(" ".join(rng.choices(WORDS, k=9)) for _ in range(2)) for _ in range(300)]
    (folder / "pairs.tsv").write_text("\n".join(rows))
    flags = {"input_file": folder / "pairs.tsv", "input_format": "transfer_set"}
    local = create(folder, "local", num_processes=1, **flags)
    assert create(folder, "beam", beam_runner="DirectRunner", **flags) == local


def test_output_files_in_several_folders(folder: pathlib.Path) -> None:
    local = create(folder, "local", num_processes=1)
    names = ("x/0", "y/1", "x/2")
    paths = [folder / name for name in names]
    create(folder, "y", output_file=",".join(map(str, paths)), beam_runner="DirectRunner")
    assert [path.read_bytes() for path in paths] == [local[str(i)] for i in range(3)]


def write(
    folder: pathlib.Path, output_files: list[str], runner: str = "DirectRunner"
) -> tuple[corpus.TokenStore, list[int]]:
    return beam_pipeline.write_records(
        [str(folder / "a.txt"), str(folder / "c.txt")],
        output_files,
        FullTokenizer(str(folder / "vocab.txt")),
        InstanceOptions(max_seq_length=32, max_predictions_per_seq=5, dupe_factor=2),
        do_sentence_split=False,
        input_format="text",
        gzip_compress=False,
        beam_options=BeamOptions(runner),
    )


def test_remote_folder(folder: pathlib.Path) -> None:
    store, counts = write(folder, [str(folder / "out")])
    assert (store.num_documents, counts) == (46, counts)
    remote_store, remote_counts = write(folder, ["ram://records/out"])
    assert remote_counts == counts
    np.testing.assert_array_equal(remote_store.documents, store.documents)
    with open_binary("ram://records/out") as file:
        assert file.read() == (folder / "out").read_bytes()
    assert list_folder("ram://records") == ["out"]
    assert exists("ram://records/out")


def test_an_error_of_a_worker_is_one_line_and_changes_nothing(folder: pathlib.Path) -> None:
    (folder / "latin.txt").write_bytes(b"abc\n\ndefg\xe9\n")
    (folder / "one.txt").write_text("abc\ndef\n")
    (folder / "out").mkdir()
    (folder / "out" / "0").write_bytes(b"earlier output")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for name, message in (
        ("latin.txt", r"latin\.txt, line 3: byte 9 of the text \(0xe9\) is not .* -t utf-8`\.$"),
        ("one.txt", r"^The input files hold 1 document\(s\), but .* ends a document, too\)\.$"),
    ):
        flags = {"input_file": folder / name, "beam_runner": "DirectRunner"}
        with pytest.raises(UserError, match=message):
            create(folder, "out", **flags)
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
        assert not [path for path in folder.rglob("*") if path.name.startswith(".")]


def test_num_processes_is_for_the_local_path(folder: pathlib.Path) -> None:
    with pytest.raises(UserError, match="--num_processes=2 has no effect with --beam_runner"):
        create(folder, "out", beam_runner="DirectRunner", num_processes=2)


def test_parts_come_in_any_order(folder: pathlib.Path) -> None:
    """As runners hand them over in."""
    rng = random.Random(0)
    tokenizer = FullTokenizer(str(folder / "vocab.txt"))
    paths = [str(folder / name) for name in ("a.txt", "b.txt.xz", "c.txt")]
    expected = build_token_store(paths, tokenizer, str(folder), False, 1)
    groups: dict[beam_pipeline.BlockKey, list[tuple[int, TokenBlock]]] = {}
    tokenize = corpus.BlockTokenizer(tokenizer, False)
    block: LineBlock
    for file, path in enumerate(paths):
        for key, index, block in beam_pipeline._read_blocks(file, path):
            groups.setdefault(key, []).append((index, tokenize(block)))
    assert len(groups) > 10
    token_files = []
    for key, blocks in rng.sample(sorted(groups.items()), len(groups)):
        shuffled = rng.sample(blocks, len(blocks))
        token_files.append(beam_pipeline._write_tokens((key, shuffled), str(folder)))
    joined = beam_pipeline._join_tokens(
        str(folder), token_files, tokenizer.id_typecode, "text", False
    )
    for name in ("tokens", "offsets"):
        assert (pathlib.Path(joined) / name).read_bytes() == (folder / name).read_bytes()
    store = beam_pipeline._load_store(joined, tokenizer.id_typecode)
    np.testing.assert_array_equal(store.units, expected.units)

    options = InstanceOptions(max_seq_length=32, max_predictions_per_seq=5, dupe_factor=2)
    shared = Shared()
    made_with = joined, shared, tokenizer, options, 3, str(folder)
    plan = list(beam_pipeline._plan_runs(joined, tokenizer.id_typecode, options))
    runs = [beam_pipeline._make_records(element, *made_with) for element in plan]
    assert len({sum(run.counts) % 3 for run in runs}) > 1

    def gather(output: int) -> bytes:
        some_order = rng.sample(runs, len(runs))
        _, path, num_records = beam_pipeline._write_output((output, str(folder)), some_order, False)
        assert abs(num_records - sum(sum(run.counts) for run in runs) / 3) < 1
        return pathlib.Path(path).read_bytes()

    assert all(gather(output) == gather(output) for output in range(3))


def test_records_that_begin_like_a_compressed_file(tmp_path: pathlib.Path) -> None:
    data = frame_records([bytes(0x8B1F)])  # The length comes first.
    assert compression_of(data[:10]) == "gzip"
    (tmp_path / "run").write_bytes(data)
    run = beam_pipeline.RecordRun(0, str(tmp_path / "run"), [1], [len(data)])
    _, path, _ = beam_pipeline._write_output((0, str(tmp_path)), [run], False)
    assert pathlib.Path(path).read_bytes() == data


@pytest.mark.slow
def test_workers_in_processes_of_their_own(texts: pathlib.Path) -> None:
    """What a stage needs can be pickled, and our modules are found."""
    local = create(texts, "local", num_processes=1)
    options = "--direct_running_mode=multi_processing --direct_num_workers=2"
    assert create(texts, "beam", beam_runner="DirectRunner", beam_options=options) == local
