"""Output of `--help`: a script's docstring, then all its flags in groups with headings.

`group` begins a group; the flags that are defined after it stand in it. absl's own help knows the
flags of one module only, and sorts them.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap

from absl import app, flags

_MAX_WIDTH = 100

# Heading of each group that was begun, and the flags that were there before.
_groups: list[tuple[str, frozenset[str]]] = []


def group(heading: str) -> None:
    """Begins a group of flags in `--help` and in the reference of flags (`docs/reference/flags.md`).

    Args:
      heading: A noun or a question, such as "Training". A heading that was there before goes on.
    """
    _groups.append((heading, frozenset(flags.FLAGS)))


def grouped_flags() -> dict[str, list[flags.Flag]]:
    """Heading -> flags, both in the order of their definition. absl's own flags are left out.

    Flags of the project that are in no group stand under an empty heading.
    """
    grouped: dict[str, list[flags.Flag]] = {}
    for name in flags.FLAGS:
        module = flags.FLAGS.find_module_defining_flag(name)
        if module and not module.startswith("absl."):
            heading = next((h for h, before in reversed(_groups) if name not in before), "")
            grouped.setdefault(heading, []).append(flags.FLAGS[name])
    return grouped


def help_text(docstring: str, width: int = _MAX_WIDTH) -> str:
    """The docstring as it is, and every flag with its default and its help.

    Args:
      docstring: Docstring of the script.
      width: Longest line of the part about flags, in characters.
    """
    parts = [docstring.strip()]
    for heading, members in grouped_flags().items():
        parts.append("\n\n".join([f"{heading}:", *(_describe(flag, width) for flag in members)]))
    parts.append("absl's own flags, such as --flagfile: --helpfull")
    return "\n\n\n".join(parts)


def usage(flag: flags.Flag) -> str:
    """Spelling of a flag: --[no]do_train, --precision=float32|bfloat16, --output_dir=..."""
    if flag.boolean:
        return f"--[no]{flag.name}"
    values = getattr(flag.parser, "enum_values", None)
    return f"--{flag.name}={'|'.join(values) if values else '...'}"


def meaning(flag: flags.Flag) -> str:
    """The help of a flag, without the values that absl puts in front of it."""
    text = re.sub(r"^<[^>]*>: ", "", flag.help)
    # As absl ends the help of flags that may be given several times.
    return re.sub(r";\n *repeat this option .*", " May be given several times.", text)


def default_text(flag: flags.Flag) -> str:
    """The default of a flag as a command line has it; "required" or empty where there is none."""
    if any("must have a value other than None" in v.message for v in flag.validators):
        return "required"
    if flag.default is None or flag.default in ("", []):
        return ""
    if flag.default == sys.executable:
        return "this Python"
    if isinstance(flag.default, list):
        return ",".join(map(str, flag.default))
    return str(flag.default)


def _describe(flag: flags.Flag, width: int) -> str:
    default = default_text(flag)
    remark = default if default == "required" else f"default: {default}"
    head = f"  {usage(flag)}" + (f"  ({remark})" if default else "")
    indent = " " * 6
    wrapper = textwrap.TextWrapper(
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return f"{head}\n{wrapper.fill(meaning(flag))}"


class _HelpFlag(flags.BooleanFlag):
    """Prints the help when it is parsed, and ends the process."""

    def __init__(self, name: str, short_name: str | None = None):
        super().__init__(name, False, "show this help", short_name=short_name, allow_override=True)

    def parse(self, argument: str | bool) -> None:
        super().parse(argument)
        if self.value:
            width = min(_MAX_WIDTH, shutil.get_terminal_size().columns)
            try:
                print(help_text(sys.modules["__main__"].__doc__ or "", width), flush=True)
            except BrokenPipeError:  # As of `--help | head`; Python would flush again at the end.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)


def define_help_flags() -> None:
    """Puts this help in the place of absl's, of which --helpfull and --helpxml stay."""
    app.define_help_flags()
    flags.DEFINE_flag(_HelpFlag("help", short_name="?"), module_name="absl.app")
    flags.DEFINE_flag(_HelpFlag("helpshort"), module_name="absl.app")
