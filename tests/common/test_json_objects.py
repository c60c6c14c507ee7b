"""common.json_objects: values of the wrong kind are named."""

from __future__ import annotations

import json
import math
import pathlib
from typing import Any

import pytest

from common.errors import UserError
from common.json_objects import (
    BOOLEAN,
    COUNT,
    COUNTS,
    OBJECT,
    TEXT,
    TEXTS,
    Kind,
    read_object,
    write_object,
)

KINDS = {"n": COUNT, "shards": COUNTS, "cased": BOOLEAN, "name": TEXT, "labels": TEXTS}
GOOD = {"n": 0, "shards": {"a": 3}, "cased": False, "name": "", "labels": ["x"], "other": [{}]}


def write(folder: pathlib.Path, value: Any) -> str:
    path = folder / "a.json"
    path.write_text(json.dumps(value))
    return str(path)


def test_good_objects_are_read_as_they_are(tmp_path: pathlib.Path) -> None:
    assert read_object(write(tmp_path, GOOD), KINDS, required=True) == GOOD
    assert read_object(write(tmp_path, {"n": None}), KINDS) == {"n": None}


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (COUNT, [-1, 1.0, True, "3", []]),
        (COUNTS, [3, [], {"a": -1}, {"a": "x"}]),
        (BOOLEAN, [0, "true", []]),
        (TEXT, [3, ["a"], {}]),
        (TEXTS, ["ab", [1], [None], {}]),
        (OBJECT, [[], "a", 1]),
    ],
)
def test_values_of_another_kind(tmp_path: pathlib.Path, kind: Kind, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(UserError, match=rf'a.json: "key" is .*, expected {kind.name}; try it'):
            read_object(write(tmp_path, {"key": value}), {"key": kind}, remedy="try it")


def test_missing_keys_and_no_object(tmp_path: pathlib.Path) -> None:
    for value in ({}, {"n": None}):
        with pytest.raises(UserError, match='a.json: "n" is missing, expected a whole number'):
            read_object(write(tmp_path, value), {"n": COUNT}, required=True)
    assert read_object(write(tmp_path, {}), {"n": COUNT}, required=True, may_lack="n") == {}
    with pytest.raises(UserError, match=r"a.json: found \[\], expected a JSON object"):
        read_object(write(tmp_path, []), {})


def test_every_damaged_digit_or_letter_of_a_written_object_is_noticed(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / "a.json"
    values = {**GOOD, "ä": [1.5, 1e-7, None, "\u2028"], "of": {"b": 2, "a": 10}, "pair": (1, 2)}
    write_object(str(path), values)
    assert read_object(str(path), KINDS) == {**values, "pair": [1, 2]}

    text = path.read_text()
    assert '"n": 0' in text and '"x"' in text
    for before, after in (('"n": 0', '"n": 1'), ('"x"', '"y"'), ("1e-07", "1e-08")):
        path.write_text(text.replace(before, after))
        with pytest.raises(UserError, match=r"a\.json: .*content_sha256.*; make it anew\."):
            read_object(str(path), KINDS, remedy="make it anew")
    # Layout is not content.
    path.write_text(json.dumps(json.loads(text)))
    read_object(str(path), KINDS)


def test_digest_is_of_what_is_written(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "a.json")
    write_object(path, {"rate": math.nan})
    assert read_object(path, {}) == {"rate": None}
