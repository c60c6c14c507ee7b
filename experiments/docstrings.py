"""English in the docstrings of installed Python packages, which are read but never run."""

from __future__ import annotations

import ast
import collections
import concurrent.futures
import dataclasses
import importlib.metadata
import inspect
import itertools
import logging
import os
import re
import sysconfig
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tqdm import tqdm

from common.errors import UserError
from pretraining.sentences import split_sentences


@dataclasses.dataclass(frozen=True)
class SourceFile:
    """A Python file of an installed package: its distribution, where it is, its name in there."""

    distribution: str
    path: str
    name: str


@dataclasses.dataclass(frozen=True)
class Document:
    """The English of one Python file.

    Attributes:
      distribution: Normalized name of the distribution it belongs to.
      name: Path of the file below site-packages.
      docstrings: Sentences of each docstring.
    """

    distribution: str
    name: str
    docstrings: list[list[str]]


def default_site_packages() -> list[str]:
    """The package folders of the running interpreter."""
    return list(dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]))


def dependency_tree(
    roots: Iterable[str], folders: Sequence[str]
) -> dict[str, importlib.metadata.Distribution]:
    """Packages and, step by step, what they require, sorted by name.

    What else an environment holds (tools, other projects) is left out, so that the same versions of
    the dependencies give the same text.

    Args:
      roots: Normalized names (lower case, hyphens) of packages that must be there.
      folders: Folders with installed packages.

    Returns:
      Normalized name -> package.

    Raises:
      UserError: A root is not installed there.
    """
    installed: dict[str, importlib.metadata.Distribution] = {}
    for distribution in importlib.metadata.distributions(path=list(folders)):
        installed.setdefault(_normalized(distribution.metadata["Name"]), distribution)
    wanted = list(roots)
    for name in wanted:
        if name not in installed:
            raise UserError(
                f"{', '.join(folders)}: the package {name} is not installed; install the packages "
                "of requirements.lock or point --site_packages to where they are."
            )
    tree = {}
    while wanted:
        name = wanted.pop()
        if name in tree or name not in installed:
            continue
        tree[name] = installed[name]
        for requirement in installed[name].requires or []:
            required, _, marker = requirement.partition(";")
            if "extra" not in marker:
                wanted.append(_normalized(re.split(r"[^\w.-]", required.strip(), maxsplit=1)[0]))
    return dict(sorted(tree.items()))


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


_SKIPPED_FOLDERS = {
    *("test", "tests", "testing", "_test", "_tests", "_testing"),
    # Other projects' code, carried along.
    *("_vendor", "_vendored", "vendored", "externals", "third_party"),
    *("array_api_compat", "array_api_extra"),
}
_TEST_FILE = re.compile(r"test_.*|.*_tests?|conftest|.*_test_\w*|.*_pb2(_grpc)?")


def source_files(
    distributions: Mapping[str, importlib.metadata.Distribution],
) -> list[SourceFile]:
    """The Python files of packages without their tests, sorted by package and name, each once."""
    found: dict[str, SourceFile] = {}
    for distribution, package in distributions.items():
        for file in sorted(package.files or [], key=str):
            *folders, _ = file.parts
            if (
                file.suffix == ".py"
                and _SKIPPED_FOLDERS.isdisjoint(folders)
                and not _TEST_FILE.fullmatch(file.stem)
            ):
                name = file.as_posix()
                path = str(package.locate_file(file))
                found.setdefault(name, SourceFile(distribution, path, name))
    return list(found.values())


def read_documents(files: Sequence[SourceFile]) -> tuple[list[Document], dict[str, int]]:
    """Reads the English of Python files without running them, on all cores.

    Returns:
      The files that hold any, in the given order, and counts: files read, files that are not valid
      Python or not there, docstrings, characters of docstrings.
    """
    documents = []
    counts = collections.Counter(files=0, unreadable_files=0, docstrings=0, docstring_characters=0)
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(_read_document, files, chunksize=32)
        progress = tqdm(results, "Reading docstrings", len(files), unit=" files", mininterval=0.5)
        for document, of_file in progress:
            counts.update(of_file)
            if document.docstrings:
                documents.append(document)
    if counts["unreadable_files"]:
        logging.warning("%d Python files could not be read.", counts["unreadable_files"])
    return documents, dict(counts)


