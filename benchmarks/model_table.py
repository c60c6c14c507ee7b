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


def make_table(options: TableOptions) -> str:
    """Counts the parameters and measures the speeds, and writes `table1.md` and `table1.json`.

    Returns:
      The former's text.

    Raises:
      UserError: A name is not that of a size; or the devices are not there.
    """
    configs = model_configs(options.models)
    return write_table(
        configs, measure_speedups(configs, options) if options.measure else {}, options
    )


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


def measure_speedups(configs: Mapping[str, BertConfig], options: TableOptions) -> dict[str, Times]:
    """Times the encoder of each model (`model_configs`) in turn with that of Large."""
    strategy = create_strategy(options)
    reference = forward_pass(configs[REFERENCE], strategy, options)
    times = {}
    for name in tqdm(
        [name for name in configs if name != REFERENCE], desc="Models", unit=" models"
    ):
        functions = [forward_pass(configs[name], strategy, options), reference]
        times[name] = Times(*interleaved_medians(functions, options.repetitions, warm_up=2))
    return times


def forward_pass(
    config: BertConfig, strategy: tf.distribute.Strategy, options: TableOptions
) -> Callable[[], object]:
    """A function that computes the pooled output of a random batch and waits for it."""
    with strategy.scope():
        encoder = BertEncoder(config, Build(config.initializer_range, options.precision))
    shape = options.batch_size, options.seq_length
    ids = np.random.default_rng(0).integers(0, config.vocab_size, shape)
    inputs = tf.constant(ids, tf.int32), tf.ones(shape, tf.int32), tf.zeros(shape, tf.int32)

    @tf.function
    def run() -> tf.Tensor:
        return strategy.run(lambda: encoder(*inputs).pooled_output)

    return lambda: [value.numpy() for value in strategy.experimental_local_results(run())]


def write_table(
    configs: Mapping[str, BertConfig], times: Mapping[str, Times], options: TableOptions
) -> str:
    """Writes `table1.md` and `table1.json`, and returns the former.

    Args:
      configs: From `model_configs`.
      times: From `measure_speedups`; empty where nothing was measured.
      options: Of the measurement, and the folder.
    """
    rows: list[dict[str, Any]] = [
        {
            "model": name,
            "num_hidden_layers": config.num_hidden_layers,
            "hidden_size": config.hidden_size,
            "parameters_with_heads": config.num_parameters(with_heads=True),
            "parameters_without_heads": config.num_parameters(),
        }
        for name, config in configs.items()
    ]
    columns = ["Model", "L", "H", "parameters with heads", "millions", "without heads"]
    setting = options.values(("batch_size", "seq_length", "precision", "repetitions"))
    note = []
    if times:
        # Large has been timed beside every student; its row is the median of these.
        reference = float(np.median([t.reference for t in times.values()]))
        for row in rows:
            of_model = times.get(row["model"], Times(reference, reference))
            row["seconds"] = of_model.model
            row["speedup"] = of_model.reference / of_model.model
        columns += ["milliseconds", "speed-up"]
        facts = ", ".join(f"{key} {value}" for key, value in setting.items())
        note = ["", f"Forward pass of the encoder: {facts}. Machine: {describe_machine()}."]
    text = "\n".join([*table(columns, map(_cells, rows)), *note]) + "\n"
    write_json(
        os.path.join(options.output_dir, "table1.json"),
        {"rows": rows, "setting": setting, "machine": describe_machine()},
    )
    write_text(os.path.join(options.output_dir, "table1.md"), text)
    return text


def _cells(row: Mapping[str, Any]) -> list[str]:
    cells = [row["model"], str(row["num_hidden_layers"]), str(row["hidden_size"])]
    with_heads = row["parameters_with_heads"]
    cells += [f"{with_heads:,}", f"{with_heads / 1e6:.1f}", f"{row['parameters_without_heads']:,}"]
    if "seconds" in row:
        cells += [f"{1000 * row['seconds']:.1f}", f"{row['speedup']:.2f}"]
    return cells
