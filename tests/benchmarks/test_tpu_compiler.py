"""The compiler's answers and their table; the compiler itself where requirements-tpu.lock is."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import pathlib

import pytest
from scripts import run_script
from steps import FORWARD_KINDS, TRAINING_KINDS, forward_program, training_program

from benchmarks import tpu_compiler, tpu_table
from benchmarks.tpu_compiler import (
    GENERATIONS,
    CompiledProgram,
    compile_for_tpu,
    scheduled_cycles,
    without_copies,
)
from common.errors import UserError

needs_compiler = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("jax", "libtpu"))),
    reason="no TPU compiler: pip install -r requirements-tpu.lock",
)

# Two operations with an estimate, one without, and a loop of 3 turns over one of 100 cycles.
SCHEDULED = """\
HloModule step, is_scheduled=true, entry_computation_layout={(f32[8]{0})->f32[8]{0}}

%inside_fusion (p: f32[8]) -> f32[8] {
  ROOT %add.1 = f32[8]{0} add(%p, %p), backend_config={"estimated_cycles":"999"}
}

%body (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %fusion.1 = f32[8]{0} fusion(%x), calls=%inside_fusion, backend_config={"estimated_cycles":"100"}
}

%condition (p: (s32[], f32[8])) -> pred[] {
  ROOT %less = pred[] compare(%i, %n), direction=LT
}

ENTRY %main (x: f32[8]) -> f32[8] {
  %copy = f32[8]{0} copy(%x), backend_config={"window_config":{"estimated_cycles":"20"}}
  %while = (s32[], f32[8]) while(%t), condition=%condition, body=%body, \
backend_config={"known_trip_count":{"n":"3"}}
  %negate = f32[8]{0} negate(%copy)
  ROOT %fusion = f32[8]{0} fusion(%n), calls=%inside_fusion, backend_config={"estimated_cycles":"7"}
}
"""


def test_scheduled_cycles() -> None:
    assert scheduled_cycles(SCHEDULED) == 20 + 3 * 100 + 7
    with pytest.raises(ValueError, match="a loop of unknown length: %while = "):
        scheduled_cycles(SCHEDULED.replace("known_trip_count", "hint"))


def test_without_copies() -> None:
    line = "    %7 = mhlo.copy %6 : tensor<2x128xf32>"
    expected = "    %7 = stablehlo.optimization_barrier %6 : tensor<2x128xf32>"
    assert without_copies(f"{line}\n{line} loc(#loc1)\n") == f"{expected}\n{expected} loc(#loc1)\n"


# The table


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


def test_errors_come_first(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="--generations: v9 is not one of v2, v3, v4, v5e"):
        run_script("estimate_tpu", output_dir=tmp_path, generations="v2,v9")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs jax and libtpu: pip install -r requirements-tpu"):
        compile_for_tpu("module {}", "v2")


# The compiler itself


@needs_compiler
@pytest.mark.parametrize("kind", TRAINING_KINDS)
def test_training_compiles(kind: str) -> None:
    for precision, parts in (("float32", 1), ("bfloat16", 2)):
        result = compile_for_tpu(training_program(kind, precision, parts), "v2")
        assert result.refusal is None and result.cycles and result.memory_bytes


@needs_compiler
@pytest.mark.parametrize("kind", FORWARD_KINDS)
def test_forward_compiles(kind: str) -> None:
    for precision in ("float32", "bfloat16"):
        result = compile_for_tpu(forward_program(kind, precision), "v2")
        assert result.refusal is None and result.cycles and result.memory_bytes


@needs_compiler
@pytest.mark.parametrize("generation", GENERATIONS)
def test_every_generation(generation: str) -> None:
    result = compile_for_tpu(forward_program("prediction", "bfloat16"), generation)
    assert result.refusal is None and result.cycles and result.memory_bytes


PRODUCT = """
module @product {{
  func.func public @main(%a: tensor<{n}x{n}xf32>) -> tensor<{n}x{n}xf32> {{
    %0 = stablehlo.dot_general %a, %a, contracting_dims = [1] x [0] : \
(tensor<{n}x{n}xf32>, tensor<{n}x{n}xf32>) -> tensor<{n}x{n}xf32>
    return %0 : tensor<{n}x{n}xf32>
  }}
}}
"""


@needs_compiler
def test_memory() -> None:
    result = compile_for_tpu(PRODUCT.format(n=1024), "v2")
    assert result.flops == pytest.approx(2 * 1024**3, rel=0.01)
    assert result.memory_bytes and 8 << 20 <= result.memory_bytes < 16 << 20
    refusal = compile_for_tpu(PRODUCT.format(n=40960), "v2").refusal
    assert refusal and "exceeds available HBM (7.48G)" in refusal


@needs_compiler
def test_rejected_program() -> None:
    with pytest.raises(UserError, match="the compiler of TPU v2 rejects the program: "):
        compile_for_tpu("module { nonsense }", "v2")
