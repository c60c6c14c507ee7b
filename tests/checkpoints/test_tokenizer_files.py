"""What the files of a Hugging Face folder, and our own, say about a tokenizer."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from wrong_types import check_reader

from checkpoints.tokenizer_files import (
    find_vocabulary,
    library_settings,
    library_tokenizer,
    open_tokenizer_of_file,
    read_tokenizer_files,
)
from common.errors import UserError
from modeling.tokenization import FullTokenizer, TokenizerSettings, settings_from_dict
from modeling.vocabulary import copy_vocabulary, read_vocabulary

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["cafe", "café", "e", "Ab", "ab", "漢", "字", "漢字", "x", "##x", "##字", "Café"]
TOKENS = [*SPECIAL, *WORDS]


def template(*pieces: str) -> list[dict[str, Any]]:
    kinds = {"s": "SpecialToken", "A": "Sequence", "B": "Sequence"}
    return [
        {kinds[piece[0]]: {"id": piece[0] if piece[0] != "s" else "[X]", "type_id": int(piece[1])}}
        for piece in pieces
    ]


def whole(tokens: list[str] = TOKENS, **changes: Any) -> dict[str, Any]:
    """A `tokenizer.json` as the library writes it; changes go into its parts."""
    values: dict[str, Any] = {
        "version": "1.0",
        "added_tokens": [{"id": i, "content": t, "special": True} for i, t in enumerate(SPECIAL)],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": False,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": template("s0", "A0", "s0"),
            "pair": template("s0", "A0", "s0", "B1", "s1"),
        },
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {token: i for i, token in enumerate(tokens)},
        },
    }
    for key, change in changes.items():
        is_part = isinstance(change, dict) and isinstance(values[key], dict)
        values[key] = {**values[key], **change} if is_part else change
    return values


def write(folder: pathlib.Path, **files: Any) -> str:
    """Files by their names, "_json" for ".json"."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_json", ".json")).write_text(json.dumps(content))
    return str(folder)


def write_vocab(folder: pathlib.Path, tokens: list[str] = TOKENS) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n")
    return str(folder / "vocab.txt")


@pytest.mark.parametrize(
    ("config", "tokens_of"),
    [
        ({"do_lower_case": True}, {"CAFÉ": "cafe", "漢字": "漢 字", "Ab": "ab"}),
        ({"do_lower_case": False}, {"Café": "Café", "漢字": "漢 字", "Ab": "Ab"}),
        # Accents apart from casing, both ways.
        ({"do_lower_case": True, "strip_accents": False}, {"CAFÉ": "café", "Ab": "ab"}),
        ({"do_lower_case": False, "strip_accents": True}, {"café": "cafe", "Ab": "Ab"}),
        (
            {"do_lower_case": False, "tokenize_chinese_chars": False},
            {"漢字": "漢字", "x字": "x ##字"},
        ),
    ],
)
def test_settings_change_the_ids(
    tmp_path: pathlib.Path, config: dict[str, Any], tokens_of: dict[str, str]
) -> None:
    """The same from tokenizer_config.json, tokenizer.json alone, and our own model_info.json."""
    by_config = write_vocab(tmp_path / "config")
    write(tmp_path / "config", tokenizer_config_json=config)
    normalizer = {
        "lowercase": config["do_lower_case"],
        "strip_accents": config.get("strip_accents"),
        "handle_chinese_chars": config.get("tokenize_chinese_chars", True),
    }
    by_whole = write(tmp_path / "whole", tokenizer_json=whole(normalizer=normalizer))
    first = open_tokenizer_of_file(by_config, None)
    ours = write_vocab(tmp_path / "ours")
    info = {
        "do_lower_case": first.do_lower_case,
        "tokenizer_settings": first.settings.to_dict(),
    }
    write(tmp_path / "ours", model_info_json=info)
    for path in (by_config, find_vocabulary(by_whole), ours):
        assert path
        tokenizer = open_tokenizer_of_file(path, None)
        assert tokenizer.tokens == TOKENS
        for text, tokens in tokens_of.items():
            assert " ".join(tokenizer.tokenize(text)) == tokens, path
            assert tokenizer.convert_ids_to_tokens(tokenizer.encode(text)) == tokens.split()
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    special = dict(zip(names, SPECIAL, strict=True))
    wanted = {key: value for key, value in config.items() if key != "do_lower_case"}
    assert library_settings(first.settings) == {**wanted, **special}


def test_written_tokenizer_json_is_read_back(tmp_path: pathlib.Path) -> None:
    settings = TokenizerSettings(strip_accents=False, max_chars_per_word=77)
    tokenizer = FullTokenizer(write_vocab(tmp_path / "ours"), False, settings)
    write(tmp_path / "whole", tokenizer_json=library_tokenizer(tokenizer))
    path = find_vocabulary(str(tmp_path / "whole"))
    assert path and path.endswith("tokenizer.json")
    again = open_tokenizer_of_file(path, None)
    assert (again.tokens, again.settings) == (tokenizer.tokens, settings)
    assert not again.do_lower_case


