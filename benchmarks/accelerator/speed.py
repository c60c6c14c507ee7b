"""Speed of our updates and predictions on an accelerator, beside Hugging Face's, without TensorFlow.

  python -m benchmarks.accelerator.speed --programs=programs --output_dir=speed

The programs are those of `benchmarks.accelerator.speed_programs`; JAX compiles and runs them on
whatever device it has. Where PyTorch and transformers are installed, models of the same shape do the
same on the same batch: AdamW (fused), gradients clipped to norm 1, autocast in bfloat16. Both are
timed in turn; batches lie on the device; dropout is on in updates. Needs no network. A table and its
values are written after each model; what the time does not allow is named.
"""

from __future__ import annotations

import dataclasses
import gc
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# Else JAX takes most of the device's memory at once, and PyTorch finds none.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import numpy as np
from absl import flags

from benchmarks.accelerator.imported import Imported, read_description
from benchmarks.contestants import MEMORY, Result
from benchmarks.peers.hugging_face import (
    bert_config,
    inputs_of,
    new_model,
    new_optimizer,
    update,
)
from benchmarks.report import OURS, Group, markdown
from benchmarks.timing import interleaved_medians
from common.atomic import write_json, write_text
from common.errors import UserError
from training import cli
from training.options import Options, from_flags

FLAGS = flags.FLAGS

LOOPS = ("pretraining", "finetuning", "labelling")
HUGGING_FACE, COMPILED = "Hugging Face, eager", "Hugging Face, torch.compile"


@dataclasses.dataclass(frozen=True)
class SpeedOptions(Options):
    """The flags of this script (`_define_flags`)."""

    programs: str
    loops: Sequence[str]
    models: Sequence[str] | None
    rounds: int
    seconds_per_round: float
    max_seconds: float
    torch_compile: bool
    output_dir: str


@dataclasses.dataclass(frozen=True)
class Contestant:
    """One that works on a batch again and again.

    Attributes:
      name: For the table.
      work: Runs so many batches and waits until the device has done them.
      peak_bytes: Most memory of the device for it so far; None where the device does not tell.
    """

    name: str
    work: Callable[[int], None]
    peak_bytes: Callable[[], int | None]


def random_batch(description: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """A full batch: no padding, all predictions used."""
    rng = np.random.default_rng(0)
    vocab_size = description["config"]["vocab_size"]
    upper = {
        "input_ids": vocab_size,
        "masked_lm_ids": vocab_size,
        "masked_lm_positions": description["max_seq_length"],
        "segment_ids": 2,
        "label_ids": 2,
        "next_sentence_labels": 2,
    }
    return {
        name: (rng.integers(0, upper[name], shape) if name in upper else np.ones(shape)).astype(
            kind
        )
        for name, (shape, kind) in description["batch"].items()
    }


def ours(folder: str, loop: str, batch: Mapping[str, np.ndarray]) -> Contestant:
    """Our program, compiled."""
    programs = Imported(folder)
    on_device = {name: jax.device_put(value) for name, value in batch.items()}
    state = programs.start(0)
    is_training = loop != "labelling"
    function = jax.jit(
        programs.update if is_training else programs.predictions,
        donate_argnums=1 if is_training else (),
    )
    compiled = function.lower(on_device, state).compile()
    memory = compiled.memory_analysis()

    def work(count: int) -> None:
        nonlocal state
        results: Any = None
        for _ in range(count):
            if is_training:
                results, state = compiled(on_device, state)
            else:
                results = compiled(on_device, state)
        jax.block_until_ready(results)

    def peak_bytes() -> int | None:
        if memory is None:
            return None
        # Arguments that are given up for results count once.
        sizes = memory.argument_size_in_bytes + memory.output_size_in_bytes
        return int(sizes - memory.alias_size_in_bytes + memory.temp_size_in_bytes)

    return Contestant(OURS, work, peak_bytes)


def hugging_face(
    loop: str, description: Mapping[str, Any], batch: Mapping[str, np.ndarray], is_compiled: bool
) -> Contestant:
    """The library's model of this shape, in eager PyTorch or compiled.

    Raises:
      ImportError: It is not installed.
    """
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = description["config"]
    shape = f"{config['num_hidden_layers']},{config['hidden_size']}"
    model = new_model(loop, bert_config(shape, config["vocab_size"])).to(device)
    called = torch.compile(model) if is_compiled else model
    is_bfloat16 = description["precision"] == "bfloat16"
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=is_bfloat16)
    tensors = {name: torch.from_numpy(value).to(device) for name, value in batch.items()}
    inputs = inputs_of(loop, tensors)
    if loop == "labelling":
        model.eval()

        def one() -> None:
            with torch.inference_mode(), autocast:
                called(**inputs)

    else:
        model.train()
        optimizer = new_optimizer(model)

        def one() -> None:
            with autocast:
                loss = called(**inputs).loss
            update(model, optimizer, loss)

    def work(count: int) -> None:
        for _ in range(count):
            one()
        if device.type == "cuda":
            torch.cuda.synchronize()

    def peak_bytes() -> int | None:
        return torch.cuda.max_memory_allocated() if device.type == "cuda" else None

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    return Contestant(COMPILED if is_compiled else HUGGING_FACE, work, peak_bytes)


