"""Text files to sentences and documents in the token store."""

import logging

import numpy as np
import pytest

from common.errors import UserError
from modeling.tokenization import FullTokenizer
from pretraining import corpus
from pretraining.corpus import StoreReader, build_token_store


@pytest.fixture
def tokenizer(tmp_path):
    path = tmp_path / "vocab.txt"
    words = [f"w{i}" for i in range(100)]
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", *words]))
    return FullTokenizer(str(path))


def documents_in(store, tokenizer):
    """The store read back: documents of sentences of tokens."""
    reader = StoreReader(store)
    documents = []
    for (first, _), (end, _) in zip(store.documents[:-1], store.documents[1:], strict=True):
        offsets = np.frombuffer(reader.packed_offsets(first, end - first + 1), np.int64)
        sentences = []
        for start, stop in zip(offsets[:-1], offsets[1:], strict=True):
            ids = np.frombuffer(reader.packed_tokens(start, stop - start), store.typecode)
            sentences.append(" ".join(tokenizer.convert_ids_to_tokens(ids)))
        documents.append(sentences)
    return documents


def build(
    tmp_path,
    tokenizer,
    *texts,
    do_sentence_split=False,
    num_processes=1,
    input_format="text",
    suffix="",
):
    paths = []
    for i, text in enumerate(texts):
        path = tmp_path / f"text{i}{suffix}"
        paths.append(str(path))
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return build_token_store(
        paths, tokenizer, str(tmp_path), do_sentence_split, num_processes, input_format
    )


def test_lines_are_sentences_and_blank_lines_end_documents(tmp_path, tokenizer):
    text = "\n\n  w1 w2 \nw3\n \t\n\x1c\n\nW4 w5\r\n\r\n\u3000\nw6 unknown\n\u200b\nw7"
    store = build(tmp_path, tokenizer, text)
    assert documents_in(store, tokenizer) == [["w1 w2", "w3"], ["w4 w5"], ["w6 [UNK]", "w7"]]
    assert (store.num_documents, store.num_sentences, store.num_tokens) == (3, 5, 8)
    np.testing.assert_array_equal(store.documents, [[0, 0], [2, 3], [3, 5], [5, 8]])
    np.testing.assert_array_equal(store.units, store.documents)


def test_end_of_file_ends_a_document(tmp_path, tokenizer):
    store = build(tmp_path, tokenizer, "w1\n\nw2", "w3\n", "", "\n\n", b"\xef\xbb\xbfw4\nw5")
    assert documents_in(store, tokenizer) == [["w1"], ["w2"], ["w3"], ["w4", "w5"]]


def test_paragraphs_are_split_into_sentences_on_request(tmp_path, tokenizer):
    text = "W1 w2. W3 w4.\nW5\n\nW6. W7"
    store = build(tmp_path, tokenizer, text, do_sentence_split=True)
    assert documents_in(store, tokenizer) == [["w1 w2 .", "w3 w4 .", "w5"], ["w6 .", "w7"]]


def test_lines_of_a_transfer_set_are_documents(tmp_path, tokenizer):
    text = "W1 w2. W3 w4.\nw5\tw6\n\n \n\u200b\nW7.\nw8"
    store = build(tmp_path, tokenizer, text, "w9", input_format="transfer_set", suffix=".txt")
    assert documents_in(store, tokenizer) == [
        *(["w1 w2 .", "w3 w4 ."], ["w5 w6"], ["w7 ."], ["w8"], ["w9"])
    ]


def test_pairs_of_a_transfer_set_are_documents_of_two_sentences(tmp_path, tokenizer):
    text = "W1. W2.\tW3. W4.\r\nW5. W6.\nw7\t\u200b\n\tw8\n"
    store = build(tmp_path, tokenizer, text, input_format="transfer_set", suffix=".tsv")
    assert documents_in(store, tokenizer) == [
        *(["w1 . w2 .", "w3 . w4 ."], ["w5 .", "w6 ."], ["w7"], ["w8"])
    ]
    with pytest.raises(UserError, match=r"text1\.tsv, line 2: found 3 columns"):
        build(
            tmp_path, tokenizer, "w1", "w1\nw2\tw3\tw4", input_format="transfer_set", suffix=".tsv"
        )


