"""Flags and model folder together: what is taken, and what contradicts."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from models import ODD_CONFIG, random_weights, write_classifier, write_vocabulary

from checkpoints.hugging_face import write_huggingface
from checkpoints.model_sources import (
    check_labels,
    check_max_seq_length,
    model_files,
    resolve_model,
    resolve_text_model,
)
from common.errors import UserError
from modeling.heads import ClassifierModel


@pytest.fixture
def vocab(tmp_path: pathlib.Path) -> str:
    return write_vocabulary(tmp_path / "vocab.txt", ["the", "film"])


@pytest.fixture
def write(tmp_path: pathlib.Path, vocab: str) -> Callable[..., str]:
    """Writes a model folder with entries of `model_info.json`."""

    def make(vocab_file: str | None = vocab, **info: Any) -> str:
        folder = tmp_path / "model"
        write_classifier(str(folder), ODD_CONFIG, vocab_file, 2, **info)
        return str(folder)

    return make


@pytest.fixture
def config_file(tmp_path: pathlib.Path) -> Callable[..., str]:
    """Writes a configuration that differs from that of the model."""

    def make(**changes: Any) -> str:
        path = tmp_path / "config.json"
        path.write_text(dataclasses.replace(ODD_CONFIG, **changes).to_json())
        return str(path)

    return make


def test_files_of_a_model(write: Callable[..., str], tmp_path: pathlib.Path) -> None:
    """Other files in its folder, such as earlier outputs, may be written again."""
    folder = pathlib.Path(write())
    for name in ("features.jsonl", "features.json", "predictions.csv"):
        (folder / name).touch()
    words = str(tmp_path / "words")
    found = {str(pathlib.Path(path)) for path in model_files(None, words, str(folder))}
    read = {str(path) for path in folder.iterdir() if not path.name.startswith(("feat", "pred"))}
    assert found == {*read, words, str(tmp_path / "vocab.txt")}


def test_everything_comes_from_the_folder(write: Callable[..., str]) -> None:
    folder = write(labels=["no", "yes"], do_lower_case=True, max_seq_length=12)
    sources = resolve_model(None, None, folder, None)
    assert sources.config == ODD_CONFIG
    assert (sources.labels, sources.do_lower_case) == (["no", "yes"], True)
    assert sources.vocab_file == f"{folder}/vocab.txt"
    assert sources.tokenizer and sources.vocab_sha256 == sources.tokenizer.sha256
    assert (sources.input_length(None), sources.input_length(9)) == (12, 9)
    assert (sources.input_length(None, of_records=8), sources.input_length(9, 8)) == (8, 9)


@pytest.mark.parametrize("info", [{}, {"do_lower_case": True}])
def test_settings_beside_a_vocabulary_of_its_own(
    write: Callable[..., str], tmp_path: pathlib.Path, info: dict[str, bool]
) -> None:
    """They count where the folder of the model says nothing of a tokenizer."""
    beside = {"do_lower_case": False, "tokenize_chinese_chars": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(beside))
    words = write_vocabulary(tmp_path / "vocab.txt", ["Film", "film"])
    tokenizer = resolve_model(None, words, write(vocab_file=None, **info), None).tokenizer
    assert tokenizer
    assert tokenizer.do_lower_case == tokenizer.settings.tokenize_chinese_chars == bool(info)
    with pytest.raises(UserError, match="do_lower_case=False"):
        resolve_model(None, words, write(vocab_file=None), True)


def test_what_is_not_known(write: Callable[..., str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    sources = resolve_model(None, None, write(vocab_file=None), None)
    assert (sources.labels, sources.do_lower_case, sources.tokenizer) == (None, None, None)
    # The original's 128 are more than the model has positions for.
    assert sources.input_length(None) == 17
    assert "--max_seq_length=17, the default, because no model says its own." in caplog.text


def test_flags_alone(config_file: Callable[..., str], vocab: str) -> None:
    sources = resolve_text_model(config_file(num_hidden_layers=7), vocab, None, None)
    assert sources.config.num_hidden_layers == 7
    assert sources.do_lower_case is True and sources.labels is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_attention_heads": 2}, "num_attention_heads 2, but the weights of .* with 4"),
        ({"hidden_act": "relu"}, "hidden_act relu, but the weights of .* with gelu"),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps 1e-05, but the weights of .* with 1e-12"),
        # Another depth is a start from a part of the model; so is another function of another width.
        ({"num_hidden_layers": 2}, None),
        ({"hidden_size": 64, "num_attention_heads": 2}, None),
    ],
)
def test_same_weights_in_another_function(
    write: Callable[..., str],
    config_file: Callable[..., str],
    changes: dict[str, Any],
    message: str | None,
) -> None:
    folder, path = write(), config_file(**changes)
    if message is None:
        assert resolve_model(path, None, folder, None).config != ODD_CONFIG
        return
    with pytest.raises(UserError, match=f"^--bert_config_file has {message}"):
        resolve_model(path, None, folder, None)


def test_another_casing(write: Callable[..., str]) -> None:
    folder = write(do_lower_case=True)
    with pytest.raises(UserError, match="do_lower_case=False, but .*do_lower_case=True"):
        resolve_model(None, None, folder, False)


def test_vocabulary_of_another_size(config_file: Callable[..., str], vocab: str) -> None:
    with pytest.raises(UserError, match="vocab_size is 98, but the vocabulary has 99 entries"):
        resolve_model(config_file(vocab_size=98), vocab, None, None)


@pytest.mark.parametrize("has_model", [False, True])
def test_nothing_to_take_it_from(
    write: Callable[..., str], config_file: Callable[..., str], has_model: bool
) -> None:
    start = write(vocab_file=None) if has_model else None
    where = "there is no vocab.txt or tokenizer.json beside" if has_model else "there is no --init_"
    with pytest.raises(UserError, match=f"--vocab_file is missing, and {where}"):
        resolve_text_model(config_file(), None, start, None)
    with pytest.raises(UserError, match="--bert_config_file is missing, and there is no --init_"):
        resolve_model(None, None, None, None)


@pytest.mark.parametrize(("said", "length"), [(10, 10), (1 << 20, 17)])
def test_length_that_the_tokenizer_of_another_tool_says(
    tmp_path: pathlib.Path,
    vocab: str,
    caplog: pytest.LogCaptureFixture,
    said: int,
    length: int,
) -> None:
    weights = random_weights(ClassifierModel(ODD_CONFIG, 2))
    write_huggingface(str(tmp_path / "hf"), weights, ODD_CONFIG, vocab, True, ["a", "b"])
    path = tmp_path / "hf" / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": said}))
    sources = resolve_model(None, None, str(tmp_path / "hf"), None)
    assert sources.input_length(None) == length and not caplog.messages
    assert sources.input_length(12) == 12
    is_warned = "--max_seq_length=12 is more than the model_max_length of 10" in caplog.text
    assert is_warned == (said == 10)


def test_length_and_positions() -> None:
    check_max_seq_length(ODD_CONFIG, 17)
    with pytest.raises(UserError, match="--max_seq_length=18 is more than .* of 17"):
        check_max_seq_length(ODD_CONFIG, 18)
    check_max_seq_length(ODD_CONFIG, 3)
    with pytest.raises(UserError, match="--max_seq_length=2 is less than the 3 tokens"):
        check_max_seq_length(ODD_CONFIG, 2)


@pytest.mark.parametrize(
    ("recorded", "labels", "message"),
    [
        (["a", "b"], ("a", "b"), None),
        ([], (), None),
        (["a", "b"], ("b", "a"), "made for the labels a, b, this run has b, a; .* same order"),
        ([], ("a", "b"), "made for a regression .*, this run is a classification with the labels"),
        (["a"], (), "made for a classification with the labels a, this run is a regression"),
    ],
)
def test_labels(recorded: list[str], labels: Sequence[str], message: str | None) -> None:
    if message is None:
        check_labels(recorded, labels, "it")
        return
    with pytest.raises(UserError, match=f"^it was {message}"):
        check_labels(recorded, labels, "it")


@pytest.mark.parametrize("recorded", [None, ["a", "b"]])
def test_a_label_that_is_wanted_twice(recorded: list[str] | None) -> None:
    with pytest.raises(UserError, match='^labels a,a: the label "a" is that of the outputs 0, 1;'):
        check_labels(recorded, ("a", "a"), "it")


def test_order_of_labels_that_is_assumed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    check_labels(None, ("a", "b"), "it")
    assert "a, b" in caplog.text


@pytest.mark.parametrize(
    ("recorded", "message"),
    [
        (
            True,
            "m was trained on pairs of texts, but new.csv has single texts; name the two",
        ),
        (
            False,
            "m was trained on single texts, but new.csv has pairs of texts; name the one column",
        ),
    ],
)
def test_texts_of_another_kind(write: Callable[..., str], recorded: bool, message: str) -> None:
    sources = resolve_model(None, None, write(pairs=recorded), None)
    assert sources.takes_pairs(None, "m") == sources.takes_pairs(recorded, "m") == recorded
    with pytest.raises(UserError, match=f"--pairs={str(not recorded).lower()}, but m was trained"):
        sources.takes_pairs(not recorded, "m")
    sources.check_pairs(recorded, "m", "new.csv")
    with pytest.raises(UserError, match=message):
        sources.check_pairs(not recorded, "m", "new.csv")


def test_texts_for_a_model_that_records_nothing(write: Callable[..., str]) -> None:
    sources = resolve_model(None, None, write(), None)
    for are_pairs in (True, False):
        sources.check_pairs(are_pairs, "m", "new.csv")
        assert sources.takes_pairs(are_pairs, "m") == are_pairs
    assert sources.takes_pairs(None, "m") is False
