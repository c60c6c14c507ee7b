"""Table 1 of Turc et al. (2019): parameters of the students, and their speed beside Large's."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from benchmarks.timing import interleaved_medians
from common.atomic import write_json, write_text
from common.errors import UserError
from common.machine import describe_machine
from common.markdown import table
from modeling.bert import BertEncoder
from modeling.config import NAMED_SIZES, STUDENT_DEPTHS, STUDENT_WIDTHS, BertConfig, named_config
from modeling.layers import Build
from training.options import DeviceOptions
from training.strategy import create_strategy

REFERENCE = "large"


@dataclasses.dataclass(frozen=True)
class TableOptions(DeviceOptions):
    """The flags of `benchmark_models.py` for Table 1."""

    output_dir: str = ""
    models: Sequence[str] | None = None
    seq_length: int = 512
    batch_size: int = 1
    repetitions: int = 5
    measure: bool = True


class Times(NamedTuple):
    """Median seconds of a forward pass, of a model and of Large in turn with it."""

    model: float
    reference: float

    @property
    def speedup(self) -> float:
        return self.reference / self.model


def make_table(options: TableOptions) -> str:
    """Counts the parameters and measures the speeds, and writes `table1.md` and `table1.json`.

    Returns:
      The former's text.

    Raises:
      UserError: A name is not that of a size; or the devices are not there.
    """
    configs = model_configs(options.models)
    times = {}
    if options.measure:
        times = measure_speedups(
            configs,
            create_strategy(options),
            options.precision,
            options.batch_size,
            options.seq_length,
            options.repetitions,
        )
    setting = options.values(("batch_size", "seq_length", "precision", "repetitions"))
    return write_table(options.output_dir, configs, times, setting)


def model_configs(names: Sequence[str] | None) -> dict[str, BertConfig]:
    """The architectures to compare, by their names.

    Args:
      names: Names of sizes; None for the 24 students and Large.

    Raises:
      UserError: A name is not that of a size.
    """
    configs = {}
    for name in names or [
        f"{depth}/{width}" for depth in STUDENT_DEPTHS for width in STUDENT_WIDTHS
    ]:
        config = named_config(name)
        if config is None:
            raise UserError(
                f"--models: {name} is not one of {', '.join(NAMED_SIZES)}, nor layers/width such as "
                "6/512 or layers/width/heads."
            )
        configs[name] = config
    large = named_config(REFERENCE)
    assert large
    return {**configs, REFERENCE: large}


def measure_speedups(
    configs: Mapping[str, BertConfig],
    strategy: tf.distribute.Strategy,
    precision: str,
    batch_size: int,
    seq_length: int,
    repetitions: int,
) -> dict[str, Times]:
    """Times the encoder of each model in turn with that of Large.

    Args:
      configs: From `model_configs`.
      strategy: The devices.
      precision: "float32" or "bfloat16".
      batch_size: Inputs per pass and replica.
      seq_length: Tokens per input.
      repetitions: Passes that count.
    """
    reference = forward_pass(configs[REFERENCE], strategy, precision, batch_size, seq_length)
    times = {}
    for name in tqdm(
        [name for name in configs if name != REFERENCE], desc="Models", unit=" models"
    ):
        model = forward_pass(configs[name], strategy, precision, batch_size, seq_length)
        times[name] = Times(*interleaved_medians([model, reference], repetitions, warm_up=2))
    return times


def forward_pass(
    config: BertConfig,
    strategy: tf.distribute.Strategy,
    precision: str,
    batch_size: int,
    seq_length: int,
) -> Callable[[], object]:
    """A function that computes the pooled output of a random batch and waits for it."""
    with strategy.scope():
        encoder = BertEncoder(config, Build(config.initializer_range, precision))
    ids = np.random.default_rng(0).integers(0, config.vocab_size, (batch_size, seq_length))
    inputs = (
        tf.constant(ids, tf.int32),
        tf.ones([batch_size, seq_length], tf.int32),
        tf.zeros([batch_size, seq_length], tf.int32),
    )

    @tf.function
    def run() -> tf.Tensor:
        return strategy.run(lambda: encoder(*inputs).pooled_output)

    return lambda: [value.numpy() for value in strategy.experimental_local_results(run())]


def write_table(
    output_dir: str,
    configs: Mapping[str, BertConfig],
    times: Mapping[str, Times],
    setting: Mapping[str, Any],
) -> str:
    """Writes `table1.md` and `table1.json`, and returns the former.

    Args:
      output_dir: The folder.
      configs: From `model_configs`.
      times: From `measure_speedups`; empty where nothing was measured.
      setting: Settings of the measurement.
    """
    columns = ["Model", "L", "H", "parameters with heads", "millions", "without heads"]
    if times:
        columns += ["milliseconds", "speed-up"]
    rows: list[dict[str, Any]] = []
    cells_of_rows = []
    for name, config in configs.items():
        with_heads, without = config.num_parameters(with_heads=True), config.num_parameters()
        row: dict[str, Any] = {
            "model": name,
            "num_hidden_layers": config.num_hidden_layers,
            "hidden_size": config.hidden_size,
            "parameters_with_heads": with_heads,
            "parameters_without_heads": without,
        }
        cells = [
            name,
            str(config.num_hidden_layers),
            str(config.hidden_size),
            f"{with_heads:,}",
            f"{with_heads / 1e6:.1f}",
            f"{without:,}",
        ]
        if times:
            # Large has been timed beside every student; its row is the median of these.
            references = [t.reference for t in times.values()]
            seconds = times[name].model if name in times else float(np.median(references))
            speedup = times[name].speedup if name in times else 1.0
            row |= {"seconds": seconds, "speedup": speedup}
            cells += [f"{1000 * seconds:.1f}", f"{speedup:.2f}"]
        rows.append(row)
        cells_of_rows.append(cells)
    lines = table(columns, cells_of_rows)
    if times:
        facts = ", ".join(f"{key} {value}" for key, value in setting.items())
        lines += ["", f"Forward pass of the encoder: {facts}. Machine: {describe_machine()}."]
    text = "\n".join(lines) + "\n"
    write_json(
        os.path.join(output_dir, "table1.json"),
        {"rows": rows, "setting": dict(setting), "machine": describe_machine()},
    )
    write_text(os.path.join(output_dir, "table1.md"), text)
    return text
