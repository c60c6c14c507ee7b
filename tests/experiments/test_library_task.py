"""Texts that name no library, and sentences that stand in more than one place."""

from __future__ import annotations

import pytest

from experiments.docstrings import Document
from experiments.library_task import deduplicate, num_words, sentence_key, task_texts

# Sentences of five words.
A, B, C, D = (f"This is sentence number {word}." for word in ("one", "two", "three", "four"))


@pytest.mark.parametrize(
    ("sentence", "key"),
    [
        ("Return the (mean) of 3 values!", "returnthemeanofvalues"),
        ("return THE mean of values", "returnthemeanofvalues"),
        ("Étienne's x_1", "étiennesx"),
        ("3.14", ""),
    ],
)
def test_key_of_a_sentence(sentence: str, key: str) -> None:
    assert sentence_key(sentence) == key


@pytest.mark.parametrize(
    "name",
    ["A NumPy array of zeros is here.", "See np.zeros.", "The tf module.", "A tensorflow2 graph."],
)
def test_sentence_that_names_a_library_ends_a_text(name: str) -> None:
    document = Document("numpy", "numpy/a.py", [[A, B, C, name, D, A, B, name]])
    assert task_texts(document, set()) == [f"{A} {B} {C}", f"{D} {A} {B}"]


def test_part_of_a_longer_word_is_no_alias() -> None:
    sentences = [A, B, "An input, a helper and a wtf."]
    (text,) = task_texts(Document("numpy", "numpy/a.py", [sentences]), set())
    assert text == " ".join(sentences)


@pytest.mark.parametrize(
    ("sentences", "texts"),
    [
        # Fewer than 15 words, and exactly as many.
        ([A, B], []),
        ([A, B, C], [f"{A} {B} {C}"]),
        # 50 words do not fit into 48: the tenth sentence would begin a text of its own.
        ([A] * 10, [" ".join([A] * 9)]),
        ([A] * 12, [" ".join([A] * 9), " ".join([A] * 3)]),
    ],
)
def test_length_of_a_text(sentences: list[str], texts: list[str]) -> None:
    found = task_texts(Document("numpy", "numpy/a.py", [sentences]), set())
    assert found == texts
    assert all(15 <= num_words([text]) <= 48 for text in found)


def test_shared_sentences_are_left_out() -> None:
    document = Document("numpy", "numpy/a.py", [[A, B, C, D, A, B, C]])
    assert task_texts(document, {sentence_key(D)}) == [f"{A} {B} {C}"] * 2


def test_first_of_equal_sentences_is_kept() -> None:
    documents = [
        Document("numpy", "numpy/a.py", [[A, B], [A]]),
        Document("numpy", "numpy/b.py", [[B.upper()], [A, C]]),
        Document("numpy", "numpy/c.py", [[A]]),
        Document("six", "six.py", [[D]]),
        Document("pandas", "pandas/a.py", [[C, D]]),
        Document("tensorflow", "tensorflow/python/keras/a.py", [["Layers have weights."]]),
        Document("keras", "keras/a.py", [["Layers have weights."]]),
    ]
    kept, shared = deduplicate(documents)
    assert [(d.name, d.docstrings) for d in kept] == [
        ("numpy/a.py", [[A, B]]),
        ("numpy/b.py", [[C]]),
        ("six.py", [[D]]),
        ("tensorflow/python/keras/a.py", [["Layers have weights."]]),
    ]
    # C stands in two libraries; six is none, and a copy of Keras counts as Keras.
    assert shared == {sentence_key(C)}
