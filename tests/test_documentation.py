"""README, docs and docstrings: links, commands and first words."""

from __future__ import annotations

import ast
import json
import pathlib
import re
import subprocess
import sys

import pytest
from scripts import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RESULTS = sorted(ROOT.glob("*/results/*.json"))
# [text](target) and ![text](target).
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def page_name(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def prose(text: str) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", text)


def anchors(text: str) -> set[str]:
    """The names that GitHub and MkDocs give to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(path: pathlib.Path) -> list[str]:
    broken = []
    for target in LINK.findall(prose(path.read_text())):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        linked = path.parent / name if name else path
        if not linked.exists() or (anchor and anchor not in anchors(linked.read_text())):
            broken.append(target)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links(page: pathlib.Path) -> None:
    assert broken_links(page) == []


def test_links_that_lead_nowhere_are_found(tmp_path: pathlib.Path) -> None:
    (tmp_path / "b.md").write_text("## Two words, a comma\n\n```\n# no heading\n```\n")
    page = tmp_path / "a.md"
    page.write_text(
        "[x](b.md) [x](b.md#two-words-a-comma) [x](https://c/d.md)\n"
        "[x](c.md) [x](b.md#no-heading) ![x](d.png) [x](#here)\n"
    )
    assert broken_links(page) == ["c.md", "b.md#no-heading", "d.png", "#here"]


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_tests_that_a_page_names_are_there(page: pathlib.Path) -> None:
    named = re.findall(r"`((?:tests/[\w/]*)?test_\w+\.py|tests/[\w/]+/)`", page.read_text())
    folders = (ROOT, ROOT / "tests" / "robustness")
    assert [name for name in named if not any((f / name).exists() for f in folders)] == []


@pytest.mark.parametrize("file", RESULTS, ids=page_name)
def test_committed_results_are_json(file: pathlib.Path) -> None:
    """To other readers than Python's, too, which know no NaN."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    json.loads(file.read_text(), parse_constant=refuse)


def test_site_has_every_page() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in PAGES[1:]]
    assert [page for page in pages if f": {page}\n" not in navigation] == []


def test_readme_is_one_page() -> None:
    assert (ROOT / "README.md").read_text().count("\n") <= 200


def test_reference_of_flags_is_up_to_date() -> None:
    """Made by a command, in a process of its own because scripts define flags of the same names."""
    command = [sys.executable, str(ROOT / "docs" / "generate_flags.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def known_flags() -> dict[str, set[str]]:
    """Script or module -> its flags, by the reference of flags."""
    known: dict[str, set[str]] = {}
    for line in (ROOT / "docs" / "reference" / "flags.md").read_text().splitlines():
        if line.startswith("## "):
            names = known.setdefault(line[3:].removeprefix("python -m "), {"help"})
        elif match := re.match(r"\| `--(\[no\])?(\w+)", line):
            names.add(match[2])
            if match[1]:
                names.add("no" + match[2])
    return known


def unknown_flags(text: str) -> list[str]:
    """The flags in commands of a text that their script does not have."""
    known = known_flags()
    text = re.sub(r"\\\n\s*", " ", text)  # Commands of several lines.
    unknown = []
    for line in re.findall(r"^.*?(?:python|`\w+\.py) .*$|`\w+\.py [^`]*`", text, re.MULTILINE):
        for command in re.split(r"`|;|&&|\bthen\b", line):
            called = re.search(r"(?:python3? (?:-m )?|^)([\w.]+)((?: .*)?)$", command.strip())
            if not called or called[1] not in known:
                continue
            own, _, of_runs = called[2].partition(" -- ")
            parts = [(called[1], own.partition("#")[0])]
            if of_runs:
                script = re.search(r"--script=(\S+)", own)
                parts.append((script[1] if script else "run_classifier.py", of_runs))
            for script_name, arguments in parts:
                unquoted = re.sub(r"'[^']*'|\"[^\"]*\"", "", arguments)
                names = re.findall(r"(?<=\s)--(\w+)", " " + unquoted)
                unknown += [f"{script_name} --{n}" for n in names if n not in known[script_name]]
    return unknown


COMMAND_SOURCES = [
    *PAGES,
    *sorted(ROOT.glob("*.py")),
    *sorted((ROOT / "recipes").glob("*.sh")),
    *sorted((ROOT / "examples").iterdir()),
]


@pytest.mark.parametrize("source", COMMAND_SOURCES, ids=page_name)
def test_commands_have_flags_of_their_scripts(source: pathlib.Path) -> None:
    # In a docstring, a backslash at the end of a line is written twice.
    assert unknown_flags(source.read_text().replace("\\\\\n", "\\\n")) == []


def test_unknown_flags_are_found() -> None:
    text = (
        "`run_classifier.py --wrong` and `run_distill.py --temperature=2`\n"
        "A=1 python run_pretraining.py --do_train --nodo_eval \\\n    --steps=3   # --not_this\n"
        "  python run_grid_search.py --jobs=2 --script=run_distill.py -- --eval_file=a --jobs=1\n"
    )
    assert unknown_flags(text) == [
        "run_classifier.py --wrong",
        "run_pretraining.py --steps",
        "run_distill.py --jobs",
    ]


MODULES = [
    path
    for path in sorted(ROOT.rglob("*.py"))
    if not {"tests", ".venv"} & set(path.relative_to(ROOT).parts)
]
# A docstring says what a thing is, in the terms of the field, and is no question about it.
QUESTION = re.compile(r"(What|How|Where|Which|That|Those|Who|When|Why)\b")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def questions(source: str) -> list[str]:
    """First lines of docstrings, and of entries of their lists, that begin with a question word."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, DOCUMENTED)]
    docstrings = [text for node in nodes if (text := ast.get_docstring(node))]
    entries = [re.findall(r"^ +\w+: (.*)", text, re.MULTILINE) for text in docstrings]
    lines = [line for i, text in enumerate(docstrings) for line in (text, *entries[i])]
    return [line.splitlines()[0] for line in lines if QUESTION.match(line)]


@pytest.mark.parametrize("module", MODULES, ids=page_name)
def test_docstrings_are_statements(module: pathlib.Path) -> None:
    assert questions(module.read_text()) == []


def test_questions_are_found() -> None:
    text = (
        '"""What it is."""\n'
        'def f(a, b):\n    """A sum.\n\n    Args:\n      a: How many.\n      b: Whatever."""\n'
    )
    assert questions(text) == ["What it is.", "How many."]
