"""experiments/learn_vocabulary.py: the file it writes is one that the scripts read."""

from __future__ import annotations

import lzma
import pathlib

import pytest
from scripts import run_script

from checkpoints.tokenizer_files import open_tokenizer_of_file
from common.errors import UserError


def learn(tmp_path: pathlib.Path, **values: object) -> None:
    run_script("experiments/learn_vocabulary", **{"input_file": tmp_path / "text*", **values})


def test_vocabulary_of_plain_and_compressed_text(tmp_path: pathlib.Path) -> None:
    (tmp_path / "text1.txt").write_text("Plain words.\n\n" * 10)
    with lzma.open(tmp_path / "text2.txt.xz", "wt") as file:
        file.write("packed words.\n" * 10)
    path = tmp_path / "vocab.txt"
    learn(tmp_path, output_file=path, vocab_size=200)
    tokenizer = open_tokenizer_of_file(str(path), True)
    assert tokenizer.tokenize("Packed plain words.") == ["packed", "plain", "words", "."]


def test_output_among_the_input(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("words\n" * 10)
    with pytest.raises(UserError, match="output_file"):
        learn(tmp_path, output_file=path)
    assert path.read_text() == "words\n" * 10
