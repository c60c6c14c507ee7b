"""Commands of an experiment, started from one process."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from common.errors import UserError
from experiments import fork_server
from experiments.fork_server import ForkServer


@pytest.fixture(name="server", scope="module")
def server_fixture() -> Iterator[ForkServer]:
    """One without TensorFlow, with a module that has a state to be kept apart."""
    server = ForkServer(dict(os.environ), preloaded=["common.files"])
    yield server
    server.close()


def run(server: ForkServer, folder: pathlib.Path, code: str, *arguments: str) -> tuple[int, str]:
    """Exit status and output of a script."""
    script = folder / "script.py"
    script.write_text(code)
    process = server.start([sys.executable, str(script), *arguments], str(folder / "log"))
    return process.wait(), (folder / "log").read_text()


@pytest.mark.parametrize(
    ("code", "status", "output"),
    [
        ("import sys; print(sys.argv[1:], __name__)", 0, "['--a=1', 'b'] __main__\n"),
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('bad input')", 1, "bad input\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, ""),
        ("print(input())", 1, "EOFError"),
        ("import sys; print('common.files' in sys.modules)", 0, "True\n"),
        ("import neighbour; print(neighbour.VALUE)", 0, "7\n"),
    ],
)
def test_as_a_process_of_its_own(
    server: ForkServer, tmp_path: pathlib.Path, code: str, status: int, output: str
) -> None:
    (tmp_path / "neighbour.py").write_text("VALUE = 7")
    found, log = run(server, tmp_path, code, "--a=1", "b")
    assert found == status
    assert output in log


def test_nothing_is_left_for_the_next_command(server: ForkServer, tmp_path: pathlib.Path) -> None:
    code = """
import common.files, os
print(hasattr(common.files, "left"), os.environ.get("LEFT"))
common.files.left = True
os.environ["LEFT"] = "yes"
"""
    assert [run(server, tmp_path, code) for _ in range(2)] == [(0, "False None\n")] * 2


# A training script as the server sees it: it defines flags, and reads and leaves a state.
TRAINS = """
import os, sys
from absl import app, flags
import common.files
flags.DEFINE_string("name", "", "")
def main(argv):
    if flags.FLAGS.name == "wrong":
        sys.exit(4)
    print(os.getpid(), flags.FLAGS.name, getattr(common.files, "runs", 0))
    common.files.runs = getattr(common.files, "runs", 0) + 1
