"""Commands that are watched while they run: seconds, processor time and memory."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from common.errors import UserError
from common.machine import cpu_seconds, peak_bytes, resident_bytes
from training.termination import EXIT_TERMINATED

_POLL_SECONDS = 0.05


class Moment(NamedTuple):
    """A moment of a run.

    Attributes:
      seconds: Since its start.
      cpu_seconds: Of all of its threads until then, and of the processes that it has waited for.
    """

    seconds: float
    cpu_seconds: float


class Watched(NamedTuple):
    """Cost of a run.

    Attributes:
      end: Its end.
      peak_bytes: Most memory that it and its processes had at a time.
      milestones: The moment of each of them.
    """

    end: Moment
    peak_bytes: int
    milestones: list[Moment]


def watch(
    command: Sequence[str],
    log: str,
    cwd: str,
    milestones: Sequence[Callable[[], bool]] = (),
    stops: bool = False,
) -> Watched:
    """Runs a command to its end (Linux).

    Args:
      command: Program and arguments.
      log: File for its standard error; standard output goes nowhere.
      cwd: Folder to run it in.
      milestones: Asked all the time, the next one when the one before was true.
      stops: Whether the command is terminated at the last of them.

    Raises:
      UserError: It fails, or ends before the last milestone.
    """
    reached: list[Moment] = []
    peak = 0
    start = time.perf_counter()
    with open(log, "wb") as errors:
        process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=errors)
        ended, status, usage = 0, 0, None
        try:
            while not ended:
                peak = max(peak, peak_bytes(process.pid) or 0, resident_bytes(process.pid))
                if len(reached) < len(milestones) and milestones[len(reached)]():
                    seconds = time.perf_counter() - start
                    reached.append(Moment(seconds, cpu_seconds(process.pid)))
                    if stops and len(reached) == len(milestones):
                        process.terminate()
                time.sleep(_POLL_SECONDS)
                # For the processor time, which Popen does not tell.
                ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        except BaseException:
            process.kill()
            raise
    process.returncode = os.waitstatus_to_exitcode(status)
    assert usage
    end = Moment(time.perf_counter() - start, usage.ru_utime + usage.ru_stime)
    while len(reached) < len(milestones) and milestones[len(reached)]():
        reached.append(end)
    if process.returncode not in (0, EXIT_TERMINATED if stops else 0):
        raise UserError(f"{' '.join(command)} ended with status {process.returncode}; see {log}.")
    if len(reached) < len(milestones):
        raise UserError(f"{' '.join(command)} ended too early; see {log}.")
    return Watched(end, peak, reached)
