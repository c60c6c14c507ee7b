"""create_transfer_set.py through its flags."""

from __future__ import annotations

import hashlib
import json
import lzma
import pathlib
import shutil
from typing import Any

import pytest
from scripts import run_script

from common import files
from common.errors import UserError
from common.files import COMPRESSIONS
from data.texts import read_transfer_texts

LEAK = "the film 's plot is a bore ."


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """Reviews, one of which quotes a dev sentence and one of which is a test sentence; pairs."""
    reviews = [f"review number {i} of a film" for i in range(300)]
    reviews[7] = "I say: the film's plot is a bore. So there."
    reviews[8] = "Dull!"
    (tmp_path / "a.txt").write_text("\n".join(reviews[:150]) + "\n\n")
    more = [*reviews[150:], *map(str.upper, reviews[:50])]
    (tmp_path / "b.txt.xz").write_bytes(lzma.compress("\n".join(more).encode()))
    task = tmp_path / "SST-2"
    task.mkdir()
    (task / "train.tsv").write_text("sentence\tlabel\nfine film\t1\nbad film\t0\nFine  film\t1\n")
    (task / "dev.tsv").write_text(f"sentence\tlabel\n{LEAK}\t0\n")
    (task / "test.tsv").write_text("index\tsentence\n0\tdull !\n")
    (tmp_path / "pairs.tsv").write_text("".join(f"a {i}\tb {i}\n" for i in range(20)))
    rows = [{"x": f"A {i}.", "y": f"c\t{i}\nd", "label": 1} for i in range(20)]
    rows += [{"x": "A 3!", "y": "B: 3", "label": 0}, {"x": "", "y": "b", "label": 0}]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def create(folder: pathlib.Path, **flags: Any) -> None:
    """Runs the script on the reviews unless other sources are given; paths are below `folder`."""
    if not {"input_file", "input_task"} & set(flags):
        flags["input_file"] = "a.txt,b.txt.xz"
    for name in ("input_file", "exclude_file", "output_file"):
        if name in flags:
            flags[name] = ",".join(f"{folder}/{path}" for path in flags[name].split(","))
    for name in ("input_task", "exclude_task"):
        if name in flags:
            flags[name] = flags[name].replace(":", f":{folder}/")
    run_script("create_transfer_set", **{"output_file": folder / "out.txt", **flags})


def texts(path: pathlib.Path) -> list[tuple[str, str | None]]:
    return [(a, b) for _, a, b in read_transfer_texts([str(path)])]


def manifest(path: pathlib.Path) -> dict[str, Any]:
    return json.loads(pathlib.Path(f"{path}.json").read_text())


