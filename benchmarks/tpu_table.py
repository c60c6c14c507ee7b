"""Memory and time of the students on TPUs as the compiler estimates them, beside the paper's
measurement (Turc et al. 2019, Table 1b)."""

from __future__ import annotations

import dataclasses
import os
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from tqdm import tqdm

from benchmarks.model_table import REFERENCE
from benchmarks.tpu_compiler import (
    GENERATIONS,
    CompiledProgram,
    compile_for_tpu,
    compiler_versions,
)
from benchmarks.xla_programs import inference_program, pretraining_program
from common.atomic import write_json, write_text
from common.errors import UserError
from common.files import exists, read_json
from common.markdown import table
from modeling.config import BertConfig, named_config
from modeling.published_sizes import PUBLISHED_SIZES

JSON_NAME, MARKDOWN_NAME = "tpu_estimate.json", "tpu_estimate.md"
INFERENCE, TRAINING = "inference", "training"


@dataclasses.dataclass(frozen=True)
class Setting:
    """Precision and shapes of the compiled programs; batch sizes are those of one device.

    Attributes:
      precision: "float32", which the matrix units of a TPU multiply in bfloat16, or "bfloat16".
      inference_batch_size: Inputs per forward pass.
      inference_seq_length: Tokens per input.
      training_batch_size: Records per pre-training step; 0 leaves training out.
      training_seq_length: Tokens per record.
      num_predictions: Masked words per record.
    """

    precision: str
    inference_batch_size: int
    inference_seq_length: int
    training_batch_size: int
    training_seq_length: int
    num_predictions: int


# Generation -> model -> INFERENCE or TRAINING -> attributes of a `CompiledProgram`, as in the file.
Estimates: TypeAlias = dict[str, dict[str, dict[str, dict[str, Any]]]]


def estimate(
    configs: Mapping[str, BertConfig],
    generations: Sequence[str],
    setting: Setting,
    output_dir: str,
) -> Estimates:
    """Compiles every model for every generation, and keeps `tpu_estimate.json` up to date.

    Args:
      configs: Models by name.
      generations: Of `GENERATIONS`.
      setting: Settings of the programs to compile.
      output_dir: Programs that the file in it already has, compiled by the same compiler, are not
        compiled again.

    Raises:
      UserError: The compiler is not installed or rejects a program, or the file holds another
        setting.
    """
    path = os.path.join(output_dir, JSON_NAME)
    facts = {"setting": dataclasses.asdict(setting), "versions": compiler_versions()}
    estimates = _earlier_estimates(path, facts)
    jobs = [
        (name, kind, [g for g in generations if kind not in estimates.get(g, {}).get(name, {})])
        for kind in ((INFERENCE, TRAINING) if setting.training_batch_size else (INFERENCE,))
        for name in configs
    ]
    with tqdm(total=sum(len(missing) for *_, missing in jobs), unit=" programs") as progress:
        for name, kind, missing in jobs:
            program = _program(configs[name], kind, setting) if missing else ""
            for generation in missing:
                compiled = compile_for_tpu(program, generation)
                estimates.setdefault(generation, {}).setdefault(name, {})[kind] = (
                    dataclasses.asdict(compiled)
                )
                write_json(path, {**facts, "generations": estimates})
                progress.update()
    return estimates


def _program(config: BertConfig, kind: str, setting: Setting) -> str:
    if kind == INFERENCE:
        return inference_program(
            config, setting.precision, setting.inference_batch_size, setting.inference_seq_length
        )
    return pretraining_program(
        config,
        setting.precision,
        setting.training_batch_size,
        setting.training_seq_length,
        setting.num_predictions,
    )


def _earlier_estimates(path: str, facts: Mapping[str, Any]) -> Estimates:
    if not exists(path):
        return {}
    earlier = read_json(path)
    for key, value in facts.items():
        if earlier[key] != value:
            raise UserError(
                f"{path} was made with {key} {earlier[key]}, this run has {value}; choose another "
                "--output_dir, or remove the file."
            )
    return earlier["generations"]


