"""A process that has imported TensorFlow and forks itself for every command of an experiment.

A comparison starts hundreds of small runs, and much of the time of one is the import of TensorFlow.
A forked child has it already. All else, its flags, random numbers and graphs, is as new as in a
process of its own, so results are the same in every byte. To fork is safe as long as nothing has
been computed: TensorFlow starts its threads and devices with the first operation, and the server runs
none.

The server reads a line of JSON for each command, and answers with two lines: the number of the child
when it starts; number and exit status when it has ended.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence

from common.errors import UserError
from training.cli import prepare_libraries

# What the training scripts import behind their flags.
PRELOADED = (
    "classification.fine_tuning",
    "distillation.labelling",
    "distillation.student_training",
    "pretraining.training_run",
)


class ForkedProcess:
    """A command that a server has started; the part of `subprocess.Popen` that a runner needs.

    Attributes:
      pid: Its number.
      returncode: Exit status, or the negative number of the signal that ended it; None until `poll`
        or `wait` has seen its end.
    """

    def __init__(self, server: ForkServer, pid: int):
        self._server, self.pid = server, pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self._server.read_answers()
        return self.returncode

    def wait(self) -> int:
        while self.returncode is None:
            self._server.read_answers(wait=True)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


class ForkServer:
    """The server as seen by who needs it.

    Args:
      environment: Variables of the server and all commands.
      preloaded: Modules that the server imports first.
    """

    def __init__(self, environment: Mapping[str, str], preloaded: Sequence[str] = PRELOADED):
        self._server = subprocess.Popen(
            (sys.executable, "-m", "experiments.fork_server", *preloaded),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert self._server.stdin is not None and self._server.stdout is not None
        self._requests, self._answers = self._server.stdin, self._server.stdout
        self._unread = b""
        self._started: list[ForkedProcess] = []
        self._running: dict[int, ForkedProcess] = {}

    @staticmethod
    def can_run(command: Sequence[str]) -> bool:
        """Whether this system has such servers (Linux), and the command is a script or a module."""
        is_python = command[0] == sys.executable and len(command) > 1
        return (
            hasattr(os, "pidfd_open")
            and is_python
            and (command[1] == "-m" or command[1].endswith(".py"))
        )

    def start(self, command: Sequence[str], log_path: str) -> ForkedProcess:
        """Starts a command, whose standard output and errors go to a new file.

        Raises:
          UserError: The server has ended.
        """
        with open(log_path, "wb"):
            pass  # There from the start for those who look into it.
        request = {"arguments": list(command[1:]), "log": os.path.abspath(log_path)}
        try:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
        except BrokenPipeError:
            raise self._lost() from None
        while not self._started:
            self.read_answers(wait=True)
        return self._started.pop()

    def read_answers(self, wait: bool = False) -> None:
        """Notes what has started or ended since; waits for an answer on demand.

        Raises:
          UserError: The server has ended.
        """
        while wait or select.select([self._answers], [], [], 0)[0]:
            wait = False
            read = os.read(self._answers.fileno(), 65536)
            if not read:
                raise self._lost()
            *lines, self._unread = (self._unread + read).split(b"\n")
            for line in lines:
                self._note(*map(int, line.split()))

    def _lost(self) -> UserError:
        """Ends what the server has left behind."""
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
            process.returncode = -signal.SIGTERM
        self._running.clear()
        return UserError(
            "the process that starts commands has ended, killed perhaps for want of memory; what it "
            "had to say stands above. Run the same command again to continue, with fewer jobs."
        )

    def _note(self, pid: int, status: int | None = None) -> None:
        if status is None:
            self._running[pid] = ForkedProcess(self, pid)
            self._started.append(self._running[pid])
        else:
            self._running.pop(pid).returncode = status

    def close(self) -> None:
        """Ends the server, and with it the commands that still run."""
        with contextlib.suppress(BrokenPipeError):  # It has ended before.
            self._requests.close()
        self._server.wait()
        self._answers.close()


def serve(preloaded: Sequence[str]) -> None:
    """Starts commands until there are no more requests; then ends those that run."""
    prepare_libraries()
    # Ctrl-C reaches all processes of a terminal; the runner decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Python 3.12 and later warn of NumPy's threads, which are idle and restarted after a fork.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    answers = os.dup(1)
    for name in preloaded:
        importlib.import_module(name)
    children: dict[int, int] = {}  # File descriptor of a process -> its number.
    unread = b""
    while True:
        for ready in select.select([0, *children], [], [])[0]:
            if ready in children:
                _, status = os.waitpid(children[ready], 0)
                code = os.waitstatus_to_exitcode(status)
                os.write(answers, f"{children.pop(ready)} {code}\n".encode())
                os.close(ready)
                continue
            read = os.read(0, 65536)
            if not read:
                _end(list(children.values()))
                return
            *lines, unread = (unread + read).split(b"\n")
            for line in lines:
                request = json.loads(line)
                pid = os.fork()
                if not pid:
                    for descriptor in (answers, *children):
                        os.close(descriptor)
                    _become(request["arguments"], request["log"])
                    return
                os.write(answers, f"{pid}\n".encode())
                children[os.pidfd_open(pid)] = pid


def _end(pids: Sequence[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    for pid in pids:
        os.waitpid(pid, 0)


def _become(arguments: Sequence[str], log_path: str) -> None:
    """Runs a command in this process, as `python ARGUMENTS` would."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, standard in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, standard)
    if arguments[0] == "-m":
        sys.argv = ["-m", *arguments[2:]]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(arguments)
        sys.path[0] = os.path.dirname(os.path.abspath(arguments[0]))
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    serve(sys.argv[1:])
