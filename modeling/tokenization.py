"""WordPiece tokenization with exactly the ids of google-research/bert `tokenization.py`.

`FullTokenizer.tokenize` follows the original step by step. `FullTokenizer.encode` gives the same
ids many times faster: the original treats every whitespace-separated chunk of a text by itself, so
the ids of a chunk can be remembered.
"""

from __future__ import annotations

import array
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping

from common.errors import UserError
from modeling.vocabulary import read_vocabulary, vocabulary_digest, warn_of_repeated_entries

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MAX_CHARS_PER_WORD = 200

# Chunks and words whose ids are remembered, about 20 MB for each of the two. Longer chunks hardly
# ever come again.
_CACHE_ENTRIES = 1 << 17
_CACHE_CHARS = 64

# The words of a chunk of printable ASCII: runs of letters and digits, and every other character.
_ASCII_WORDS = re.compile(r"[A-Za-z0-9]+|[!-/:-@\[-`{-~]")

# Whitespace to `str.split`, but control characters to the original, which removes them and so joins
# what stands on either side.
_REMOVED_WHITESPACE = re.compile("[\x0b\x0c\x1c-\x1f\x85]")

_CJK_RANGES = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


class FullTokenizer:
    """Splits text into WordPieces of a vocabulary.

    Attributes:
      vocab_file: Path the vocabulary was read from.
      do_lower_case: Whether text is lower-cased and stripped of accents.
      vocab: Token to id.
      tokens: Id to token, "" for ids that no text has (`modeling.vocabulary`).
      vocab_size: Number of entries.
      sha256: Hexadecimal digest of the tokens (`vocabulary_digest`).
      pad_id, unk_id, cls_id, sep_id, mask_id: Ids of the special tokens.
      id_typecode: `array` and NumPy type code of packed ids: "H" (16 bit) or "I" (32 bit).
    """

    def __init__(self, vocab_file: str, do_lower_case: bool = True):
        """Reads a vocabulary.

        Raises:
          UserError: The file is missing or not UTF-8, or a special token is missing.
        """
        self.vocab_file = vocab_file
        self.do_lower_case = do_lower_case
        self.tokens = read_vocabulary(vocab_file)
        warn_of_repeated_entries(vocab_file)
        self.sha256 = vocabulary_digest(self.tokens)
        self.vocab = {token: i for i, token in enumerate(self.tokens) if token}
        _check_special_tokens(vocab_file, self.vocab)
        self.vocab_size = len(self.tokens)
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (
            self.vocab[token] for token in SPECIAL_TOKENS
        )
        self.id_typecode = "H" if self.vocab_size <= 1 << 16 else "I"
        self._longest_token = max(map(len, self.tokens))
        self._packed_words = _Cache(self._pack_word)
        self._packed_chunks = _Cache(self._pack_chunk)

    def tokenize(self, text: str) -> list[str]:
        """Splits `text` into WordPieces, as the original does."""
        return [
            piece
            for word in basic_tokenize(text, self.do_lower_case)
            for piece in self._wordpiece(word)
        ]

    def encode(self, text: str) -> list[int]:
        """The ids of `tokenize(text)`."""
        return array.array(self.id_typecode, self.encode_packed(text)).tolist()

    def encode_packed(self, text: str) -> bytes:
        """The ids of `tokenize(text)` as the bytes of an array of `id_typecode`."""
        if _REMOVED_WHITESPACE.search(text):
            return self._pack_chunk(text)
        return b"".join(map(self._packed_chunks.__getitem__, text.split()))

    def convert_tokens_to_ids(self, tokens: Iterable[str]) -> list[int]:
        """Looks tokens up; a token that is not in the vocabulary is a KeyError."""
        return [self.vocab[token] for token in tokens]

    def convert_ids_to_tokens(self, ids: Iterable[int]) -> list[str]:
        """The inverse of `convert_tokens_to_ids`."""
        return [self.tokens[i] for i in ids]

    def _wordpiece(self, word: str) -> list[str]:
        """Greedy longest match first; [UNK] for a word that cannot be matched or is too long."""
        if len(word) > MAX_CHARS_PER_WORD:
            return ["[UNK]"]
        pieces = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(min(len(word), start + self._longest_token), start, -1):
                piece = prefix + word[start:end]
                if piece in self.vocab:
                    break
            else:
                return ["[UNK]"]
            pieces.append(piece)
            start = end
        return pieces

    def _pack_word(self, word: str) -> bytes:
        ids = self.convert_tokens_to_ids(self._wordpiece(word))
        return array.array(self.id_typecode, ids).tobytes()

    def _pack_chunk(self, chunk: str) -> bytes:
        if chunk.isascii() and chunk.isprintable():
            words = _ASCII_WORDS.findall(chunk.lower() if self.do_lower_case else chunk)
        else:
            words = basic_tokenize(chunk, self.do_lower_case)
        return b"".join(map(self._packed_words.__getitem__, words))


class _Cache(dict[str, bytes]):
    """Computes missing values and remembers a bounded number of them."""

    def __init__(self, compute: Callable[[str], bytes]):
        super().__init__()
        self._compute = compute

    def __missing__(self, key: str) -> bytes:
        value = self._compute(key)
        if len(key) <= _CACHE_CHARS:
            # Frequent entries are back at once after the clearing, so it costs little, and the
            # cache follows a change of language, which a frozen one would not.
            if len(self) >= _CACHE_ENTRIES:
                self.clear()
            self[key] = value
        return value


def basic_tokenize(text: str, do_lower_case: bool) -> list[str]:
    """Splits text into words and punctuation marks (`BasicTokenizer` of the original).

    Control characters are removed, CJK ideographs stand alone, and with `do_lower_case` text is
    lower-cased and accents are stripped.
    """
    words: list[str] = []
    for chunk in "".join(map(_clean, text)).split():
        if do_lower_case:
            decomposed = unicodedata.normalize("NFD", chunk.lower())
            chunk = "".join(c for c in decomposed if unicodedata.category(c) != "Mn")
        words += "".join(f" {c} " if _is_punctuation(c) else c for c in chunk).split()
    return words


def _clean(char: str) -> str:
    """What the original's cleaning makes of a character: itself, a space, nothing, or " c "."""
    if char in "\t\n\r":
        return " "
    category = unicodedata.category(char)
    if category in ("Cc", "Cf") or char == "\ufffd":
        return ""
    if category == "Zs":
        return " "
    code = ord(char)
    if any(first <= code <= last for first, last in _CJK_RANGES):
        return f" {char} "
    return char


def _is_punctuation(char: str) -> bool:
    """All ASCII that is neither letter, digit nor space, and the Unicode categories P*."""
    if char.isascii():
        return "!" <= char <= "~" and not char.isalnum()
    return unicodedata.category(char).startswith("P")


def _check_special_tokens(path: str, vocab: Mapping[str, int]) -> None:
    missing = [token for token in SPECIAL_TOKENS if token not in vocab]
    if missing:
        raise UserError(
            f"{path} lacks {', '.join(missing)} among its {len(vocab)} entries; a BERT vocabulary "
            f"has one token per line, {' '.join(SPECIAL_TOKENS)} among them."
        )
