"""Tokenizer settings in the files of a model: ours, and those of the Hugging Face library.

    model_info.json                         ours; beside theirs it says nothing of the tokenizer
    tokenizer_config.json  tokenizer.json  special_tokens_map.json  added_tokens.json    theirs

Every key that changes ids is taken over into `TokenizerSettings` or refused by name. Keys that are
not named here say nothing about the ids of a text (names, decoding, how tensors are returned).

Sources: `BertTokenizer` and `BertTokenizerFast` in transformers 4 and 5; `BertNormalizer`,
`BertPreTokenizer` and `WordPiece` in tokenizers.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any

from checkpoints.hugging_face_config import read_object
from common.errors import UserError
from common.files import exists
from modeling.tokenization import (
    ORIGINAL_SETTINGS,
    SPECIAL_TOKENS,
    FullTokenizer,
    TokenizerSettings,
    open_tokenizer,
    settings_from_dict,
)
from modeling.vocabulary import TOKENIZER_JSON, VOCAB_FILE, check_same_tokens, read_vocabulary
from modeling.wordpiece import WordPieceTokenizer

INFO_FILE = "model_info.json"
_CONFIG, _SPECIAL, _ADDED = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
_OUR_KEYS = {"do_lower_case", "tokenizer_settings"}
# The library's names of our SPECIAL_TOKENS, in their order.
_SPECIAL_KEYS = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
# Its classes that do what BertTokenizer does. The last ones do what tokenizer.json says.
_CLASSES = ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer")
_GENERIC_CLASSES = ("PreTrainedTokenizer", "TokenizersBackend")
# Keys of tokenizer_config.json that must have one of these values, if they are there.
_CONFIG_FIXED: dict[str, tuple[Any, ...]] = {
    "do_basic_tokenize": (True,),
    "never_split": ([],),
    "wordpieces_prefix": ("##",),
    "padding_side": ("right",),
    "truncation_side": ("right",),
    "auto_map": ({},),
}
# The library's stand-in for "no limit" is 1e30.
_NO_LENGTH = 1 << 31


@dataclasses.dataclass(frozen=True)
class TokenizerFiles:
    """Recorded settings of a tokenizer.

    Attributes:
      do_lower_case: The casing, None where it is not recorded.
      settings: Everything else that decides about ids.
      model_max_length: The longest input that the library's tokenizer makes, None for no limit.
    """

    do_lower_case: bool | None = None
    settings: TokenizerSettings = ORIGINAL_SETTINGS
    model_max_length: int | None = None


def find_vocabulary(folder: str) -> str | None:
    """The `vocab.txt` of a folder, else its `tokenizer.json`, else None."""
    paths = (os.path.join(folder, name) for name in (VOCAB_FILE, TOKENIZER_JSON))
    return next((path for path in paths if exists(path)), None)


def open_tokenizer_of_file(vocab_file: str, do_lower_case: bool | None) -> FullTokenizer:
    """The tokenizer of a vocabulary, with what the files beside it say.

    Args:
      vocab_file: A `vocab.txt` or `tokenizer.json`, alone or in the folder of a model.
      do_lower_case: Value of the flag; None where it is not given.

    Raises:
      UserError: As `modeling.tokenization.open_tokenizer` and `read_tokenizer_files`, or the casing
        is not that of the files.
    """
    folder = os.path.dirname(vocab_file)
    files = read_tokenizer_files(folder)
    if None not in (do_lower_case, files.do_lower_case) and do_lower_case != files.do_lower_case:
        raise UserError(
            f"--do_lower_case={do_lower_case}, but {folder or '.'} says do_lower_case="
            f"{files.do_lower_case}; use the same casing, or the vocabulary alone in another folder."
        )
    return open_tokenizer(vocab_file, do_lower_case, files.do_lower_case, files.settings)


def tokenizer_paths(vocab_file: str) -> list[str]:
    """The vocabulary and the files beside it that its tokenizer is read from, if they are there."""
    names = (INFO_FILE, _CONFIG, TOKENIZER_JSON, _SPECIAL, _ADDED)
    return [vocab_file, *(os.path.join(os.path.dirname(vocab_file), name) for name in names)]


def read_tokenizer_files(folder: str) -> TokenizerFiles:
    """Reads what lies in a folder; nothing is recorded where nothing lies there.

    Raises:
      UserError: A file is damaged, or the tokenizer does something that is not done here.
    """
    path = os.path.join(folder, INFO_FILE)
    info = read_object(path) if exists(path) else {}
    return _read_ours(info, path) if _OUR_KEYS & set(info) else _read_librarys(folder)


def library_settings(settings: TokenizerSettings) -> dict[str, Any]:
    """Keys of `tokenizer_config.json`: special tokens, and what is not the library's default."""
    values: dict[str, Any] = {}
    if settings.strip_accents is not None:
        values["strip_accents"] = settings.strip_accents
    if not settings.tokenize_chinese_chars:
        values["tokenize_chinese_chars"] = False
    # Of these too: transformers.js has no defaults, and cannot pad a batch without them.
    values.update(zip(_SPECIAL_KEYS, settings.special_tokens, strict=True))
    return values


