"""Who imports whom, read from the sources; imports inside of functions count as well."""

from __future__ import annotations

import ast
import graphlib
import pathlib
from collections.abc import Mapping

ROOT = pathlib.Path(__file__).resolve().parent.parent
# A script at the top of the tree stands in no room.
SCRIPTS = "scripts"
ROOMS = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))


def modules() -> dict[str, ast.Module]:
    """Dotted name -> syntax tree, of the scripts and of all modules in rooms."""
    paths = [*ROOT.glob("*.py"), *(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))]
    found = {}
    for path in paths:
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text())
    return found


def module_imports() -> dict[str, set[str]]:
    """Module -> the modules of the project that it imports."""
    trees = modules()
    imports: dict[str, set[str]] = {}
    for name, tree in trees.items():
        named = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                whole = (f"{node.module}.{alias.name}" for alias in node.names)
                named |= {full if full in trees else node.module for full in whole}
        # Programs that go out on their own name the files beside them.
        beside = {other: f"{name.rpartition('.')[0]}.{other}" for other in named}
        named = {beside[other] if beside[other] in trees else other for other in named}
        imports[name] = named & trees.keys() - {name}
    return imports


def room_of(module: str) -> str:
    room = module.partition(".")[0]
    return room if room in ROOMS else SCRIPTS


def room_imports(imports: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Room -> the other rooms that its modules import."""
    rooms: dict[str, set[str]] = {}
    for module, imported in imports.items():
        rooms.setdefault(room_of(module), set()).update(map(room_of, imported))
    return {room: found - {room} for room, found in rooms.items()}


def circle(imports: Mapping[str, set[str]]) -> list[str]:
    """Names that import each other in turn, the first one twice; empty if there are none."""
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def picture(rooms: Mapping[str, set[str]]) -> str:
    """A Mermaid graph of rooms without the arrows that others imply; they must have no circle."""
    graphlib.TopologicalSorter(rooms).prepare()

    def below(room: str) -> set[str]:
        return rooms[room].union(*(below(other) for other in rooms[room]))

    lines = ["```mermaid", "graph TD"]
    for room in sorted(rooms):
        implied = set().union(*(below(other) for other in rooms[room]))
        lines += [f"  {room} --> {other}" for other in sorted(rooms[room] - implied)]
    return "\n".join([*lines, "```"])


if __name__ == "__main__":
    print(picture(room_imports(module_imports())))
