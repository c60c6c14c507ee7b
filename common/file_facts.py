"""Facts about files that take reading them to the end, remembered while the files do not change."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from common.errors import UserError
from common.files import exists, file_size, last_change
from common.json_objects import read_object, write_object

FACTS_FILE = "input_facts.json"
Fact = TypeVar("Fact")


class FileFacts:
    """Facts by file, known again when its size and the time of its last change are the same.

    Args:
      folder: Folder of a run, where they are kept in `input_facts.json`; None to keep none.
    """

    def __init__(self, folder: str | None = None):
        self._path = folder and os.path.join(folder, FACTS_FILE)
        self._facts: dict[str, Any] = {}
        self._is_changed = False
        if self._path and exists(self._path):
            try:
                facts = read_object(self._path, {})
                self._facts = {k: v for k, v in facts.items() if type(v) is list and len(v) == 3}
            except UserError:  # Damaged, so nothing is known.
                self._is_changed = True

    def recall(self, name: str, path: str, find: Callable[[], Fact]) -> Fact:
        """The fact of that name (JSON) about a file, which is found by `find` if it is not known."""
        # Asked first: a file that changes meanwhile is looked at again.
        state = [file_size(path), last_change(path)]
        known = self._facts.get(f"{name} of {path}")
        if known and known[:2] == state:
            return known[2]
        found = find()
        self._facts[f"{name} of {path}"] = [*state, found]
        self._is_changed = True
        return found

    def save(self) -> None:
        """Writes what has been found since it was read, if anything."""
        if self._path and self._is_changed:
            write_object(self._path, self._facts)
            self._is_changed = False
