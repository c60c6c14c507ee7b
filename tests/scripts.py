"""Runs a top-level script inside the test process."""

from __future__ import annotations

import importlib.util
import pathlib
import sys

from absl import flags

from common.outputs import release_locks

ROOT = pathlib.Path(__file__).resolve().parent.parent

_script_flags: set[str] = set()


def run_script(name: str, **values: object) -> None:
    """Calls the `main` of a script, its path without `.py`; TensorFlow is imported once for all.

    Scripts define flags of the same names, so those of the script before are taken away first.
    """
    for flag in _script_flags:
        delattr(flags.FLAGS, flag)
    _script_flags.clear()
    before = set(flags.FLAGS)
    spec = importlib.util.spec_from_file_location(name, ROOT / f"{name}.py")
    assert spec and spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    finally:
        _script_flags.update(set(flags.FLAGS) - before)
    flags.FLAGS([name, *(f"--{key}={value}" for key, value in values.items())])
    try:
        module.main([name])
    finally:
        release_locks()
