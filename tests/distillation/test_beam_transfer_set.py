"""The pipeline of Apache Beam beside the local path, on Beam's DirectRunner."""

from __future__ import annotations

import json
import pathlib
import random
from typing import Any

import pytest

pytest.importorskip("apache_beam", reason="needs Apache Beam: requirements-beam.lock")

from apache_beam.utils.shared import Shared
from scripts import run_script

from common.errors import UserError
from data.texts import file_sources
from distillation import beam_transfer_set as beam_pipeline
from distillation import transfer_set

SENTENCE = "the film 's plot is a bore ."


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Reviews in two files with duplicates and leaks, read in many chunks."""
    monkeypatch.setattr(transfer_set, "_CHUNK_CHARACTERS", 300)
    monkeypatch.setattr(transfer_set, "_NUM_NAMED_LEAKS", 3)
    rng = random.Random(0)
    reviews = [f"Review {rng.randrange(200)} of a film" for _ in range(300)]
    for i in (7, 8, 100, 250):
        reviews[i] = f"I say {i}: the film's plot is a bore. So there."
    (tmp_path / "a.txt").write_text("\n".join(reviews[:120]) + "\n\n")
    (tmp_path / "b.txt").write_text("\n".join(map(str.upper, reviews[120:])) + "\n \u00e9\n")
    (tmp_path / "pairs.tsv").write_text(
        "".join(f"a {rng.randrange(50)}\tb {rng.randrange(3)}\n" for i in range(200)) + "x\t\n"
    )
    (tmp_path / "SST-2").mkdir()
    for name, rows in (
        ("train", ["sentence\tlabel", "fine film\t1", "Fine film\t0", "review 3 of a film\t1"]),
        ("dev", ["sentence\tlabel", f"{SENTENCE}\t0"]),
        ("test", ["index\tsentence", "0\tdull !", "1\treview 11 of a film"]),
    ):
        (tmp_path / "SST-2" / f"{name}.tsv").write_text("\n".join(rows) + "\n")
    return tmp_path


def create(folder: pathlib.Path, output: str, suffix: str = "txt", **flags: Any) -> dict[str, Any]:
    """Runs the script; name -> content of what is then in the folder `output`."""
    run_script(
        "create_transfer_set",
        **{
            "input_file": f"{folder}/a.txt,{folder}/b.txt",
            "output_file": folder / output / f"out.{suffix}",
            "exclude_task": f"sst-2:{folder}/SST-2",
            **flags,
        },
    )
    contents = {path.name: path.read_bytes() for path in (folder / output).iterdir()}
    return {k: json.loads(v) if k.endswith(".json") else v for k, v in contents.items()}


@pytest.mark.parametrize(
    "flags",
    [
        {"drop_leaks": True, "sizes": "10,100"},
        {"allow_leaks": True, "random_seed": 1},
        {"drop_leaks": True, "input_task": "sst-2:{folder}/SST-2"},
        {"input_file": "{folder}/pairs.tsv", "suffix": "tsv.xz"},
    ],
)
def test_files_are_those_of_the_local_path(folder: pathlib.Path, flags: dict[str, Any]) -> None:
    flags = {k: v.format(folder=folder) if isinstance(v, str) else v for k, v in flags.items()}
    local = create(folder, "local", **flags)
    assert create(folder, "beam", beam_runner="DirectRunner", **flags) == local
    info = next(content for name, content in local.items() if name.endswith(".json"))
    assert info["num_duplicates"] > 3
    assert not [path for path in folder.rglob("*") if path.name.startswith(".")]


def test_leaks_stop_the_run(folder: pathlib.Path) -> None:
    messages = []
    for flags in ({}, {"beam_runner": "DirectRunner"}):
        with pytest.raises(
            UserError, match="texts of the transfer set hold 2 dev or test"
        ) as error:
            create(folder, "out", **flags)
        messages.append(str(error.value))
        assert not list((folder / "out").iterdir())
    assert messages[0] == messages[1]


def test_too_few_texts(folder: pathlib.Path) -> None:
    flags = {"allow_leaks": True, "sizes": "10,300", "beam_runner": "DirectRunner"}
    with pytest.raises(UserError, match=r"out-300\.txt is to hold 300 texts, but there are 1\d\d"):
        create(folder, "out", **flags)
    assert not list((folder / "out").iterdir())


def test_an_error_of_a_worker_is_one_line(folder: pathlib.Path) -> None:
    (folder / "bad.tsv").write_text("a\tb\n" * 5 + "a\tb\tc\n")
    flags = {"input_file": f"{folder}/pairs.tsv,{folder}/bad.tsv", "beam_runner": "DirectRunner"}
    with pytest.raises(UserError, match=r"bad\.tsv, line 6: found 3 columns.*--text_b\.$"):
        create(folder, "out", suffix="tsv", **flags)
    assert not list((folder / "out").iterdir())


def test_of_duplicates_the_first_is_kept_in_any_order(folder: pathlib.Path) -> None:
    """Runners hand the chunks of a part over in any order."""
    sources = file_sources([f"{folder}/a.txt", f"{folder}/b.txt"], None, None)
    parts: dict[int, list[tuple[int, transfer_set.HashedTexts]]] = {}
    shared = Shared()
    for source in (0, 1):
        for chunk in beam_pipeline._read(source, sources):
            if isinstance(chunk, beam_pipeline.Chunk):
                for element in beam_pipeline._search(chunk, shared, [], False, 0):
                    if isinstance(element, tuple):
                        parts.setdefault(element[0], []).append(element[1])
    part, chunks = max(parts.items(), key=lambda item: len(item[1]))
    assert len(chunks) > 3

    def content(order: list[tuple[int, transfer_set.HashedTexts]]) -> bytes:
        _, path = beam_pipeline._write_part((part, order), str(folder))
        return pathlib.Path(path).read_bytes()

    rng = random.Random(0)
    contents = {content(rng.sample(chunks, len(chunks))) for _ in range(10)}
    assert contents == {content(chunks)}