def test_nested_sizes_and_their_manifests(folder: pathlib.Path) -> None:
    create(folder, sizes="10,100,298", exclude_task="sst-2:SST-2", drop_leaks=True)
    written = {size: texts(folder / f"out-{size}.txt") for size in (10, 100, 298)}
    assert [len(set(rows)) for rows in written.values()] == [10, 100, 298]
    assert written[10] == written[298][:10]
    assert written[100] == written[298][:100]
    assert {text for text, _ in written[298]} == {
        f"review number {i} of a film" for i in range(300) if i not in (7, 8)
    }
    path = folder / "out-100.txt"
    info = manifest(path)
    from_a = sum(int(text.split()[2]) < 150 for text, _ in written[100])
    assert info["sources"] == [
        {
            "name": f"{folder}/{name}",
            "num_texts": number,
            "num_rows": rows,
            "num_empty": 0,
            "num_leaking": leaking,
        }
        for name, number, rows, leaking in (
            ("a.txt", from_a, 150, 2),
            ("b.txt.xz", 100 - from_a, 200, 2),
        )
    ]
    assert (info["num_texts"], info["are_pairs"], info["num_duplicates"]) == (100, False, 48)
    assert info["excluded"] == {f"{folder}/SST-2/{name}.tsv": 1 for name in ("dev", "test")}
    assert (info["leaks"]["num_texts"], info["leaks"]["num_examples"]) == (4, 2)
    assert info["leaks"]["first"][0] == ["a.txt:8", f'{folder}/SST-2/dev.tsv, line 2 ("{LEAK}")']
    assert info["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert info["file_size"] == path.stat().st_size
    assert info["flags"]["sizes"] == ["10", "100", "298"]
    assert not [p.name for p in folder.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("suffix", COMPRESSIONS if files.zstd else COMPRESSIONS[:-1])
def test_compressed_output_and_folders_as_input(folder: pathlib.Path, suffix: str) -> None:
    """A folder stands for its files of a known kind."""
    sources = folder / "sources"
    (sources / "deep").mkdir(parents=True)
    shutil.copy(folder / "a.txt", sources)
    shutil.copy(folder / "b.txt.xz", sources / "deep")
    (sources / "notes.md").write_text("no text of the set")
    (sources / "a.txt.json").write_text("{}")
    create(folder, output_file="plain.txt")
    create(folder, input_file="sources", output_file=f"out.txt{suffix}")
    assert texts(folder / f"out.txt{suffix}") == texts(folder / "plain.txt")


def test_leaks_stop_the_run_unless_allowed(
    folder: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "out.txt").write_text("earlier")
    message = (
        r"4 texts of the transfer set hold 2 dev or test examples, the first is a.txt:8 with "
        r".*dev.tsv, line 2 .*--drop_leaks.*--allow_leaks"
    )
    with pytest.raises(UserError, match=message):
        create(folder, exclude_task="sst-2:SST-2")
    assert "Leak: a.txt:9 holds" in caplog.text
    assert (folder / "out.txt").read_text() == "earlier"
    create(folder, exclude_task="sst-2:SST-2", allow_leaks=True)
    assert ("Dull!", None) in texts(folder / "out.txt")
    assert manifest(folder / "out.txt")["leaks"]["num_texts"] == 4
    (folder / "dev.tsv").write_text("label\ttext\n1\treview number 3 of a film\n")
    create(folder, exclude_file="dev.tsv", text_a="text", drop_leaks=True)
    found = texts(folder / "out.txt")
    assert len(found) == 299
    assert ("review number 3 of a film", None) not in found


def test_a_test_set_that_is_not_there_is_said(
    folder: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "SST-2" / "test.tsv").unlink()
    create(folder, exclude_task="sst-2:SST-2", drop_leaks=True)
    assert "not looked for: " in caplog.text and "test.tsv" in caplog.text
    assert ("Dull!", None) in texts(folder / "out.txt")
    assert list(manifest(folder / "out.txt")["excluded"]) == [f"{folder}/SST-2/dev.tsv"]
    (folder / "SST-2" / "dev.tsv").unlink()
    with pytest.raises(UserError, match=r"dev\.tsv.*is missing"):
        create(folder, exclude_task="sst-2:SST-2", drop_leaks=True)


def test_tasks_without_their_labels(folder: pathlib.Path) -> None:
    create(folder, input_task="sst-2:SST-2", output_file="task.tsv.gz")
    assert sorted(texts(folder / "task.tsv.gz")) == [("bad film", None), ("fine film", None)]


def test_rows_without_a_gold_label_are_as_good(folder: pathlib.Path) -> None:
    labels = ("neutral", "-")
    rows = [{"gold_label": y, "sentence1": f"a {y}", "sentence2": "b"} for y in labels]
    (folder / "snli_1.0_train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    create(folder, input_task="snli:", output_file="snli.tsv")
    assert sorted(texts(folder / "snli.tsv")) == [("a -", "b"), ("a neutral", "b")]


def test_pairs_of_several_formats(folder: pathlib.Path) -> None:
    (folder / "pairs.tsv").write_text("x\ty\n" + (folder / "pairs.tsv").read_text())
    create(
        folder,
        input_file="pairs.jsonl,pairs.tsv",
        text_a="x",
        text_b="y",
        output_file="out.tsv",
        allow_leaks=True,
    )
    rows = texts(folder / "out.tsv")
    assert len(rows) == len(set(rows)) == 40
    assert ("A 3.", "c 3 d") in rows
    # The files are read in the order of their names.
    assert ("A 3!", "B: 3") in rows and ("a 3", "b 3") not in rows
    info = manifest(folder / "out.tsv")
    assert info["are_pairs"]
    assert [source["num_empty"] for source in info["sources"]] == [1, 0]


def test_columns_of_excluded_tables(folder: pathlib.Path) -> None:
    (folder / "new.csv").write_text('id,text\n1,"a ""b"",\nc"\n2,Review number 3 of a film\n')
    (folder / "dev.csv").write_text("review,label\nreview number 3 of a film,1\n")
    columns = {"text_a": "text", "exclude_text_a": "review"}
    create(folder, input_file="new.csv", exclude_file="dev.csv", drop_leaks=True, **columns)
    assert texts(folder / "out.txt") == [('a "b", c', None)]
    with pytest.raises(UserError, match='no column is called "text"; the header names review, lab'):
        create(folder, input_file="new.csv", exclude_file="dev.csv", text_a="text")
    (folder / "dev.txt").write_text("review number 3 of a film\n")
    with pytest.raises(
        UserError, match="--exclude_text_a=review names a column, but all files are"
    ):
        create(folder, input_file="new.csv", exclude_file="dev.txt", **columns)


def test_documents(folder: pathlib.Path) -> None:
    (folder / "lm.txt").write_text("one\ntwo\n\nthree\n")
    create(folder, input_file="lm.txt", split="documents")
    assert sorted(texts(folder / "out.txt")) == [("one two", None), ("three", None)]


def test_transfer_set_is_pretraining_text(folder: pathlib.Path, vocab_file: str) -> None:
    """Of the pairs, one text is the next sentence of the other."""
    create(folder, input_file="pairs.tsv", output_file="out.tsv")
    run_script(
        "create_pretraining_data",
        input_file=folder / "out.tsv",
        input_format="transfer_set",
        output_file=folder / "out.tfrecord",
        vocab_file=vocab_file,
        num_processes=1,
    )
    info = json.loads((folder / ".out.tfrecord.json").read_text())
    assert (info["num_documents"], info["num_sentences"]) == (20, 40)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"input_file": ""}, "no source of texts: pass --input_file or --input_task"),
        ({"input_file": "missing*.txt"}, "--input_file: no file matches"),
        (
            {"input_file": "a.txt,pairs.tsv"},
            r"pairs\.tsv holds pairs of texts, but .*a\.txt single",
        ),
        ({"input_file": "pairs.tsv"}, r'out\.txt" must end in .tsv, because the texts are pairs'),
        ({"input_file": "pairs.jsonl"}, "pass --text_a, the column"),
        ({"input_file": "pairs.tsv", "text_a": "z"}, 'no column is called "z"'),
        ({"input_file": "empty.txt"}, r"empty\.txt holds no text"),
        ({"input_file": "latin.txt"}, r"latin\.txt, line 2: byte 4 .* is not valid UTF-8"),
        ({"input_task": "SST-2"}, '--input_task: "SST-2" must be TASK:FOLDER'),
        ({"input_task": "sst3:SST-2"}, "sst3 is unknown"),
        ({"input_task": "ax:SST-2"}, "--input_task=ax:.*: task ax has no train set"),
        ({"exclude_task": "rte:SST-2"}, r"dev\.tsv|column"),
        ({"exclude_file": "missing.txt"}, "--exclude_file: no file matches"),
        ({"exclude_file": "empty.txt"}, r"empty\.txt holds no text"),
        (
            {"drop_leaks": True, "allow_leaks": True},
            "--allow_leaks has no effect with --drop_leaks; pass one",
        ),
        ({"output_file": "a.txt"}, r'a\.txt" is .*an input file as well'),
        ({"output_file": "sub.txt"}, r'sub\.txt" is a folder'),
        ({"output_file": "out.json"}, "must end in .txt or .tsv"),
        ({"sizes": "10,x"}, '--sizes: "x" is no number of texts'),
        ({"sizes": "10,1k"}, "out-1k.txt is to hold 1000 texts, but there are 350 only"),
        ({"sizes": "10,301"}, "out-301.txt is to hold 301 texts, but there are 300 only"),
        (
            {"input_task": "sst-2:SST-2", "output_file": "SST-2/train.tsv"},
            r'train\.tsv" is .*an input file as well',
        ),
    ],
)
def test_bad_input_leaves_everything_as_it_was(
    folder: pathlib.Path, flags: dict[str, Any], message: str
) -> None:
    (folder / "empty.txt").write_text("\n \n")
    (folder / "latin.txt").write_bytes(b"abc\n\xe9\n")
    (folder / "sub.txt").mkdir()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    if flags.get("input_file") == "":
        flags = {"input_task": ""}
    with pytest.raises(UserError, match=message):
        create(folder, **flags)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
