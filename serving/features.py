"""Hidden states of texts in a model's layers, in the format of the original `extract_features.py`.

Source: `read_examples`, `convert_examples_to_features` and `main` there. Values are those of the
original, which pads every text to the full length and masks the padding.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from checkpoints.model_sources import model_files
from common.chunks import chunks
from common.errors import UserError
from common.files import read_lines
from common.input_files import expand_globs
from common.outputs import check_files_apart, lock_files
from serving.engine_choice import SAMPLE_ROWS
from serving.parts import Stages, write_in_parts
from serving.predictor import Predictor, layer_vectors
from training.engine import WINDOW_ROWS
from training.options import DeviceOptions, ModelOptions
from training.strategy import create_strategy, is_chief

NUMPY = ".npy"
# The original's way to write a pair in a line.
_PAIR = re.compile(r"(.*) \|\|\| (.*)")
# Memory for the vectors of all tokens of the rows that are computed together; others are written.
_WINDOW_BYTES = 64 << 20
_DIGITS = 6
_DEFAULT_LAYERS = 4

# Number of the line over all files, and the text or pair in it.
Line = tuple[int, tuple[str, str | None]]


@dataclasses.dataclass(frozen=True)
class FeatureOptions(ModelOptions, DeviceOptions):
    """The flags of `extract_features.py`."""

    input_file: str = ""
    output_file: str = ""
    layers: Sequence[str] | None = None
    pooling: str | None = None
    batch_size: int = 32


def run(options: FeatureOptions) -> int:
    """Writes the vectors of all lines; killed and called again, it goes on.

    Returns:
      Number of lines.

    Raises:
      UserError: Options, files or devices that the user has to change.
    """
    if options.output_file.endswith(NUMPY) and not options.pooling:
        raise UserError(
            f"--output_file={options.output_file} holds one vector a line, so say which with "
            "--pooling; the vectors of every token are written as JSON Lines."
        )
    paths = expand_globs(options.input_file, "input_file")
    model = options.init_checkpoint or ""
    read = model_files(options.bert_config_file, options.vocab_file, model)
    check_files_apart("output_file", [options.output_file], [*paths, *read])
    predictor = Predictor.load(
        model,
        max_seq_length=options.max_seq_length,
        batch_size=options.batch_size,
        precision=options.precision,
        bert_config_file=options.bert_config_file,
        vocab_file=options.vocab_file,
        do_lower_case=options.do_lower_case,
        strategy=create_strategy(options),
    )
    extractor = _Extractor(options, predictor)
    if is_chief(predictor.strategy):
        lock_files("output_file", [options.output_file])
    with tqdm(unit=" lines", desc="Features") as progress:
        write_in_parts(
            options.output_file,
            chunks(_lines(paths), extractor.window_rows),
            extractor,
            lambda: extractor.head(progress.n),
            progress,
            predictor.strategy,
        )
        num_lines = int(progress.n)
    logging.info("%d lines of %s in %s.", num_lines, options.input_file, options.output_file)
    return num_lines


def parse_layers(texts: Sequence[str] | None, depth: int) -> list[int]:
    """The layers that --layers names; by default the last four, as far as there are so many.

    Raises:
      UserError: One is no layer of a model of this depth.
    """
    if texts is None:
        return list(range(-1, -1 - min(depth, _DEFAULT_LAYERS), -1))
    if not texts or not all(re.fullmatch(r"-?\d+", t) and -depth <= int(t) < depth for t in texts):
        raise UserError(
            f"--layers={','.join(texts)}: expected numbers from 0 to {depth - 1}, or from -1, the "
            f"last layer, to {-depth}."
        )
    return [int(text) for text in texts]


def _lines(paths: Sequence[str]) -> Iterator[Line]:
    number = 0
    for path in paths:
        for _, line in read_lines(path):
            pair = _PAIR.fullmatch(line.strip())
            yield number, (pair[1], pair[2]) if pair else (line.strip(), None)
            number += 1


class _Extractor(Stages[list[Line], dict[str, np.ndarray], Any]):
    """Windows of lines -> bytes of the output."""

    def __init__(self, options: FeatureOptions, predictor: Predictor):
        config = predictor.encoder.config
        self._layers = parse_layers(options.layers, config.num_hidden_layers)
        self._pooling, self._as_numpy = options.pooling, options.output_file.endswith(NUMPY)
        self._width = config.hidden_size
        self._predictor = predictor
        vectors = layer_vectors(predictor.encoder, self._layers, options.pooling)
        self._engine = predictor.engine("layers", vectors)
        row_bytes = 4 * predictor.max_seq_length * len(self._layers) * self._width
        fitting = max(options.batch_size, _WINDOW_BYTES // row_bytes)
        self.window_rows = WINDOW_ROWS if options.pooling else min(WINDOW_ROWS, fitting)

    def key(self, window: list[Line]) -> str:
        if not self._engine.choice:
            self._engine.choose(self.prepare(window[:SAMPLE_ROWS]))
        return repr((self._settings, window))

    @functools.cached_property
    def _settings(self) -> tuple[Any, ...]:
        """Everything that decides the output beside the lines; the engine must be chosen."""
        identity = self._predictor.identity(self._engine)
        return (*identity, self._layers, self._pooling, self._as_numpy)

    def head(self, num_lines: int) -> bytes:
        """Of a NumPy file: its shape is [lines, hidden_size], or [lines, layers, hidden_size]."""
        if not self._as_numpy:
            return b""
        layers = [len(self._layers)] if len(self._layers) > 1 else []
        header = {"descr": "<f4", "fortran_order": False}
        file = io.BytesIO()
        shape = (num_lines, *layers, self._width)
        np.lib.format.write_array_header_1_0(file, {**header, "shape": shape})
        return file.getvalue()

    def prepare(self, window: list[Line]) -> dict[str, np.ndarray]:
        return self._predictor.features([texts for _, texts in window])

    def compute(self, features: dict[str, np.ndarray]) -> Any:
        """Vectors float32 [lines, layers, hidden_size]; without pooling the described tokens."""
        return self._engine(features) if self._pooling else self._tokens(features)

    def content(self, window: list[Line], outputs: Any) -> bytes:
        if self._as_numpy:
            return outputs.astype("<f4").tobytes()
        if self._pooling:
            outputs = [{"layers": self._described(vector)} for vector in outputs]
        lines = [
            json.dumps({"linex_index": number, **row})
            for (number, _), row in zip(window, outputs, strict=True)
        ]
        return "".join(line + "\n" for line in lines).encode()

    def _tokens(self, features: dict[str, np.ndarray]) -> list[dict[str, Any]]:
        tokenizer = self._predictor.sources.tokenizer
        assert tokenizer
        rows: list[dict[str, Any]] = [{} for _ in features["input_ids"]]
        for numbers, values in self._engine.batches(features):
            for number, vectors in zip(numbers, values, strict=True):
                ids = features["input_ids"][number][: features["input_mask"][number].sum()]
                tokens = tokenizer.convert_ids_to_tokens(ids)
                described = map(self._described, vectors[: len(ids)])
                pairs = zip(tokens, described, strict=True)
                rows[number]["features"] = [{"token": t, "layers": layers} for t, layers in pairs]
        return rows

    def _described(self, vectors: np.ndarray) -> list[dict[str, Any]]:
        """[layers, hidden_size] as the original writes it."""
        return [
            {"index": layer, "values": [round(x, _DIGITS) for x in vector]}
            for layer, vector in zip(self._layers, vectors.tolist(), strict=True)
        ]
