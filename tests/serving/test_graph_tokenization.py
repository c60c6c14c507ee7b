"""The tokenizer in the graph against `FullTokenizer` and the features of training records."""

from __future__ import annotations

import pathlib
import random
import sys
import unicodedata
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from data.classifier_records import encode_rows
from modeling.tokenization import FullTokenizer, TokenizerSettings
from modeling.wordpiece import basic_tokenize
from serving.graph_tokenization import GraphTokenizer, _in_canonical_order

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCAB = [
    *("[PAD]", "[CLS]", "", "[SEP]", "[UNK]", "[MASK]", "##", "a b", "\ufffd"),
    *("un", "##aff", "##able", "the", "don", "##ing", "漢", "naive", "naïve", "##ж", "##漢"),
    *(c for c in LETTERS + "ABΑ" + "ςσß.,-[]#'½éж"),
    *("##" + c for c in LETTERS + "ABα" + "ςσß#é\u302e\u1b44"),
]
TRICKY = [
    "",
    " ",
    "unaffable UNAFFABLE unaffablex",
    "don't stop-gap [MASK] [CLS] ##ing ## [UNK]",
    "naïve NAI\u0308VE e\u0301 \u0301 \u0301x x\u0345",
    "漢字kanji漢 \U00020000\U0002a6df\U0002f800 豈",
    "zero\u200bwidth soft\u00adhyphen joiner\u200d x\ufeffy",
    "\ufeffa\x00b a\x01b a\x02b a\x0bb a\x0cb a\x1cb a\x1fb a\x85b a\x7fb a\tb a\nb a\r\nb",
    "a\u00a0b a\u2003b a\u3000b a\u2028b a\u2029b a\u202fb a\u1680b",
    "a\ufffdb \uffff \U0010ffff",
    "ΟΔΟΣ ΟΔΟΣ. Σ ΑΣ漢 Α\u200bΣ Α\x01Σ ΑΣ\u0301 ΑΣΣ ΑΣ'Α ΑΣ.Α ΑΣ-Α Α.Σ αʰΣ ΑΣʰΑ ΑΣa",
    "Σ",
    "Α",
    "İstanbul ﬁne ß ẞ Ǆ ǅ Å \u212b \u037e \u1fef ½ ² Ⅷ 가 각",
    # Marks that keep their place, lose it, or are kept apart by one that vanishes itself.
    "a\u302e\u1b44 a\u1b44\u302e a\u302e\u0301\u1b44 a\u302e\u034f\u1b44 a\u302e\u200b\u1b44",
    "\u302e\u1b44",
    "\u1b44",
    "\U0001d160\U0001d16d\u1b44 \U0001d15e\u302e\U0001d165",
    "$^`~+=<>|€£¡«»“”‘’…—– \U0001f600smile",
    *(char * count for char in "aж漢\u302e\U0001d165" for count in (199, 200, 201, 400)),
    "É" * 201 + " " + "e\u0301" * 200,
]


@pytest.fixture(scope="module", params=[True, False], ids=["uncased", "cased"])
def tokenizer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> FullTokenizer:
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    return FullTokenizer(str(path), do_lower_case=request.param)


@pytest.fixture(scope="module")
def in_graph(tokenizer: FullTokenizer) -> GraphTokenizer:
    return GraphTokenizer(tokenizer)


def check_words(in_graph: GraphTokenizer, tokenizer: FullTokenizer, texts: Sequence[str]) -> None:
    lines = tf.strings.reduce_join(in_graph.split(tf.constant(texts)), axis=1, separator="\n")
    for text, line in zip(texts, lines.numpy(), strict=True):
        words = basic_tokenize(text, tokenizer.do_lower_case)
        assert line.decode() == "\n".join(words), ascii(text)


def test_ids_of_tricky_strings(in_graph: GraphTokenizer, tokenizer: FullTokenizer) -> None:
    texts = [*TRICKY, " ".join(TRICKY), *TRICKY[::-1]]
    check_words(in_graph, tokenizer, texts)
    for text, ids in zip(texts, in_graph.tokenize(tf.constant(texts)).to_list(), strict=True):
        assert ids == tokenizer.encode(text), ascii(text)


def test_every_character_in_many_places(in_graph: GraphTokenizer, tokenizer: FullTokenizer) -> None:
    """Every assigned code point but most ideographs and syllables, and a sample of the others."""
    chars = [
        chr(code)
        for code in range(sys.maxunicode + 1)
        if not 0xD800 <= code < 0xE000
        if unicodedata.category(chr(code)) not in ("Cn", "Co", "Lo") or code % 61 == 0
    ]
    places = "{0} {0}{0} a{0}B αΣ{0} {0}Σ Α{0}Σ αΣ{0}α A{0}\u0301 e\u0301{0} a\u302e{0}\u1b44"
    check_words(in_graph, tokenizer, [places.format(char) for char in chars])


def test_plain_texts(in_graph: GraphTokenizer, tokenizer: FullTokenizer) -> None:
    """Batches of ASCII alone take another way, unless there is a control character."""
    places = "{0} {0}{0} a{0}B Ab{0}{0}c '{0}'"
    plain = [places.format(chr(code)) for code in range(128) if chr(code) in "\t\n\r" or code > 31]
    check_words(in_graph, tokenizer, plain[:-1])
    check_words(in_graph, tokenizer, ["", " ", "A"])
    for code in (0, 11, 12, 28, 31, 127):
        check_words(in_graph, tokenizer, ["plain", places.format(chr(code))])


