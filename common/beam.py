"""Runs pipelines of Apache Beam; imports it only when one is run, for most users do without."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import io
import logging
import os
import re
import shlex
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from common.atomic import write_json
from common.errors import UserError
from common.files import is_remote, make_folder, open_binary, read_json, remove_folder
from common.quiet import without_warnings

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_LOG_LEVELS = {
    "typehints": logging.WARNING,
    "runners.common": logging.CRITICAL,
    "runners.worker": logging.CRITICAL,
}


@dataclasses.dataclass(frozen=True)
class BeamOptions:
    """Runner of a Beam pipeline, and its options.

    Attributes:
      runner: Beam's name of the runner, such as DirectRunner, DataflowRunner, FlinkRunner.
      arguments: Options of Beam and of the runner, as on a command line.

    Raises:
      UserError: Apache Beam is not installed, or refuses the runner or an option.
    """

    runner: str
    arguments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if importlib.util.find_spec("apache_beam") is None:
            raise UserError(
                f"--beam_runner={self.runner} needs Apache Beam, which is not installed; run `pip "
                "install -r requirements-beam.lock` in an environment of its own, or leave the flag "
                "out to use the processes of this machine."
            )
        try:
            # Beam says, when it is imported, which services are not installed.
            with without_warnings():
                from apache_beam.runners.runner import create_runner

                create_runner(self.runner)
        except (ValueError, ImportError, AttributeError) as error:
            raise UserError(f"--beam_runner={self.runner}: {_first_line(error)}") from None
        # Beam prints its usage and ends the process.
        output = io.StringIO()
        try:
            with contextlib.redirect_stderr(output):
                self.pipeline_options().get_all_options()
        except SystemExit:
            message = output.getvalue().strip().rpartition("error: ")[2]
            raise UserError(f"--beam_options: {message}.") from None

    def pipeline_options(self) -> Any:
        """The options as Beam takes them."""
        from apache_beam.options.pipeline_options import PipelineOptions

        # Beam's own choice for this machine is a program that it downloads, unless it is offline.
        is_direct = self.runner.lower() in ("direct", "directrunner")
        runner = "FnApiRunner" if is_direct else self.runner
        return PipelineOptions([f"--runner={runner}", *self.arguments])


def parse_options(runner: str | None, arguments: str) -> BeamOptions | None:
    """The values of `--beam_runner` and `--beam_options`; None without a runner.

    The options are quoted like a shell command.

    Raises:
      UserError: A quotation mark is not closed, an option does not begin with "--", or what
        `BeamOptions` raises.
    """
    if not runner:
        return None
    try:
        parts = shlex.split(arguments)
    except ValueError as error:
        raise UserError(f"--beam_options: {_first_line(error)} in {arguments!r}.") from None
    if parts and not parts[0].startswith("--"):
        raise UserError(
            f'--beam_options: found "{parts[0]}", expected options as on a command line, such as '
            "--beam_options='--project=name --region=us-central1'."
        )
    return BeamOptions(runner, tuple(parts))


def run_pipeline(
    build: Callable[[Any], Mapping[str, Any]], options: BeamOptions, folder: str
) -> dict[str, list[Any]]:
    """Runs a pipeline to its end.

    Args:
      build: Adds the stages to an `apache_beam.Pipeline`; name -> collection to bring back.
      options: Runner of the pipeline.
      folder: Takes the result; all workers reach it (`work_folder`).

    Returns:
      Name -> the elements of that collection, sorted, as they come through JSON.

    Raises:
      UserError: A worker raised one, or the runner cannot be used in this way.
    """
    import apache_beam as beam

    # Workers that are other processes of this machine find our modules, and errors are told once.
    os.environ["PYTHONPATH"] = os.pathsep.join([_ROOT, *filter(None, sys.path)])
    for name, level in _LOG_LEVELS.items():
        logging.getLogger(f"apache_beam.{name}").setLevel(level)
    path = os.path.join(folder, "result.json")
    try:
        with beam.Pipeline(options=options.pipeline_options()) as pipeline:
            collections = build(pipeline)
            lists = map(beam.pvalue.AsList, collections.values())
            _ = (
                pipeline
                | "Result" >> beam.Create([path])
                | "Write result" >> beam.Map(_write_result, tuple(collections), *lists)
            )
    except Exception as error:
        # What a signal raises in a stage in this process comes out as another exception.
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, (KeyboardInterrupt, SystemExit)):
                raise cause from None
            cause = cause.__context__
        # The error itself or, from another process, text that holds it; behind it, the stage's name.
        text = f"UserError: {error}" if isinstance(error, UserError) else str(error)
        if match := re.search(r"UserError: (.+?)(?: \[while running .*)?$", text, re.MULTILINE):
            raise UserError(match[1]) from None
        is_from_stage = "[while running " in text or "Traceback" in text
        if isinstance(error, (OSError, RuntimeError, ValueError)) and not is_from_stage:
            message = " ".join(text.split()).rstrip(".")
            raise UserError(f"--beam_runner={options.runner}: {message}.") from None
        raise
    return read_json(path)


def _write_result(path: str, names: Sequence[str], *collections: list[Any]) -> None:
    write_json(path, dict(zip(names, map(sorted, collections), strict=True)))


def spread(pipeline: Any, name: str, elements: Iterable[Any]) -> Any:
    """A collection of these elements, each for any worker."""
    import apache_beam as beam

    return pipeline | name >> beam.Create(elements) | f"Spread {name}" >> beam.Reshuffle()


@contextlib.contextmanager
def work_folder(parent: str) -> Iterator[str]:
    """Yields a new folder for what workers hand to each other; removes it in the end.

    Args:
      parent: Folder to make it in; created if need be.
    """
    # Workers may have another working directory.
    folder = unique_path(parent if is_remote(parent) else os.path.abspath(parent), ".beam")
    make_folder(folder)
    try:
        yield folder
    finally:
        remove_folder(folder)


def unique_path(folder: str, name: str) -> str:
    """A path nobody has used: runners repeat work, at the same time even, and keep one result."""
    return os.path.join(folder, f"{name}-{uuid.uuid4().hex}")


def write_arrays(path: str, arrays: Sequence[np.ndarray]) -> None:
    """Writes arrays of numbers to a file."""
    with open_binary(path, "wb") as file:
        np.lib.format.write_array(file, np.array(len(arrays)), allow_pickle=False)
        for array in arrays:
            np.lib.format.write_array(file, array, allow_pickle=False)


def read_arrays(path: str) -> list[np.ndarray]:
    """Reads what `write_arrays` wrote."""
    with open_binary(path, decompress=False) as file:
        count = int(np.lib.format.read_array(file, allow_pickle=False))
        return [np.lib.format.read_array(file, allow_pickle=False) for _ in range(count)]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
