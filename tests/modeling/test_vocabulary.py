"""Vocabularies: read as the original does, compared by what their ids stand for."""

from __future__ import annotations

import hashlib
import logging
import pathlib
import re

import pytest

from common.errors import UserError
from modeling.vocabulary import (
    KnownVocabulary,
    copy_vocabulary,
    read_vocabulary,
    unused_places,
    vocabulary_digest,
)

TOKENS = ["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[unused2]", "the", "##s", "漢"]


def known(tokens: list[str] | None = TOKENS) -> KnownVocabulary:
    return KnownVocabulary("model", vocabulary_digest(TOKENS), unused_places(TOKENS), tokens)


def changed(changes: dict[int, str]) -> list[str]:
    return [changes.get(i, token) for i, token in enumerate(TOKENS)]


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", " \t\n"])
@pytest.mark.parametrize("last", [True, False])
def test_how_lines_end_does_not_matter(
    tmp_path: pathlib.Path, bom: bytes, line_end: str, last: bool
) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(bom + (line_end.join(TOKENS) + line_end * last).encode())
    assert read_vocabulary(str(path)) == TOKENS
    known().check(read_vocabulary(str(path)), str(path))
    copy_vocabulary(str(path), str(tmp_path / "copy.txt"))
    plain = "".join(f"{token}\n" for token in TOKENS)
    assert (tmp_path / "copy.txt").read_bytes() == plain.encode()


def test_digest_is_that_of_a_plain_file(tmp_path: pathlib.Path) -> None:
    data = "".join(f"{token}\n" for token in TOKENS).encode()
    assert vocabulary_digest(TOKENS) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("lines", "tokens"),
    [
        (["a", "\u00a0", "b", "\u3000", "c"], ["a", "", "b", "", "c"]),
        (["a", "\u2028", "b", "\x1c", "\x85"], ["a", "", "b", "", ""]),
        (["a", "\u200b", "b", "\x00"], ["a", "\u200b", "b", "\x00"]),
        (["a", "", "b"], ["a", "", "b"]),
        (["a", "b", "a", "c"], ["", "b", "a", "c"]),
        (["a", "a ", "a"], ["", "", "a"]),
    ],
)
def test_blank_and_repeated_entries(
    tmp_path: pathlib.Path, lines: list[str], tokens: list[str]
) -> None:
    """Ids are numbers of lines, whatever stands in them; of equal entries the last counts."""
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
    assert read_vocabulary(str(path)) == tokens


@pytest.mark.parametrize("only_digest", [True, False])
@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {2: "anfield"},
            r'own in 1 places .*; the first: "anfield" in place of "\[unused1\]" \(id 2',
        ),
        ({1: "x", 2: "y", 5: "z"}, r'own in 3 places .* "x" in place of "\[unused0\]" \(id 1\)'),
    ],
)
def test_words_in_unused_places(
    caplog: pytest.LogCaptureFixture, only_digest: bool, changes: dict[int, str], line: str
) -> None:
    caplog.set_level(logging.INFO)
    known(None if only_digest else TOKENS).check(changed(changes), "words.txt")
    (said,) = caplog.messages
    assert re.search(line, said)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (changed({6: "The"}), r'id 6 \(line 7\) is "The", there it is "the"'),
        # Beside a replaced place, which is allowed.
        (changed({2: "new", 8: "字"}), r'id 8 \(line 9\) is "字", there it is "漢"'),
        (TOKENS[:-1], r'id 8 \(line 9\) is no entry, there it is "漢"'),
        ([*TOKENS, "more"], r'id 9 \(line 10\) is "more", there it is no entry'),
        (TOKENS[:3] + TOKENS[4:], r'id 3 \(line 4\) is "\[CLS\]", there it is "\[UNK\]"'),
    ],
)
def test_another_vocabulary_is_named_by_its_first_id(tokens: list[str], message: str) -> None:
    with pytest.raises(UserError, match=f"other.txt is not the vocabulary of model: {message}"):
        known().check(tokens, "other.txt")
    with pytest.raises(UserError, match="other.txt is not .*: the digest .* recorded there is"):
        known(None).check(tokens, "other.txt")


def test_a_word_of_the_model_cannot_be_given_up() -> None:
    """Only the other way round: here the model knows a word that the vocabulary lacks."""
    words = changed({2: "anfield"})
    model = KnownVocabulary("model", vocabulary_digest(words), unused_places(words), words)
    with pytest.raises(UserError, match=r'id 2 \(line 3\) is "\[unused1\]", there it is "anfield"'):
        model.check(TOKENS, "vocab.txt")


def test_unused_places() -> None:
    assert unused_places(TOKENS) == [[1, 2, 0], [5, 1, 2]]
    assert unused_places(["[unused7]", "[unused9]", "a", "[unused10]"]) == [
        [0, 1, 7],
        [1, 1, 9],
        [3, 1, 10],
    ]
    assert unused_places(["a"]) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[PAD]\n[UNK]\nna\xefve\n", r"line 3: byte 14 of the file \(0xef\)"),
        (None, "No such file"),
    ],
)
def test_unreadable(tmp_path: pathlib.Path, data: bytes | None, message: str) -> None:
    path = tmp_path / "vocab.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UserError, match=message) as error:
        read_vocabulary(str(path))
    assert str(path) in str(error.value)
