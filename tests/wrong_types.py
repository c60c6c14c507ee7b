"""JSON documents with a value of another type in each place, as damage and other tools make them."""

from __future__ import annotations

import contextlib
import copy
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from common.errors import UserError

WRONG: list[Any] = [None, True, 5, -1.5, 10**400, "x", [], [1], [[1]], [{}], {"a": 1}, {"a": [1]}]


def wrongly_typed(document: Any) -> Iterator[Any]:
    """Copies of a document, each with another value in one place."""
    for place in _places(document):
        for value in WRONG:
            if not place:
                yield value
                continue
            changed = copy.deepcopy(document)
            part = changed
            for key in place[:-1]:
                part = part[key]
            part[place[-1]] = value
            yield changed


def check_reader(path: pathlib.Path, read: Callable[[], object]) -> None:
    """Fails where a reader of a good JSON file raises anything but a UserError for a bad one."""
    document = json.loads(path.read_text())
    read()
    for changed in wrongly_typed(document):
        path.write_text(json.dumps(changed))
        with contextlib.suppress(UserError):
            read()


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _places(part, (*place, key))
    elif isinstance(value, list):
        for number, part in enumerate(value[:2]):
            yield from _places(part, (*place, number))
