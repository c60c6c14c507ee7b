"""Writes the nested sets of a transfer set, each the beginning of the next larger one."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

import numpy as np

from common.atomic import atomic_output
from common.errors import UserError
from common.files import (
    COMPRESSED,
    COMPRESSIONS,
    check_compression,
    compressed_writer,
    open_binary,
    remove,
)
from distillation.transfer_set import ShuffledTexts


def subset_paths(output_file: str, sizes: Sequence[str], are_pairs: bool) -> dict[str, int | None]:
    """The files of a transfer set and the texts they are to hold.

    Args:
      output_file: A name that ends in `.txt` (single texts only) or `.tsv`, maybe compressed.
      sizes: Numbers of texts such as `500`, `100k`, `1M`; none for one file of all texts.
      are_pairs: Whether the texts are pairs.

    Returns:
      Path -> number of texts, None for all. With sizes, `reviews.txt` becomes `reviews-100k.txt`.

    Raises:
      UserError: Another ending, or something that is no size.
    """
    match = re.fullmatch(
        rf"(.+)(\.txt|\.tsv)({'|'.join(map(re.escape, COMPRESSIONS))})", output_file
    )
    if not match or (are_pairs and match[2] != ".tsv"):
        expected = ".tsv, because the texts are pairs" if are_pairs else ".txt or .tsv"
        raise UserError(
            f'--output_file: "{output_file}" must end in {expected}; {COMPRESSED} may follow.'
        )
    check_compression(output_file, match[3])
    paths: dict[str, int | None] = {}
    for size in sizes:
        number = re.fullmatch(r"([1-9]\d*)([kM]?)", size.strip())
        if not number:
            raise UserError(
                f'--sizes: "{size}" is no number of texts; expected one such as 500, 100k or 1M.'
            )
        path = f"{match[1]}-{size.strip()}{match[2]}{match[3]}"
        paths[path] = int(number[1]) * {"": 1, "k": 1000, "M": 1_000_000}[number[2]]
    return paths or {output_file: None}


def write_subsets(
    texts: ShuffledTexts, paths: Mapping[str, int | None], num_sources: int
) -> tuple[dict[str, np.ndarray], int]:
    """Writes the texts in random order, each file as many of the first ones as it is to hold.

    Args:
      texts: All there are.
      paths: Path -> number of texts, None for all.
      num_sources: Number of sources.

    Returns:
      Path -> number of texts of each source, int [num_sources]; and the number of different texts
      there are in all.

    Raises:
      UserError: There are fewer texts than a file is to hold; no file is written then.
    """
    _check_sizes(paths, texts.num_added)
    counts = {path: np.zeros(num_sources, np.int64) for path in paths}
    num_texts = 0
    with contextlib.ExitStack() as stack:
        files = {path: stack.enter_context(_text_output(path)) for path in paths}
        for sources, lines in texts.shuffled():
            for path, size in paths.items():
                room = len(lines) if size is None else max(0, size - num_texts)
                files[path].write(b"".join([line + b"\n" for line in lines[:room]]))
                counts[path] += np.bincount(sources[:room], minlength=num_sources)
            num_texts += len(lines)
        _check_sizes(paths, num_texts)
    return counts, num_texts


def _check_sizes(paths: Mapping[str, int | None], num_texts: int) -> None:
    for path, size in paths.items():
        if size is not None and size > num_texts:
            raise UserError(
                f"--sizes: {path} is to hold {size} texts, but there are {num_texts} only; choose "
                "smaller sizes or add sources."
            )


@contextlib.contextmanager
def _text_output(path: str) -> Iterator[IO[bytes]]:
    with atomic_output(path) as temporary:
        with open_binary(temporary, "wb") as file, contextlib.ExitStack() as stack:
            yield stack.enter_context(compressed_writer(path, file))
        remove(manifest_path(path))


def manifest_path(path: str) -> str:
    """Path of the manifest, which records the making of a transfer set."""
    return f"{path}.json"
