"""What is installed is what was tested: lock files have the hashes of all packages."""

from __future__ import annotations

import hashlib
import pathlib
import re
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOCKS = sorted(ROOT.glob("requirements*.lock"))
# A package, its extras and version, maybe a condition; then its hashes.
_LOCKED = re.compile(
    r"[a-z0-9][a-z0-9._-]*(\[[a-z0-9_, -]+\])?==[^\s;]+( ;[^\n\\]+)?"
    r"( \\\n    --hash=sha256:[0-9a-f]{64})+\n"
)


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_package_has_hashes_and_nothing_else_stands_there(path: pathlib.Path) -> None:
    text = path.read_text()
    lines = [line for line in text.splitlines() if line.startswith("#")]
    rest = _LOCKED.sub("", text)  # No address of a package index, above all.
    assert len(_LOCKED.findall(text)) > 2
    assert set(rest.splitlines()) <= {*lines, "-r requirements.lock"}


def test_what_run_tests_needs_is_locked() -> None:
    """Else tests of the site would be skipped."""
    locked = (ROOT / "requirements.lock").read_text()
    for package in ("mypy", "pytest", "pytest-xdist", "ruff", "mkdocs-material"):
        assert f"\n{package}==" in locked


def test_environments_are_made_with_hashes_alone() -> None:
    """PyTorch is the exception, and it is a file of its own."""
    script = (ROOT / "environment.sh").read_text()
    assert re.search(r'--require-hashes .*"\$\{locks\[@\]/#/-r\}"', script)
    assert set(re.findall(r"requirements[a-z-]*\.txt", script)) == {"requirements-torch.txt"}
    assert re.findall(r"^[^#].*$", (ROOT / "requirements-torch.txt").read_text(), re.M) == [
        "torch==2.13.0"
    ]


def make_wheel(folder: pathlib.Path) -> pathlib.Path:
    path = folder / "tested-1.0-py3-none-any.whl"
    contents = {
        "tested.py": "VALUE = 1\n",
        "tested-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tested\nVersion: 1.0\n",
        "tested-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any\n",
    }
    record = "tested-1.0.dist-info/RECORD"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in contents.items():
            wheel.writestr(name, text)
        wheel.writestr(record, "".join(f"{name},,\n" for name in [*contents, record]))
    return path


@pytest.mark.parametrize("is_changed", [False, True])
def test_a_changed_package_is_refused(tmp_path: pathlib.Path, is_changed: bool) -> None:
    """As `environment.sh` installs, but from this folder and into it."""
    pytest.importorskip("pip", reason="installed by something else than pip")
    digest = hashlib.sha256(make_wheel(tmp_path).read_bytes()).hexdigest()
    if is_changed:
        digest = digest[:-1] + ("0" if digest[-1] != "0" else "1")
    (tmp_path / "a.lock").write_text(f"tested==1.0 \\\n    --hash=sha256:{digest}\n")
    command = [
        sys.executable,
        "-m",
        "pip",
        "--isolated",
        "install",
        "--require-hashes",
        "--no-index",
    ]
    command += ["--find-links", str(tmp_path), "--target", str(tmp_path / "into"), "-ra.lock"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (tmp_path / "into" / "tested.py").exists() == (not is_changed)
    assert (result.returncode != 0) == is_changed, result.stderr
    assert ("DO NOT MATCH THE HASHES" in result.stderr) == is_changed
