"""Commands that depend on each other, run side by side and never twice.

A stage is one command with a log file. When it succeeds, a marker is written: the command, the
digests of the files it has read, and its time. A later call finds the marker and skips the stage if
command and files are still the same. Every script here continues an interrupted run of its own, so a
stage that was cut off goes on rather than starting over.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from common.atomic import write_json
from common.errors import UserError
from common.files import exists, read_json, remove
from common.outputs import lock_folder
from experiments.stage_inputs import command_inputs

# The display is renewed this often on a terminal and in a log file (seconds).
TERMINAL_INTERVAL, LOG_INTERVAL = 0.5, 20.0


@dataclasses.dataclass(frozen=True)
class Stage:
    """One command.

    Attributes:
      name: Shown to the user; also the name of the log file and the marker.
      command: Program and arguments.
      needs: Names of the stages that must be finished before.
      anew: Arguments that make the command replace what an earlier one has left.
    """

    name: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    anew: tuple[str, ...] = ("--start_over",)


class _Job:
    """A stage that is running."""

    def __init__(self, stage: Stage, arguments: tuple[str, ...], log_path: str, threads: int):
        self.stage, self.log_path = stage, log_path
        self.inputs = command_inputs(stage.command)
        self.start = time.monotonic()
        # TensorFlow would otherwise use every core in each of the jobs.
        environment = {
            **os.environ,
            "TF_NUM_INTRAOP_THREADS": str(threads),
            "TF_NUM_INTEROP_THREADS": "2",
            "OMP_NUM_THREADS": str(threads),
        }
        with open(log_path, "wb") as log:
            self.process = subprocess.Popen(
                (*stage.command, *arguments), stdout=log, stderr=subprocess.STDOUT, env=environment
            )

    def last_line(self) -> str:
        """Last line of the command's output; a progress bar's line ends in a carriage return."""
        with open(self.log_path, "rb") as log:
            log.seek(max(0, os.path.getsize(self.log_path) - 2000))
            text = log.read().decode("utf-8", "replace").replace("\r", "\n")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else ""


def run_stages(
    stages: Sequence[Stage], folder: str, num_jobs: int, start_over: bool = False
) -> dict[str, float]:
    """Runs all stages, up to `num_jobs` at a time, in the given order as far as `needs` allows.

    Args:
      stages: Each stage stands after those it needs.
      folder: For logs and markers; no other process may run stages in it.
      num_jobs: Commands at a time; the cores are shared out among them.
      start_over: Whether a stage that an earlier call has finished with another command, or on files
        of other content, is run again; so are those that need it.

    Returns:
      Name -> seconds of each stage, those of earlier calls included.

    Raises:
      UserError: A command failed, or a marker is from another command or content.
    """
    lock_folder("output_dir", folder)
    seconds: dict[str, float] = {}
    waiting = []
    changed: set[str] = set()
    for stage in stages:
        marker = _marker(folder, stage)
        difference = _difference(stage, read_json(marker)) if exists(marker) else None
        if changed.intersection(stage.needs) and exists(marker):
            difference = "is from before a stage that it needs was changed"
        if difference and not start_over:
            raise UserError(
                f"{marker} {difference}; use another --output_dir, or --start_over to run "
                f"{stage.name} and what needs it again."
            )
        if difference:
            print(f"{stage.name} is run again: its last run {difference}.", flush=True)
            changed.add(stage.name)
            remove(marker)
        if exists(marker):
            seconds[stage.name] = read_json(marker)["seconds"]
        else:
            waiting.append(stage)
    if seconds:
        print(f"{len(seconds)} of {len(stages)} stages are already done.", flush=True)

    threads = max(1, (os.cpu_count() or 1) // num_jobs)
    running: list[_Job] = []
    display = _Display(len(stages))
    try:
        while waiting or running:
            for stage in [s for s in waiting if all(n in seconds for n in s.needs)]:
                if len(running) == num_jobs:
                    break
                waiting.remove(stage)
                log_path = os.path.join(folder, f"{stage.name}.log")
                running.append(_Job(stage, stage.anew if start_over else (), log_path, threads))
            ended = [job for job in running if job.process.poll() is not None]
            # A success that is seen together with a failure is noted before the failure is raised.
            for job in sorted(ended, key=lambda job: job.process.returncode != 0):
                running.remove(job)
                _check(job)
                elapsed = time.monotonic() - job.start
                seconds[job.stage.name] = elapsed
                record = {
                    "command": list(job.stage.command),
                    "inputs": job.inputs,
                    "seconds": round(elapsed, 1),
                }
                write_json(_marker(folder, job.stage), record)
                display.finished(job.stage.name, elapsed, len(seconds))
            display.update(running, len(seconds))
            time.sleep(0.2)
    finally:
        for job in running:
            job.process.send_signal(signal.SIGTERM)
        for job in running:
            job.process.wait()
    return seconds


def _difference(stage: Stage, done: Mapping[str, Any]) -> str | None:
    """Difference between a stage and the marker of its earlier run, in words; None for none."""
    if done["command"] != list(stage.command):
        return f"is from another command than this one has for {stage.name}"
    if "inputs" not in done:
        return "is from an earlier version, which took no note of the content of files"
    inputs = command_inputs(stage.command)
    for name, digest in done["inputs"].items():
        if inputs.get(name, digest) != digest:
            return f"is from other content of {name}"
    return None


def _marker(folder: str, stage: Stage) -> str:
    return os.path.join(folder, f"{stage.name}.done.json")


def _check(job: _Job) -> None:
    if job.process.returncode == 0:
        return
    raise UserError(
        f"stage {job.stage.name} failed with exit status {job.process.returncode}: "
        f"{job.last_line()}\n  command: {shlex.join(job.stage.command)}\n  log: {job.log_path}"
    )


class _Display:
    """The line that shows what is running."""

    def __init__(self, total: int):
        self._total = total
        self._terminal = sys.stdout.isatty()
        self._shown_at = self._start = time.monotonic()

    def finished(self, name: str, elapsed: float, done: int) -> None:
        clear = "\r\x1b[K" if self._terminal else ""
        print(f"{clear}[{done}/{self._total}] {name} took {elapsed:.0f} s", flush=True)

    def update(self, running: Sequence[_Job], done: int) -> None:
        now = time.monotonic()
        interval = TERMINAL_INTERVAL if self._terminal else LOG_INTERVAL
        if not running or now - self._shown_at < interval:
            return
        self._shown_at = now
        minutes, seconds = divmod(int(now - self._start), 60)
        jobs = " || ".join(f"{job.stage.name}: {job.last_line()}" for job in running)
        line = f"[{done}/{self._total}] {minutes}:{seconds:02d} {jobs}"
        if self._terminal:
            width = os.get_terminal_size().columns
            sys.stdout.write("\r\x1b[K" + line[: width - 1])
            sys.stdout.flush()
        else:
            print(line, flush=True)
