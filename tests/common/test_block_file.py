"""common.block_file: blocks come back as they were, and errors name the folder."""

from __future__ import annotations

import pathlib
import resource
import tempfile

import pytest

from common.block_file import BlockFile
from common.errors import UserError


def test_blocks_come_back_in_order_and_again(tmp_path: pathlib.Path) -> None:
    blocks = BlockFile(2, str(tmp_path))
    expected = [[b"", b"a" * n] for n in (0, 1, 300)] + [[b"\x00\xff", b""]]
    for block in expected:
        blocks.append(*block)
    assert list(blocks) == expected
    assert list(blocks) == expected
    assert list(tmp_path.iterdir()) == []
    blocks.close()


def test_full_disk_names_the_folder(tmp_path: pathlib.Path) -> None:
    blocks = BlockFile(1, str(tmp_path))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(UserError, match=f"temporary files to {tmp_path}: .*TMPDIR"):
            blocks.append(bytes(1 << 20))
            list(blocks)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_folder_for_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", refuse)
    with pytest.raises(UserError, match=r"variable TMPDIR.*No usable temporary directory"):
        BlockFile(1)
