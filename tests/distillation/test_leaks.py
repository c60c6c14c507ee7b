"""Search for dev and test examples in unlabelled text."""

from __future__ import annotations

import random

import pytest

from common.errors import UserError
from data.texts import TextSource
from distillation import leaks
from distillation.leaks import LeakIndex
from distillation.normalization import normal_form

SENTENCE = "it 's one of the year 's best films ."


def index_of(*examples: str | tuple[str, str]) -> LeakIndex:
    rows = [
        (f"dev:{i}", *((example, None) if isinstance(example, str) else example))
        for i, example in enumerate(examples)
    ]
    return LeakIndex([TextSource("dev", lambda: iter(rows))])


def find(index: LeakIndex, *rows: str) -> list[tuple[int, int]]:
    lines = "\n".join(rows)
    return list(index.find(lines, normal_form(lines)))


def test_equal_texts_of_any_length() -> None:
    index = index_of("Good .", SENTENCE, "a \u00e9 b")
    assert find(index, "bad", "GOOD", "good!!", "A e B", "good film") == [(1, 0), (2, 0), (3, 2)]


def test_sentences_inside_documents() -> None:
    index = index_of(SENTENCE, "too short for that")
    assert find(
        index,
        "This is too short for that.",
        f"Yes. {SENTENCE} No.",
        "I say (It's one of the year's BEST films)",
        "It's one of the year's best films",
        "It's one of the year's best, films",
        "It's one of the year's other films",
    ) == [(1, 0), (2, 0), (3, 0), (4, 0)]


def test_only_whole_words_count() -> None:
    index = index_of("the best film of the year", "read all about the end of it")
    assert find(index, "the best film of the years", "see the best film of the year's crop") == [
        (1, 0)
    ]
    assert find(index, "bread all about the end of it", "I read all about the end of it") == [
        (1, 1)
    ]


def test_texts_are_not_joined() -> None:
    index = index_of("this is the end of the film")
    assert find(index, "this is the end", "of the film", "of the film\tthis is the end of") == []


def test_six_words_are_enough_and_five_are_not() -> None:
    index = index_of("one two three four five six", "seven eight nine ten eleven , !")
    text = "zero one two three four five six seven eight nine ten eleven twelve"
    assert find(index, text) == [(0, 0)]


def test_ideographs_and_kana_are_words() -> None:
    index = index_of(
        "\u8fd9\u90e8\u7535\u5f71\u5f88\u597d",
        "\u6620\u753b\u3092\u898b\u305f",
        "\u5f88 good film, \u5f88\u597d\u770b",
    )
    assert find(
        index,
        "\u6628\u5929\u3002\u8fd9\u90e8\u7535\u5f71\u5f88\u597d\u3002",
        "\u6211\u8bf4\u8fd9\u90e8\u7535\u5f71\u5f88\u597d\u770b",
        "\u6620\u753b\u3092\u898b\u305f\u3002\u306f\u3044",
        "\u5f88good film\u5f88\u597d\u770b!",
    ) == [(0, 0), (1, 0), (3, 2)]


def test_vowel_signs_tell_texts_apart() -> None:
    index = index_of("\u092e\u0947\u0930\u093e \u092a\u093f\u0924\u093e")
    assert find(
        index,
        "\u092e\u094b\u0930\u0940 \u092a\u0924\u093e",
        "\u092e\u0947\u0930\u093e \u092a\u093f\u0924\u093e!",
    ) == [(1, 0)]


def test_pairs_leak_as_a_whole_in_any_order() -> None:
    index = index_of(("A man sleeps.", "Nobody is awake."), ("A man sleeps.", "He snores."))
    rows = [
        "A man sleeps\tnobody is awake",
        "Nobody is awake .\tA man sleeps .",
        "A man sleeps.\tHe eats.",
        "A man sleeps.\tA man sleeps.",
        "He snores!\ta man sleeps!",
    ]
    assert find(index, *rows) == [(0, 0), (1, 0), (4, 1)]


def test_pairs_inside_documents_and_single_texts_in_pairs() -> None:
    first, second = "the cat sat on the red mat", "there was a cat on a mat"
    assert find(index_of((first, second)), f"{first}. x. {second}!", f"{first}.") == [(0, 0)]
    assert find(index_of(first), f"no\tSo {first}.", "no\tno", f"{first}\tno") == [(0, 0), (2, 0)]


def test_texts_without_letters_are_never_found() -> None:
    index = index_of("...", ("?", "good"), "good film")
    assert find(index, "!!!", "good", "", "good film") == [(3, 2)]
    assert find(index, "?\tgood") == []


@pytest.mark.parametrize("positions", [20, 1 << 15])
def test_against_a_plain_search(positions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "_POSITIONS", positions)
    rng = random.Random(0)
    words = ["so", "film", "ol\u00e9", "great"]
    examples = [" ".join(rng.choices(words, k=rng.randint(4, 9))) for _ in range(100)]
    rows = [" ".join(rng.choices(words, k=rng.randint(0, 200))) for _ in range(100)]
    expected = [
        (row, i)
        for row, text in enumerate(rows)
        for i, example in enumerate(examples)
        if example == text or (len(example.split()) >= 6 and f" {example} " in f" {text} ")
    ]
    assert 30 < len(expected) < 3000
    assert find(index_of(*examples), *rows) == expected


def test_names_and_counts() -> None:
    index = index_of("good film", ("a", "b"))
    assert index.names == ['dev:0 ("good film")', 'dev:1 ("a")']
    assert index.num_examples == {"dev": 2}
    with pytest.raises(UserError, match="empty holds no text"):
        LeakIndex([TextSource("empty", lambda: iter(()))])
    assert LeakIndex([]).find("good film", b"goodfilm") == []
