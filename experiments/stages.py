"""Commands that depend on each other, run side by side and never twice.

A stage is one command with a log file. When it succeeds, a marker is written: the command, the
digests of the files it has read, and its time. A later call finds the marker and skips the stage if
command and files are still the same. Every script here continues an interrupted run of its own, so a
stage that was cut off goes on rather than starting over.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from common.atomic import write_json
from common.errors import UserError
from common.files import exists, read_json, remove
from common.outputs import lock_folder
from common.progress import ProgressLine, clock
from experiments.fork_server import ForkedProcess, ForkServer
from experiments.stage_inputs import command_inputs, difference

# Folder of the scripts.
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Machines look this often for what others have finished (seconds).
MARKER_INTERVAL = 2.0
# The remaining time trusts the estimates for that long (seconds).
TRUSTED_SECONDS = 600.0


@dataclasses.dataclass(frozen=True)
class Stage:
    """One command.

    Attributes:
      name: Shown to the user; also the name of the log file and the marker.
      command: Program and arguments.
      needs: Names of the stages that must be finished before.
      start_over: Arguments that make the command replace what an earlier one has left.
      estimate: Seconds that it is thought to take, for the remaining time; 0 for unknown.
    """

    name: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    start_over: tuple[str, ...] = ("--start_over",)
    estimate: float = 0.0


@dataclasses.dataclass(frozen=True)
class Shard:
    """The part of the stages that this machine runs: every n-th, from the index on."""

    index: int = 0
    number: int = 1


class Processes:
    """Starts commands, from one process that has TensorFlow imported where that is possible.

    A context manager: at its end that process ends, and what it has started.

    Args:
      num_jobs: Commands at a time. The cores are shared out among them; TensorFlow would otherwise
        use every core in each of them.
    """

    def __init__(self, num_jobs: int):
        threads = max(1, (os.cpu_count() or 1) // num_jobs)
        paths = filter(None, (ROOT, os.environ.get("PYTHONPATH")))
        self._environment = {
            **os.environ,
            # For commands such as `python -m experiments.median_run` from any folder.
            "PYTHONPATH": os.pathsep.join(paths),
            "TF_NUM_INTRAOP_THREADS": str(threads),
            "TF_NUM_INTEROP_THREADS": "2",
            "OMP_NUM_THREADS": str(threads),
        }
        self._server: ForkServer | None = None

    def start(self, command: Sequence[str], log_path: str) -> subprocess.Popen | ForkedProcess:
        if ForkServer.can_run(command):
            self._server = self._server or ForkServer(self._environment)
            return self._server.start(command, log_path)
        with open(log_path, "wb") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=self._environment
            )

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server:
            self._server.close()


class _Job:
    """A stage that is running."""

    def __init__(
        self, stage: Stage, arguments: tuple[str, ...], log_path: str, processes: Processes
    ):
        self.stage, self.log_path = stage, log_path
        self.inputs = command_inputs(stage.command)
        self.start = time.monotonic()
        self.process = processes.start((*stage.command, *arguments), log_path)

    def last_line(self) -> str:
        """Last line of the command's output; a progress bar's line ends in a carriage return."""
        with open(self.log_path, "rb") as log:
            log.seek(max(0, os.path.getsize(self.log_path) - 2000))
            text = log.read().decode("utf-8", "replace").replace("\r", "\n")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else ""


def run_stages(
    stages: Sequence[Stage],
    folder: str,
    num_jobs: int,
    start_over: bool = False,
    shard: Shard = Shard(),
    processes: Processes | None = None,
    after_stage: Callable[[Mapping[str, float]], None] = lambda _: None,
) -> dict[str, float]:
    """Runs all stages, up to `num_jobs` at a time, in the given order as far as `needs` allows.

    Args:
      stages: Each stage stands after those it needs.
      folder: For logs and markers; no other process may run the same shard of stages in it.
      num_jobs: Commands at a time; the cores are shared out among them.
      start_over: Whether a stage that an earlier call has finished with another command, or on files
        of other content, is run again; so are those that need it.
      shard: Machines that share the folder run one shard each, and wait for each other's stages.
      processes: Used and left open, for callers with further stages; None for new ones.
      after_stage: Called whenever a stage has ended, with name -> seconds of those that are done.

    Returns:
      Name -> seconds of each stage, those of earlier calls included.

    Raises:
      UserError: A command failed, or a marker is from another command or content.
    """
    is_part = shard.number > 1
    lock_folder("output_dir", folder, f"shard-{shard.index}" if is_part else None)
    seconds = finished_stages(stages, folder, start_over)
    if seconds:
        print(f"{len(seconds)} of {len(stages)} stages are already done.", flush=True)
    own = [stage for stage in stages[shard.index :: shard.number] if stage.name not in seconds]
    running: list[_Job] = []
    display = _Display(stages, seconds, num_jobs)
    looked_at = time.monotonic()
    with contextlib.ExitStack() as stack:
        starter = processes or stack.enter_context(Processes(num_jobs))
        stack.callback(_terminate, running)
        while len(seconds) < len(stages):
            for stage in [s for s in own if all(n in seconds for n in s.needs)]:
                if len(running) == num_jobs:
                    break
                own.remove(stage)
                log_path = os.path.join(folder, f"{stage.name}.log")
                running.append(
                    _Job(stage, stage.start_over if start_over else (), log_path, starter)
                )
            ended = [job for job in running if job.process.poll() is not None]
            # A success that is seen together with a failure is noted before the failure is raised.
            for job in sorted(ended, key=lambda job: job.process.returncode != 0):
                running.remove(job)
                _check(job)
                seconds[job.stage.name] = _write_marker(job, folder)
                display.finished(job.stage.name)
                after_stage(seconds)
            if is_part and time.monotonic() - looked_at > MARKER_INTERVAL:
                looked_at = time.monotonic()
                if elsewhere := _finished_elsewhere(stages, folder, seconds, running, own):
                    seconds.update(elsewhere)
                    after_stage(seconds)
            display.update(running)
            time.sleep(0.2)
    return {stage.name: seconds[stage.name] for stage in stages}


def _terminate(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        job.process.send_signal(signal.SIGTERM)
    for job in jobs:
        job.process.wait()


def finished_stages(
    stages: Sequence[Stage], folder: str, start_over: bool = False
) -> dict[str, float]:
    """Name -> seconds of the stages that an earlier call has finished.

    Args:
      stages: As in `run_stages`.
      folder: As in `run_stages`.
      start_over: Removes the markers that would be refused.

    Raises:
      UserError: One was another command, or read other content, and is not to be run again.
    """
    seconds: dict[str, float] = {}
    changed: set[str] = set()
    for stage in stages:
        marker = _marker(folder, stage)
        if not exists(marker):
            continue
        done = read_json(marker)
        reason = _difference(stage, done)
        if changed.intersection(stage.needs):
            reason = "is from before a stage that it needs was changed"
        if reason and not start_over:
            raise UserError(
                f"{marker} {reason}; use another --output_dir, or --start_over to run "
                f"{stage.name} and what needs it again."
            )
        if reason:
            print(f"{stage.name} is run again: its last run {reason}.", flush=True)
            changed.add(stage.name)
            remove(marker)
        else:
            seconds[stage.name] = done["seconds"]
    return seconds


def _finished_elsewhere(
    stages: Sequence[Stage],
    folder: str,
    seconds: Mapping[str, float],
    running: Sequence[_Job],
    own: Sequence[Stage],
) -> dict[str, float]:
    """Name -> seconds of stages that other machines have finished since.

    Raises:
      UserError: A machine was given other flags.
    """
    here = {*seconds, *(job.stage.name for job in running), *(stage.name for stage in own)}
    found = {}
    for stage in stages:
        marker = _marker(folder, stage)
        if stage.name not in here and exists(marker):
            done = read_json(marker)
            if not _is_same_command(done["command"], stage.command):
                raise UserError(
                    f"{marker} is from another command than this machine has for {stage.name}; start "
                    "all machines that share a folder with the same flags."
                )
            found[stage.name] = done["seconds"]
    return found


def _is_same_command(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two commands do the same, wherever Python and the scripts lie."""
    return [*map(os.path.basename, one[:2]), *one[2:]] == [
        *map(os.path.basename, other[:2]),
        *other[2:],
    ]


