"""The TPU compiler without a TPU: what it says of a program.

It comes with the PyPI packages jax and libtpu (requirements-tpu.lock) and runs in a process of its
own, which needs no TensorFlow: this module, with a program on its input and JSON on its output.

  python -m benchmarks.tpu_compiler v2 < program.mlir
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys

from common.errors import UserError


@dataclasses.dataclass(frozen=True)
class Generation:
    """A kind of TPU.

    Attributes:
      topology: Its smallest slice in libtpu's words; one device of it is compiled for.
      megahertz: Clock rate.
      device: Kind of one device: a core, or a chip whose cores the compiler uses as one.
    """

    topology: str
    megahertz: int
    device: str


# Clock rates: Jouppi et al., "A domain-specific supercomputer for training deep neural networks"
# (2020; v2, v3) and "TPU v4" (2023); those of later ones follow from the published peak rates and
# the number and size of the matrix units, which for v2 to v4 give the clock rates named there
# (v2: 46e12 / (2 units x 128 x 128 x 2 operations) = 702 MHz).
GENERATIONS = {
    "v2": Generation("v2:2x2", 700, "core, 8 GiB"),
    "v3": Generation("v3:2x2", 940, "core, 16 GiB"),
    "v4": Generation("v4:2x2x1", 1050, "chip, 32 GiB"),
    "v5e": Generation("v5e:2x2", 1500, "chip, 16 GiB"),
    "v5p": Generation("v5p:2x2x1", 1750, "chip, 95 GiB"),
    "v6e": Generation("v6e:2x2", 1750, "chip, 32 GiB"),
}


@dataclasses.dataclass(frozen=True)
class CompiledProgram:
    """Memory and cycles of a compiled program on one device, as the compiler reports them.

    Attributes:
      memory_bytes: Parameters, results, temporary buffers and code at once; None where the program
        does not fit, and then so are the others.
      cycles: See `scheduled_cycles`.
      flops: Floating-point operations.
      bytes_accessed: Traffic of all operations with memory.
      refusal: Reason that the program does not fit; None where it does.
    """

    memory_bytes: int | None = None
    cycles: int | None = None
    flops: float | None = None
    bytes_accessed: float | None = None
    refusal: str | None = None


def compile_for_tpu(stablehlo: str, generation: str) -> CompiledProgram:
    """Compiles a program for one device of a generation, in a process of its own.

    Args:
      stablehlo: From `benchmarks.xla_programs`.
      generation: Of `GENERATIONS`.

    Raises:
      UserError: The compiler is not installed, or rejects the program.
    """
    check_installed()
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.tpu_compiler", generation],
        input=stablehlo,
        capture_output=True,
        text=True,
        cwd=pathlib.Path(__file__).parent.parent,
    )
    if result.returncode:
        reason = "\n".join(result.stderr.splitlines()[-5:])
        raise UserError(f"the compiler of TPU {generation} rejects the program: {reason}")
    return CompiledProgram(**json.loads(result.stdout.splitlines()[-1]))


def check_installed() -> None:
    """Raises a UserError unless the TPU compiler is there."""
    if missing := [name for name in ("jax", "libtpu") if not importlib.util.find_spec(name)]:
        raise UserError(
            f"the TPU compiler needs {' and '.join(missing)}: pip install -r requirements-tpu.lock "
            "(Python 3.11 or later)."
        )


def compiler_versions() -> dict[str, str]:
    """Versions of the packages that decide the estimates.

    Raises:
      UserError: The compiler is not installed.
    """
    check_installed()
    return {name: importlib.metadata.version(name) for name in ("tensorflow", "libtpu")}


def compile_here(stablehlo: str, generation: Generation) -> CompiledProgram:
    """As `compile_for_tpu`, in this process."""
    # No TPU is looked for, so none is locked, and no metadata server of Google Cloud is asked.
    os.environ |= {
        "JAX_PLATFORMS": "cpu",
        "TPU_SKIP_MDS_QUERY": "1",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    }
    import numpy as np
    from jax._src import compiler
    from jax._src.interpreters import mlir
    from jax._src.lib.mlir import ir
    from jax.errors import JaxRuntimeError
    from jax.experimental import topologies
    from jaxlib import xla_client

    topology = topologies.get_topology_desc(platform="tpu", topology_name=generation.topology)
    device = topology.devices[0]
    options = compiler.get_compile_options(1, 1, np.array([[0]]), backend=device.client)
    with mlir.make_ir_context():
        module = ir.Module.parse(without_copies(stablehlo))
        devices = xla_client.DeviceList((device,))
        try:
            executable = device.client.compile(module, devices, options)
        except JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            return CompiledProgram(refusal=str(error).splitlines()[0])
    memory = executable.get_compiled_memory_stats()
    costs = executable.cost_analysis()
    (scheduled,) = executable.hlo_modules()
    return CompiledProgram(
        memory_bytes=memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes,
        cycles=scheduled_cycles(scheduled.to_string()),
        flops=costs["flops"],
        bytes_accessed=costs["bytes accessed"],
    )


def without_copies(stablehlo: str) -> str:
    """Replaces `mhlo.copy`, which TensorFlow emits for variables and StableHLO does not have."""
    return re.sub(
        r"mhlo\.copy (%\S+) : (.*?)(?= loc|$)",
        r"stablehlo.optimization_barrier \1 : \2",
        stablehlo,
        flags=re.MULTILINE,
    )


def scheduled_cycles(hlo: str) -> int | None:
    """Sum of the compiler's `estimated_cycles`; None with a loop, whose turns it does not tell.

    Scalar operations have no estimate and count nothing, nor do copies that run beside others.

    Args:
      hlo: A scheduled module as text.
    """
    if " while(" in hlo:
        return None
    entry = hlo[hlo.index("\nENTRY ") :]
    return sum(map(int, re.findall(r'"estimated_cycles":"(\d+)"', entry)))


if __name__ == "__main__":
    compiled = compile_here(sys.stdin.read(), GENERATIONS[sys.argv[1]])
    print(json.dumps(dataclasses.asdict(compiled)))
