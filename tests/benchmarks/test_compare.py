"""Flags of the comparison."""

from __future__ import annotations

import dataclasses

import pytest
from scripts import run_script, script_flags

from benchmarks import loops
from benchmarks.inputs import CompareOptions
from common.errors import UserError

FILES = {"text_file": "text.txt", "vocab_file": "vocab.txt", "output_dir": "out"}


def test_flags_are_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[CompareOptions] = []
    monkeypatch.setattr(loops, "run", ran.append)
    run_script("benchmarks/compare", **FILES, sizes="tiny,small", torch_compile=False)
    assert script_flags() == {field.name for field in dataclasses.fields(CompareOptions)}
    (options,) = ran
    assert (options.sizes, options.torch_compile) == (["tiny", "small"], False)


def test_unknown_loop() -> None:
    with pytest.raises(UserError, match="--loops: labeling is not one of ceilings, .*labelling"):
        run_script("benchmarks/compare", **FILES, loops="data,labeling")


def test_unknown_engine() -> None:
    with pytest.raises(UserError, match="--engines: torch is not one of tensorflow, .*litert"):
        run_script("benchmarks/compare", **FILES, engines="openvino,torch")
