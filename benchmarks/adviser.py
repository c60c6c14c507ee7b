"""The largest student within a budget of milliseconds and megabytes, measured on this machine.

Each model is written as the programs that would be shipped and timed in a process of its own: a
classifier with its weights, labels and vocabulary. A size by name, or an encoder without a
classifier, has random weights, two labels and a vocabulary of the same number of words.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np
from tqdm import tqdm

from checkpoints.formats import find_weights, open_weights
from checkpoints.model_folder import read_model_folder
from checkpoints.weights import variable_values
from common.atomic import write_json, write_text
from common.errors import UserError
from common.figures import label_points, new_figure, save_figure
from common.files import exists, make_folder
from common.machine import describe_machine
from common.markdown import table
from modeling.config import NAMED_SIZES, BertConfig, named_config
from modeling.heads import CLASSIFIER_WEIGHTS, ClassifierModel
from modeling.tokenization import FullTokenizer
from modeling.vocabulary import VOCAB_FILE
from modeling.wordpiece import SPECIAL_TOKENS
from serving import litert
from serving.comparison import megabytes, probe
from serving.export_files import FORMATS, check_choices, planned_forms
from serving.trained_model import TrainedModel, read_trained_model
from training.options import Options

_DEFAULT_MODELS = ("tiny", "mini", "small", "medium", "base")


@dataclasses.dataclass(frozen=True)
class AdviserOptions(Options):
    """The flags of `benchmark_models.py` that say what fits."""

    output_dir: str = ""
    models: Sequence[str] | None = None
    formats: Sequence[str] = FORMATS
    quantization: Sequence[str] = (litert.DYNAMIC_INT8,)
    seq_length: int = 512
    batch_sizes: Sequence[str] = ("1",)
    threads: Sequence[str] = ("1",)
    max_ms: float | None = None
    max_mb: float | None = None


@dataclasses.dataclass(frozen=True)
class Row:
    """A program with a number of threads and rows per call.

    Attributes:
      model: Name of the size, or path.
      parameters: Number of them.
      file: The program.
      megabytes: Its size, in millions of bytes.
      threads: Threads it computes with.
      batch_size: Rows per call.
      median_ms: Of a call.
      p95_ms: 95th percentile of a call.
      peak_mb: The most memory of its process, in millions of bytes; None where the system does not
        tell.
    """

    model: str
    parameters: int
    file: str
    megabytes: float
    threads: int
    batch_size: int
    median_ms: float
    p95_ms: float
    peak_mb: float | None

    def fits(self, options: AdviserOptions) -> bool:
        return self.median_ms <= (options.max_ms or np.inf) and self.megabytes <= (
            options.max_mb or np.inf
        )


def advise(options: AdviserOptions) -> str:
    """Measures all models in all forms, and writes `models.md`, `models.json` and `models.png`.

    Returns:
      The table, whose last line names the largest model within the limits.

    Raises:
      UserError: A flag names nothing that there is, or a model has too few positions.
    """
    check_choices(options.formats, options.quantization)
    batch_sizes = _numbers("batch_sizes", options.batch_sizes)
    threads = _numbers("threads", options.threads)
    make_folder(options.output_dir)
    rows: list[Row] = []
    configs = {name: _config(name, options) for name in options.models or _DEFAULT_MODELS}
    for name in tqdm(configs, desc="Models", unit=" models"):
        with tempfile.TemporaryDirectory() as folder:
            model = _model(name, configs[name], options.seq_length, folder)
            rows += _measured(name, model, options, threads, batch_sizes, folder)
    text = "\n".join([*_table(rows), "", _note(options), "", verdict(rows, options)]) + "\n"
    write_json(
        os.path.join(options.output_dir, "models.json"),
        {
            "rows": [dataclasses.asdict(row) for row in rows],
            "options": dataclasses.asdict(options),
            "machine": describe_machine(),
        },
    )
    write_text(os.path.join(options.output_dir, "models.md"), text)
    _plot(rows, options, os.path.join(options.output_dir, "models.png"))
    return text


def verdict(rows: Sequence[Row], options: AdviserOptions) -> str:
    """The line that names the largest model within the limits, at the fastest of its forms.

    Only calls with the first number of threads and of rows count.
    """
    first = [row for row in rows if (row.threads, row.batch_size) == _key(rows[0])]
    fitting = [row for row in first if row.fits(options)]
    if not fitting:
        best = min(first, key=lambda row: (row.median_ms, row.megabytes))
        return (
            f"No model is within your limits; the fastest, {best.model} as {best.file}, takes "
            f"{best.median_ms:.2f} ms and {best.megabytes:.1f} MB."
        )
    best = max(fitting, key=lambda row: (row.parameters, -row.median_ms))
    return (
        f"Largest within your limits: {best.model} as {best.file}, {best.median_ms:.2f} ms, "
        f"{best.megabytes:.1f} MB."
    )


def _key(row: Row) -> tuple[int, int]:
    return row.threads, row.batch_size


def _numbers(flag: str, values: Sequence[str]) -> list[int]:
    for value in values:
        if not (value.isascii() and value.isdigit() and int(value)):
            raise UserError(f"--{flag}: found {value}, expected whole numbers from 1 on.")
    return [int(value) for value in values]


def _config(name: str, options: AdviserOptions) -> BertConfig:
    """The architecture of a size by name, or of a model; UserError for neither."""
    config = named_config(name)
    if config is None:
        folder = read_model_folder(find_weights(name, "models")) if exists(name) else None
        if folder is None:
            raise UserError(
                f"--models: {name} is no model with its configuration, nor one of "
                f"{', '.join(NAMED_SIZES)}, nor L/H such as 4/256."
            )
        config = folder.config
    if options.seq_length > config.max_position_embeddings:
        raise UserError(
            f"--seq_length={options.seq_length}: {name} has {config.max_position_embeddings} "
            "positions."
        )
    return config


def _model(name: str, config: BertConfig, seq_length: int, folder: str) -> TrainedModel:
    """The classifier of that name; one with random weights where there is none."""
    if not named_config(name) and CLASSIFIER_WEIGHTS in open_weights(find_weights(name)).shapes:
        return read_trained_model(name, seq_length, flag="models")
    vocab_file = os.path.join(folder, VOCAB_FILE)
    unused = (f"[unused{i}]" for i in range(config.vocab_size - len(SPECIAL_TOKENS)))
    write_text(vocab_file, "".join(f"{x}\n" for x in [*SPECIAL_TOKENS, *unused]))
    weights = variable_values(ClassifierModel(config, 2).trainable_variables)
    labels = ("negative", "positive")
    return TrainedModel(name, config, weights, FullTokenizer(vocab_file), labels, seq_length)


def _measured(
    name: str,
    model: TrainedModel,
    options: AdviserOptions,
    threads: Sequence[int],
    batch_sizes: Sequence[int],
    folder: str,
) -> Iterator[Row]:
    for form in planned_forms(model, options.formats, options.quantization, ()):
        path = os.path.join(folder, form.path)
        make_folder(os.path.dirname(path))
        form.write(path)
        for count in threads:
            found = probe(path, [options.seq_length], count, batch_sizes)
            for time in found["times"]:
                yield Row(
                    model=name,
                    parameters=model.num_parameters,
                    file=form.path,
                    megabytes=megabytes(path),
                    threads=count,
                    batch_size=time["batch_size"],
                    median_ms=time["median_ms"],
                    p95_ms=time["p95_ms"],
                    peak_mb=found["peak_mb"],
                )
    logging.info("%s measured.", name)


def _table(rows: Sequence[Row]) -> list[str]:
    header = ["Model", "Parameters", "File", "MB", "Threads", "Rows", "ms", "95 %", "rows/s"]
    cells = [
        [
            row.model,
            f"{row.parameters:,}",
            row.file,
            f"{row.megabytes:.1f}",
            str(row.threads),
            str(row.batch_size),
            f"{row.median_ms:.2f}",
            f"{row.p95_ms:.2f}",
            f"{1000 * row.batch_size / row.median_ms:,.0f}",
            f"{row.peak_mb:.0f}" if row.peak_mb else "",
        ]
        for row in rows
    ]
    return table([*header, "Peak MB"], cells)


def _note(options: AdviserOptions) -> str:
    return (
        f"Rows of {options.seq_length} tokens, ids in; medians and 95th percentiles of a call. "
        f"Machine: {describe_machine()}."
    )


def short_name(model: str) -> str:
    """The name of a size (4/128), or the last part of a model's path."""
    return model if named_config(model) else os.path.basename(model.rstrip("/"))