def test_random_strings(in_graph: GraphTokenizer, tokenizer: FullTokenizer) -> None:
    rng = random.Random(1)
    alphabet = "".join(TRICKY[:18]) + " " * 20 + "\u302e\u1b44\U0001d165\u0301\u034fΣΑα.'" * 5
    texts = ["".join(rng.choices(alphabet, k=rng.randint(1, 30))) for _ in range(5000)]
    check_words(in_graph, tokenizer, texts)
    for text, ids in zip(texts, in_graph.tokenize(tf.constant(texts)).to_list(), strict=True):
        assert ids == tokenizer.encode(text), ascii(text)


def test_bytes_that_are_not_utf8_are_ignored(
    in_graph: GraphTokenizer, tokenizer: FullTokenizer
) -> None:
    rng = random.Random(2)
    pieces = [bytes([byte]) for byte in range(256)] + [b"ab", "é漢\U0001f600".encode()] * 50
    texts = [b"".join(rng.choices(pieces, k=rng.randint(1, 8))) for _ in range(5000)]
    texts += [b"a\xe4", b"\xe4\xb8a", b"\xed\xa0\x80a", b"a\xc0\xaf", b"\xf4\x90\x80\x80", b"\xff"]
    for text, ids in zip(texts, in_graph.tokenize(tf.constant(texts)).to_list(), strict=True):
        assert ids == tokenizer.encode(text.decode("utf-8", "ignore")), text


def test_marks_of_a_batch_of_many_characters() -> None:
    """Positions times 256 are beyond 32 bits here."""
    text = np.full(9_000_000, ord("a"))
    marks = np.array([(224 << 21) + 0x302E, (9 << 21) + 0x1B44])
    text[[5, 6]] = text[[-2, -1]] = marks
    ordered = _in_canonical_order(tf.constant(text, tf.int32)).numpy()
    assert ordered[[5, 6, -2, -1]].tolist() == [0x1B44, 0x302E] * 2
    assert np.all(np.delete(ordered, [5, 6, -2, -1]) == ord("a"))


def test_empty_batch(in_graph: GraphTokenizer) -> None:
    assert in_graph.tokenize(tf.constant([], tf.string)).to_list() == []


@pytest.mark.parametrize("max_seq_length", [4, 5, 8, 9, 30])
@pytest.mark.parametrize("pairs", [True, False])
def test_features_are_those_of_training_records(
    in_graph: GraphTokenizer, tokenizer: FullTokenizer, max_seq_length: int, pairs: bool
) -> None:
    texts = [" ".join(["the", "unaffable", "a"] * 3)[:length] for length in range(0, 40, 3)]
    rows = [(a, b) for a in texts for b in (texts if pairs else [""])]
    expected = encode_rows(tokenizer, rows, max_seq_length)
    texts_a, texts_b = (tf.constant(column) for column in zip(*rows, strict=True))
    features = in_graph.encode(texts_a, texts_b if pairs else None, max_seq_length)
    assert set(features) == {"input_ids", "input_mask", "segment_ids"}
    longest = expected["input_mask"].sum(axis=1).max()
    for name, value in features.items():
        assert value.dtype == tf.int32
        np.testing.assert_array_equal(value, expected[name][:, :longest], name)


def test_entry_too_long_for_tensorflow_text(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*VOCAB, "x" * 256, "##" + "ж" * 129]), encoding="utf-8")
    with pytest.raises(UserError, match=rf"vocab.txt, line {len(VOCAB) + 2}: .* 260 bytes"):
        GraphTokenizer(FullTokenizer(str(path)))


def test_blank_and_repeated_entries(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "vocab.txt"
    rows = [*VOCAB, "\u00a0", "", VOCAB[7], VOCAB[-1], "\u200b"]
    path.write_text("\n".join(rows), encoding="utf-8")
    tokenizer = FullTokenizer(str(path))
    found = GraphTokenizer(tokenizer).tokenize(tf.constant(TRICKY))
    assert found.to_list() == [tokenizer.encode(text) for text in TRICKY]


@pytest.mark.parametrize("do_lower_case", [True, False])
@pytest.mark.parametrize(
    "settings",
    [
        TokenizerSettings(strip_accents=True),
        TokenizerSettings(strip_accents=False),
        TokenizerSettings(tokenize_chinese_chars=False),
        TokenizerSettings(max_chars_per_word=3),
        TokenizerSettings(special_tokens=("[PAD]", "a", "[CLS]", "[SEP]", "[MASK]")),
    ],
)
def test_settings_of_an_imported_tokenizer(
    tmp_path: pathlib.Path, settings: TokenizerSettings, do_lower_case: bool
) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    tokenizer = FullTokenizer(str(path), do_lower_case, settings)
    in_graph = GraphTokenizer(tokenizer)
    texts = [*TRICKY, " ".join(TRICKY)]
    lines = tf.strings.reduce_join(in_graph.split(tf.constant(texts)), axis=1, separator="\n")
    for text, line, ids in zip(
        texts, lines.numpy(), in_graph.tokenize(tf.constant(texts)).to_list(), strict=True
    ):
        assert line.decode() == "\n".join(tokenizer.split(text)), ascii(text)
        assert ids == tokenizer.encode(text), ascii(text)
