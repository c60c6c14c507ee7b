"""Contestants take turns, and one that fails is a row that says why."""

from __future__ import annotations

import pathlib
import sys

from benchmarks.contestants import Command, Contestant, Server, run_rounds

ROOT = pathlib.Path(__file__).parents[2]

# Notes its turns in a file; libraries that print must not disturb the answers.
SERVER = """
import sys
from benchmarks.serving import serve
def prepare(_):
    print("a library says hello")
    def work():
        print("and again")
        open(sys.argv[1], "a").write(sys.argv[2])
        return int(sys.argv[3])
    return work, {"version": 5}
serve(prepare, None)
"""


def server(folder: pathlib.Path, name: str, code: str = SERVER, units: int = 10) -> Contestant:
    command = [sys.executable, "-c", code, str(folder / "turns"), name, str(units)]
    return Server(name, command, str(folder / f"{name}.log"), cwd=str(ROOT))


def test_servers_take_turns(tmp_path: pathlib.Path) -> None:
    contestants = [server(tmp_path, "a"), server(tmp_path, "b", units=20)]
    a, b = run_rounds(contestants, rounds=3, timeout=60, seconds=60)
    assert (tmp_path / "turns").read_text() == "ababab"
    assert len(a.rates) == len(b.rates) == 3
    assert all(rate > 0 for rate in a.rates)
    assert a.facts["version"] == 5 and not a.problem
    assert 5 < a.facts["MB of its processes at most"] < 200


def test_who_fails_drops_out(tmp_path: pathlib.Path) -> None:
    broken = SERVER.replace("return work,", "raise ValueError('no such model'); return work,")
    absent = Server("absent", ["", "-m", "nothing"], str(tmp_path / "log"))
    good = server(tmp_path, "good")
    contestants = [absent, server(tmp_path, "broken", broken), good]
    results = run_rounds(contestants, rounds=1, timeout=60, seconds=60)
    problems = [result.problem for result in results]
    assert "not installed" in problems[0]
    assert problems[1] == "ValueError: no such model"
    assert problems[2] == "" and len(results[2].rates) == 1


def test_who_does_not_answer_drops_out(tmp_path: pathlib.Path) -> None:
    slow = server(tmp_path, "slow", "import time; time.sleep(60)")
    (result,) = run_rounds([slow], rounds=1, timeout=0.5, seconds=60)
    assert "no answer within" in result.problem


def test_who_is_gone_when_it_is_its_turn_drops_out(tmp_path: pathlib.Path) -> None:
    timer = "import os, threading; threading.Timer(0.5, os._exit, [1]).start()"
    leaves = SERVER.replace("    return work,", f"    {timer}\n    return work,")
    code = "import time; time.sleep(2)"
    contestants = [
        Command("slow", [sys.executable, "-c", code], str(tmp_path / "log"), units=1),
        server(tmp_path, "leaves", leaves),
    ]
    slow, gone = run_rounds(contestants, rounds=1, timeout=60, seconds=60)
    assert slow.rates and "ended while it waited" in gone.problem


def test_rounds_stop_when_time_is_over(tmp_path: pathlib.Path) -> None:
    (result,) = run_rounds([server(tmp_path, "a")], rounds=50, timeout=60, seconds=0)
    assert len(result.rates) == 1


def test_commands_run_anew_and_their_failure_is_quoted(tmp_path: pathlib.Path) -> None:
    def command(name: str, code: str) -> Command:
        return Command(name, [sys.executable, "-c", code], str(tmp_path / name), units=7)

    contestants = [
        command("good", "import time; b = b'x' * 200_000_000; time.sleep(0.5)"),
        command("bad", "raise KeyError(3)"),
    ]
    good, bad = run_rounds(contestants, rounds=2, timeout=60, seconds=60)
    assert len(good.rates) == 2
    assert 0 < good.rates[0] < 7 / 0.5
    assert 200 < good.facts["MB of its processes at most"] < 300
    assert bad.problem == "KeyError: 3" and not bad.rates


def test_output_of_the_round_before_is_gone(tmp_path: pathlib.Path) -> None:
    output = tmp_path / "records"
    code = (
        "import os, sys; os.mkdir(sys.argv[1]) if sys.argv[2:] else open(sys.argv[1], 'x').close()"
    )
    for folder in ([], ["folder"]):
        command = [sys.executable, "-c", code, str(output), *folder]
        contestant = Command("a", command, str(tmp_path / "log"), units=1, output=str(output))
        (result,) = run_rounds([contestant], rounds=2, timeout=60, seconds=60)
        assert not result.problem and len(result.rates) == 2
    assert output.is_dir()


def test_command_that_takes_too_long_drops_out(tmp_path: pathlib.Path) -> None:
    code = "import time; time.sleep(60)"
    slow = Command("slow", [sys.executable, "-c", code], str(tmp_path / "log"), units=1)
    (result,) = run_rounds([slow], rounds=1, timeout=0.3, seconds=60)
    assert "not finished within" in result.problem and not result.rates
