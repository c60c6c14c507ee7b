"""WordPiece tokenization with exactly the ids of google-research/bert `tokenization.py`.

`FullTokenizer.tokenize` follows the original step by step. `FullTokenizer.encode` gives the same
ids many times faster: the original treats every whitespace-separated chunk of a text by itself, so
the ids of a chunk can be remembered.
"""

from __future__ import annotations

import array
import dataclasses
import logging
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from common.errors import UserError
from modeling.vocabulary import read_vocabulary, vocabulary_digest, warn_of_repeated_entries

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MAX_CHARS_PER_WORD = 200

# A cased vocabulary has entries with capitals by the thousand, an uncased one hardly any.
MAX_CAPITALS_SHARE = 0.02

# Chunks and words whose ids are remembered, about 20 MB for each of the two. Longer chunks hardly
# ever come again.
_CACHE_ENTRIES = 1 << 17
_CACHE_CHARS = 64

# The words of a chunk of printable ASCII: runs of letters and digits, and every other character.
_ASCII_WORDS = re.compile(r"[A-Za-z0-9]+|[!-/:-@\[-`{-~]")

# Whitespace to `str.split`, but control characters to the original, which removes them and so joins
# what stands on either side.
_REMOVED_WHITESPACE = re.compile("[\x0b\x0c\x1c-\x1f\x85]")

_CAPITALS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_SMALL_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz")

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

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> TokenizerSettings:
        """The inverse of `to_dict`.

        Raises:
          UserError: A key or value is none of these settings.
        """
        checks: dict[str, Callable[[Any], bool]] = {
            "strip_accents": lambda value: isinstance(value, bool),
            "tokenize_chinese_chars": lambda value: isinstance(value, bool),
            "max_chars_per_word": lambda value: type(value) is int and value > 0,
            "special_tokens": lambda value: (
                isinstance(value, list)
                and len(value) == len(SPECIAL_TOKENS)
                and all(isinstance(token, str) for token in value)
            ),
        }
        if isinstance(values, dict):
            for key, value in values.items():
                if key not in checks or not checks[key](value):
                    break
            else:
                fields: dict[str, Any] = {
                    key: tuple(value) if isinstance(value, list) else value
                    for key, value in values.items()
                }
                return cls(**fields)
        raise UserError(
            f"{source}: tokenizer_settings is {str(values):.80}, expected an object with some of "
            f"{', '.join(checks)}."
        )

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


class FullTokenizer:
    """Splits text into WordPieces of a vocabulary.

    Attributes:
      vocab_file: Path the vocabulary was read from.
      do_lower_case: Whether text is lower-cased and, unless the settings say otherwise, stripped of
        accents.
      settings: Other settings that change ids.
      vocab: Token to id.
      tokens: Id to token, "" for ids that no text has (`modeling.vocabulary`).
      vocab_size: Number of entries.
      sha256: Hexadecimal digest of the tokens (`vocabulary_digest`).
      pad_id, unk_id, cls_id, sep_id, mask_id: Ids of the special tokens.
      id_typecode: `array` and NumPy type code of packed ids: "H" (16 bit) or "I" (32 bit).
    """

    def __init__(
        self,
        vocab_file: str,
        do_lower_case: bool = True,
        settings: TokenizerSettings = ORIGINAL_SETTINGS,
    ):
        """Reads a vocabulary.

        Raises:
          UserError: The file is missing or not UTF-8, or a special token is missing.
        """
        self.vocab_file = vocab_file
        self.do_lower_case = do_lower_case
        self.settings = settings
        self.tokens = read_vocabulary(vocab_file)
        self.sha256 = vocabulary_digest(self.tokens)
        self.vocab = {token: i for i, token in enumerate(self.tokens) if token}
        _check_special_tokens(vocab_file, self.vocab, settings.special_tokens)
        warn_of_repeated_entries(vocab_file)
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


