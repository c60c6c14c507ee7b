"""The mean of several teachers, and how they read; models are in tests/create_soft_labels."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from scipy.special import softmax
from tiny_data import WORDS

from distillation.soft_labels import TransferExample
from distillation.teachers import (
    LOGITS,
    PROBABILITIES,
    StudentText,
    TextEncoding,
    combine,
    encoding_of_records,
    teacher_paths,
)
from modeling.tokenization import FullTokenizer

OUTPUTS = np.random.default_rng(0).normal(scale=3, size=(3, 5, 4)).astype(np.float32)
WEIGHTS = [0.5, 0.3, 0.2]


def test_mean_of_probabilities() -> None:
    found = combine(OUTPUTS, WEIGHTS, PROBABILITIES, are_logits=True)
    expected = np.average(softmax(OUTPUTS.astype(np.float64), axis=-1), axis=0, weights=WEIGHTS)
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-5)


@pytest.mark.parametrize(("ensemble", "are_logits"), [(LOGITS, True), (PROBABILITIES, False)])
def test_mean_of_logits_and_of_scores(ensemble: str, are_logits: bool) -> None:
    found = combine(OUTPUTS, WEIGHTS, ensemble, are_logits)
    np.testing.assert_allclose(found, np.average(OUTPUTS, axis=0, weights=WEIGHTS), atol=1e-6)


def test_certain_teachers_stay_finite() -> None:
    """Two that are sure of different classes: half and half, whose logarithm is finite."""
    certain = np.array([[[1000.0, 0.0]], [[0.0, 1000.0]]], np.float32)
    found = combine(certain, [0.5, 0.5], PROBABILITIES, are_logits=True)
    np.testing.assert_allclose(found, [[np.log(0.5)] * 2], rtol=1e-6)


def test_paths(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert teacher_paths("a, b,,c") == ["a", "b", "c"]
    (tmp_path / "a,b").mkdir()
    assert teacher_paths("a,b") == ["a,b"]


@pytest.fixture
def encoding(vocab_file: str) -> TextEncoding:
    return TextEncoding(FullTokenizer(vocab_file), 8)


def test_features_are_cut_to_the_length(encoding: TextEncoding) -> None:
    examples = [TransferExample("a:1", "good film the plot the plot the plot", None)]
    examples += [TransferExample("a:2", "good", "bad film")]
    features = encoding.features(examples)
    ids = {word: i for i, word in enumerate(WORDS)}
    words = ["[CLS]", "good", "film", "the", "plot", "the", "plot", "[SEP]"]
    assert features["input_ids"][0].tolist() == [ids[word] for word in words]
    assert features["segment_ids"][1].tolist() == [0, 0, 0, 1, 1, 1, 0, 0]


def test_encodings_are_alike_if_all_ids_are(encoding: TextEncoding, tmp_path: pathlib.Path) -> None:
    copied, other = tmp_path / "copied.txt", tmp_path / "other.txt"
    copied.write_text("\n".join(WORDS) + "\n")
    other.write_text("\n".join([*WORDS[:-1], "another"]) + "\n")
    assert encoding.is_like(TextEncoding(FullTokenizer(str(copied)), 8))
    assert not encoding.is_like(encoding._replace(max_seq_length=9))
    assert not encoding.is_like(TextEncoding(FullTokenizer(str(other)), 8))
    assert not encoding.is_like(TextEncoding(FullTokenizer(str(copied), do_lower_case=False), 8))


def test_records_are_read_as_the_student_does(
    encoding: TextEncoding, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert encoding_of_records(StudentText(None, None, 5), encoding) is encoding
    same = encoding_of_records(StudentText(encoding.tokenizer.vocab_file, None, None), encoding)
    assert same.is_like(encoding) and not caplog.messages
    longer = encoding_of_records(StudentText(encoding.tokenizer.vocab_file, None, 12), encoding)
    assert (longer.tokenizer, longer.max_seq_length) == (encoding.tokenizer, 12)
    other = tmp_path / "other.txt"
    other.write_text("\n".join([*WORDS, "Quagga"]) + "\n")
    records = encoding_of_records(StudentText(str(other), False, None), encoding)
    assert records.max_seq_length == 8 and not records.tokenizer.do_lower_case
    assert records.tokenizer.vocab_size == len(WORDS) + 1
    assert len(caplog.messages) == 2 and str(other) in caplog.messages[1]
