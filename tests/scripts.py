"""Runs a top-level script inside the test process."""

from __future__ import annotations

import importlib.util
import pathlib
import sys

import absl.app  # noqa: F401, it defines flags that are not a script's
from absl import flags

from common.outputs import release_locks
from training.flag_checks import CONDITIONS, check_flags

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Names of the scripts, of this folder and of experiments/.
SCRIPTS = sorted(CONDITIONS)

_script_flags: set[str] = set()


def run_script(name: str, *arguments: str, **values: object) -> None:
    """Runs a script, its path without `.py`, as `cli.run` does; TensorFlow is imported once."""
    check_flags(load_script(name, **values), pathlib.PurePath(name).name)
    try:
        sys.modules[name].main([name, *arguments])
    finally:
        release_locks()


def load_script(name: str, **values: object) -> flags.FlagValues:
    """The flags of a script, with these values on its command line.

    Scripts define flags of the same names, so those of the script before are taken away first.
    """
    for flag in _script_flags:
        delattr(flags.FLAGS, flag)
    _script_flags.clear()
    if not (ROOT / f"{name}.py").exists():
        name = f"experiments/{name}"
    before = set(flags.FLAGS)
    spec = importlib.util.spec_from_file_location(name, ROOT / f"{name}.py")
    assert spec and spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    finally:
        _script_flags.update(set(flags.FLAGS) - before)
    flags.FLAGS([name, *(f"--{key}={value}" for key, value in values.items())])
    return flags.FLAGS


def module_of(script: str) -> str:
    """Dotted name of a script's module."""
    return script if (ROOT / f"{script}.py").exists() else f"experiments.{script}"


def script_flags() -> set[str]:
    """Names of the flags of the script that was loaded last."""
    return set(_script_flags)
