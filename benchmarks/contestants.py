"""The measuring side of a comparison: programs that are run in turn, in rounds.

Each contestant is a process, or a command that is run anew each time, so that every peer has an
environment of its own; only one of them works at any moment. What cannot be run stays in the report
as a row that says why.
"""

from __future__ import annotations

import abc
import dataclasses
import json
import os
import selectors
import shutil
import statistics
import subprocess
import time
from collections.abc import Sequence
from typing import Any

from common.machine import peak_bytes, resident_bytes
from common.processes import last_words
from data.sidecars import remove_sidecar


@dataclasses.dataclass
class Result:
    """Measurements of one contestant.

    Attributes:
      name: The library and its mode.
      rates: Units per second, one of each round.
      facts: Other facts that the contestant reports, such as versions.
      problem: Reason for the lack of (further) measurements; "" if all went well.
    """

    name: str
    rates: list[float] = dataclasses.field(default_factory=list)
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    problem: str = ""

    @property
    def rate(self) -> float:
        """Median rate, of one measurement at least."""
        return statistics.median(self.rates)

    @property
    def who(self) -> str:
        """The name without the mode."""
        return self.name.partition(", ")[0]

    @property
    def mode(self) -> str:
        """The rest of the name."""
        return self.name.partition(", ")[2]


# Short beside the shortest command; looking takes hardly any time.
_POLL_SECONDS = 0.02
MEMORY = "MB of its processes at most"


class _Failed(Exception):
    """A contestant cannot go on; the message says why."""


class Contestant(abc.ABC):
    """A program under a name."""

    def __init__(self, name: str, command: Sequence[str], log: str, cwd: str | None = None):
        """Starts nothing.

        Args:
          name: For the report.
          command: Program and arguments; an empty program means that the peer is not installed.
          log: File that takes what it prints.
          cwd: Folder to run it in.
        """
        self.result = Result(name)
        self._command, self._log, self._cwd = list(command), log, cwd

    @abc.abstractmethod
    def warm_up(self, timeout: float) -> None:
        """Everything that does not count."""

    @abc.abstractmethod
    def measure(self, timeout: float) -> float:
        """One round: units per second."""

    @abc.abstractmethod
    def close(self) -> None:
        """Ends what is still running."""

    def _popen(self, **pipes: Any) -> subprocess.Popen[bytes]:
        if not self._command[0]:
            raise _Failed("not installed: no Python was given")
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TOKENIZERS_PARALLELISM": "true"}
        environment.pop("TF_USE_LEGACY_KERAS", None)  # Peers may need Keras 3.
        with open(self._log, "wb") as log:
            try:
                return subprocess.Popen(
                    self._command, stderr=log, cwd=self._cwd, env=environment, **pipes
                )
            except OSError as error:
                raise _Failed(f"cannot run {self._command[0]}: {error.strerror}") from None

    def _last_words(self) -> str:
        with open(self._log, encoding="utf-8", errors="replace") as log:
            return last_words(log.read())[:200]


class Server(Contestant):
    """A program that calls `benchmarks.serving.serve`."""

    _process: subprocess.Popen[bytes] | None = None

    def warm_up(self, timeout: float) -> None:
        start = time.perf_counter()
        self._process = self._popen(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.result.facts.update(self._answer(timeout)["facts"])
        self.result.facts["seconds to warm up"] = round(time.perf_counter() - start, 1)

    def measure(self, timeout: float) -> float:
        assert self._process and self._process.stdin
        try:
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()
        except OSError:  # It ended since: by the kernel, where all together need too much memory.
            raise _Failed(f"ended while it waited: {self._last_words()}") from None
        answer = self._answer(timeout)
        peak = peak_bytes(self._process.pid)
        self.result.facts[MEMORY] = peak and round(peak / 1e6)
        return answer["units"] / answer["seconds"]

    def close(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()

    def _answer(self, timeout: float) -> dict[str, Any]:
        assert self._process and self._process.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(timeout):
                raise _Failed(f"no answer within {timeout:.0f} s")
        if line := self._process.stdout.readline():
            return json.loads(line)
        raise _Failed(self._last_words())


class Command(Contestant):
    """A program that is run from start to end in every round."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: str,
        units: int,
        output: str | None = None,
        cwd: str | None = None,
    ):
        """Starts nothing.

        Args:
          name: As in the base class; so are `command`, `log` and `cwd`.
          units: Units of work in one run.
          output: A file or folder of the command, removed before each run with its sidecar: our
            scripts skip what is finished.
        """
        super().__init__(name, command, log, cwd)
        self._units, self._output = units, output

    def warm_up(self, timeout: float) -> None:
        """Nothing: its start is part of what is measured."""

    def measure(self, timeout: float) -> float:
        if self._output:
            shutil.rmtree(self._output, ignore_errors=True)
            if os.path.exists(self._output):
                os.remove(self._output)
            remove_sidecar(self._output)
        start = time.perf_counter()
        process = self._popen(stdout=subprocess.DEVNULL)
        peak = 0
        while (status := process.poll()) is None:
            if time.perf_counter() - start > timeout:
                process.terminate()
                process.wait()
                raise _Failed(f"not finished within {timeout:.0f} s")
            peak = max(peak, resident_bytes(process.pid))
            time.sleep(_POLL_SECONDS)
        seconds = time.perf_counter() - start
        if status:
            raise _Failed(self._last_words())
        facts = self.result.facts
        facts[MEMORY] = max(round(peak / 1e6), facts.get(MEMORY, 0))
        return self._units / seconds

    def close(self) -> None:
        """Nothing runs between the rounds."""


def run_rounds(
    contestants: Sequence[Contestant], rounds: int, timeout: float, seconds: float
) -> list[Result]:
    """Warms all contestants up and measures them in turn.

    Args:
      contestants: One that fails drops out; the others go on.
      rounds: Measurements of each.
      timeout: Seconds for a warm-up, and for a round of one.
      seconds: No round is begun so long after the first; there is one at least.
    """
    running = list(contestants)
    end = 0.0
    try:
        for turn in range(-1, rounds):
            if turn == 0:
                end = time.monotonic() + seconds
            elif turn > 0 and time.monotonic() > end:
                break
            for contestant in list(running):
                try:
                    if turn < 0:
                        contestant.warm_up(timeout)
                    else:
                        contestant.result.rates.append(contestant.measure(timeout))
                except _Failed as failure:
                    contestant.result.problem = str(failure)
                    contestant.close()
                    running.remove(contestant)
    finally:
        for contestant in contestants:
            contestant.close()
    return [contestant.result for contestant in contestants]
