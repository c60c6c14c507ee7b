"""Sidecars of record files.

A sidecar, the hidden `.<file name>.json` beside a file, is written once the file is complete: what is
in it, how it was made, its size, time and digest, and a digest of the sidecar, so that damage to
either is noticed. It is hidden so that `<file>*` matches records alone, in any tool.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from common.errors import UserError
from common.file_facts import FileFacts
from common.files import exists, file_size, last_change, last_write, remove, sha256_file
from common.json_objects import BOOLEAN, COUNT, COUNTS, TEXT, Kind, read_object, write_object

# What is used of a sidecar wherever it is there.
_FACTS = {"do_lower_case": BOOLEAN, "vocab_sha256": TEXT, "label_counts": COUNTS}


def write_sidecar(record_path: str, info: Mapping[str, Any]) -> None:
    """Writes the sidecar of a record file, in place of an earlier one.

    Args:
      record_path: A complete record file; its size, its time and its digest are added as `file_size`,
        `file_mtime_ns` and `file_sha256`.
      info: Facts for readers of the file, `num_examples` among them.
    """
    made = {
        "file_size": file_size(record_path),
        "file_mtime_ns": last_write(record_path),
        "file_sha256": sha256_file(record_path),
    }
    write_object(sidecar_path(record_path), {**info, **made})
    remove(_old_sidecar_path(record_path))


def read_sidecar(
    record_path: str, kinds: Mapping[str, Kind] | None = None, required: bool = False
) -> dict[str, Any] | None:
    """The content of a file's sidecar, or None if there is none (files of another tool).

    Args:
      record_path: The record file.
      kinds: Kinds of its values, as for `read_object`; `num_examples` is always a count.
      required: Whether all of these must be there.

    Raises:
      UserError: The sidecar is damaged.
    """
    path = _found_sidecar(record_path)
    if path is None:
        return None
    kinds = {"num_examples": COUNT, **_FACTS, **(kinds or {})}
    return read_object(path, kinds, required, f"create {record_path} again", may_lack=_FACTS)


def records_digest(record_path: str, info: Mapping[str, Any], facts: FileFacts) -> str:
    """SHA-256 of a file's bytes; that of its sidecar where the file has not been written since.

    It has not if its time is the one in the sidecar, which a file that is changed before it is copied
    has not, and if it was not changed after the sidecar, as one whose time is set back. A copy
    without the time of its original, and a file with a sidecar of an earlier version, are read, once
    a run.

    Args:
      record_path: The file.
      info: The content of its sidecar, empty for a file of another tool.
      facts: Known facts about files.

    Raises:
      UserError: The file is not the one that the sidecar describes.
    """
    known = info.get("file_sha256")
    sidecar = _found_sidecar(record_path) if known else None
    if (
        known
        and sidecar
        and info.get("file_mtime_ns") == last_write(record_path)
        and last_change(record_path) <= last_change(sidecar)
    ):
        return str(known)
    found = facts.recall("sha256", record_path, lambda: sha256_file(record_path))
    if known not in (None, found):
        raise UserError(
            f"{record_path} is corrupt or was overwritten: its SHA-256 is {found}, but {sidecar} has "
            f"{known}; create it again."
        )
    return found


def is_finished(record_path: str, info: Mapping[str, Any]) -> bool:
    """Whether a file is complete and undamaged, and was made as `info` says.

    Args:
      record_path: The file.
      info: Values its sidecar must have.
    """
    try:
        found = read_sidecar(record_path) if exists(record_path) else None
    except UserError:
        return False
    return (
        found is not None
        and all(found.get(name) == value for name, value in info.items())
        and found.get("file_size") == file_size(record_path)
        and found.get("file_sha256") == sha256_file(record_path)
    )


def check_replaceable(record_path: str, info: Mapping[str, Any], start_over: bool) -> None:
    """Keeps records from being replaced by others that were not asked for under that name.

    Files of other tools and damaged ones may be replaced.

    Args:
      record_path: The file that is to be written.
      info: Values that its sidecar is going to have.
      start_over: Whether records of another kind may be replaced.

    Raises:
      UserError: It holds records that were made from something else, or in another way.
    """
    try:
        found = read_sidecar(record_path) if exists(record_path) else None
    except UserError:
        return
    if not found or start_over:
        return
    for name, value in info.items():
        if found.get(name) != value:
            raise UserError(
                f"{record_path} was made with {name} = {_shortened(found.get(name))}, this command "
                f"has {_shortened(value)}; choose another name, or pass --start_over to replace it."
            )


def remove_sidecar(record_path: str) -> None:
    """Deletes the sidecar of a record file, if there is one."""
    remove(sidecar_path(record_path))
    remove(_old_sidecar_path(record_path))


def remove_records(record_path: str) -> None:
    """Deletes a record file and what describes it."""
    remove_sidecar(record_path)
    remove(record_path)


def sidecar_path(record_path: str) -> str:
    """Path of the sidecar of a record file."""
    folder, name = os.path.split(record_path)
    return os.path.join(folder, f".{name}.json")


def _old_sidecar_path(record_path: str) -> str:
    """Path of the sidecar in earlier versions; still read where there is no other."""
    return record_path + ".json"


def _found_sidecar(record_path: str) -> str | None:
    paths = (sidecar_path(record_path), _old_sidecar_path(record_path))
    return next(filter(exists, paths), None)


def _shortened(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
