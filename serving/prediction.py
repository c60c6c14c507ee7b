"""Predictions for files of texts: the rows of the input with what a model says of each.

The columns of the input stay, and behind them stand, for a classifier, `label`, `probability` and
`p_<label>` for each label in the order of the outputs; for a regression `score`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import logging
from collections.abc import Container, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from tqdm import tqdm

from checkpoints.model_sources import model_files
from common.chunks import chunks
from common.errors import UserError
from common.files import COMPRESSED, read_lines
from common.input_files import expand_globs
from common.outputs import check_files_apart, lock_files
from data.rows import (
    CSV,
    JSON_LINES,
    TSV,
    Row,
    check_columns,
    column_names,
    csv_text,
    format_of,
    has_ending,
    has_half_pair,
    is_blank,
    read_rows,
)
from data.texts import (
    TEXT,
    TEXT_COLUMN,
    columns_in_words,
    is_source_name,
    text_columns,
)
from serving.engine_choice import AUTO, SAMPLE_ROWS
from serving.parts import Stages, write_in_parts, write_to_standard_output
from serving.predictor import Predictor, probabilities, set_threads
from training.engine import WINDOW_ROWS
from training.options import DeviceOptions, ModelOptions
from training.strategy import create_strategy, is_chief

STANDARD = "-"
_SEPARATORS = {CSV: ",", TSV: "\t"}
# float32 has no more digits.
_DIGITS = 7


# A row of the input, and the text or pair in it.
TextRow: TypeAlias = tuple[Row, tuple[str, str | None]]


@dataclasses.dataclass(frozen=True)
class PredictionOptions(ModelOptions, DeviceOptions):
    """The flags of `predict.py`."""

    input_file: str = ""
    output_file: str | None = None
    text_a: str | None = None
    text_b: str | None = None
    labels: Sequence[str] | None = None
    batch_size: int | None = None
    num_threads: int = 0
    engine: str = AUTO


def run(options: PredictionOptions) -> int:
    """Writes the predictions; killed and called again, it goes on.

    Returns:
      Number of rows.

    Raises:
      UserError: Options, files or devices that the user has to change.
    """
    path = options.init_checkpoint or ""
    table = _InputTable(options)
    output = None if options.output_file in (None, STANDARD) else options.output_file
    file_format = _output_format(output, table)
    if output:
        read = model_files(options.bert_config_file, options.vocab_file, path)
        check_files_apart("output_file", [output], [*table.paths, *read])
    if options.num_threads:
        set_threads(options.num_threads)
    predictor = Predictor.load(
        path,
        max_seq_length=options.max_seq_length,
        batch_size=options.batch_size,
        engine=options.engine,
        precision=options.precision,
        labels=options.labels,
        bert_config_file=options.bert_config_file,
        vocab_file=options.vocab_file,
        do_lower_case=options.do_lower_case,
        strategy=create_strategy(options),
    )
    predictor.sources.check_pairs(table.are_pairs, path, table.in_words)
    writer = _Writer(predictor, table, file_format)
    if output and is_chief(predictor.strategy):
        lock_files("output_file", [output])
    with tqdm(unit=" rows", desc="Predictions") as progress:
        windows = chunks(table.rows(), WINDOW_ROWS)
        if output:
            write_in_parts(output, windows, writer, writer.head, progress, predictor.strategy)
        else:
            write_to_standard_output(windows, writer, writer.head, progress, predictor.strategy)
        num_rows = int(progress.n)
    if table.num_empty:
        logging.warning(
            "%d of %d rows have an empty text; the first: %s.",
            table.num_empty,
            num_rows,
            table.first_empty,
        )
    logging.info("%d rows predicted%s.", num_rows, f", in {output}" if output else "")
    return num_rows


class _InputTable:
    """The rows of all input files.

    Attributes:
      paths: The files.
      names: Columns, of the first file.
      num_empty: Rows without text among those that were read.
      first_empty: File and line of the first of them.
    """

    def __init__(self, options: PredictionOptions):
        self.paths = expand_globs(options.input_file, "input_file", is_source_name)
        for path in self.paths:
            if not is_source_name(path):
                raise UserError(
                    f"{path}: cannot tell its format by its name; expected .csv, .tsv, .jsonl, "
                    f".parquet or .txt, plain or with {COMPRESSED}."
                )
        self.names = _names_of(self.paths[0])
        self._columns = text_columns(self.paths[0], self.names, options.text_a, options.text_b)
        for path in self.paths:
            self._check(path)
        self.num_empty, self.first_empty = 0, ""

    @property
    def are_pairs(self) -> bool:
        """Whether two columns of it are read."""
        return len(self._columns) > 1

    @property
    def in_words(self) -> str:
        """The first file and the columns that are read, for messages."""
        return self.paths[0] + columns_in_words(self.paths[0], self._columns)

    def rows(self) -> Iterator[TextRow]:
        """All rows in their order; UserError if there is none, or for one that lacks a column."""
        row = None
        for path in self.paths:
            for row in _rows_of(path):
                texts = row.texts(self._columns)
                if is_blank(*texts):
                    self.first_empty = self.first_empty or row.place
                    self.num_empty += 1
                yield row, texts
        if row is None:
            raise UserError(f"--input_file: there is no row in {', '.join(self.paths)}.")

    def _check(self, path: str) -> None:
        """Finds what is wrong with a header before anything is computed."""
        names = _names_of(path)
        if format_of(path) == JSON_LINES:
            return  # Each object has its own keys.
        check_columns(path, names, [*self._columns, *names])
        if set(names) != set(self.names):
            raise UserError(
                f"{path} has the columns {', '.join(names)}, {self.paths[0]} has "
                f"{', '.join(self.names)}; predict them one by one."
            )


def _names_of(path: str) -> list[str]:
    return [TEXT_COLUMN] if has_ending(path, TEXT) else column_names(path)


def _rows_of(path: str) -> Iterator[Row]:
    if not has_ending(path, TEXT):
        return read_rows(path)
    return (Row(path, line, {TEXT_COLUMN: text}) for line, text in read_lines(path))


def _output_format(path: str | None, table: _InputTable) -> str:
    """CSV, TSV or JSON Lines, as the name says; on standard output that of the input."""
    found = format_of(path or table.paths[0])
    if found in (CSV, TSV, JSON_LINES):
        return str(found)
    if path is None:
        return CSV
    raise UserError(
        f"--output_file={path}: cannot tell the format by the name; expected .csv, .tsv or .jsonl, "
        f"plain or with {COMPRESSED}."
    )


class _Writer(Stages[list[TextRow], dict[str, np.ndarray], np.ndarray]):
    """Windows of rows -> bytes of the output."""

    def __init__(self, predictor: Predictor, table: _InputTable, file_format: str):
        self._predictor, self._table, self._format = predictor, table, file_format
        self._engine = predictor.logits_engine()
        self._labels = predictor.known_labels()
        self._ours = ["score"]
        if self._labels:
            self._ours = ["label", "probability", *(f"p_{label}" for label in self._labels)]
        self._renamed = self._renamed_columns()
        if file_format != JSON_LINES:
            for name in (*table.names, *self._ours):
                self._check_fits(name, f"{name!r}, the name of a column,")

    def key(self, rows: list[TextRow]) -> str:
        if not self._engine.choice:
            self._engine.choose(self.prepare(rows[:SAMPLE_ROWS]), len(rows))
        return repr((self._settings, [(row.cells, texts) for row, texts in rows]))

    @functools.cached_property
    def _settings(self) -> tuple[Any, ...]:
        """Everything that decides the output beside the rows; the engine must be chosen."""
        identity = self._predictor.identity(self._engine)
        return (*identity, self._labels, self._table.names, self._format)

    def head(self) -> bytes:
        """The header; JSON Lines have none."""
        if self._format == JSON_LINES:
            return b""
        names = [self._renamed.get(name, name) for name in self._table.names]
        return self._table_lines([[*names, *self._ours]])

    def prepare(self, rows: list[TextRow]) -> dict[str, np.ndarray]:
        return self._predictor.features([texts for _, texts in rows])

    def compute(self, features: dict[str, np.ndarray]) -> np.ndarray:
        return self._engine(features)

    def content(self, rows: list[TextRow], logits: np.ndarray) -> bytes:
        answers = self._answers(logits)
        if self._format == JSON_LINES:
            objects = (
                {**self._kept(row), **dict(zip(self._ours, answer, strict=True))}
                for (row, _), answer in zip(rows, answers, strict=True)
            )
            return "".join(f"{_json(o)}\n" for o in objects).encode()
        cells = (
            [*self._cells(row), *answer] for (row, _), answer in zip(rows, answers, strict=True)
        )
        return self._table_lines(cells)

    def _answers(self, logits: np.ndarray) -> Iterator[list[Any]]:
        """The values of our columns for each row."""
        if not self._labels:
            return ([_rounded(score)] for score in logits[:, 0].tolist())
        best = logits.argmax(axis=1)
        rows = probabilities(logits).tolist()
        return (
            [self._labels[i], _rounded(row[i]), *map(_rounded, row)]
            for i, row in zip(best, rows, strict=True)
        )

    def _renamed_columns(self) -> dict[str, str]:
        """Columns of the input that are called like one of ours -> their names in the output."""
        renamed = {name: f"input_{name}" for name in self._table.names if name in self._ours}
        for name, new in renamed.items():
            _check_free(new, name, self._table.names, self._table.paths[0])
            logging.info('The column "%s" of the input is called "%s" in the output.', name, new)
        return renamed

    def _kept(self, row: Row) -> dict[str, Any]:
        kept = {}
        for name, value in row.cells.items():
            new = f"input_{name}" if name in self._ours else name
            if new != name:  # Each object has its own keys.
                _check_free(new, name, row.cells, row.place)
            kept[new] = value
        return kept

    def _cells(self, row: Row) -> list[str]:
        """The columns of the input as texts."""
        if unknown := [name for name in row.cells if name not in self._table.names]:
            raise UserError(
                f'{row.place}: the key "{unknown[0]}" is not in the first object, whose keys are the '
                "columns of a table; write a .jsonl file, which keeps every object as it is."
            )
        cells = [_as_text(row.cells.get(name)) for name in self._table.names]
        for name, cell in zip(self._table.names, cells, strict=True):
            self._check_fits(cell, f'{row.place}: the column "{name}"')
        return cells

    def _check_fits(self, text: str, what: str) -> None:
        """Raises a UserError where a table of the output's format cannot hold a text."""
        if self._format == TSV and ("\t" in text or "\n" in text or "\r" in text):
            raise UserError(
                f"{what} holds a tab or a line end, which a .tsv file cannot hold; write a .csv or "
                ".jsonl file."
            )
        if has_half_pair(text):
            raise UserError(
                f"{what} holds half a surrogate pair, which is no character, so no table can hold "
                "it; write a .jsonl file."
            )

    def _table_lines(self, rows: Any) -> bytes:
        if self._format == TSV:
            return "".join("\t".join(map(str, row)) + "\n" for row in rows).encode()
        return csv_text(rows).encode()


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float, list, dict)):
        return _json(value)
    return "" if value is None else _plain(value)


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=_plain)
    # UTF-8 has no form for it, an escape of JSON is one.
    return json.dumps(value, default=_plain) if has_half_pair(text) else text


def _plain(value: Any) -> str:
    """A value of Parquet that JSON has no form for: a date or time in ISO 8601, decimal, bytes."""
    if isinstance(value, bytes):
        with contextlib.suppress(UnicodeDecodeError):
            return value.decode()
        return value.hex()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _check_free(new: str, name: str, names: Container[str], place: str) -> None:
    """Raises a UserError where a column of the input cannot get its new name, because it is taken."""
    if new in names:
        raise UserError(
            f'{place} has columns called "{name}" and "{new}", and the predictions need "{name}"; '
            "rename one of them."
        )