def measure(folder: str, loop: str, model: str, options: SpeedOptions) -> Group:
    """All contestants in one loop with one model."""
    description = read_description(folder)
    batch = random_batch(description)
    contestants = [ours(folder, loop, batch)]
    absent = []
    for is_compiled in (False, True) if options.torch_compile else (False,):
        try:
            contestants.append(hugging_face(loop, description, batch, is_compiled))
        except ImportError as error:
            name = COMPILED if is_compiled else HUGGING_FACE
            absent.append(Result(name, problem=f"not installed: {error}"))
    rounds = [_round(c.work, options.seconds_per_round) for c in contestants]
    medians = interleaved_medians([run for run, _ in rounds], options.rounds, warm_up=1)
    results = []
    for contestant, (_, count), seconds in zip(contestants, rounds, medians, strict=True):
        peak = contestant.peak_bytes()
        facts: dict[str, Any] = {MEMORY: round(peak / 1e6)} if peak else {}
        facts["ms a batch"] = round(1e3 * seconds / count, 2)
        rate = description["batch_size"] * count / seconds
        results.append(Result(contestant.name, [rate], facts))
    return Group(f"{loop} {model}", "examples", [*results, *absent])


def _round(work: Callable[[int], None], seconds: float) -> tuple[Callable[[], None], int]:
    """A round of about so many seconds, and its number of batches."""
    work(2)
    start = time.perf_counter()
    work(3)
    count = max(1, round(3 * seconds / (time.perf_counter() - start)))
    return lambda: work(count), count


def report(groups: Sequence[Group], missing: Sequence[str]) -> str:
    """The tables, and what is not in them."""
    devices = ", ".join(sorted({device.device_kind for device in jax.devices()}))
    heading = f"{devices}, JAX {jax.__version__}. Medians in turn; memory is the device's."
    if missing:
        heading += f" No time was left for: {', '.join(missing)}."
    return markdown(groups, None, heading)


def run(options: SpeedOptions) -> None:
    """Measures, and writes `speed.md` and `speed.json` after each model.

    Raises:
      UserError: The folder holds no program that is asked for.
    """
    deadline = time.monotonic() + options.max_seconds
    os.makedirs(options.output_dir, exist_ok=True)
    found = sorted(os.listdir(options.programs))
    chosen = []
    for loop in options.loops:
        models = [name.removeprefix(f"{loop}-") for name in found if name.startswith(f"{loop}-")]
        chosen += [
            (loop, model, os.path.join(options.programs, f"{loop}-{model}"))
            for model in sorted(models, key=_size)
            if not options.models or model in options.models
        ]
    if not chosen:
        raise UserError(
            f"--programs={options.programs} has no folder of {', '.join(options.loops)} with these "
            f"models, only {', '.join(found) or 'nothing'}; make it with "
            "benchmarks.accelerator.speed_programs."
        )
    groups: list[Group] = []
    missing: list[str] = []
    for loop, model, folder in chosen:
        if time.monotonic() > deadline:
            missing.append(f"{loop} of {model}")
        else:
            start = time.monotonic()
            groups.append(measure(folder, loop, model, options))
            gc.collect()
            logging.info("%s of %s: %.0f s.", loop, model, time.monotonic() - start)
        values = {"groups": [group.to_dict() for group in groups], "missing": missing}
        write_json(os.path.join(options.output_dir, "speed.json"), values)
        write_text(os.path.join(options.output_dir, "speed.md"), report(groups, missing))
    print(report(groups, missing))


def _size(model: str) -> tuple[int, ...]:
    """Width and layers: the order of models."""
    layers, width = map(int, model.split("-"))
    return width, layers


def _define_flags() -> None:
    flags.DEFINE_string(
        "programs", None, "Folder of benchmarks.accelerator.speed_programs.", required=True
    )
    flags.DEFINE_list("loops", list(LOOPS), "Loops to measure.")
    flags.DEFINE_list("models", None, "Models, such as 2-128. Default: all that are there.")
    flags.DEFINE_integer("rounds", 5, "Rounds, of which the median counts.")
    flags.DEFINE_float("seconds_per_round", 0.5, "Length of a round of one contestant.")
    flags.DEFINE_float("max_seconds", 240, "Time after which nothing more is begun.")
    flags.DEFINE_bool("torch_compile", False, "Measure torch.compile as well, minutes more.")
    flags.DEFINE_string("output_dir", None, "Folder for the table and its values.", required=True)


def main(_: Sequence[str]) -> None:
    run(from_flags(SpeedOptions, FLAGS))


if __name__ == "__main__":
    _define_flags()
    cli.run(main)