app.run(main)
"""


def trained(server: ForkServer, folder: pathlib.Path, name: str) -> list[str]:
    """Words that the script has printed; it ends well."""
    (folder / "run_classifier.py").write_text(TRAINS)
    command = [sys.executable, str(folder / "run_classifier.py"), f"--name={name}"]
    process = server.start(command, str(folder / name))
    assert process.wait() == 0
    words = (folder / name).read_text().split()
    assert int(words[0]) == process.pid
    return words


def test_one_process_trains_one_after_the_other(tmp_path: pathlib.Path) -> None:
    """Until one fails, or another command takes its place; flags are those of each command."""
    server = ForkServer(dict(os.environ), preloaded=["common.files"])
    first, second = (trained(server, tmp_path, name) for name in ("one", "two"))
    assert first[1:] == ["one", "0"] and second == [first[0], "two", "1"]
    command = [sys.executable, str(tmp_path / "run_classifier.py"), "--name=wrong"]
    assert server.start(command, str(tmp_path / "log")).wait() == 4
    third = trained(server, tmp_path, "three")
    assert third[0] != first[0] and third[1:] == ["three", "0"]
    assert run(server, tmp_path, "print('other')") == (0, "other\n")
    assert not pathlib.Path("/proc", third[0]).exists()
    fourth = trained(server, tmp_path, "four")
    assert fourth[1:] == ["four", "0"]
    os.kill(int(fourth[0]), signal.SIGKILL)  # While it waits.
    status = pathlib.Path("/proc", fourth[0], "status")
    with contextlib.suppress(OSError):  # It is gone.
        while "zombie" not in status.read_text():
            time.sleep(0.01)
    assert trained(server, tmp_path, "five")[1:] == ["five", "0"]
    server.close()


def test_a_process_that_holds_much_memory_is_replaced(tmp_path: pathlib.Path) -> None:
    server = ForkServer(dict(os.environ), preloaded=[])
    script = tmp_path / "run_distill.py"
    script.write_text(f"import builtins; builtins.held = b'1' * {fork_server.MAX_MEMORY}")
    command = [sys.executable, str(script)]
    pids = set()
    for _ in range(2):
        process = server.start(command, str(tmp_path / "log"))
        assert process.wait() == 0
        pids.add(process.pid)
    assert len(pids) == 2
    server.close()


def test_the_process_of_the_most_similar_command(tmp_path: pathlib.Path) -> None:
    server = ForkServer(dict(os.environ), preloaded=[])
    script = tmp_path / "run_distill.py"
    script.write_text("import sys, time; time.sleep(0.2)")

    def pids(*arguments: str) -> list[int]:
        starts = [
            server.start([sys.executable, str(script), argument, "--b"], str(tmp_path / argument))
            for argument in arguments
        ]
        assert [process.wait() for process in starts] == [0] * len(starts)
        return [process.pid for process in starts]

    one, two = pids("--a=1", "--a=2")
    assert pids("--a=2", "--a=1") == [two, one]
    server.close()
    with pytest.raises(ProcessLookupError):
        os.kill(one, 0)


def test_modules(server: ForkServer, tmp_path: pathlib.Path) -> None:
    process = server.start([sys.executable, "-m", "timeit", "-n1", "-r1"], str(tmp_path / "log"))
    assert process.wait() == 0
    assert "1 loop, best of 1" in (tmp_path / "log").read_text()


def test_side_by_side_and_terminated(server: ForkServer, tmp_path: pathlib.Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import time; print('ready', flush=True); time.sleep(60)")
    logs = [tmp_path / name for name in ("one", "two")]
    processes = [server.start([sys.executable, str(script)], str(log)) for log in logs]
    assert all(log.exists() for log in logs)  # From the start, for those who look into it.
    end = time.monotonic() + 60
    while not all(log.read_text() == "ready\n" for log in logs):
        assert time.monotonic() < end
        time.sleep(0.01)
    processes[0].send_signal(signal.SIGTERM)
    assert processes[0].wait() == -signal.SIGTERM
    assert processes[1].poll() is None
    processes[1].send_signal(signal.SIGKILL)
    assert processes[1].wait() == -signal.SIGKILL


def test_commands_end_with_the_server(tmp_path: pathlib.Path) -> None:
    """Also where the user of the server was killed: its requests end."""
    script = tmp_path / "script.py"
    script.write_text("import time; time.sleep(60)")
    server = ForkServer(dict(os.environ), preloaded=[])
    process = server.start([sys.executable, str(script)], str(tmp_path / "log"))
    server.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_a_server_that_cannot_start(tmp_path: pathlib.Path) -> None:
    server = ForkServer(dict(os.environ), preloaded=["no_such_module"])
    with pytest.raises(UserError, match="has ended"):
        server.start([sys.executable, "script.py"], str(tmp_path / "log"))


def test_a_server_that_is_killed(tmp_path: pathlib.Path) -> None:
    """One error tells it, and its commands end; the next command is told the same."""
    script = tmp_path / "script.py"
    script.write_text("import time; time.sleep(60)")
    server = ForkServer(dict(os.environ), preloaded=[])
    command = [sys.executable, str(script)]
    process, other = (server.start(command, str(tmp_path / name)) for name in ("one", "two"))
    server._server.kill()
    with pytest.raises(UserError, match="has ended.*Run the same command again"):
        process.wait()
    assert process.poll() == other.wait() == -signal.SIGTERM
    other.send_signal(signal.SIGTERM)
    with pytest.raises(UserError, match="has ended"):
        server.start(command, str(tmp_path / "three"))
    server.close()


@pytest.mark.parametrize(
    ("command", "can_run"),
    [
        ((sys.executable, "script.py"), True),
        ((sys.executable, "-m", "module"), True),
        ((sys.executable, "-c", "pass"), False),
        ((sys.executable,), False),
        (("/bin/true",), False),
    ],
)
def test_commands_that_it_can_run(command: tuple[str, ...], can_run: bool) -> None:
    assert ForkServer.can_run(command) == can_run