def library_tokenizer(tokenizer: WordPieceTokenizer) -> dict[str, Any]:
    """The content of a `tokenizer.json` that does what a tokenizer of ours does."""
    special = tokenizer.settings.special_tokens
    ids = {token: tokenizer.vocab[token] for token in special}
    _, _, cls, sep, _ = special

    def piece(token: str, segment: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": token, "type_id": segment}}

    def text(name: str, segment: int) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": segment}}

    single = [piece(cls, 0), text("A", 0), piece(sep, 0)]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": token, **flags, "special": True}
            for token, i in sorted(ids.items(), key=lambda item: item[1])
        ],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": tokenizer.settings.tokenize_chinese_chars,
            "strip_accents": tokenizer.settings.strip_accents,
            "lowercase": tokenizer.do_lower_case,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": [*single, text("B", 1), piece(sep, 1)],
            "special_tokens": {
                token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in (cls, sep)
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": tokenizer.unk_token,
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": tokenizer.settings.max_chars_per_word,
            "vocab": tokenizer.vocab,
        },
    }


def _read_ours(info: Mapping[str, Any], path: str) -> TokenizerFiles:
    casing = info.get("do_lower_case")
    if not isinstance(casing, bool | None):
        raise UserError(f"{path}: do_lower_case is {casing!r}, expected true or false.")
    settings = settings_from_dict(info.get("tokenizer_settings") or {}, path)
    return TokenizerFiles(casing, settings)


def _read_librarys(folder: str) -> TokenizerFiles:
    config_path, json_path, special_path, added_path = (
        os.path.join(folder, name) for name in (_CONFIG, TOKENIZER_JSON, _SPECIAL, _ADDED)
    )
    config, whole, special_map, added = (
        read_object(path) if exists(path) else {}
        for path in (config_path, json_path, special_path, added_path)
    )
    _check_class(config, config_path, has_whole=bool(whole))
    _check_fixed(config, _CONFIG_FIXED, config_path)
    of_whole = _read_whole(whole, json_path) if whole else {}
    # The library's BERT classes take their arguments from tokenizer_config.json, whatever
    # tokenizer.json says, the generic ones the other way round; a contradiction is said.
    is_generic = _base_class(config) in _GENERIC_CLASSES
    found = {}
    for key in ("do_lower_case", "strip_accents", "tokenize_chinese_chars"):
        value, other = config.get(key, of_whole.get(key)), of_whole.get(key)
        if not isinstance(value, bool | None):
            raise UserError(f"{config_path}: {key} is {json.dumps(value)}, expected true or false.")
        if value is not None and value != other and (other is not None or is_generic):
            logging.warning(
                "%s says %s=%s, %s beside it %s; the %s is used, as by the library.",
                config_path,
                key,
                value,
                TOKENIZER_JSON,
                other,
                "second" if is_generic else "first",
            )
        found[key] = other if is_generic else value
    special = tuple(
        _content(config.get(key) or special_map.get(key) or default)
        for key, default in zip(_SPECIAL_KEYS, SPECIAL_TOKENS, strict=True)
    )
    settings = TokenizerSettings(
        strip_accents=found["strip_accents"],
        tokenize_chinese_chars=found["tokenize_chinese_chars"] is not False,
        max_chars_per_word=of_whole.get("max_chars_per_word", TokenizerSettings.max_chars_per_word),
        special_tokens=special,
    )
    decoder = config.get("added_tokens_decoder")
    for path, tokens in (
        (added_path, added),
        (config_path, map(_content, decoder.values() if isinstance(decoder, dict) else ())),
        (config_path, _tokens(config, "additional_special_tokens", config_path)),
        (special_path, _tokens(special_map, "additional_special_tokens", special_path)),
        (json_path, _tokens(whole, "added_tokens", json_path)),
    ):
        _check_added(tokens, settings, path)
    if of_whole.get("unk_token") not in (None, settings.special_tokens[1]):
        raise UserError(
            f"{json_path}: unk_token is {of_whole['unk_token']}, {config_path} says "
            f"{settings.special_tokens[1]}; correct one of the two."
        )
    vocab_path = os.path.join(folder, VOCAB_FILE)
    if whole and exists(vocab_path):
        check_same_tokens(
            read_vocabulary(vocab_path), vocab_path, read_vocabulary(json_path), json_path
        )
    length = config.get("model_max_length")
    limit = None
    if isinstance(length, int | float) and 0 < length < _NO_LENGTH:
        limit = int(length)
    return TokenizerFiles(found["do_lower_case"], settings, limit)


