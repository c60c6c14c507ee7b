"""The inputs of a comparison are cut from real files as they come."""

from __future__ import annotations

import gzip
import pathlib
from typing import Any

import numpy as np
import pytest
from tiny_data import WORDS

from benchmarks import inputs
from benchmarks.inputs import (
    SEQ_LENGTH,
    CompareOptions,
    length_quantiles,
    write_classifier_rows,
    write_text,
    write_texts,
)
from benchmarks.serving import read_texts
from common.errors import UserError


def test_text_stops_at_the_end_of_a_line(tmp_path: pathlib.Path) -> None:
    source, target = tmp_path / "text.txt.gz", tmp_path / "out.txt"
    source.write_bytes(gzip.compress(b"one two\n\nthree four five\nsix\n"))
    for megabytes, text, words in (
        (8e-6, "one two\n", 2),
        (10e-6, "one two\n\nthree four five\n", 5),
        (1.0, "one two\n\nthree four five\nsix\n", 6),
    ):
        assert write_text(str(source), str(target), megabytes) == words
        assert target.read_text() == text


@pytest.mark.parametrize(
    ("column", "count", "texts"),
    [(False, 9, ["a\t0", "b\t1", "c"]), (True, 9, ["b", "c"]), (False, 2, ["a\t0", "b\t1"])],
)
def test_texts(tmp_path: pathlib.Path, column: bool, count: int, texts: list[str]) -> None:
    (tmp_path / "in").write_text("a\t0\nb\t1\n \nc\n")
    out = tmp_path / "out"
    assert write_texts(str(tmp_path / "in"), str(out), count, column) == len(texts)
    assert out.read_text().splitlines() == texts


def test_texts_are_read_as_they_are_counted(tmp_path: pathlib.Path) -> None:
    """Of all characters that end a line somewhere, LF alone does here."""
    texts = ["one\x85two", "three\u2028four", "five\rsix", "seven\x0ceight"]
    source, out = tmp_path / "in", str(tmp_path / "out")
    source.write_bytes("\n".join(texts).encode())
    assert write_texts(str(source), out, 9) == 4
    assert read_texts(out) == texts


def test_rows_of_a_classifier(tmp_path: pathlib.Path, vocab_file: str) -> None:
    (tmp_path / "train.tsv").write_text('sentence\tlabel\ngood "film\t1\nbad\t0\nfine\t1\n')
    write_classifier_rows(str(tmp_path / "train.tsv"), vocab_file, str(tmp_path / "rows.npz"), 2)
    rows = np.load(tmp_path / "rows.npz")
    ids = {word: i for i, word in enumerate(WORDS)}
    expected = [ids[word] for word in ("[CLS]", "good", "[UNK]", "film", "[SEP]")]
    assert rows["input_ids"].shape == (2, SEQ_LENGTH)
    assert rows["input_ids"][0, :6].tolist() == [*expected, 0]
    assert rows["label_ids"].tolist() == [1, 0]
    # The teacher is right.
    assert rows["teacher_logits"].tolist() == [[-2, 2], [2, -2]]
    assert rows["has_label"].tolist() == [1, 1]


def test_batches_stand_for_all_lengths() -> None:
    """Of five batches of two by length, the second and the fourth; cut to multiples of 4."""
    lengths = np.array([10, 1, 8, 3, 5, 2, 6, 7, 4, 9])
    mask = (np.arange(12) < lengths[:, np.newaxis]).astype(np.int32)
    rows = {"input_ids": mask * 7, "input_mask": mask, "segment_ids": 0 * mask}
    rows["label_ids"] = lengths
    first, second = length_quantiles(rows, 2, 2).as_numpy_iterator()
    assert sorted(first["label_ids"]) == [3, 4] and sorted(second["label_ids"]) == [7, 8]
    assert first["input_ids"].shape == (2, 4) and second["input_mask"].shape == (2, 8)
    np.testing.assert_array_equal(first["input_mask"].sum(axis=1), first["label_ids"])


def options(folder: pathlib.Path, **changes: Any) -> CompareOptions:
    given: dict[str, Any] = dict.fromkeys(CompareOptions.__dataclass_fields__)
    return CompareOptions(**{**given, "output_dir": str(folder), **changes})


def test_paths_of_inputs_and_logs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = options(tmp_path / "out", sst2_dir="glue")
    work = tmp_path / "out" / "work"
    assert found.sentences() == str(tmp_path / "glue" / "train.tsv")
    assert found.log("data dupe 1", "ours, a") == str(work / "data_dupe_1_ours_a.log")
    assert found.log("pretraining 1/128", "x") == str(work / "pretraining_1-128_x.log")
    assert work.is_dir()
    with pytest.raises(UserError, match="--vocab_file is needed for these --loops"):
        found.need("vocab_file")


def test_beginning_of_the_text(tmp_path: pathlib.Path) -> None:
    (tmp_path / "text.txt").write_text("one two three\n" * 100)
    found = options(tmp_path, text_file=str(tmp_path / "text.txt"), text_megabytes=0.00035)
    path, words = found.text()
    assert words == 75 and path.endswith("text_0.00035MB.txt")
    assert pathlib.Path(path).read_text() == "one two three\n" * 25


def test_rows_are_those_of_this_run(tmp_path: pathlib.Path, vocab_file: str) -> None:
    """An earlier one had other options."""
    (tmp_path / "train.tsv").write_text("sentence\tlabel\n" + "good film\t1\n" * 120)
    for batch_size, count in ((1, 50), (2, 100)):
        given = {"sst2_dir": str(tmp_path), "vocab_file": vocab_file, "batch_size": batch_size}
        found = options(tmp_path / "out", **given)
        with np.load(found.classifier_rows) as rows:
            assert len(rows["input_ids"]) == count


def test_rows_that_cannot_be_made(tmp_path: pathlib.Path) -> None:
    (tmp_path / "text.txt").write_text("one two three\n")
    target = str(tmp_path / "rows.npz")
    with pytest.raises(UserError, match="create_pretraining_data.py: ERROR: .*no_vocab.txt"):
        inputs.write_pretraining_rows(
            str(tmp_path / "text.txt"), str(tmp_path / "no_vocab.txt"), target, 2
        )


def test_rows_of_pretraining_are_made_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    made: list[Any] = []
    monkeypatch.setattr(inputs, "write_pretraining_rows", lambda *given: made.append(given))
    (tmp_path / "text.txt").write_text("one two three\n")
    given = {"text_file": str(tmp_path / "text.txt"), "text_megabytes": 1.0, "vocab_file": "vocab"}
    for batch_size in (1, 2):
        found = options(tmp_path / "out", **given, batch_size=batch_size)
        assert found.pretraining_rows == found.pretraining_rows
    assert [count for *_, count in made] == [16, 32]
