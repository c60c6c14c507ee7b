"""What a model folder and the flags say together: vocabularies, casing, labels."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from hugging_face_folders import write_folder
from models import random_weights
from wrong_types import check_reader

from checkpoints.formats import find_weights
from checkpoints.model_card import model_card
from checkpoints.model_folder import read_model_folder, tokenizer_info, write_model_folder
from checkpoints.model_sources import resolve_model
from common.errors import UserError
from common.files import sha256_file
from modeling.config import BertConfig
from modeling.heads import ClassifierModel
from modeling.tokenization import FullTokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TOKENS = [*SPECIAL, "[unused0]", "[unused1]", *"abcdefgh", "##a", "##b"]
CONFIG = BertConfig(len(TOKENS), 8, 1, 2, 8, max_position_embeddings=16)


def write_vocab(path: pathlib.Path, tokens: list[str], line_end: str = "\n") -> str:
    path.write_bytes((line_end.join(tokens) + line_end).encode())
    return str(path)


def write_model(folder: pathlib.Path, tokens: list[str] = TOKENS, **info: Any) -> str:
    """A folder as our runs leave it."""
    vocab_file = write_vocab(folder.with_suffix(".txt"), tokens)
    values = random_weights(ClassifierModel(CONFIG, 2))
    write_model_folder(str(folder), values, CONFIG, vocab_file, info)
    return str(folder)


def changed(changes: dict[int, str]) -> list[str]:
    return [changes.get(i, token) for i, token in enumerate(TOKENS)]


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize(
    ("tokens", "line_end", "message"),
    [
        (TOKENS, "\r\n", None),
        (TOKENS, " \n", None),
        (changed({5: "word"}), "\n", None),
        (changed({5: "word", 6: "other"}), "\r\n", None),
        (changed({7: "z"}), "\n", 'id 7 .* is "z", there it is "a"'),
        (TOKENS[:-1] + ["##c"], "\n", 'id 16 .* is "##c", there it is "##b"'),
    ],
)
def test_vocabulary_beside_a_model(
    tmp_path: pathlib.Path,
    recorded: bool,
    in_place: bool,
    tokens: list[str],
    line_end: str,
    message: str | None,
) -> None:
    """By `--vocab_file`, or as the changed `vocab.txt` of the model's folder."""
    info = {}
    if recorded:
        info = tokenizer_info(FullTokenizer(write_vocab(tmp_path / "v.txt", TOKENS)))
    folder = write_model(tmp_path / "model", **info)
    if in_place and not recorded:
        return  # The folder's own file is all there is to know.
    path = write_vocab(
        tmp_path / ("model/vocab.txt" if in_place else "given.txt"), tokens, line_end
    )
    given = None if in_place else path
    if message is None:
        sources = resolve_model(None, given, folder, do_lower_case=None)
        assert sources.tokenizer
        assert sources.tokenizer.tokens == tokens
        assert sources.vocab_sha256 == FullTokenizer(path).sha256
    else:
        message = "digest of its tokens" if in_place else message
        with pytest.raises(
            UserError, match=f"{path} is not the vocabulary of {folder}: .*{message}"
        ):
            resolve_model(None, given, folder, do_lower_case=None)


def test_values_of_any_type(tmp_path: pathlib.Path) -> None:
    stage = {"training": "distillation", "contents": {"a": "b"}, "settings": {"c": 1}, "updates": 3}
    info: dict[str, Any] = {
        "do_lower_case": True,
        "vocab_unused": [[5, 2, 0]],
        "labels": ["a", "b"],
        "global_step": 3,
        "flags": {"max_seq_length": 12},
        "made_from": {"soft labels": {"sha256": "c", "source": "d"}},
        "lineage": [stage],
    }
    weights = find_weights(write_model(tmp_path / "model", **info))

    def read() -> None:
        found = read_model_folder(weights)
        assert found
        model_card(found.path, {}, found.config, found.labels, {}, found.lineage)

    check_reader(tmp_path / "model" / "model_info.json", read)


def test_outputs_that_share_a_label(tmp_path: pathlib.Path) -> None:
    folder = pathlib.Path(write_model(tmp_path / "model", labels=["x", "x"]))
    message = 'the label "x" is that of the outputs 0, 1; give each output a label of its own'
    with pytest.raises(UserError, match=f"model_info.json: {message}"):
        read_model_folder(find_weights(str(folder)))
    library = write_folder(tmp_path / "library", id2label={"0": "x", "1": "y", "2": "x", "3": "z"})
    with pytest.raises(UserError, match=r'library/config.json: the label "x" .* outputs 0, 2;'):
        read_model_folder(find_weights(library))


def test_digest_of_a_file_with_other_line_ends_as_earlier_versions_recorded_it(
    tmp_path: pathlib.Path,
) -> None:
    folder = write_model(tmp_path / "model")
    path = write_vocab(tmp_path / "model" / "vocab.txt", TOKENS, "\r\n")
    info_path = tmp_path / "model" / "model_info.json"
    info_path.write_text(json.dumps({"vocab_sha256": sha256_file(path)}))
    sources = resolve_model(None, None, folder, do_lower_case=None)
    assert sources.tokenizer
    assert sources.vocab_sha256 == sources.tokenizer.sha256


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"pairs": True}, True),
        ({"pairs": False, "flags": {"text_a": "a", "text_b": "b"}}, False),
        ({"flags": {"text_a": "a", "text_b": "b"}}, True),
        ({"flags": {"text_a": "a", "text_b": None}}, False),
        ({"flags": {"text_a": None, "text_b": None}}, None),
        ({}, None),
    ],
)
def test_whether_a_model_was_trained_on_pairs(
    tmp_path: pathlib.Path, info: dict[str, Any], expected: bool | None
) -> None:
    """Of earlier versions the columns say it, where the table was one of one's own."""
    folder = read_model_folder(find_weights(write_model(tmp_path / "model", **info)))
    assert folder and folder.pairs is expected