def _base_class(config: Mapping[str, Any]) -> str:
    return str(config.get("tokenizer_class")).removesuffix("Fast")


def _check_class(config: Mapping[str, Any], path: str, has_whole: bool) -> None:
    name = config.get("tokenizer_class")
    if name is None:
        return
    base = _base_class(config)
    if base in _CLASSES or (has_whole and base in _GENERIC_CLASSES):
        return
    raise UserError(
        f"{path}: tokenizer_class is {json.dumps(name)}, which splits text in another way than BERT; "
        f"expected {', '.join(_CLASSES)}."
    )


def _read_whole(values: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The settings in a `tokenizer.json`, by the names of the library's arguments."""
    model = _part(values, "model", path, "WordPiece", may_lack_type=True)
    _check_fixed(model, {"continuing_subword_prefix": ("##",)}, path)
    normalizer = _part(values, "normalizer", path, "BertNormalizer")
    _check_fixed(normalizer, {"clean_text": (True,)}, path)
    for name in ("lowercase", "strip_accents", "handle_chinese_chars"):
        if not isinstance(found := normalizer.get(name), bool | None):
            raise UserError(
                f"{path}: normalizer.{name} is {json.dumps(found):.60}, expected true or false."
            )
    _part(values, "pre_tokenizer", path, "BertPreTokenizer")
    _check_template(values.get("post_processor"), path)
    longest = model.get("max_input_chars_per_word", 100)
    if type(longest) is not int or longest < 1:
        raise UserError(
            f"{path}: max_input_chars_per_word is {longest!r}, expected a number from 1."
        )
    return {
        "do_lower_case": normalizer.get("lowercase", True),
        "strip_accents": normalizer.get("strip_accents"),
        "tokenize_chinese_chars": normalizer.get("handle_chinese_chars", True),
        "max_chars_per_word": longest,
        "unk_token": model.get("unk_token"),
    }


def _part(
    values: Mapping[str, Any], key: str, path: str, wanted: str, may_lack_type: bool = False
) -> dict[str, Any]:
    part = values.get(key)
    found = part.get("type") if isinstance(part, dict) else part
    if isinstance(part, dict) and (found == wanted or (may_lack_type and found is None)):
        return part
    raise UserError(
        f"{path}: {key} is {json.dumps(found):.60}, expected {wanted}; this is another tokenizer "
        "than BERT's, whose ids cannot be made here."
    )


def _check_template(processor: Any, path: str) -> None:
    """[CLS] a [SEP], and with a pair b [SEP] of segment 1."""
    if not isinstance(processor, dict) or processor.get("type") != "TemplateProcessing":
        return  # BertProcessing does nothing else; without one, the library's class adds its own.
    expected = {"single": "s0 A0 s0", "pair": "s0 A0 s0 B1 s1"}
    for key, wanted in expected.items():
        pieces = processor.get(key)
        found = [_piece_of_template(piece) for piece in pieces] if isinstance(pieces, list) else []
        if " ".join(found) != wanted:
            raise UserError(
                f"{path}: post_processor.{key} does not make [CLS] a [SEP] (b [SEP]) with segments 0 "
                "(and 1), as BERT's input is; such a model cannot be used here."
            )


def _piece_of_template(piece: Any) -> str:
    """A text or special token with its segment: A0, s1; "?" for anything else."""
    ((kind, value),) = piece.items() if isinstance(piece, dict) and len(piece) == 1 else [("", {})]
    if not isinstance(value, dict):
        return "?"
    return f"{value.get('id') if kind == 'Sequence' else 's'}{value.get('type_id')}"


def _check_fixed(
    values: Mapping[str, Any], fixed: Mapping[str, tuple[Any, ...]], path: str
) -> None:
    for key, expected in fixed.items():
        if values.get(key) is not None and values[key] not in expected:
            raise UserError(
                f"{path}: {key} is {json.dumps(values[key]):.60}, here it is always "
                f"{json.dumps(expected[0])}; this tokenizer makes other ids, so the model cannot be "
                "used."
            )


def _check_added(tokens: Iterable[str], settings: TokenizerSettings, path: str) -> None:
    others = [token for token in tokens if token not in settings.special_tokens]
    if others:
        raise UserError(
            f"{path}: {json.dumps(others[0], ensure_ascii=False)} is an added token (one of "
            f"{len(others)}), which the library finds in a text before it splits it; that is not "
            "done here, so the ids of texts with it would differ. Put words of your own in places "
            "of [unusedN] of vocab.txt instead."
        )


def _tokens(values: Mapping[str, Any], key: str, path: str) -> list[str]:
    found = values.get(key) or []
    if not isinstance(found, list):
        raise UserError(f"{path}: {key} is {json.dumps(found):.60}, expected a list of tokens.")
    return list(map(_content, found))


def _content(token: Any) -> str:
    return str(token.get("content")) if isinstance(token, dict) else str(token)
