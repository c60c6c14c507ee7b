"""Tokenizers of vocabulary files, and the casing that a vocabulary is made for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from common.errors import UserError
from modeling.vocabulary import read_vocabulary, vocabulary_digest, warn_of_repeated_entries
from modeling.wordpiece import (
    ORIGINAL_SETTINGS,
    SPECIAL_TOKENS,
    TokenizerSettings,
    WordPieceTokenizer,
)

# A cased vocabulary has entries with capitals by the thousand, an uncased one hardly any.
MAX_CAPITALS_SHARE = 0.02

_CAPITALS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_SMALL_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz")


def settings_from_dict(values: Mapping[str, Any], source: str) -> TokenizerSettings:
    """The inverse of `TokenizerSettings.to_dict`.

    Raises:
      UserError: A key or value is none of these settings.
    """
    checks: dict[str, Callable[[Any], bool]] = {
        "strip_accents": lambda value: isinstance(value, bool),
        "tokenize_chinese_chars": lambda value: isinstance(value, bool),
        "max_chars_per_word": lambda value: type(value) is int and value > 0,
        "special_tokens": lambda value: (
            isinstance(value, list)
            and len(value) == len(SPECIAL_TOKENS)
            and all(isinstance(token, str) for token in value)
        ),
    }
    if isinstance(values, dict):
        for key, value in values.items():
            if key not in checks or not checks[key](value):
                break
        else:
            fields: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in values.items()
            }
            return TokenizerSettings(**fields)
    raise UserError(
        f"{source}: tokenizer_settings is {str(values):.80}, expected an object with some of "
        f"{', '.join(checks)}."
    )


class FullTokenizer(WordPieceTokenizer):
    """The tokenizer of a vocabulary file.

    Attributes:
      vocab_file: Path the vocabulary was read from.
      sha256: Hexadecimal digest of the tokens (`vocabulary_digest`).
    """

    def __init__(
        self,
        vocab_file: str,
        do_lower_case: bool = True,
        settings: TokenizerSettings = ORIGINAL_SETTINGS,
    ):
        """Reads a vocabulary.

        Raises:
          UserError: The file is missing or not UTF-8, or a special token is missing.
        """
        tokens = read_vocabulary(vocab_file)
        _check_special_tokens(vocab_file, set(tokens) - {""}, settings.special_tokens)
        warn_of_repeated_entries(vocab_file)
        super().__init__(tokens, do_lower_case, settings)
        self.vocab_file = vocab_file
        self.sha256 = vocabulary_digest(tokens)

    def record_facts(self) -> dict[str, Any]:
        """Entries of a record file's description about the tokenizer that made its ids."""
        return {
            "do_lower_case": self.do_lower_case,
            "tokenizer_settings": self.settings.of_common_text(),
            "vocab_sha256": self.sha256,
        }


def open_tokenizer(
    vocab_file: str,
    do_lower_case: bool | None,
    recorded: bool | None = None,
    settings: TokenizerSettings = ORIGINAL_SETTINGS,
) -> FullTokenizer:
    """The tokenizer of a vocabulary, in the casing that is known for it.

    Args:
      vocab_file: The vocabulary.
      do_lower_case: Value of the flag; None where it is not given.
      recorded: Recorded casing of the model; None where there is none. Without a flag and a record,
        text is lower-cased, as in the original, unless the vocabulary is a cased one.
      settings: As for `FullTokenizer`.

    Raises:
      UserError: As `FullTokenizer` and `check_casing`.
    """
    casing = recorded if do_lower_case is None else do_lower_case
    if casing is None and vocabulary_casing(read_vocabulary(vocab_file)) is False:
        logging.info(
            "%s is the vocabulary of a cased model (it has capital letters), so text is not "
            "lower-cased: --do_lower_case=False.",
            vocab_file,
        )
        casing = False
    tokenizer = FullTokenizer(vocab_file, casing is not False, settings)
    check_casing(tokenizer, tokenizer.do_lower_case, recorded)
    return tokenizer


def vocabulary_casing(tokens: Sequence[str]) -> bool | None:
    """The `do_lower_case` that a vocabulary is made for, None where its words do not tell."""
    words = [token for token in tokens if not (token.startswith("[") and token.endswith("]"))]
    capitals = sum(word != word.lower() for word in words)
    if capitals > MAX_CAPITALS_SHARE * len(tokens):
        return False
    letters = set("".join(words))
    return None if letters & _CAPITALS or not letters & _SMALL_LETTERS else True


def check_casing(
    tokenizer: FullTokenizer, do_lower_case: bool, recorded: bool | None = None
) -> None:
    """Keeps a vocabulary from being used on text of the other casing.

    The original compares with the names of seven released models; the words themselves tell it of
    any model.

    Args:
      tokenizer: Has the vocabulary.
      do_lower_case: The casing of the text.
      recorded: The casing that is recorded of the model. A model that was made in the casing of the
        run is used as it is, with a line where its vocabulary looks otherwise.

    Raises:
      UserError: Text is lower-cased while a good part of the vocabulary has capital letters, or it is
        not while no entry has one.
    """
    casing = vocabulary_casing(tokenizer.tokens)
    if casing in (None, do_lower_case):
        return
    if casing:
        found = "none of its entries has a capital letter, so a word with one would be [UNK]"
    else:
        found = "its entries with capital letters would never be used on lower-cased text"
    kind = "an uncased" if casing else "a cased"
    if recorded == do_lower_case:
        logging.warning(
            "%s looks like the vocabulary of %s model (%s), but the model is recorded with "
            "do_lower_case=%s, which is what is used.",
            tokenizer.vocab_file,
            kind,
            found,
            recorded,
        )
        return
    raise UserError(
        f"{tokenizer.vocab_file}: do_lower_case={do_lower_case}, but {found}; this is the "
        f"vocabulary of {kind} model, so pass --do_lower_case={casing} or another --vocab_file."
    )


def _check_special_tokens(path: str, vocab: Collection[str], names: Sequence[str]) -> None:
    missing = [token for token in names if token not in vocab]
    if missing:
        raise UserError(
            f"{path} lacks {', '.join(missing)} among its {len(vocab)} entries; a BERT vocabulary "
            f"has one token per line, {' '.join(names)} among them."
        )
