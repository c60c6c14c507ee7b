"""WordPiece tokenization with exactly the ids of google-research/bert `tokenization.py`.

`WordPieceTokenizer.tokenize` follows the original step by step. `WordPieceTokenizer.encode` gives
the same ids many times faster: the original treats every whitespace-separated chunk of a text by
itself, so the ids of a chunk can be remembered.

Standard library only, and nothing of the project: this file goes out with every exported model
(`export_model.py`), whose runner makes its ids by it.
"""

from __future__ import annotations

import array
import dataclasses
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any

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


@dataclasses.dataclass(frozen=True)
class TokenizerSettings:
    """Settings of a tokenizer beside vocabulary and casing; the defaults are the original's.

    Attributes:
      strip_accents: Whether accents are stripped; None where they are if text is lower-cased.
      tokenize_chinese_chars: Whether CJK ideographs stand alone.
      max_chars_per_word: Longer words are [UNK].
      special_tokens: The vocabulary's own names for `SPECIAL_TOKENS`, in their order.
    """

    strip_accents: bool | None = None
    tokenize_chinese_chars: bool = True
    max_chars_per_word: int = MAX_CHARS_PER_WORD
    special_tokens: tuple[str, ...] = SPECIAL_TOKENS

    def to_dict(self) -> dict[str, Any]:
        """The settings that are not the original's, as JSON has them."""
        return {
            field.name: list(value) if isinstance(value, tuple) else value
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) != field.default
        }

    def of_common_text(self) -> dict[str, Any]:
        """`to_dict` without what matters for words of more than 100 characters only.

        Records and models of tools that differ in this alone go together.
        """
        return {k: v for k, v in self.to_dict().items() if k != "max_chars_per_word"}


ORIGINAL_SETTINGS = TokenizerSettings()


class WordPieceTokenizer:
    """Splits text into WordPieces of a vocabulary.

    Attributes:
      tokens: Id to token, "" for ids that no text has.
      do_lower_case: Whether text is lower-cased and, unless the settings say otherwise, stripped of
        accents.
      settings: Other settings that change ids.
      vocab: Token to id.
      vocab_size: Number of entries.
      pad_id, unk_id, cls_id, sep_id, mask_id: Ids of the special tokens.
      id_typecode: `array` and NumPy type code of packed ids: "H" (16 bit) or "I" (32 bit).
    """

    def __init__(
        self,
        tokens: Sequence[str],
        do_lower_case: bool = True,
        settings: TokenizerSettings = ORIGINAL_SETTINGS,
    ):
        """Takes a vocabulary in which all special tokens are."""
        self.tokens = list(tokens)
        self.do_lower_case = do_lower_case
        self.settings = settings
        self.vocab = {token: i for i, token in enumerate(self.tokens) if token}
        self.vocab_size = len(self.tokens)
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (
            self.vocab[token] for token in settings.special_tokens
        )
        self.unk_token = self.tokens[self.unk_id]
        self.id_typecode = "H" if self.vocab_size <= 1 << 16 else "I"
        self._longest_token = max(map(len, self.tokens))
        self._packed_words = _Cache(self._pack_word)
        self._packed_chunks = _Cache(self._pack_chunk)

    def tokenize(self, text: str) -> list[str]:
        """Splits `text` into WordPieces, as the original does."""
        return [piece for word in self.split(text) for piece in self._wordpiece(word)]

    def split(self, text: str) -> list[str]:
        """The words and punctuation marks of a text, by the tokenizer's casing and settings."""
        return basic_tokenize(
            text,
            self.do_lower_case,
            self.settings.strip_accents,
            self.settings.tokenize_chinese_chars,
        )

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
        if len(word) > self.settings.max_chars_per_word:
            return [self.unk_token]
        pieces = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(min(len(word), start + self._longest_token), start, -1):
                piece = prefix + word[start:end]
                if piece in self.vocab:
                    break
            else:
                return [self.unk_token]
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
            words = self.split(chunk)
        return b"".join(map(self._packed_words.__getitem__, words))


