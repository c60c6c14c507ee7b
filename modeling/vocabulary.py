"""WordPiece vocabularies: read as the original reads them, compared by tokens and ids.

Source: `load_vocab` in `tokenization.py` of google-research/bert.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import logging
import re
from collections.abc import Sequence
from typing import Any

from common.atomic import write_text
from common.errors import UserError
from common.files import open_binary, read_json

# More entries than this is damage.
_MAX_ENTRIES = 1 << 24
VOCAB_FILE, TOKENIZER_JSON = "vocab.txt", "tokenizer.json"

# Places that the released vocabularies leave for words of one's own.
_UNUSED = re.compile(r"\[unused(\d+)\]")


def read_vocabulary(path: str) -> list[str]:
    """The tokens of a vocabulary in the order of their ids: UTF-8 text, one per line.

    In a `tokenizer.json` of the Hugging Face library the vocabulary is a JSON object in it.

    As in the original, whitespace around a token is dropped, an id is the number of a line, and of a
    token that stands there more than once the last place counts. Places without a token of their own
    (earlier ones of such a token, and lines of whitespace alone) are "": no text has that token.
    Line ends of any kind, a byte order mark, and a missing last line end change nothing.

    Raises:
      UserError: The file is missing or not UTF-8.
    """
    tokens = _read_lines(path)
    last_places = {token: i for i, token in enumerate(tokens)}
    return [token if last_places[token] == i else "" for i, token in enumerate(tokens)]


def warn_of_repeated_entries(path: str) -> None:
    """One line where a token of a vocabulary stands in several places, so that some are dead."""
    lines: dict[str, list[int]] = {}
    for line, token in enumerate(_read_lines(path), 1):
        lines.setdefault(token, []).append(line)
    repeated = {token: places for token, places in lines.items() if len(places) > 1}
    if repeated:
        token, places = next(iter(repeated.items()))
        logging.warning(
            "%s: %d entries occur more than once, the first is %s in the lines %s; as in the "
            "original, an entry has the id of its last line, and the ids of its other lines are "
            "never used.",
            path,
            len(repeated),
            f'"{token}"' if token else "whitespace alone",
            ", ".join(map(str, places[:5])) + (", ..." if len(places) > 5 else ""),
        )


def vocabulary_digest(tokens: Sequence[str]) -> str:
    """SHA-256 of the tokens, each with a line end: that of a plain `vocab.txt` itself."""
    return hashlib.sha256("".join(f"{token}\n" for token in tokens).encode()).hexdigest()


def copy_vocabulary(source: str, target: str) -> None:
    """Writes a `vocab.txt` with the tokens of another one or of a `tokenizer.json`.

    Its lines are those of `read_vocabulary`, so that readers that do not know every line end give the
    same ids; a plain vocabulary is copied byte by byte.
    """
    write_text(target, "".join(f"{token}\n" for token in read_vocabulary(source)))


## Comparison


def unused_places(tokens: Sequence[str]) -> list[list[int]]:
    """Places of the entries [unusedN] in a vocabulary.

    Returns:
      A triple for each row of them with successive numbers: first id, number of entries, first N.
    """
    numbers = [
        (i, int(match[1])) for i, token in enumerate(tokens) if (match := _UNUSED.fullmatch(token))
    ]
    rows = itertools.groupby(enumerate(numbers), lambda x: (x[1][0] - x[0], x[1][1] - x[0]))
    result = []
    for _, row in rows:
        entries = [place for _, place in row]
        result.append([entries[0][0], len(entries), entries[0][1]])
    return result


@dataclasses.dataclass(frozen=True)
class KnownVocabulary:
    """Recorded facts about the vocabulary a model was made with.

    Attributes:
      source: The model, for messages.
      sha256: Digest of the vocabulary.
      unused: Its `unused_places`; None where they are not known.
      tokens: Its tokens; None where only the digest is known.
    """

    source: str
    sha256: str
    unused: Sequence[Sequence[int]] | None = None
    tokens: Sequence[str] | None = None

    def check(self, tokens: Sequence[str], path: str) -> None:
        """Compares a vocabulary by tokens and ids.

        Words in places of [unusedN] are allowed, which is how words are added to a released
        vocabulary; a line says so.

        Args:
          tokens: The vocabulary to compare.
          path: Path of its file, for messages.

        Raises:
          UserError: It is another vocabulary; the first id that differs is named where it is known.
        """
        if vocabulary_digest(tokens) == self.sha256:
            return
        original = self._with_unused_put_back(tokens)
        replaced = [i for i, token in enumerate(tokens) if token != original[i]]
        if replaced and vocabulary_digest(original) == self.sha256:
            first = replaced[0]
            logging.warning(
                "%s has words of its own in %d places that are unused in the vocabulary of %s; the "
                'first: "%s" in place of "%s" (id %d). All other ids are the same.',
                path,
                len(replaced),
                self.source,
                tokens[first],
                original[first],
                first,
            )
            return
        if self.tokens is None:
            raise UserError(
                f"{path} is not the vocabulary of {self.source}: the digest of its tokens is "
                f"{vocabulary_digest(tokens)[:12]}..., recorded there is {self.sha256[:12]}...; use "
                "the model's own vocabulary (only entries [unusedN] may be replaced)."
            )
        first, ours, theirs = _first_difference(original, self.tokens)
        raise UserError(
            f"{path} is not the vocabulary of {self.source}: id {first} (line {first + 1}) is "
            f"{ours}, there it is {theirs}; use the model's own vocabulary (only entries [unusedN] "
            "may be replaced)."
        )

    def _with_unused_put_back(self, tokens: Sequence[str]) -> list[str]:
        original = list(tokens)
        for first, count, number in self.unused or ():
            if first + count <= len(original):
                original[first : first + count] = [
                    f"[unused{n}]" for n in range(number, number + count)
                ]
        return original


def check_same_tokens(
    tokens: Sequence[str], path: str, others: Sequence[str], other_path: str
) -> None:
    """Compares two vocabularies of one folder as `KnownVocabulary` does."""
    known = KnownVocabulary(other_path, vocabulary_digest(others), unused_places(others), others)
    known.check(tokens, path)


def _first_difference(ours: Sequence[str], theirs: Sequence[str]) -> tuple[int, str, str]:
    """The first id at which two vocabularies differ, and what each has there."""
    pairs = itertools.zip_longest(ours, theirs)
    i, pair = next((i, pair) for i, pair in enumerate(pairs) if pair[0] != pair[1])
    first, second = ("no entry" if token is None else f'"{token}"' for token in pair)
    return i, first, second


## Files


def _read_lines(path: str) -> list[str]:
    """The lines of a vocabulary without the whitespace around them."""
    if path.endswith(".json"):
        return _read_json_tokens(path)
    with open_binary(path, decompress=False) as file:
        data = file.read()
    try:
        lines = data.decode("utf-8").removeprefix("\ufeff").split("\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}, line {line}: byte {error.start} of the file (0x{data[error.start]:02x}) is "
            "not valid UTF-8; a vocabulary must be UTF-8 text with one token per line."
        ) from None
    if not lines[-1]:
        lines.pop()
    return [line.strip() for line in lines]


def _read_json_tokens(path: str) -> list[str]:
    """The tokens in a `tokenizer.json`; an id without one, or with whitespace alone, gets ""."""
    values = read_json(path)
    model = values.get("model") if isinstance(values, dict) else None
    vocab = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(vocab, dict) or not vocab or not all(map(_is_id, vocab.values())):
        raise UserError(
            f'{path}: no vocabulary of WordPieces in it ("vocab" of "model", token to id); give the '
            "model's vocab.txt."
        )
    tokens = [""] * (max(vocab.values()) + 1)
    for token, i in vocab.items():
        tokens[i] = "" if "\n" in token else token.strip()
    return tokens


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MAX_ENTRIES
