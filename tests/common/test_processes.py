import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from common.errors import UserError
from common.processes import ordered_map, output_of


class Adder:
    """Adds to its tasks what it was made with; some tasks make it fail."""

    def __init__(self, addend):
        self.addend = addend

    def __call__(self, task):
        if task == "die":
            os._exit(1)
        if task == "fail":
            raise UserError("task failed")
        return task + self.addend


@pytest.mark.parametrize("num_processes", [1, 2, 3])
def test_results_come_in_order(num_processes):
    assert list(ordered_map(Adder, (100,), range(50), num_processes)) == list(range(100, 150))


def test_tasks_are_read_only_a_little_ahead():
    taken = []

    def tasks():
        for i in range(1000):
            taken.append(i)
            yield i

    results = ordered_map(Adder, (0,), tasks(), num_processes=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    assert len(taken) < 20
    results.close()


@pytest.mark.parametrize("num_processes", [1, 2])
def test_errors_of_workers_arrive_in_their_place(num_processes):
    results = ordered_map(Adder, (0,), [1, 2, "fail", 3], num_processes)
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(UserError, match="task failed"):
        next(results)


def test_death_of_a_worker_is_reported():
    with pytest.raises(UserError, match="killed.*smaller --num_processes than 2"):
        list(ordered_map(Adder, (0,), [1, "die", 2], 2))


REPOSITORY = str(pathlib.Path(__file__).resolve().parents[2])
PROGRAM = """
import os, sys, time
from common.processes import ordered_map, output_of

class Worker:
    def __call__(self, task):
        open(f"{os.getpid()}.pid", "w").close()
        time.sleep(0.1)

if __name__ == "__main__":
    for _ in ordered_map(Worker, (), range(10_000), 2):
        pass
"""


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks processes up in /proc")
def test_workers_end_when_their_parent_is_killed(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([REPOSITORY, *sys.path])}
    process = subprocess.Popen([sys.executable, "program.py"], cwd=tmp_path, env=environment)
    assert wait_until(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
    pids = [int(path.stem) for path in tmp_path.glob("*.pid")]
    assert all(map(is_running, pids))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert wait_until(lambda: not any(map(is_running, pids)))


def test_output_of_a_command() -> None:
    assert output_of([sys.executable, "-c", "print('found')"], "x").strip() == "found"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys; print('one\\ntwo\\n', file=sys.stderr); sys.exit(3)", "x.py failed: two"),
        # As when the system kills it.
        ("import os; os.abort()", "x.py failed: it said nothing"),
    ],
)
def test_command_that_fails(code: str, message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}$"):
        output_of([sys.executable, "-c", code], "x.py failed")
