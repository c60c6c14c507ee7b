"""The compiler's answers; the compiler itself where requirements-tpu.lock is."""

from __future__ import annotations

import importlib.util
import pathlib

import pytest
from scripts import run_script
from steps import FORWARD_KINDS, TRAINING_KINDS, forward_program, training_program

from benchmarks.tpu_compiler import (
    GENERATIONS,
    compile_for_tpu,
    scheduled_cycles,
    without_copies,
)
from common.errors import UserError

needs_compiler = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("jax", "libtpu"))),
    reason="no TPU compiler: pip install -r requirements-tpu.lock",
)

# Two operations with an estimate and one without.
SCHEDULED = """\
HloModule step, is_scheduled=true, entry_computation_layout={(f32[8]{0})->f32[8]{0}}

%inside (p: f32[8]) -> f32[8] {
  ROOT %add.1 = f32[8]{0} add(%p, %p), backend_config={"estimated_cycles":"999"}
}

ENTRY %main (x: f32[8]) -> f32[8] {
  %copy = f32[8]{0} copy(%x), backend_config={"window_config":{"estimated_cycles":"20"}}
  %negate = f32[8]{0} negate(%copy)
  ROOT %fusion = f32[8]{0} fusion(%negate), calls=%inside, backend_config={"estimated_cycles":"7"}
}
"""


def test_scheduled_cycles() -> None:
    assert scheduled_cycles(SCHEDULED) == 20 + 7
    assert scheduled_cycles(SCHEDULED.replace(" negate(", " while(")) is None


def test_without_copies() -> None:
    line = "    %7 = mhlo.copy %6 : tensor<2x128xf32>"
    expected = "    %7 = stablehlo.optimization_barrier %6 : tensor<2x128xf32>"
    assert without_copies(f"{line}\n{line} loc(#loc1)\n") == f"{expected}\n{expected} loc(#loc1)\n"


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
        assert result.refusal is None and result.memory_bytes
        assert result.cycles or parts > 1  # which is a loop


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
