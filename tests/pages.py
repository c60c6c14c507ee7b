"""The commands in the ```bash blocks of README and docs.

A block that a test cannot run has a comment before it that says why:
<!-- Flags are tested, the run is not: it takes hours. -->
"""

from __future__ import annotations

import pathlib
import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

from scripts import ROOT

# The folder of an exported model, whose programs are those of serving/runtime.
EXPORTED = "shipped/"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(
    r"(?:^<!-- Flags are tested, the run is not: (?P<reason>[^>]+) -->\n+)?"
    r"^```bash\n(?P<text>.*?)^```",
    re.DOTALL | re.MULTILINE,
)


class Command(NamedTuple):
    """A command of a page.

    Attributes:
      page: Path of the page from the top of the repository.
      words: The command and its arguments.
      is_run: Whether a test runs it; else only its flags are looked at.
    """

    page: str
    words: tuple[str, ...]
    is_run: bool

    @property
    def script(self) -> str | None:
        """Path of the script without `.py`, or None if the command is another program."""
        program, *arguments = self.words
        if not program.endswith("python") or arguments[0].startswith(EXPORTED):
            return None
        if arguments[0] == "-m":
            return arguments[1].replace(".", "/")
        return arguments[0].removesuffix(".py")

    @property
    def values(self) -> dict[str, str]:
        """Flags of the script; those behind a `--` are another script's."""
        words = self.words[3 if self.words[1] == "-m" else 2 :]
        own = words[: words.index("--")] if "--" in words else words
        return flag_values(own)

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.words)}"


def flag_values(words: tuple[str, ...]) -> dict[str, str]:
    """`--name=value ...` as keyword arguments; a name alone is true."""
    assert all(word.startswith("--") for word in words), words
    given = (word.removeprefix("--").partition("=") for word in words)
    return {name: value if equals else "True" for name, equals, value in given}


def commands(*pages: pathlib.Path) -> Iterator[Command]:
    """The commands of pages, in their order."""
    for page in pages:
        for block in _BLOCK.finditer(page.read_text()):
            for line in re.split(r"\n(?!  )", block["text"].replace("\\\n", " ")):
                for part in line.split(" | "):
                    words = tuple(shlex.split(re.sub(r" [<>] \S+", "", part), comments=True))
                    if words:
                        yield Command(str(page.relative_to(ROOT)), words, block["reason"] is None)
