"""The similarity of two corpora as a call from Python."""

from __future__ import annotations

import json
import pathlib

import pytest

from common.errors import UserError
from common.outputs import release_locks
from distillation.similarity_report import SimilarityOptions, run


def corpus(path: pathlib.Path, **counts: int) -> str:
    path.write_text("".join(f"{word}\n" * count for word, count in counts.items()))
    return str(path)


def test_values_are_printed_and_written(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three words in the opposite order: squared differences of ranks sum to D * 24 = 8."""
    options = SimilarityOptions(
        corpus_a=corpus(tmp_path / "a.txt", plot=4, story=2, scene=1),
        corpus_b=corpus(tmp_path / "b.txt", scene=5, story=3, plot=2),
        num_words=3,
        bootstrap_samples=0,
        num_processes=1,
        output_file=str(tmp_path / "out.json"),
    )
    run(options)
    release_locks()
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == ["Corpus A: 7 texts, 7 words", "Corpus B: 10 texts, 10 words"]
    assert printed[4].split()[:5] == ["A", "and", "B", "-1.000", "0.667"]
    rows = {line.split()[0]: line.split()[1:3] for line in printed[-3:]}
    assert rows == {"plot": ["1", "3"], "story": ["2", "2"], "scene": ["3", "1"]}
    written = json.loads((tmp_path / "out.json").read_text())
    joint = written["similarities"]["joint"]
    assert (joint["spearman"], joint["as_printed"]) == pytest.approx((-1, 2 / 3))
    assert written["flags"]["bootstrap_samples"] == 0


def test_output_that_is_an_input(tmp_path: pathlib.Path) -> None:
    path = corpus(tmp_path / "a.txt", plot=1)
    with pytest.raises(UserError, match="--output_file: .*a.txt. is an input"):
        run(SimilarityOptions(corpus_a=path, corpus_b=path, output_file=path))
    assert (tmp_path / "a.txt").read_text() == "plot\n"
