"""JSON objects whose values are of the kinds that their readers expect.

Those that nobody is meant to edit hold a digest of themselves: a flipped bit can leave valid JSON
with another number in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from common.atomic import finite, write_json
from common.errors import UserError
from common.files import read_json

_DIGEST = "content_sha256"


class Kind(NamedTuple):
    """A kind of value.

    Attributes:
      name: For messages.
      fits: Whether a value is of this kind.
    """

    name: str
    fits: Callable[[Any], bool]


COUNT = Kind("a whole number from 0 on", lambda value: type(value) is int and value >= 0)
COUNTS = Kind(
    "an object of whole numbers from 0 on",
    lambda value: isinstance(value, dict) and all(map(COUNT.fits, value.values())),
)
BOOLEAN = Kind("true or false", lambda value: isinstance(value, bool))
TEXT = Kind("a text", lambda value: isinstance(value, str))
TEXTS = Kind(
    "a list of texts",
    lambda value: isinstance(value, list) and all(isinstance(text, str) for text in value),
)
OBJECT = Kind("an object", lambda value: isinstance(value, dict))


def read_object(
    path: str,
    kinds: Mapping[str, Kind],
    required: bool = False,
    remedy: str = "correct the file",
    may_lack: Collection[str] = (),
) -> dict[str, Any]:
    """Reads a JSON object; keys that are not in `kinds` may have any value.

    The digest that `write_object` adds is checked and left out.

    Args:
      path: The file.
      kinds: Key -> what its value must be, if it is there and not null.
      required: Whether these keys must be there, and not null.
      remedy: Advice for a damaged file, for the message.
      may_lack: Keys that are not required even so.

    Raises:
      UserError: The file cannot be read, is no JSON object, a value is of another kind, or the
        content is not that of the digest in it.
    """
    values = read_json(path)
    if not isinstance(values, dict):
        raise UserError(f"{path}: found {values!r:.40}, expected a JSON object; {remedy}.")
    digest = values.pop(_DIGEST, None)
    for key, kind in kinds.items():
        value = values.get(key)
        if value is None and required and key not in may_lack:
            raise UserError(f'{path}: "{key}" is missing, expected {kind.name}; {remedy}.')
        if value is not None and not kind.fits(value):
            raise UserError(f'{path}: "{key}" is {value!r:.40}, expected {kind.name}; {remedy}.')
    if digest not in (None, _digest_of(values)):
        raise UserError(
            f"{path}: its content does not agree with its {_DIGEST}, so it is damaged or was "
            f"edited; {remedy}."
        )
    return values


def write_object(path: str, values: Mapping[str, Any]) -> None:
    """Writes a JSON object and a digest of it, as a whole or not at all."""
    write_json(path, {**values, _DIGEST: _digest_of(finite(values))})


def _digest_of(values: Mapping[str, Any]) -> str:
    """SHA-256 of the keys, in their order, and values; neither changes on the way through a file."""
    return hashlib.sha256(json.dumps(values).encode("utf-8")).hexdigest()
