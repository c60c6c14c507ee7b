"""WordPieces against Model Garden's copy of the original, and against answers worked by hand."""

import pickle
import random
import sys
import unicodedata

import pytest

from modeling import wordpiece
from modeling.tokenization import FullTokenizer
from modeling.wordpiece import TokenizerSettings, WordPieceTokenizer, basic_tokenize, input_row

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCAB = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *("un", "##aff", "##able", "the", "quick", "don", "'", "t", "##ing", "漢", "naive", "naïve"),
    *(c for c in LETTERS + LETTERS.upper() + "ςσß.,-[]#" if c != "t"),
    *("##" + c for c in LETTERS + LETTERS.upper() + "ςσß#"),
]
TRICKY = [
    "",
    " \t\r\n",
    "unaffable UNAFFABLE unaffablex",
    "don't stop-gap [MASK] [CLS] ##ing",
    "naïve NAI\u0308VE",
    "漢字kanji漢",
    "zero\u200bwidth soft\u00adhyphen joiner\u200d x\ufeffy",
    "a\x00b a\x0bb a\x0cb a\x1cb a\x1db a\x1eb a\x1fb a\x85b a\x7fb",
    "a\u00a0b a\u2003b a\u3000b a\u2028b a\u2029b a\u202fb a\u1680b",
    "a\ufffdb replaced \ufffd",
    "ΟΔΟΣ ΟΔΟΣ. Σ ΑΣ漢 Α\u200bΣ",
    "İstanbul ﬁne ß ẞ Ǆ ǅ Å \u212b \u037e \u1fef",
    "e\u0301 \u0301 \u0301x x\u0345",
    "$^`~+=<>|€£¡«»“”‘’…—–",
    "a\rb a\r\nb",
    "x" * 200 + " " + "x" * 201,
    "\U00020000\U0002a6df\U0002f800 \U0001f600smile",
]


@pytest.fixture
def vocab_file(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def original():
    """Model Garden's fork of the original module."""
    from official.nlp.tools import tokenization as original

    return original


def original_ids(original, vocab_file, do_lower_case, text):
    theirs = original.FullTokenizer(vocab_file, do_lower_case)
    # Model Garden doubled the limit of the original.
    theirs.wordpiece_tokenizer.max_input_chars_per_word = 200
    return theirs.convert_tokens_to_ids(theirs.tokenize(text))


@pytest.mark.parametrize("do_lower_case", [True, False])
def test_ids_equal_the_original_on_tricky_strings(original, vocab_file, do_lower_case):
    tokenizer = FullTokenizer(vocab_file, do_lower_case)
    for text in [*TRICKY, " ".join(TRICKY)]:
        expected = original_ids(original, vocab_file, do_lower_case, text)
        assert tokenizer.encode(text) == expected, ascii(text)
        assert tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text)) == expected, ascii(text)


@pytest.mark.parametrize("do_lower_case", [True, False])
def test_every_character_is_treated_as_in_the_original(original, vocab_file, do_lower_case):
    """Every assigned code point inside a word, and a sample of the others, which are all alike."""
    tokenizer = FullTokenizer(vocab_file, do_lower_case)
    theirs = original.BasicTokenizer(do_lower_case)
    chars = [
        chr(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) not in ("Cn", "Co", "Cs") or code % 199 == 0
        if not 0xD800 <= code < 0xE000
    ]
    for start in range(0, len(chars), 100):
        text = " ".join(f"aB{c}Cd" for c in chars[start : start + 100])
        words = theirs.tokenize(text)
        assert basic_tokenize(text, do_lower_case) == words, ascii(text)
        pieces = [piece for word in words for piece in tokenizer._wordpiece(word)]
        assert tokenizer.encode(text) == tokenizer.convert_tokens_to_ids(pieces), ascii(text)


@pytest.mark.parametrize("do_lower_case", [True, False])
def test_encode_equals_tokenize_on_random_strings(vocab_file, do_lower_case):
    tokenizer = FullTokenizer(vocab_file, do_lower_case)
    rng = random.Random(1)
    alphabet = "".join(TRICKY) + " " * 20 + "\x0b\x0c\x1c\x85\u2028\u200b\u0301Σ" * 5
    for _ in range(5000):
        text = "".join(rng.choices(alphabet, k=rng.randint(1, 30)))
        expected = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))
        assert tokenizer.encode(text) == expected, ascii(text)


def test_known_answers(vocab_file):
    uncased = FullTokenizer(vocab_file)
    assert uncased.tokenize("UNaffable, naïve!") == ["un", "##aff", "##able", ",", "naive", "[UNK]"]
    assert uncased.tokenize("the\x0bquick") == ["the", *("##" + c for c in "quick")]
    assert uncased.tokenize("the\u2028quick") == ["the", "quick"]
    assert uncased.tokenize("[MASK]") == ["[", "m", "##a", "##s", "##k", "]"]
    assert uncased.tokenize("x" * 200)[-1] == "##x"
    assert uncased.tokenize("x" * 201) == ["[UNK]"]
    cased = FullTokenizer(vocab_file, do_lower_case=False)
    assert cased.tokenize("The naïve") == ["T", "##h", "##e", "naïve"]
    assert cased.encode("the quick") == [VOCAB.index("the"), VOCAB.index("quick")]


