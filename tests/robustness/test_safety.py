"""Data is never code: nothing in the tree can run, or write outside its folder, what a file says."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator

import pytest
from scripts import ROOT

# Modules that turn files into programs.
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
# Calls, and calls by their last name. `torch.load` unpickles, `yaml.load` builds any object, and the
# others write the members of an archive wherever their names say.
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {"extractall", "extract", "unpack_archive", "read_pickle", "torch.load", "yaml.load"}


def unsafe(source: str) -> list[str]:
    """What a module should not do, with line numbers."""
    return [f"line {node.lineno}: {what}" for node, what in _findings(ast.parse(source))]


def _findings(tree: ast.Module) -> Iterator[tuple[ast.stmt | ast.expr, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name.partition(".")[0] for alias in node.names]
            yield from ((node, f"import {name}") for name in names if name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").partition(".")[0] in MODULES:
                yield node, f"import {node.module}"
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            last = name.rpartition(".")[2]
            if name in CALLS or last in METHODS or name in METHODS:
                # re.compile and a model's eval() are other functions: they have a dot.
                yield node, f"{name}()"
            for keyword in node.keywords:
                is_true = not (isinstance(keyword.value, ast.Constant) and not keyword.value.value)
                if (keyword.arg, is_true) in (("allow_pickle", True), ("shell", True)):
                    yield node, f"{name}({keyword.arg}={ast.unparse(keyword.value)})"


def test_no_module_runs_what_it_reads() -> None:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "*.py"], capture_output=True, text=True, check=False
    ).stdout.split()
    paths = [ROOT / name for name in listed] or list(ROOT.rglob("*.py"))
    modules = [p for p in paths if "tests" not in p.relative_to(ROOT).parts and p.exists()]
    modules = [p for p in modules if not any(part.startswith(".") for part in p.parts[-4:])]
    assert len(modules) > 50
    found = {str(p.relative_to(ROOT)): unsafe(p.read_text(encoding="utf-8")) for p in modules}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "eval(text)",
        "exec(text)",
        "import tarfile\ntarfile.open(path).extractall()",
        "archive.extract(member, folder)",
        "shutil.unpack_archive(path)",
        "import yaml\nyaml.load(text)",
        "torch.load(path)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_the_search_finds(source: str) -> None:
    assert unsafe(source)
    assert not unsafe("import re\nre.compile(x)\nmodel.eval()\nnp.load(p, allow_pickle=False)")