def write_table(
    output_dir: str,
    estimates: Estimates,
    setting: Setting,
) -> str:
    """Writes `tpu_estimate.md` and returns its text.

    Args:
      output_dir: The folder.
      estimates: From `estimate`; they may hold models of earlier runs.
      setting: Settings of the compiled programs.
    """
    lines = [
        "# Estimates of the TPU compiler",
        "",
        "**Nothing here was measured on a TPU, except the last column of each table**, which is "
        "Table 1(b) of Turc et al. (2019). Memory is what the compiler allots on one device; time is "
        "the sum of its cycle estimates for the scheduled operations at the device's clock rate, "
        "without input, start of the program and communication between devices.",
        "",
        f"Inference: the encoder, batch {setting.inference_batch_size}, length "
        f"{setting.inference_seq_length}. "
        + (
            f"Training: one pre-training step, batch {setting.training_batch_size} per device, "
            f"length {setting.training_seq_length}, {setting.num_predictions} predictions. "
            if setting.training_batch_size
            else ""
        )
        + f"Precision {setting.precision}; "
        + ", ".join(f"{name} {version}" for name, version in compiler_versions().items())
        + ".",
    ]
    for generation in filter(estimates.__contains__, GENERATIONS):
        lines += ["", *_generation_table(generation, estimates[generation])]
    text = "\n".join(lines) + "\n"
    write_text(os.path.join(output_dir, MARKDOWN_NAME), text)
    return text


def _generation_table(
    generation: str, models: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> list[str]:
    device, megahertz = GENERATIONS[generation].device, GENERATIONS[generation].megahertz
    columns = ["Model", "training: MiB", "training: ms", "inference: MiB", "inference: ms"]
    columns += ["speed-up, estimated", "speed-up, measured by the paper"]
    reference = models[REFERENCE][INFERENCE]["cycles"] if REFERENCE in models else None
    rows, ratios = [], []
    for name in sorted(models, key=_size):
        programs = {kind: CompiledProgram(**p) for kind, p in models[name].items()}
        cells = [name]
        for kind in (TRAINING, INFERENCE):
            cells += _memory_and_time(programs.get(kind), megahertz)
        cycles = programs[INFERENCE].cycles
        estimated = reference / cycles if reference and cycles else None
        measured = _measured_speedup(name)
        cells += [f"{value:.2f}" if value else "" for value in (estimated, measured)]
        rows.append(cells)
        if estimated and measured and named_config(name) != named_config(REFERENCE):
            ratios.append(estimated / measured)
    heading = f"## TPU {generation} (one {device}, {megahertz} MHz)"
    lines = [heading, "", *table(columns, rows)]
    if ratios:
        lines += [
            "",
            f"Estimated over measured speed-up: {min(ratios):.2f} to {max(ratios):.2f}, median "
            f"{statistics.median(ratios):.2f}.",
        ]
    return lines


def _measured_speedup(name: str) -> float | None:
    """The paper's, of a size of its; None of others, also where their heads alone are others."""
    depth, width = _size(name)
    size = f"{depth}/{width}"
    if size in PUBLISHED_SIZES and named_config(name) == named_config(size):
        return PUBLISHED_SIZES[size].speedup
    # Large, which the students are compared with, is not among them.
    return 1.0 if named_config(name) == named_config(REFERENCE) else None


def _size(name: str) -> tuple[int, int]:
    """Depth and width of a model by its name."""
    config = named_config(name)
    assert config
    return config.num_hidden_layers, config.hidden_size


def _memory_and_time(compiled: CompiledProgram | None, megahertz: int) -> list[str]:
    if compiled is None:
        return ["", ""]
    if compiled.memory_bytes is None:
        return ["does not fit", ""]
    time = "" if compiled.cycles is None else f"{compiled.cycles / (1000 * megahertz):.3g}"
    return [f"{compiled.memory_bytes / 2**20:,.0f}", time]