def test_conversion_and_attributes(vocab_file):
    tokenizer = FullTokenizer(vocab_file)
    assert tokenizer.tokens == VOCAB
    assert tokenizer.vocab_size == len(VOCAB)
    special = tokenizer.convert_tokens_to_ids(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    assert special == [
        tokenizer.pad_id,
        tokenizer.unk_id,
        tokenizer.cls_id,
        tokenizer.sep_id,
        tokenizer.mask_id,
    ]
    assert tokenizer.convert_ids_to_tokens([5, 6, 7]) == ["un", "##aff", "##able"]
    with pytest.raises(KeyError):
        tokenizer.convert_tokens_to_ids(["nowhere"])


def test_caches_stay_bounded_and_do_not_change_the_ids(vocab_file, monkeypatch):
    monkeypatch.setattr(wordpiece, "_CACHE_ENTRIES", 8)
    tokenizer = FullTokenizer(vocab_file)
    rng = random.Random(2)
    for _ in range(200):
        text = " ".join("".join(rng.choices("abc.", k=3)) for _ in range(5)) + " " + "ab" * 50
        assert tokenizer.encode(text) == tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))
        assert len(tokenizer._packed_chunks) <= 8
        assert len(tokenizer._packed_words) <= 8
    assert "ab" * 50 not in tokenizer._packed_chunks


def test_pickled_tokenizer_works(vocab_file):
    tokenizer = FullTokenizer(vocab_file)
    ids = tokenizer.encode("unaffable the")
    assert pickle.loads(pickle.dumps(tokenizer)).encode("unaffable the quick") == [
        *ids,
        VOCAB.index("quick"),
    ]


def test_ids_beyond_16_bits(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*VOCAB, *(f"w{i}" for i in range(70_000))]), encoding="utf-8")
    tokenizer = FullTokenizer(str(path))
    assert tokenizer.encode("w69999 the") == [len(VOCAB) + 69_999, VOCAB.index("the")]


@pytest.mark.parametrize("token", ["", "quick", "\u00a0"])
def test_of_repeated_entries_the_last_counts(original, tmp_path, caplog, token):
    """As in the original; ids stay numbers of lines, and one line says what is there twice."""
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*VOCAB[:7], token, *VOCAB[7:], token, "##le"]), encoding="utf-8")
    tokenizer = FullTokenizer(str(path))
    assert tokenizer.vocab_size == len(VOCAB) + 3
    for text in ("the quick unaffable", "naïve \u00a0 漢", *TRICKY):
        assert tokenizer.encode(text) == original_ids(original, str(path), True, text)
    if token == "quick":
        assert tokenizer.encode("quick") == [len(VOCAB) + 1]
    (line,) = caplog.messages
    assert line.startswith(f"{path}: 1 entries occur more than once, the first is ")
    assert "in the lines 8, " in line or "in the lines 11, " in line


def kept_one_by_one(length_a: int, length_b: int, room: int) -> tuple[int, int]:
    """`_truncate_seq_pair` of the original."""
    while length_a + length_b > room:
        if length_a > length_b:
            length_a -= 1
        else:
            length_b -= 1
    return length_a, length_b


def test_rows_are_cut_as_if_token_by_token():
    tokenizer = WordPieceTokenizer(VOCAB)
    cls, sep = tokenizer.cls_id, tokenizer.sep_id
    for length_a in range(9):
        for length_b in range(1, 9):
            for longest in range(4, 20):
                row, first = input_row(tokenizer, [7] * length_a, [8] * length_b, longest)
                kept_a, kept_b = kept_one_by_one(length_a, length_b, longest - 3)
                second = [*[8] * kept_b, sep] if kept_b else []
                assert row == [cls, *[7] * kept_a, sep, *second]
                assert first == kept_a + 2


@pytest.mark.parametrize(
    ("ids", "longest", "row"), [([], 3, []), ([5, 6], 8, [5, 6]), ([5, 6, 7], 4, [5, 6])]
)
def test_row_of_one_text(ids, longest, row):
    tokenizer = WordPieceTokenizer(VOCAB)
    expected = [tokenizer.cls_id, *row, tokenizer.sep_id]
    assert input_row(tokenizer, ids, [], longest) == (expected, len(expected))


@pytest.mark.parametrize(
    ("settings", "do_lower_case", "text", "tokens"),
    [
        ({"strip_accents": False}, True, "NAÏVE", ["naïve"]),
        ({"strip_accents": True}, False, "naïve", ["naive"]),
        ({"tokenize_chinese_chars": False}, True, "漢 漢漢", ["漢", "[UNK]"]),
        ({"max_chars_per_word": 3}, True, "the quick", ["the", "[UNK]"]),
    ],
)
def test_settings_of_other_tools(settings, do_lower_case, text, tokens):
    made = TokenizerSettings(**settings)
    tokenizer = WordPieceTokenizer(VOCAB, do_lower_case, made)
    assert tokenizer.tokenize(text) == tokens
    assert tokenizer.encode(text) == tokenizer.convert_tokens_to_ids(tokens)
    assert made.to_dict() == settings
    assert TokenizerSettings().to_dict() == {}


def test_names_of_special_tokens():
    names = ("<pad>", "<unk>", "<s>", "</s>", "<mask>")
    tokenizer = WordPieceTokenizer(
        ["the", *names], settings=TokenizerSettings(special_tokens=names)
    )
    assert (tokenizer.pad_id, tokenizer.mask_id) == (1, 5)
    assert tokenizer.tokenize("the cat") == ["the", "<unk>"]
    assert tokenizer.settings.to_dict() == {"special_tokens": list(names)}
    assert TokenizerSettings(max_chars_per_word=100).of_common_text() == {}