def test_written_tokenizer_json_in_its_library(tmp_path: pathlib.Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    ours = FullTokenizer(write_vocab(tmp_path))
    text = json.dumps(library_tokenizer(ours))
    theirs = tokenizers.Tokenizer.from_str(text)
    for sentence in ("The  caf\u00e9\u6f22, unknownword", "", "a" * 150):
        assert theirs.encode(sentence, add_special_tokens=False).ids == ours.encode(sentence)
    assert theirs.encode("ab", "x").type_ids == [0, 0, 0, 1, 1]


def test_special_tokens_of_other_names(tmp_path: pathlib.Path) -> None:
    names = {
        "pad_token": "<pad>",
        "unk_token": {"content": "<unk>", "lstrip": False},
        "cls_token": "<s>",
        "sep_token": "</s>",
        "mask_token": "<mask>",
    }
    tokens = ["<pad>", "<unk>", "<s>", "</s>", "<mask>", "a"]
    for name, files in {
        "config": {"tokenizer_config_json": names},
        "map": {"special_tokens_map_json": names},
    }.items():
        path = write_vocab(tmp_path / name, tokens)
        write(tmp_path / name, **files)
        tokenizer = open_tokenizer_of_file(path, None)
        ids = (tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id)
        assert (*ids, tokenizer.mask_id) == (0, 1, 2, 3, 4)
        assert tokenizer.tokenize("a b") == ["a", "<unk>"]
        settings = tokenizer.settings
        assert settings_from_dict(settings.to_dict(), "here") == settings
        assert library_settings(settings)["unk_token"] == "<unk>"
    with pytest.raises(UserError, match=r"lacks \[PAD\]"):
        FullTokenizer(path)


def test_longest_word_is_that_of_tokenizer_json(tmp_path: pathlib.Path) -> None:
    folder = write(tmp_path / "model", tokenizer_json=whole())
    tokenizer = open_tokenizer_of_file(f"{folder}/tokenizer.json", None)
    assert tokenizer.tokenize("x" * 100)[-1] == "##x"
    assert tokenizer.tokenize("x" * 101) == ["[UNK]"]
    # That alone does not keep records and models apart.
    assert tokenizer.settings.of_common_text() == {}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"tokenizer_config_json": {"never_split": ["x"]}}, 'never_split is .*"x"'),
        ({"tokenizer_config_json": {"do_basic_tokenize": False}}, "do_basic_tokenize is false"),
        ({"tokenizer_config_json": {"padding_side": "left"}}, 'padding_side is "left"'),
        ({"tokenizer_config_json": {"truncation_side": "left"}}, 'truncation_side is "left"'),
        (
            {"tokenizer_config_json": {"strip_accents": "no"}},
            'strip_accents is "no", expected true',
        ),
        (
            {"tokenizer_config_json": {"tokenizer_class": "BertJapaneseTokenizer"}},
            'tokenizer_class is "BertJapaneseTokenizer"',
        ),
        ({"added_tokens_json": {"<e1>": 30522}}, 'added_tokens.json: "<e1>" is an added token'),
        (
            {"special_tokens_map_json": {"additional_special_tokens": ["<e1>", "<e2>"]}},
            r'special_tokens_map.json: "<e1>" is an added token \(one of 2\)',
        ),
        (
            {"tokenizer_config_json": {"added_tokens_decoder": {"9": {"content": "<e1>"}}}},
            'tokenizer_config.json: "<e1>" is an added token',
        ),
        ({"tokenizer_json": whole(model={"type": "BPE"})}, 'model is "BPE", expected WordPiece'),
        ({"tokenizer_json": whole(normalizer=None)}, "normalizer is null, expected BertNormalizer"),
        ({"tokenizer_json": whole(normalizer={"type": "NFC"})}, 'normalizer is "NFC", expected'),
        ({"tokenizer_json": whole(normalizer={"clean_text": False})}, "clean_text is false"),
        (
            {"tokenizer_json": whole(pre_tokenizer={"type": "Metaspace"})},
            'is "Metaspace", expected',
        ),
        (
            {"tokenizer_json": whole(model={"continuing_subword_prefix": "_"})},
            'continuing_subword_prefix is "_"',
        ),
        (
            {
                "tokenizer_json": whole(
                    post_processor={"pair": template("s0", "A0", "s0", "B0", "s0")}
                )
            },
            "post_processor.pair does not make",
        ),
        ({"tokenizer_json": whole(added_tokens=[{"content": "<e1>"}])}, '"<e1>" is an added token'),
        ({"tokenizer_json": whole([*TOKENS[:-1], "tea"])}, 'id 16 .* is "Café", there it is "tea"'),
        ({"tokenizer_json": whole(added_tokens=5)}, "json: added_tokens is 5, expected a list of"),
        ({"tokenizer_json": []}, "tokenizer.json: expected a JSON object"),
        ({"model_info_json": {"tokenizer_settings": {"x": 1}}}, "tokenizer_settings is"),
        ({"model_info_json": {"do_lower_case": 1}}, "do_lower_case is 1, expected"),
    ],
)
def test_other_tokenizers_are_refused_by_name(
    tmp_path: pathlib.Path, files: dict[str, Any], message: str
) -> None:
    write_vocab(tmp_path)
    write(tmp_path, **files)
    with pytest.raises(UserError, match=message):
        read_tokenizer_files(str(tmp_path))