def open_tokenizer(
    vocab_file: str,
    do_lower_case: bool | None,
    recorded: bool | None = None,
    settings: TokenizerSettings = ORIGINAL_SETTINGS,
) -> FullTokenizer:
    """The tokenizer of a vocabulary, in the casing that is known for it.

    Args:
      vocab_file: The vocabulary.
      do_lower_case: Value of the flag; None where it is not given.
      recorded: Recorded casing of the model; None where there is none. Without a flag and a record,
        text is lower-cased, as in the original, unless the vocabulary is a cased one.
      settings: As for `FullTokenizer`.

    Raises:
      UserError: As `FullTokenizer` and `check_casing`.
    """
    casing = recorded if do_lower_case is None else do_lower_case
    tokenizer = FullTokenizer(vocab_file, casing is not False, settings)
    if casing is None and vocabulary_casing(tokenizer.tokens) is False:
        logging.info(
            "%s is the vocabulary of a cased model (it has capital letters), so text is not "
            "lower-cased: --do_lower_case=False.",
            vocab_file,
        )
        tokenizer = FullTokenizer(vocab_file, False, settings)
    check_casing(tokenizer, tokenizer.do_lower_case, recorded)
    return tokenizer


def vocabulary_casing(tokens: Sequence[str]) -> bool | None:
    """The `do_lower_case` that a vocabulary is made for, None where its words do not tell."""
    words = [token for token in tokens if not (token.startswith("[") and token.endswith("]"))]
    capitals = sum(word != word.lower() for word in words)
    if capitals > MAX_CAPITALS_SHARE * len(tokens):
        return False
    letters = set("".join(words))
    return None if letters & _CAPITALS or not letters & _SMALL_LETTERS else True


def check_casing(
    tokenizer: FullTokenizer, do_lower_case: bool, recorded: bool | None = None
) -> None:
    """Keeps a vocabulary from being used on text of the other casing.

    The original compares with the names of seven released models; the words themselves tell it of
    any model.

    Args:
      tokenizer: Has the vocabulary.
      do_lower_case: The casing of the text.
      recorded: The casing that is recorded of the model. A model that was made in the casing of the
        run is used as it is, with a line where its vocabulary looks otherwise.

    Raises:
      UserError: Text is lower-cased while a good part of the vocabulary has capital letters, or it is
        not while no entry has one.
    """
    casing = vocabulary_casing(tokenizer.tokens)
    if casing in (None, do_lower_case):
        return
    if casing:
        found = "none of its entries has a capital letter, so a word with one would be [UNK]"
    else:
        found = "its entries with capital letters would never be used on lower-cased text"
    kind = "an uncased" if casing else "a cased"
    if recorded == do_lower_case:
        logging.warning(
            "%s looks like the vocabulary of %s model (%s), but the model is recorded with "
            "do_lower_case=%s, which is what is used.",
            tokenizer.vocab_file,
            kind,
            found,
            recorded,
        )
        return
    raise UserError(
        f"{tokenizer.vocab_file}: do_lower_case={do_lower_case}, but {found}; this is the "
        f"vocabulary of {kind} model, so pass --do_lower_case={casing} or another --vocab_file."
    )


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
    clean = _clean if tokenize_chinese_chars else _clean_alone
    words: list[str] = []
    for chunk in "".join(map(clean, text)).split():
        if do_lower_case:
            chunk = chunk.lower()
        if strip_accents:
            decomposed = unicodedata.normalize("NFD", chunk)
            chunk = "".join(c for c in decomposed if unicodedata.category(c) != "Mn")
        words += "".join(f" {c} " if _is_punctuation(c) else c for c in chunk).split()
    return words


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


def _is_punctuation(char: str) -> bool:
    """All ASCII that is neither letter, digit nor space, and the Unicode categories P*."""
    if char.isascii():
        return "!" <= char <= "~" and not char.isalnum()
    return unicodedata.category(char).startswith("P")


def _check_special_tokens(path: str, vocab: Mapping[str, int], names: Sequence[str]) -> None:
    missing = [token for token in names if token not in vocab]
    if missing:
        raise UserError(
            f"{path} lacks {', '.join(missing)} among its {len(vocab)} entries; a BERT vocabulary "
            f"has one token per line, {' '.join(names)} among them."
        )