def _difference(stage: Stage, done: Mapping[str, Any]) -> str | None:
    """Difference between a stage and the marker of its earlier run, in words; None for none."""
    if not _is_same_command(done["command"], stage.command):
        return f"is from another command than this one has for {stage.name}"
    if "inputs" not in done:
        return "is from an earlier version, which took no note of the content of files"
    return difference(done["inputs"], command_inputs(stage.command))


def _marker(folder: str, stage: Stage) -> str:
    return os.path.join(folder, f"{stage.name}.done.json")


def _write_marker(job: _Job, folder: str) -> float:
    """Notes that a stage is done; the seconds it took."""
    seconds = time.monotonic() - job.start
    record = {"command": job.stage.command, "inputs": job.inputs, "seconds": round(seconds, 1)}
    write_json(_marker(folder, job.stage), record)
    return seconds


def _check(job: _Job) -> None:
    if job.process.returncode == 0:
        return
    raise UserError(
        f"stage {job.stage.name} failed with exit status {job.process.returncode}: "
        f"{job.last_line()}\n  command: {shlex.join(job.stage.command)}\n  log: {job.log_path}"
    )


def remaining_seconds(
    estimates: Mapping[str, float], seconds: Mapping[str, float], num_jobs: int
) -> float:
    """The time left, by estimates and by how wrong they were for the stages that have ended.

    Args:
      estimates: Name -> seconds that a stage is thought to take on the whole machine; 0 for unknown.
      seconds: Name -> seconds of those that have ended.
      num_jobs: Stages that share the machine; what one of them takes is shorter without the others.
    """
    left = sum(estimate for name, estimate in estimates.items() if name not in seconds)
    known = [name for name in seconds if estimates[name]]
    took = sum(seconds[name] for name in known) / num_jobs
    # A few short stages say little: the estimates count as if they had been right this long.
    return (
        left * (took + TRUSTED_SECONDS) / (sum(estimates[name] for name in known) + TRUSTED_SECONDS)
    )


class _Display:
    """The line that shows what is running, and how long it will take.

    Args:
      stages: All of them.
      seconds: Name -> seconds of those that are done; the caller adds to it.
      num_jobs: Of the caller.
    """

    def __init__(self, stages: Sequence[Stage], seconds: Mapping[str, float], num_jobs: int):
        self._estimates = {stage.name: stage.estimate for stage in stages}
        self._seconds, self._num_jobs = seconds, num_jobs
        self._line = ProgressLine()

    def _count(self) -> str:
        return f"[{len(self._seconds)}/{len(self._estimates)}]"

    def finished(self, name: str) -> None:
        self._line.show(f"{self._count()} {name} took {self._seconds[name]:.0f} s", stays=True)

    def update(self, running: Sequence[_Job]) -> None:
        if not self._line.is_due():
            return
        jobs = " || ".join(f"{job.stage.name}: {job.last_line()}" for job in running)
        jobs = jobs or "waiting for the stages of other shards"
        left = remaining_seconds(self._estimates, self._seconds, self._num_jobs)
        remaining = f" ETA {clock(left)}" if left else ""
        self._line.show(f"{self._count()} {clock(self._line.seconds)}{remaining} {jobs}")
