"""StableHLO programs of `benchmarks.accelerator.export` as functions of JAX, without TensorFlow."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax._src.interpreters import mlir
from jax._src.lib.mlir import ir
from jax._src.lib.mlir.dialects import func
from jax.extend.core import Primitive

from benchmarks.tpu_compiler import without_copies
from common.files import read_json

# The counter of updates is an int64.
jax.config.update("jax_enable_x64", True)

Arrays = dict[str, jax.Array]

_call = Primitive("stablehlo_call")
_call.multiple_results = True


@_call.def_abstract_eval
def _results(*_: Any, text: str, avals: tuple[jax.core.ShapedArray, ...]) -> Any:
    del text
    return list(avals)


def _lower(context: Any, *operands: Any, text: str, avals: Any) -> Any:
    del avals
    module = ir.Module.parse(text, context.module_context.context)
    types = ir.SymbolTable(module.operation)["main"].type.results
    name = mlir.merge_mlir_modules(
        context.module_context.module,
        "imported",
        module,
        dst_symtab=context.module_context.symbol_table,
    )
    return func.CallOp(types, ir.FlatSymbolRefAttr.get(name), list(operands)).results


mlir.register_lowering(_call, _lower)


def read_description(folder: str) -> dict[str, Any]:
    """The shapes, variables and results of the programs in a folder."""
    return read_json(os.path.join(folder, "program.json"))


class Imported:
    """The programs of one model.

    Attributes:
      description: From `read_description`.
    """

    def __init__(self, folder: str):
        self.description = read_description(folder)
        self._texts = {}
        for name in self.description["programs"]:
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                self._texts[name] = without_copies(file.read())

    def start(self, seed: int) -> Arrays:
        """The variables before the first update.

        The initial weights have the distribution of TensorFlow's, not its values: a function of the
        seed and of the variable's name.
        """
        return {
            name: jnp.asarray(_start_value(name, seed, **variable))
            for name, variable in self.description["variables"].items()
        }

    def update(self, batch: Mapping[str, jax.Array], state: Arrays) -> tuple[Arrays, Arrays]:
        """One update: losses and the new state. May be called in `jax.jit` and `jax.lax.scan`."""
        results = self._run("update.mlir", batch, state)
        losses = self.description["programs"]["update.mlir"]["results"]
        return (
            {name: results.pop(name) for name in losses},
            {**state, **results},
        )

    def predictions(self, batch: Mapping[str, jax.Array], state: Arrays) -> Arrays:
        """The logits of a batch; of `benchmarks.accelerator.speed_programs`."""
        return self._run("predictions.mlir", batch, state)

    def metrics(self, batch: Mapping[str, jax.Array], state: Arrays) -> Arrays:
        """[sum, count] of each metric of a batch."""
        real = jnp.ones([self.description["batch_size"]], jnp.float32)
        return self._run("metrics.mlir", {**batch, "is_real_row": real}, state)

    def _run(self, name: str, batch: Mapping[str, jax.Array], state: Arrays) -> Arrays:
        program = self.description["programs"][name]
        shapes = [jax.core.ShapedArray(state[v].shape, state[v].dtype) for v in program["updated"]]
        of_results = [
            jax.core.ShapedArray(shape, np.dtype("float32"))
            for shape in program["results"].values()
        ]
        values = _call.bind(
            *[batch[key] for key in (*self.description["batch"], "is_real_row") if key in batch],
            *[state[key] for key in program["variables"]],
            text=self._texts[name],
            avals=(*of_results, *shapes),
        )
        return dict(zip([*program["results"], *program["updated"]], values, strict=True))


def _start_value(name: str, seed: int, shape: list[int], dtype: str, start: Any) -> np.ndarray:
    if isinstance(start, float):
        return np.full(shape, start, dtype)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    values = rng.standard_normal(shape, np.float32)
    while (outside := np.abs(values) > 2).any():
        values[outside] = rng.standard_normal(int(outside.sum()), np.float32)
    return values * np.float32(start["truncated_normal"])