def test_blocks_and_processes_do_not_matter(tmp_path, tokenizer, monkeypatch):
    rng = np.random.default_rng(0)
    lines = [
        " ".join(f"w{w}" for w in rng.integers(0, 100, rng.integers(0, 9))) for _ in range(800)
    ]
    text = "\n".join(lines)
    expected = documents_in(build(tmp_path, tokenizer, text), tokenizer)
    assert sum(map(len, expected)) == sum(map(bool, lines))
    read_line_blocks = corpus.read_line_blocks
    monkeypatch.setattr(corpus, "read_line_blocks", lambda path: read_line_blocks(path, 100))
    for num_processes in (1, 2):
        store = build(tmp_path, tokenizer, text, num_processes=num_processes)
        assert documents_in(store, tokenizer) == expected


def test_long_documents_are_several_units_of_work(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(corpus, "_UNIT_TOKENS", 50)
    read_line_blocks = corpus.read_line_blocks
    monkeypatch.setattr(corpus, "read_line_blocks", lambda path: read_line_blocks(path, 100))
    long = "w1 w2 w3\n" * 200
    store = build(tmp_path, tokenizer, long + "\nw4\nw5\n\n" + long + "\n" + "w6\n" * 9)
    assert store.num_documents == 4
    tokens = np.diff(store.units[:, 1])
    assert 10 < len(tokens) < 40
    assert tokens.max() < 150
    assert set(map(tuple, store.documents)) <= set(map(tuple, store.units))
    np.testing.assert_array_equal(store.units[-1], [200 + 2 + 200 + 9, 600 + 2 + 600 + 9])


@pytest.mark.parametrize("text", ["", "\n\n", "w1 w2\nw3\n", "\nw1\n\n\n"])
def test_fewer_than_two_documents(tmp_path, tokenizer, text):
    with pytest.raises(UserError, match=r"hold [01] document.*blank line between documents"):
        build(tmp_path, tokenizer, text)


def test_warning_about_documents_of_one_sentence(tmp_path, tokenizer, caplog):
    with caplog.at_level(logging.WARNING):
        build(tmp_path, tokenizer, "w1\nw2\n\nw3\n\nw4\nw5\n")
        assert not caplog.records
        build(tmp_path, tokenizer, "w1\nw2\n\nw3\n\nw4\n")
    assert "2 of 3 documents have one sentence only" in caplog.text


@pytest.mark.parametrize("num_processes", [1, 2])
def test_invalid_utf8(tmp_path, tokenizer, num_processes):
    with pytest.raises(UserError, match=r"text1, line 2: byte 4 of the text \(0xff\)"):
        build(tmp_path, tokenizer, "w1\n", b"w1\n \xff\n", num_processes=num_processes)


def test_messages_about_transfer_sets(tmp_path, tokenizer, caplog):
    with pytest.raises(UserError, match="hold 1 document.*put each on a line"):
        build(tmp_path, tokenizer, "w1. W2.", input_format="transfer_set", suffix=".txt")
    with caplog.at_level(logging.WARNING):
        build(tmp_path, tokenizer, "w1\nw2", input_format="transfer_set", suffix=".txt")
    assert (
        "2 of 2 documents have one sentence only, so most pairs can only be random." in caplog.text
    )


def test_very_long_line(tmp_path, tokenizer):
    store = build(tmp_path, tokenizer, "w1 " * 500_000 + "\n\nw2" * 2)
    np.testing.assert_array_equal(np.diff(store.documents, axis=0), [[1, 500_000], [1, 1], [1, 1]])


def test_ids_beyond_16_bits(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(str, range(70_000))])
    )
    tokenizer = FullTokenizer(str(path))
    store = build(tmp_path, tokenizer, "69999 1\n2\n\n3")
    assert documents_in(store, tokenizer) == [["69999 1", "2"], ["3"]]
