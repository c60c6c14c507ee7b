"""Tokenizers of vocabulary files: their casing, special tokens and settings."""

from __future__ import annotations

import pathlib
import string
from typing import Any

import pytest

from common.errors import UserError
from modeling.tokenization import (
    FullTokenizer,
    open_tokenizer,
    settings_from_dict,
    vocabulary_casing,
)
from modeling.vocabulary import read_vocabulary, vocabulary_digest
from modeling.wordpiece import SPECIAL_TOKENS, TokenizerSettings

SMALL, CAPITALS = list(string.ascii_lowercase), list(string.ascii_uppercase)


@pytest.mark.parametrize(
    ("words", "casing"),
    [
        ([*SMALL, "the", "[unused0]"], True),
        ([*SMALL, *CAPITALS, "The", "the"], False),
        # Of another alphabet.
        (["Москва", "дом", "##а"], False),
        (["дом", "##а", *SMALL], True),
        # A few capitals in a large vocabulary, as Chinese ones have them; no letters at all.
        ([*(chr(0x4E00 + i) for i in range(3000)), *SMALL, *CAPITALS], None),
        (["漢", "字", "1"], None),
    ],
)
@pytest.mark.parametrize("given", [None, True, False])
@pytest.mark.parametrize("recorded", [None, True, False])
def test_casing_is_given_recorded_or_that_of_the_vocabulary(
    tmp_path: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
    words: list[str],
    casing: bool | None,
    given: bool | None,
    recorded: bool | None,
) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*SPECIAL_TOKENS, *words]), encoding="utf-8")
    assert vocabulary_casing(read_vocabulary(str(path))) is casing
    caplog.set_level("INFO")
    wanted = recorded if given is None else given
    if casing is not None and wanted == (not casing) and recorded != wanted:
        message = f"do_lower_case={wanted}, but .*so pass --do_lower_case={casing}"
        with pytest.raises(UserError, match=message):
            open_tokenizer(str(path), given, recorded)
        return
    tokenizer = open_tokenizer(str(path), given, recorded)
    if wanted is None:
        wanted = casing is not False
    assert tokenizer.do_lower_case is wanted
    is_assumed = (given, recorded, casing) == (None, None, False)
    is_odd = casing == (not wanted)
    assert len(caplog.messages) == is_assumed + is_odd
    if is_odd:
        assert "recorded with do_lower_case=" in caplog.text


def test_missing_special_tokens(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*SPECIAL_TOKENS[2:], "the"]))
    with pytest.raises(UserError, match=rf"{path} lacks \[PAD\], \[UNK\] among"):
        FullTokenizer(str(path))


def test_facts_for_records(tmp_path: pathlib.Path) -> None:
    """The length of words matters for hardly any text, so it is not among them."""
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*SPECIAL_TOKENS, *SMALL]))
    settings = TokenizerSettings(strip_accents=False, max_chars_per_word=100)
    assert FullTokenizer(str(path), True, settings).record_facts() == {
        "do_lower_case": True,
        "tokenizer_settings": {"strip_accents": False},
        "vocab_sha256": vocabulary_digest([*SPECIAL_TOKENS, *SMALL]),
    }


def test_settings_come_back() -> None:
    settings = TokenizerSettings(True, False, 100, ("<p>", "<u>", "<c>", "<s>", "<m>"))
    assert settings_from_dict(settings.to_dict(), "somewhere") == settings
    assert settings_from_dict({}, "somewhere") == TokenizerSettings()


@pytest.mark.parametrize(
    "values",
    [
        [],
        {"other": 1},
        {"strip_accents": 1},
        {"max_chars_per_word": True},
        {"max_chars_per_word": 0},
        {"special_tokens": ["[PAD]"]},
        {"special_tokens": [1, 2, 3, 4, 5]},
    ],
)
def test_settings_that_are_none(values: Any) -> None:
    with pytest.raises(UserError, match="^somewhere: tokenizer_settings is .*, expected an object"):
        settings_from_dict(values, "somewhere")


def test_a_cased_vocabulary_is_opened_once(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*SPECIAL_TOKENS, "Good", "Bad", "film", "Good"]) + "\n")
    caplog.set_level("INFO")
    tokenizer = open_tokenizer(str(path), None)
    assert not tokenizer.do_lower_case
    assert [message for message in caplog.messages if "cased model" in message]
    assert len([message for message in caplog.messages if "more than once" in message]) == 1
