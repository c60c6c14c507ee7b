"""Content by digest: what tells data and weights apart, whatever they are called."""

from __future__ import annotations

from typing import NamedTuple


class Content(NamedTuple):
    """Data or weights that a result depends on.

    Attributes:
      sha256: Hexadecimal digest of everything in it that changes results.
      source: Path or flag that the user knows it by, for messages.
    """

    sha256: str
    source: str
