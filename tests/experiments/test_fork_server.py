"""Commands of an experiment, started from one process."""

from __future__ import annotations

import os
import pathlib
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from common.errors import UserError
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
