"""`--help`: all flags of a script, in groups with headings, and the docstring as it is."""

from __future__ import annotations

import ast
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from absl import flags
from scripts import ROOT

from experiments.fork_server import ForkServer
from training import help as script_help

SCRIPTS = sorted(path.name for path in ROOT.glob("*.py"))
MODULES = [
    *(f"experiments.{name}" for name in ("compare_strategies",)),
    *(f"experiments.{name}" for name in ("docstring_corpus", "glue_table")),
    *(f"benchmarks.{name}" for name in ("compare", "step_profile")),
]


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    """Forks a process that has imported what all scripts do before they read their flags."""
    server = ForkServer({**os.environ, "COLUMNS": "80"}, preloaded=["training.cli"])
    yield server
    server.close()


def docstring(script: str) -> str:
    path = ROOT / (script if script.endswith(".py") else script.replace(".", "/") + ".py")
    return ast.get_docstring(ast.parse(path.read_text()), clean=False) or ""


@pytest.mark.parametrize("script", [*SCRIPTS, *MODULES])
def test_help_of_every_script(server: ForkServer, script: str, tmp_path: pathlib.Path) -> None:
    call = [str(ROOT / script)] if script.endswith(".py") else ["-m", script]
    log = tmp_path / "log"

    def shown(flag: str) -> tuple[int, str]:
        """Exit status, and both streams of output."""
        return server.start([sys.executable, *call, flag], str(log)).wait(), log.read_text()

    status, text = shown("--help")
    assert status == 0
    text, _, groups = text.partition("\n\n\n")
    assert text == docstring(script).strip()
    # A heading without a name would be that of flags in no group.
    headings = re.findall(r"^(\S.*)?:$", groups, re.MULTILINE)
    assert headings and all(headings) and len(headings) == len(set(headings))
    names = re.findall(r"^  --(?:\[no\])?(\w+)", groups, re.MULTILINE)
    assert len(names) == len(set(names)) > 0
    # Each flag is in a group, and nothing of absl is there.
    assert not {"flagfile", "help", "verbosity", "pdb"} & set(names)
    _, full = shown("--helpxml")
    defined = set(re.findall(r"<file>(?!absl)[^<]*</file>\s*<name>(\w+)</name>", full))
    assert set(names) == defined


def test_commands_in_docstrings_go_on_in_the_next_line() -> None:
    """A single backslash at the end of a line would join the lines, in --help, too."""
    for script in [*SCRIPTS, *MODULES]:
        for line in docstring(script).splitlines():
            assert not re.search(r"\S   +--", line), f"{script}: {line}"


@pytest.fixture
def values(monkeypatch: pytest.MonkeyPatch) -> flags.FlagValues:
    values = flags.FlagValues()
    monkeypatch.setattr(flags, "FLAGS", values)
    monkeypatch.setattr(script_help, "_groups", [])
    return values


def test_text(values: flags.FlagValues) -> None:
    script_help.group("Input")
    flags.DEFINE_string("file", None, "File to read.", flag_values=values)
    flags.DEFINE_enum("form", "a", ["a", "b"], "Form.", flag_values=values)
    script_help.group("Output")
    flags.DEFINE_list("sizes", ["1", "2"], "Sizes " + "of it " * 14, flag_values=values)
    flags.DEFINE_bool("fast", False, "Hurry.", flag_values=values)
    flags.mark_flag_as_required("file", flag_values=values)
    assert script_help.help_text("Does it:\n  python it.py \\\n    --file=a\n", 60) == (
        "Does it:\n  python it.py \\\n    --file=a\n\n\n"
        "Input:\n\n"
        "  --file=...  (required)\n      File to read.\n\n"
        "  --form=a|b  (default: a)\n      Form.\n\n\n"
        "Output:\n\n"
        "  --sizes=...  (default: 1,2)\n"
        "      Sizes of it of it of it of it of it of it of it of it\n"
        "      of it of it of it of it of it of it\n\n"
        "  --[no]fast  (default: False)\n      Hurry.\n\n\n"
        "absl's own flags, such as --flagfile: --helpfull"
    )


def test_a_heading_that_comes_again_goes_on(values: flags.FlagValues) -> None:
    flags.DEFINE_bool("early", False, "", flag_values=values)
    for heading, name in (("A", "a"), ("B", "b"), ("A", "c")):
        script_help.group(heading)
        flags.DEFINE_bool(name, False, "", flag_values=values)
    names = {h: [flag.name for flag in f] for h, f in script_help.grouped_flags().items()}
    assert names == {"": ["early"], "A": ["a", "c"], "B": ["b"]}


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = f"{sys.executable} run_classifier.py --help | head -1"
    shown = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert (shown.stdout.count("\n"), shown.stderr) == (1, "")
