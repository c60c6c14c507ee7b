"""The table of the TPU compiler's estimates; the compiler is replaced."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import pytest
from scripts import run_script

from benchmarks import tpu_compiler, tpu_table
from benchmarks.tpu_compiler import CompiledProgram
from common.errors import UserError


def compiled(cycles: int) -> CompiledProgram:
    return CompiledProgram(memory_bytes=3 << 20, cycles=cycles, flops=1.0, bytes_accessed=1.0)


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Replaces the compiler: 700,000 cycles for Tiny and ten times that for the reference 2/256,
    whose training step does not fit. The list gets the programs and generations."""
    calls: list[tuple[str, str]] = []

    def compile_for_tpu(program: str, generation: str) -> CompiledProgram:
        calls.append((program, generation))
        if program == "256 training":
            return CompiledProgram(refusal="RESOURCE_EXHAUSTED")
        return compiled(700_000 if program.startswith("128") else 7_000_000)

    monkeypatch.setattr("benchmarks.model_table.REFERENCE", "2/256")
    monkeypatch.setattr(tpu_table, "REFERENCE", "2/256")
    monkeypatch.setattr(tpu_table, "compile_for_tpu", compile_for_tpu)
    monkeypatch.setattr(
        tpu_table, "inference_program", lambda config, *_: f"{config.hidden_size} inference"
    )
    monkeypatch.setattr(
        tpu_table, "pretraining_program", lambda config, *_: f"{config.hidden_size} training"
    )
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    versions = {"tensorflow": "2.20.0", "libtpu": "0.0.51"}
    monkeypatch.setattr(tpu_compiler.importlib.metadata, "version", versions.__getitem__)
    return calls


def test_table(compilations: list[tuple[str, str]], tmp_path: pathlib.Path) -> None:
    run_script("estimate_tpu", output_dir=tmp_path, models="2/128", generations="v2,v3")
    markdown = (tmp_path / "tpu_estimate.md").read_text()
    assert "## TPU v2 (one core, 8 GiB, 700 MHz)" in markdown
    assert "| 2/128 | 3 | 1 | 3 | 1 | 10.00 | 65.24 |" in markdown
    assert "| 2/256 | does not fit |  | 3 | 10 | 1.00 | 31.25 |" in markdown
    assert "| 2/128 | 3 | 0.745 | 3 | 0.745 | 10.00 | 65.24 |" in markdown  # v3 at 940 MHz
    assert "Estimated over measured speed-up: 0.15 to 0.15, median 0.15." in markdown
    assert "**Nothing here was measured on a TPU" in markdown
    stored = json.loads((tmp_path / "tpu_estimate.json").read_text())
    assert stored["versions"] == {"tensorflow": "2.20.0", "libtpu": "0.0.51"}
    assert stored["generations"]["v2"]["2/128"]["training"] == dataclasses.asdict(compiled(700_000))


def test_sizes_that_the_paper_has_not(
    compilations: list[tuple[str, str]], tmp_path: pathlib.Path
) -> None:
    """No speed-up of theirs was measured, and it has no part in the ratios."""
    others = "2/128,3/128,2/128/4"
    run_script("estimate_tpu", output_dir=tmp_path, models=others, training_batch_size=0)
    markdown = (tmp_path / "tpu_estimate.md").read_text()
    assert "| 2/128 |  |  | 3 | 1 | 10.00 | 65.24 |" in markdown
    assert "| 3/128 |  |  | 3 | 1 | 10.00 |  |" in markdown
    assert "| 2/128/4 |  |  | 3 | 1 | 10.00 |  |" in markdown
    assert "Estimated over measured speed-up: 0.15 to 0.15, median 0.15." in markdown


def test_interrupted_run_goes_on(
    compilations: list[tuple[str, str]], tmp_path: pathlib.Path
) -> None:
    run_script("estimate_tpu", output_dir=tmp_path, models="2/128", training_batch_size=8)
    assert len(compilations) == 4
    run_script(
        "estimate_tpu",
        output_dir=tmp_path,
        models="2/128,4/128",
        generations="v2,v4",
        training_batch_size=8,
    )
    assert len(compilations) == 4 + 2 + 6
    tables = (tmp_path / "tpu_estimate.md").read_text().split("\n## ")[1:]
    for table in tables:  # rows in the order of size, whenever they were made
        rows = [line.split(" ")[1] for line in table.splitlines() if line.startswith("| ")]
        assert rows == ["Model", "2/128", "2/256", "4/128"]
    assert len(tables) == 2
    with pytest.raises(UserError, match="tpu_estimate.json was made with setting .*'training_b"):
        run_script("estimate_tpu", output_dir=tmp_path, models="2/128", training_batch_size=9)
