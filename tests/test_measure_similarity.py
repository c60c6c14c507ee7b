"""measure_similarity.py through its flags."""

from __future__ import annotations

import json
import pathlib
import random
from typing import Any

import pytest
from scipy.stats import spearmanr
from scripts import run_script

from common.errors import UserError

WORDS = [f"w{i}" for i in range(150)]


def write_corpus(path: pathlib.Path, seed: int) -> None:
    rng = random.Random(seed)
    weights = [rng.uniform(0.5, 1.5) / (i + 1) for i in range(len(WORDS))]
    lines = [" ".join(rng.choices(WORDS, weights, k=30)) for _ in range(200)]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    write_corpus(tmp_path / "a.txt", 0)
    write_corpus(tmp_path / "b.txt", 1)
    return tmp_path


def measure(folder: pathlib.Path, **flags: Any) -> dict[str, Any]:
    """The content of the output file."""
    flags = {"corpus_a": "a.txt", "corpus_b": "b.txt", "num_processes": 1, **flags}
    for name in ("corpus_a", "corpus_b"):
        flags[name] = f"{folder}/{flags[name]}"
    run_script("measure_similarity", output_file=folder / "out.json", **flags)
    return json.loads((folder / "out.json").read_text())


def test_file_and_printed_table(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = measure(folder, bootstrap_samples=50, vocabulary="b")
    assert content["corpus_a"] == {
        "files": [f"{folder}/a.txt"],
        "num_texts": 200,
        "num_words": 6000,
        "num_blocks": content["corpus_a"]["num_blocks"],
    }
    assert list(content["similarities"]) == ["joint", "a", "b"]
    for similarity in content["similarities"].values():
        ranks = [word["ranks"] for word in similarity["words"]]
        assert len(ranks) == 100
        expected = spearmanr([a for a, _ in ranks], [b for _, b in ranks]).statistic
        assert similarity["spearman"] == pytest.approx(expected, abs=0.005)
        low, high = similarity["spearman_interval"]
        assert 0 < low < high < 1
        assert similarity["as_printed"] == pytest.approx(1 - (1 - similarity["spearman"]) / 6)
        assert similarity["as_printed_interval"] == pytest.approx(
            [1 - (1 - low) / 6, 1 - (1 - high) / 6]
        )

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Corpus A: 200 texts, 6000 words"
    for choice, title in (("joint", "A and B"), ("a", "A"), ("b", "B")):
        similarity = content["similarities"][choice]
        low, high = similarity["spearman_interval"]
        start = f"{title:16}{similarity['spearman']:.3f}  95 %: {low:.3f} to {high:.3f}"
        assert sum(line.startswith(start) for line in lines) == 1
    table = [line.split() for line in lines[-100:]]
    assert [row[0] for row in table] == [
        word["word"] for word in content["similarities"]["b"]["words"]
    ]
    first = content["similarities"]["b"]["words"][0]
    assert [float(value) for value in table[0][1:4]] == [
        *first["ranks"],
        first["ranks"][0] - first["ranks"][1],
    ]
    assert table[0][5] == f"{1e6 * first['frequencies'][1] / 6000:.0f}"


def test_the_same_for_any_number_of_processes_and_files(folder: pathlib.Path) -> None:
    alone = measure(folder)
    assert measure(folder, num_processes=2)["similarities"] == alone["similarities"]
    lines = (folder / "b.txt").read_text().splitlines()
    for i in range(2):
        (folder / f"part{i}.txt").write_text("\n".join(lines[100 * i : 100 * i + 100]))
    parts = measure(folder, corpus_b="part*.txt", bootstrap_samples=0)["similarities"]
    for choice, similarity in alone["similarities"].items():
        assert parts[choice]["words"] == similarity["words"]
        assert parts[choice]["spearman_interval"] is None


def test_columns_of_tables_and_keys(folder: pathlib.Path) -> None:
    lines = (folder / "a.txt").read_text().splitlines()
    rows = [f"noise noise\t{line[:40]}\t{line[40:]}" for line in lines]
    (folder / "a.tsv").write_text("\n".join(["label\tx\ty", *rows]))
    expected = measure(folder, bootstrap_samples=0, corpus_a="a.txt")
    cut = [f"{line[:40]}\t{line[40:]}" for line in lines]
    (folder / "cut.tsv").write_text("\n".join(cut))
    found = measure(folder, bootstrap_samples=0, corpus_a="a.tsv", text_a="x", text_b="y")
    plain = measure(folder, bootstrap_samples=0, corpus_a="cut.tsv")
    assert found["similarities"] == plain["similarities"]
    assert found["corpus_a"]["num_texts"] == expected["corpus_a"]["num_texts"] == 200


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"corpus_b": "missing*.txt"}, "--corpus_b: no file matches"),
        ({"corpus_a": "empty.txt"}, r"empty\.txt holds no text"),
        ({"corpus_a": "dots.txt"}, "--corpus_a holds no words"),
        ({"corpus_a": "a.doc"}, r"a\.doc: cannot tell its format"),
        ({"corpus_a": "a.csv"}, r"a\.csv: pass --text_a, the column"),
        ({"corpus_a": "a.jsonl"}, "pass --text_a, the column"),
        (
            {"num_words": 1000},
            "--corpus_a has 1[0-9][0-9] different words, fewer than --num_words=",
        ),
    ],
)
def test_bad_input(folder: pathlib.Path, flags: dict[str, Any], message: str) -> None:
    for name, text in (
        ("empty.txt", ""),
        ("dots.txt", "...\n"),
        ("a.doc", "x"),
        ("a.csv", "x"),
        ("a.jsonl", "{}"),
    ):
        (folder / name).write_text(text)
    with pytest.raises(UserError, match=message):
        measure(folder, **flags)
    assert not (folder / "out.json").exists()
