"""Data is never code: what ruff's rules of security refuse, and what they have no rule for."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from scripts import ROOT

# Pickles in NumPy's files; members of an archive, which are written wherever their names say.
NO_RULE = re.compile(r"allow_pickle=(?!False)|\.extract\(")


def findings(source: str) -> str:
    """What the project's rules of security say about a module."""
    command = [sys.executable, "-m", "ruff", "check", "--ignore=E,F,I,W,SIM", "--quiet", "-"]
    command.append("--stdin-filename=common/module.py")
    ruff = subprocess.run(command, cwd=ROOT, input=source, capture_output=True, text=True)
    assert not ruff.stderr
    return ruff.stdout


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib",
        "eval(text)",
        "exec(text)",
        "import tarfile\ntarfile.open(path).extractall()",
        "import shutil\nshutil.unpack_archive(path)",
        "import yaml\nyaml.load(text)",
        "import torch\ntorch.load(path)",
        "import subprocess\nsubprocess.run(text, shell=True)",
    ],
)
def test_rules_of_security_refuse(source: str) -> None:
    assert findings(source)


def test_rules_of_security_pass() -> None:
    assert not findings(
        "import re\nimport subprocess\n\nre.compile(x)\nsubprocess.run([program])\n"
    )


def test_no_module_does_what_they_have_no_rule_for() -> None:
    modules = [p for p in ROOT.rglob("*.py") if not {"tests", ".venv"} & set(p.parts)]
    assert len(modules) > 50
    found = [str(p) for p in modules if NO_RULE.search(p.read_text(encoding="utf-8"))]
    assert not found
