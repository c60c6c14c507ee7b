"""Which texts of the source code a script can come to, by following names from function to function.

A function, method or class is reached when something that is reached names it; a method, when its
class is reached and something names an attribute like it. Annotations reach nothing.
"""

from __future__ import annotations

import ast
import functools
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

from scripts import ROOT


class Node(NamedTuple):
    """A function, a method ("Class.method"), a class without its methods, or a variable."""

    module: str
    name: str


class Module:
    """The source of a module.

    Attributes:
      code: Name of a node -> its syntax trees; those of "" stand outside of any.
      imports: Name in the module -> module, and name in that ("" for the module itself).
    """

    def __init__(self, path: pathlib.Path):
        tree = ast.parse(path.read_text())
        self.path = path
        self.imports: dict[str, tuple[str, str]] = {}
        self.code: dict[str, list[ast.AST]] = {"": []}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    found = (node.module, alias.name)
                    if _path(".".join(found)):
                        found = (".".join(found), "")
                    self.imports[alias.asname or alias.name] = found
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    self.imports[alias.asname or alias.name] = (alias.name, "")
        for statement in tree.body:
            if isinstance(statement, ast.ClassDef):
                self._add_class(statement)
            elif isinstance(statement, ast.FunctionDef):
                self.code[statement.name] = [statement]
            elif isinstance(statement, ast.Assign | ast.AnnAssign):
                targets = statement.targets if isinstance(statement, ast.Assign) else []
                names = [target.id for target in targets if isinstance(target, ast.Name)]
                for name in names or [""]:
                    self.code.setdefault(name, []).append(statement)
            else:
                self.code[""].append(statement)

    def _add_class(self, statement: ast.ClassDef) -> None:
        self.code[statement.name] = [*statement.bases, *statement.decorator_list]
        for part in statement.body:
            if isinstance(part, ast.FunctionDef) and not part.name.startswith("__"):
                self.code[f"{statement.name}.{part.name}"] = [part]
            else:
                self.code[statement.name].append(part)


def _path(module: str) -> pathlib.Path | None:
    path = ROOT / f"{module.replace('.', '/')}.py"
    return path if path.exists() else None


@functools.cache
def _module(name: str) -> Module | None:
    path = _path(name)
    return Module(path) if path else None


def _walk(tree: ast.AST) -> Iterator[ast.AST]:
    """`ast.walk` without annotations and docstrings."""
    yield tree
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns"):
            continue
        children = value if isinstance(value, list) else [value]
        for child in children:
            is_text = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if isinstance(child, ast.AST) and not is_text:
                yield from _walk(child)


def reached(module: str) -> set[Node]:
    """All nodes that a script reaches, given the name of its module."""
    found: set[Node] = set()
    attributes: set[str] = set()
    start = _module(module)
    assert start, module
    waiting = [Node(module, name) for name in start.code if "." not in name]
    methods: dict[str, list[Node]] = {}
    while waiting:
        node = waiting.pop()
        source = _module(node.module)
        if node in found or source is None or node.name not in source.code:
            continue
        found.add(node)
        for name in source.code:
            if node.name and name.startswith(f"{node.name}."):
                methods.setdefault(name.partition(".")[2], []).append(Node(node.module, name))
        for part in source.code[node.name]:
            for used in _walk(part):
                if isinstance(used, ast.Name):
                    waiting.append(Node(*source.imports.get(used.id, (node.module, used.id))))
                elif isinstance(used, ast.Attribute):
                    attributes.add(used.attr)
                    if isinstance(used.value, ast.Name) and used.value.id in source.imports:
                        waiting.append(Node(source.imports[used.value.id][0], used.attr))
        waiting += [m for name in attributes & methods.keys() for m in methods[name]]
    return found


def texts(node: Node) -> Iterator[str]:
    """The texts of a node, an f-string in one with "{}" for its values."""
    source = _module(node.module)
    assert source
    inside: set[int] = set()
    found: list[ast.Constant] = []
    for part in source.code[node.name]:
        for tree in _walk(part):
            if isinstance(tree, ast.JoinedStr):
                inside |= {id(value) for value in ast.walk(tree) if isinstance(value, ast.Constant)}
                yield "".join(
                    str(value.value) if isinstance(value, ast.Constant) else "{}"
                    for value in tree.values
                )
            elif isinstance(tree, ast.Constant) and isinstance(tree.value, str):
                found.append(tree)
    yield from (str(text.value) for text in found if id(text) not in inside)