def _plot(rows: Sequence[Row], options: AdviserOptions, path: str) -> None:
    """Milliseconds against megabytes, with the limits drawn in."""
    from matplotlib.ticker import LogLocator, NullFormatter

    figure, (axes,) = new_figure(height=5)
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        # Plain numbers: 0.5 rather than 5 × 10⁻¹.
        axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    first = [row for row in rows if _key(row) == _key(rows[0])]
    for file in dict.fromkeys(row.file for row in first):
        of_file = sorted((row for row in first if row.file == file), key=lambda r: r.megabytes)
        axes.plot([r.megabytes for r in of_file], [r.median_ms for r in of_file], "o-", label=file)
    if options.max_ms:
        axes.axhline(options.max_ms, color="gray", linestyle="--", label=f"{options.max_ms:g} ms")
    if options.max_mb:
        axes.axvline(options.max_mb, color="gray", linestyle=":", label=f"{options.max_mb:g} MB")
    axes.set_xlabel("MB of the file")
    axes.set_ylabel(f"ms of a row of {options.seq_length} tokens")
    # Larger models are slower, so nothing stands there.
    legend = axes.legend(loc="upper left")
    points = [(row.megabytes, row.median_ms) for row in first]
    label_points(axes, [short_name(row.model) for row in first], points, [legend])
    save_figure(figure, path)
