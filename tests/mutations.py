"""Random damage to the bytes of a file, and to the values of a JSON object."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

_WORDS = [
    *("", "0", "-1", "1.5", "1e309", "NaN", "null", "true", '"text"', "[]", "{}", '{"a": [1]}'),
    *("\t", "\n", "\n\n", "\r\n", "\ufeff", "\u2028", "\x00", '"', "\\", "\\ud800", "'", ","),
    *("9" * 30, "9" * 5000, "[" * 2000, "é", "[PAD]", "../../etc/passwd"),
]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One to three random changes."""
    for _ in range(rng.randint(1, 3)):
        place, end = sorted(rng.randint(0, len(data)) for _ in range(2))
        kind = rng.randrange(9)
        if kind == 0 and data:
            place = min(place, len(data) - 1)
            data = data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]
        elif kind == 1:
            data = data[:place]
        elif kind == 2:
            data = data[:place] + data[end:]
        elif kind == 3:
            data = data[:end] + data[place:]
        elif kind == 4:
            data = data[:place] + rng.randbytes(rng.randint(1, 20)) + data[place:]
        elif kind == 5:
            data = data[:place] + bytes(min(end - place, 50)) + data[min(end, place + 50) :]
        elif kind == 6:
            data = data[:place] + rng.choice(_WORDS).encode() + data[place:]
        elif kind == 7:
            # In place of a number, a word or a value in quotes.
            stops = [i for i, byte in enumerate(data) if byte in b'\t\n ,:[]{}"']
            if len(stops) > 1:
                i = rng.randrange(len(stops) - 1)
                word = rng.choice(_WORDS).encode()
                data = data[: stops[i] + 1] + word + data[stops[i + 1] :]
        else:
            lines = data.split(b"\n")
            i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[i], lines[j] = lines[j], lines[i]
            data = b"\n".join(lines)
    return data


_VALUES = [None, True, 0, -1, 3, 1.5, 10**30, "", "text", "0", [], [1], ["a"], {}, {"a": 1}]


def mutated_json(data: bytes, rng: random.Random) -> bytes:
    """Valid JSON in which a value is missing, called otherwise or another one."""
    value = json.loads(data)
    places = list(_places(value))
    container, key = rng.choice(places) if places else (None, None)
    kind = rng.randrange(4)
    if container is None or rng.random() < 0.02:
        value = rng.choice(_VALUES)
    elif kind == 0:
        del container[key]
    elif kind == 1 and isinstance(container, dict):
        container[rng.choice(["x", f"{key}s", ""])] = container.pop(key)
    else:
        container[key] = rng.choice(_VALUES)
    return json.dumps(value).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])
