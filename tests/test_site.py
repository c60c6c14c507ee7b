"""The site of docs/ builds without warnings: links and headings that are linked to are there."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest
from scripts import ROOT

pytest.importorskip("material", reason="run_tests.sh installs it; pip install -e '.[docs]'")


def build(*arguments: str, folder: pathlib.Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    return subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True)


def test_site(tmp_path: pathlib.Path) -> None:
    result = build(folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert not re.findall(r"^(?:WARNING|ERROR).*", result.stderr, re.MULTILINE)
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    assert {path.parent.name for path in tmp_path.glob("*/index.html")} >= pages
    assert 'class="mermaid"' in (tmp_path / "design" / "index.html").read_text()


def test_a_broken_link_is_found(tmp_path: pathlib.Path) -> None:
    """As the site's own settings look for it."""
    settings = (ROOT / "mkdocs.yml").read_text()
    settings = re.sub(r"^nav:\n(?:  .*\n)*", "", settings, flags=re.MULTILINE)
    settings = re.sub(r"^extra_css:\n(?:  .*\n)*", "", settings, flags=re.MULTILINE)
    (tmp_path / "mkdocs.yml").write_text(settings)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Title\n\n[x](#nowhere)\n")
    result = build("--config-file", str(tmp_path / "mkdocs.yml"), folder=tmp_path / "site")
    assert result.returncode != 0
    assert "#nowhere" in result.stderr