def _read_document(file: SourceFile) -> tuple[Document, dict[str, int]]:
    try:
        with open(file.path, "rb") as stream:
            found = docstrings(stream.read())
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        logging.debug("%s: %s", file.path, error)
        return Document(file.distribution, file.name, []), {"unreadable_files": 1}
    sentences = list(filter(None, map(english_sentences, found)))
    counts = {
        "files": 1,
        "docstrings": len(found),
        "docstring_characters": sum(map(len, found)),
    }
    return Document(file.distribution, file.name, sentences), counts


# Fields of statements that hold statements.
_BLOCKS = {"body", "orelse", "finalbody", "handlers", "cases"}


def docstrings(source: bytes) -> list[str]:
    """The docstrings in a Python file and those it gives to compiled code, in their order.

    Raises:
      SyntaxError or ValueError: The file is not valid Python of the running version.
    """
    if b'"""' not in source and b"'''" not in source:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of the parser, about other people's code.
        tree = ast.parse(source)
    found = []
    # Only statements are visited; expressions are most of the tree and hold no docstring.
    nodes: list[ast.AST] = [tree]
    while nodes:
        node = nodes.pop()
        for field in _BLOCKS.intersection(node._fields):
            nodes += getattr(node, field)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = ast.get_docstring(node, clean=False)
            if docstring:
                found.append((node.body[0].lineno, docstring))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            docstring = _added_docstring(node.value)
            if docstring:
                found.append((node.lineno, docstring))
    return [docstring for _, docstring in sorted(found)]


def _added_docstring(call: ast.Call) -> str | None:
    """The text in a call of `add_newdoc`: how NumPy and SciPy document functions written in C."""
    function = call.func
    if getattr(function, "attr", getattr(function, "id", None)) != "add_newdoc":
        return None
    parts = (part for argument in call.args for part in ast.walk(argument))
    texts = [
        part.value
        for part in parts
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ]
    return max(texts, key=len, default=None)


def english_sentences(docstring: str) -> list[str]:
    """The English sentences of a docstring in their order, markup removed, each with an end mark.

    Left out: code, doctests, formulas, tables, headings, references, names and types of parameters
    (their descriptions are kept), and whatever is too short, too long or too little made of words.
    Understands the conventions of Google, NumPy and Sphinx.
    """
    sentences: list[str] = []
    for paragraph in _paragraphs(docstring):
        for mark, pattern, replacement in _MARKUP:
            if mark in paragraph:
                paragraph = pattern.sub(replacement, paragraph)
        sentences += filter(_is_english, split_sentences(" ".join(paragraph.split())))
    return [sentence if sentence[-1] in ".!?" else sentence + "." for sentence in sentences]


_UNDERLINE = re.compile(r"\s*([-=~^\"'*+#.`_])\1{2,}\s*")
_LEFT_OUT_SECTIONS = {"see also", "references"}
_HEADING = re.compile(r"\s*[`\w][`\w ]{0,30}:\s*")
_DIRECTIVE = re.compile(r"\s*\.\.\s(?:(?P<name>[\w-]+)::)?(?P<text>.*)")
_PROSE_DIRECTIVES = {
    *("note", "warning", "tip", "important", "caution", "hint", "attention", "deprecated"),
}
_VERSION = re.compile(r"\s*v?\d[\w.]*")
_TABLE_OR_PROMPT = ("|", "+-", "+=", "@", "#", "$ ", "In [")
_ITEM = re.compile(r"\s*(?:[-*+\u2022]|\(?\d{1,2}[.)]|#\.)\s+")
# Google's "name (type): text" and Sphinx's ":param name: text".
_DESCRIBED = re.compile(
    r"\s*(?:[`*]*[\w.]+[`*]*(?:\s*\((?:[^()]|\([^()]*\))*\))?|:(?!r?type)\w+[^:`]*):\s+(?=\S)"
)
# NumPy's "name : type" and Sphinx's ":type name: type".
_TYPE_ONLY = re.compile(r"\s*(?:[\w.*`'\", \\/-]{1,60}\s:(?:\s.*)?|:r?type\b.*)")


def _paragraphs(docstring: str) -> Iterator[str]:
    """Yields paragraphs of prose, each on one line; items and descriptions are paragraphs too."""
    lines: list[str] = []
    hanging = False  # Whether the lines of the paragraph may be indented deeper than its first.
    paragraph_indent = 0
    for line in [*_prose_lines(inspect.cleandoc(docstring).split("\n")), ""]:
        indent = len(line) - len(line.lstrip())
        item = _ITEM.match(line)
        start = item.end() if item else 0
        described = _DESCRIBED.match(line, start)
        begins = bool(item or described)
        continues = indent == paragraph_indent or (hanging and indent > paragraph_indent)
        if lines and (not line.strip() or begins or not continues):
            yield " ".join(lines)
            lines = []
        if not lines:
            paragraph_indent, hanging = indent, begins
        if line.strip():
            lines.append(line[described.end() if described else start :].strip())