def input_row(
    tokenizer: WordPieceTokenizer, ids_a: Sequence[int], ids_b: Sequence[int], max_seq_length: int
) -> tuple[list[int], int]:
    """A text or a pair of texts as BERT reads it: [CLS] a [SEP] or [CLS] a [SEP] b [SEP].

    Args:
      tokenizer: Of the ids.
      ids_a: Of the first text.
      ids_b: Of the second text; none if there is none.
      max_seq_length: Longest row, at least 3. Longer ones are truncated, a pair by taking the last
        token off the longer text, off the second if both are equally long.

    Returns:
      The ids, and how many of them are of segment 0; the rest is of segment 1.
    """
    kept_a, kept_b = _kept_lengths(len(ids_a), len(ids_b), max_seq_length)
    first = [tokenizer.cls_id, *ids_a[:kept_a], tokenizer.sep_id]
    # A second text of which nothing is left does not get a [SEP] either.
    second = [*ids_b[:kept_b], tokenizer.sep_id] if kept_b else []
    return first + second, len(first)


def _kept_lengths(length_a: int, length_b: int, max_seq_length: int) -> tuple[int, int]:
    """Number of tokens kept of each text, as if one token at a time were dropped."""
    if not length_b:
        return min(length_a, max_seq_length - 2), 0
    room = max_seq_length - 3
    if length_a + length_b <= room:
        return length_a, length_b
    # Dropping from the longer text, from the second on ties, ends at these halves unless a text is
    # shorter than its half.
    half_b = room // 2
    half_a = room - half_b
    if length_a <= half_a:
        return length_a, room - length_a
    if length_b <= half_b:
        return room - length_b, length_b
    return half_a, half_b


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


def basic_tokenize(
    text: str,
    do_lower_case: bool,
    strip_accents: bool | None = None,
    tokenize_chinese_chars: bool = True,
) -> list[str]:
    """Splits text into words and punctuation marks (`BasicTokenizer` of the original).

    Control characters are removed, CJK ideographs stand alone, and with `do_lower_case` text is
    lower-cased and accents are stripped.

    Args:
      text: The text.
      do_lower_case: Whether it is lower-cased.
      strip_accents: Whether accents are stripped; None for as `do_lower_case`.
      tokenize_chinese_chars: Whether CJK ideographs stand alone.
    """
    if strip_accents is None:
        strip_accents = do_lower_case
    text = text.translate(_CLEAN if tokenize_chinese_chars else _CLEAN_ALONE)
    if do_lower_case:
        text = text.lower()
    if strip_accents:
        text = unicodedata.normalize("NFD", text)
    return text.translate(_SPLIT_STRIPPED if strip_accents else _SPLIT).split()


class _Translation(dict[int, str]):
    """A table for `str.translate` that computes a character's entry when the character is met."""

    def __init__(self, replacement: Callable[[str], str]):
        super().__init__()
        self._replacement = replacement

    def __missing__(self, code: int) -> str:
        self[code] = self._replacement(chr(code))
        return self[code]


def _clean(char: str) -> str:
    """A character after the original's cleaning: itself, a space, nothing, or " c "."""
    code = ord(char)
    if any(first <= code <= last for first, last in _CJK_RANGES):
        return f" {char} "
    return _clean_alone(char)


def _clean_alone(char: str) -> str:
    """`_clean` without ideographs: itself, a space, or nothing."""
    if char in "\t\n\r":
        return " "
    category = unicodedata.category(char)
    if category in ("Cc", "Cf") or char == "\ufffd":
        return ""
    return " " if category == "Zs" else char


def _split(char: str) -> str:
    """A punctuation mark between spaces, any other character as it is."""
    return f" {char} " if _is_punctuation(char) else char


def _split_stripped(char: str) -> str:
    """`_split` without accents."""
    return "" if unicodedata.category(char) == "Mn" else _split(char)


def _is_punctuation(char: str) -> bool:
    """All ASCII that is neither letter, digit nor space, and the Unicode categories P*."""
    if char.isascii():
        return "!" <= char <= "~" and not char.isalnum()
    return unicodedata.category(char).startswith("P")


_CLEAN, _CLEAN_ALONE = _Translation(_clean), _Translation(_clean_alone)
_SPLIT, _SPLIT_STRIPPED = _Translation(_split), _Translation(_split_stripped)
