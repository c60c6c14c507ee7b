"""A process that has imported TensorFlow and forks itself for every command of an experiment.

A comparison starts hundreds of small runs, and much of the time of one is the import of TensorFlow.
A forked child has it already. All else, its flags, random numbers and graphs, is as new as in a
process of its own, so results are the same in every byte. To fork is safe as long as nothing has
been computed: TensorFlow starts its threads and devices with the first operation, and the server runs
none.

A child that has trained a model with success waits for the next such command: TensorFlow's threads
are started and its kernels are compiled, which takes half of a small run. Training is a function of
its flags and files alone, so results are the same here, too. A command of another kind ends one of
the children that wait and gets a new one, so there are never more children than there were commands
at a time.

The server reads a line of JSON for each command, and answers with two lines: the number of the child
when it starts; number and exit status when it has ended.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from absl.testing import flagsaver

from common.errors import UserError
from common.machine import resident_bytes
from common.quiet import prepare_libraries
from training.cli import relax_garbage_collection
from training.help import define_help_flags

# What the training scripts import behind their flags.
PRELOADED = (
    "classification.fine_tuning",
    "distillation.labelling",
    "distillation.student_training",
    "pretraining.training_run",
)
# Scripts of which one process runs many commands, as long as it holds no more memory than this, in
# bytes: TensorFlow keeps the graphs of what it has trained, and the weights that stand in them. A
# process has 0.8 GB after its first run of a small model.
REPEATED = ("run_classifier.py", "run_distill.py")
MAX_MEMORY = 1_500_000_000


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
            "the process that starts commands has ended, perhaps because memory ran out; its last "
            "output is above. Run the same command again with fewer --jobs to continue."
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
    relax_garbage_collection()
    define_help_flags()  # absl defines its own once in a process.
    # Ctrl-C reaches all processes of a terminal; the runner decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Python 3.12 and later warn of NumPy's threads, which are idle and restarted after a fork.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    children = _Children(answers=os.dup(1))
    for name in preloaded:
        importlib.import_module(name)
    unread = b""
    while True:
        # Requests come last: a new child may get the file descriptors of one that has ended.
        for ready in select.select([*children.descriptors(), 0], [], [])[0]:
            if ready:
                children.look_at(ready)
                continue
            read = os.read(0, 65536)
            if not read:
                children.end()
                return
            *lines, unread = (unread + read).split(b"\n")
            for line in lines:
                request = json.loads(line)
                if not children.start(request):
                    return  # This is a child, and its last command has ended.


@dataclasses.dataclass
class _Child:
    """A process that runs commands.

    Attributes:
      pid: Its number.
      descriptor: Becomes readable when the process has ended.
      channel: Brings it further commands, and a byte of each that has ended with success; closed when
        there will be none.
      arguments: Of the newest command.
      is_busy: Whether that still runs.
    """

    pid: int
    descriptor: int
    channel: socket.socket
    arguments: list[str]
    is_busy: bool = True

    def waits(self) -> bool:
        return not self.is_busy and self.channel.fileno() >= 0


class _Children:
    """All processes that the server has started and that have not ended.

    Args:
      answers: File descriptor on which starts and ends are told.
    """

    def __init__(self, answers: int):
        self._answers = answers
        self._children: list[_Child] = []

    def descriptors(self) -> list[int]:
        """File descriptors to wait for; those that are ready go to `look_at`."""
        ends = [child.descriptor for child in self._children]
        channels = [child.channel.fileno() for child in self._children]
        return ends + [channel for channel in channels if channel >= 0]

    def start(self, request: Mapping[str, Any]) -> bool:
        """Runs a command in a child that waits or in a new one; False in the child, when it ends."""
        arguments = request["arguments"]
        idle = [child for child in self._children if child.waits()]
        if idle and _is_repeated(arguments):
            # The more alike two commands are, the more of the one can serve the other.
            child = max(idle, key=lambda c: len({*c.arguments} & {*arguments}))
            with contextlib.suppress(BrokenPipeError):  # It has been killed.
                child.channel.sendall(json.dumps(request).encode() + b"\n")
                child.arguments, child.is_busy = arguments, True
                self._answer(child.pid)
                return True
        if idle:
            # To its end: it may hold the memory of a GPU.
            idle[0].channel.close()
            self._remove(idle[0])
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if not pid:
            os.close(self._answers)
            ours.close()
            for child in self._children:
                os.close(child.descriptor)
                child.channel.close()
            _work(request, theirs)
            return False
        theirs.close()
        self._answer(pid)
        self._children.append(_Child(pid, os.pidfd_open(pid), ours, arguments))
        return True

    def look_at(self, descriptor: int) -> None:
        """Takes note of a child that has ended, or of its command."""
        for child in self._children:
            if descriptor == child.channel.fileno():
                ended_well = False
                with contextlib.suppress(ConnectionResetError):  # Killed before it read a request.
                    ended_well = bool(child.channel.recv(1))
                if ended_well:
                    child.is_busy = False
                    self._answer(child.pid, 0)
                else:
                    child.channel.close()
            elif descriptor == child.descriptor:
                status = self._remove(child)
                if child.is_busy:
                    self._answer(child.pid, status)
                return

    def _remove(self, child: _Child) -> int:
        """Waits for the end of a child; its exit status."""
        self._children.remove(child)
        _, status = os.waitpid(child.pid, 0)
        os.close(child.descriptor)
        child.channel.close()
        return os.waitstatus_to_exitcode(status)

    def _answer(self, *numbers: int) -> None:
        os.write(self._answers, " ".join(map(str, numbers)).encode() + b"\n")

    def end(self) -> None:
        for child in self._children:
            os.kill(child.pid, signal.SIGTERM)
        for child in self._children:
            os.waitpid(child.pid, 0)


def _is_repeated(arguments: Sequence[str]) -> bool:
    return os.path.basename(arguments[0]) in REPEATED


def _work(request: Mapping[str, Any], channel: socket.socket) -> None:
    """Runs a command and further ones, until one fails or memory has grown; ends the process then."""
    requests = channel.makefile("rb")
    while True:
        arguments = request["arguments"]
        _become(arguments, request["log"])
        if not _is_repeated(arguments):
            return
        # Waiting, it ends without a word in the log of a command that has ended.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.stdout.flush()
        sys.stderr.flush()
        gc.collect()
        if resident_bytes(os.getpid()) > MAX_MEMORY:
            return
        channel.sendall(b"0")
        line = requests.readline()
        if not line:
            return
        request = json.loads(line)


def _become(arguments: Sequence[str], log_path: str) -> None:
    """Runs a command in this process, as `python ARGUMENTS` would; failures end the process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, standard in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, standard)
    os.close(nothing)
    os.close(log)
    if arguments[0] == "-m":
        sys.argv = ["-m", *arguments[2:]]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return
    sys.argv = list(arguments)
    sys.path[0] = os.path.dirname(os.path.abspath(arguments[0]))
    with flagsaver.flagsaver():  # The flags that a script defines end with it.
        try:
            runpy.run_path(arguments[0], run_name="__main__")
        except SystemExit as end:
            if end.code:
                raise


if __name__ == "__main__":
    serve(sys.argv[1:])