def _prose_lines(lines: Sequence[str]) -> Iterator[str]:
    """Yields lines without what cannot be prose; an empty line stands for each gap."""
    block_indent: int | None = None  # Of the line whose deeper lines are being left out.
    in_fence = in_doctest = in_left_out_section = False
    for line, following in itertools.zip_longest(lines, lines[1:], fillvalue=""):
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        if text.startswith(("```", "~~~")) and not text[3:].endswith(text[:3]):
            in_fence = not in_fence
            text = ""
        if block_indent is not None and text and indent <= block_indent:
            block_indent = None
        if not text:
            in_doctest = False
        elif text.startswith(">>>"):
            in_doctest = True
        directive = _DIRECTIVE.fullmatch(line)
        if _UNDERLINE.fullmatch(following) and text:
            in_left_out_section = text.lower() in _LEFT_OUT_SECTIONS
            yield ""
        elif in_fence or in_doctest or in_left_out_section or block_indent is not None or not text:
            yield ""
        elif directive:
            yield ""
            if directive["name"] in _PROSE_DIRECTIVES:
                yield " " * indent + "- " + _VERSION.sub("", directive["text"], count=1)
            else:
                block_indent = indent
        elif (
            text.startswith(_TABLE_OR_PROMPT)
            or _UNDERLINE.fullmatch(line)
            or _HEADING.fullmatch(line)
            or (_TYPE_ONLY.fullmatch(line) and not _DESCRIBED.match(line))
        ):
            yield ""
        else:
            yield line
            if text.endswith("::"):
                block_indent = indent


# Characters without which a pattern is not tried, the pattern, and what takes its place.
_MARKUP = [
    (mark, re.compile(pattern), replacement)
    for mark, pattern, replacement in (
        ("`", r":[\w:+-]+:`([^`<]*?)\s*<[^`>]*>`", r"\1"),  # :ref:`text <target>`
        ("`", r":[\w:+-]+:`[~!]?([^`]*)`", r"`\1`"),  # :class:`~package.Name`
        ("`", r"`([^`<]+?)\s*<[^`>]*>`_{0,2}", r"\1"),  # `text <address>`_
        ("](", r"!?\[([^\]\[]*)\]\((?:[^()]|\([^()]*\))*\)", r"\1"),  # [text](address)
        ("]_", r"\s?\[#?[\w-]*\]_", ""),  # [1]_
        ("`", r"`~?([^`]*)`(?:__?(?!\w))?", r"\1"),
        ("`", r"`", ""),
        ("**", r"\*\*([^*]+)\*\*", r"\1"),
        ("*", r"(?<![\w*])\*(\w(?:[^*]*[\w.])?)\*(?![\w*])", r"\1"),
        ("|", r"\|([A-Za-z][\w.]*)\|", r"\1"),  # |substitution|
    )
]
_NOT_ENGLISH = re.compile(r"[\\{}|^]|::|://|[%$][({]|TODO|--|==")
_MIN_WORDS, _MAX_WORDS = 4, 60
_MIN_LETTERS = 0.8  # Share of the characters that are not spaces.
_FUNCTION_WORD = re.compile(
    r"\b(?:a|all|an|and|any|are|as|at|be|been|by|can|each|for|from|has|have|if|in|into|is|it|its|may|"
    r"must|not|of|on|one|only|or|same|set|should|than|that|the|then|these|this|to|use|used|using|was|"
    r"when|where|which|will|with|you|your)\b",
    re.IGNORECASE,
)


def _is_english(sentence: str) -> bool:
    words = sentence.split()
    if not _MIN_WORDS <= len(words) <= _MAX_WORDS or _NOT_ENGLISH.search(sentence):
        return False
    if not (sentence[0].isalnum() or sentence[0] in "\"'(") or sentence[-1] in ",;:(-":
        return False
    if sum(map(str.isalpha, sentence)) < _MIN_LETTERS * sum(map(len, words)):
        return False
    return _FUNCTION_WORD.search(sentence) is not None