@pytest.mark.parametrize(
    "name",
    ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "model_info.json"],
)
def test_values_of_any_type(tmp_path: pathlib.Path, name: str) -> None:
    vocab_file = write_vocab(tmp_path, SPECIAL)
    pad = {"content": "[PAD]", "special": True}
    settings = {"strip_accents": True, "max_chars_per_word": 5, "special_tokens": SPECIAL}
    contents = {
        "tokenizer.json": whole(SPECIAL),
        "tokenizer_config.json": {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": False,
            "never_split": [],
            "pad_token": pad,
            "added_tokens_decoder": {"0": pad},
            "additional_special_tokens": [pad],
            "model_max_length": 64,
        },
        "special_tokens_map.json": {"pad_token": pad, "additional_special_tokens": ["[PAD]"]},
        "model_info.json": {"do_lower_case": False, "tokenizer_settings": settings},
    }
    for other in ("tokenizer.json", name):
        (tmp_path / other).write_text(json.dumps(contents[other]))
    check_reader(tmp_path / name, lambda: open_tokenizer_of_file(vocab_file, None))


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"model_max_length": 1e30, "clean_up_tokenization_spaces": True, "never_split": None},
        {"tokenizer_class": "BertTokenizerFast", "padding_side": "right", "name_or_path": "x"},
        {"tokenizer_class": "TokenizersBackend", "additional_special_tokens": []},
        {"added_tokens_decoder": {"0": {"content": "[PAD]", "special": True}}, "max_length": 64},
    ],
)
def test_what_changes_no_id_is_let_through(tmp_path: pathlib.Path, config: dict[str, Any]) -> None:
    write_vocab(tmp_path)
    write(
        tmp_path,
        tokenizer_config_json=config,
        tokenizer_json=whole(),
        added_tokens_json={"[CLS]": 2},
    )
    found = read_tokenizer_files(str(tmp_path))
    assert found.settings == TokenizerSettings(max_chars_per_word=100)
    assert found.model_max_length is None


def test_config_comes_before_tokenizer_json_with_a_line(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As the library's class takes its arguments."""
    write(tmp_path, tokenizer_config_json={"do_lower_case": True}, tokenizer_json=whole())
    assert read_tokenizer_files(str(tmp_path)).do_lower_case is True
    assert "do_lower_case=True, tokenizer.json beside it False" in caplog.text


@pytest.mark.parametrize("name", ["PreTrainedTokenizerFast", "TokenizersBackend"])
def test_tokenizer_json_comes_first_for_the_classes_that_do_what_it_says(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    config = {"tokenizer_class": name, "do_lower_case": True, "strip_accents": False}
    write(tmp_path, tokenizer_config_json=config, tokenizer_json=whole())
    found = read_tokenizer_files(str(tmp_path))
    assert (found.do_lower_case, found.settings.strip_accents) == (False, None)
    for key, stated in (("do_lower_case=True", False), ("strip_accents=False", None)):
        assert f"{key}, tokenizer.json beside it {stated}; the second is used" in caplog.text


@pytest.mark.parametrize("key", ["lowercase", "strip_accents", "handle_chinese_chars"])
def test_setting_of_another_type(tmp_path: pathlib.Path, key: str) -> None:
    config = {"tokenizer_class": "TokenizersBackend", "do_lower_case": True}
    write(tmp_path, tokenizer_config_json=config, tokenizer_json=whole(normalizer={key: 1}))
    with pytest.raises(UserError, match=rf"tokenizer\.json: normalizer\.{key} is 1, expected true"):
        read_tokenizer_files(str(tmp_path))


def test_vocabulary_of_tokenizer_json(tmp_path: pathlib.Path) -> None:
    """Ids without a token, as of an entry that stands in vocab.txt twice, stay where they are."""
    vocab = {**{token: i for i, token in enumerate(TOKENS)}, "\u00a0": 17, "last": 20}
    path = f"{write(tmp_path, tokenizer_json=whole(model={'vocab': vocab}))}/tokenizer.json"
    expected = [*TOKENS, "", "", "", "last"]
    assert read_vocabulary(path) == expected
    copy_vocabulary(path, str(tmp_path / "vocab.txt"))
    assert read_vocabulary(str(tmp_path / "vocab.txt")) == expected
    for bad in ({}, {"a": -1}, {"a": "1"}, {"a": 1 << 40}):
        write(tmp_path, tokenizer_json=whole() | {"model": {"vocab": bad}})
        with pytest.raises(UserError, match="no vocabulary of WordPieces in it"):
            read_vocabulary(path)


def test_flag_against_the_files(tmp_path: pathlib.Path) -> None:
    path = write_vocab(tmp_path)
    write(tmp_path, tokenizer_config_json={"do_lower_case": False})
    with pytest.raises(UserError, match="--do_lower_case=True, but .* says do_lower_case=False"):
        open_tokenizer_of_file(path, True)
