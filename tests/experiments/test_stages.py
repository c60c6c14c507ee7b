"""Stages run in order, side by side, and never twice."""

from __future__ import annotations

import concurrent.futures
import json
import os
import pathlib
import sys
import textwrap

import pytest

from common.errors import UserError
from experiments.stages import Shard, Stage, finished_stages, remaining_seconds, run_stages

# Waits for as long as a busy machine needs, but not for ever.
WAIT = """
import os, pathlib, sys, time

def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            sys.exit("waited in vain")
        time.sleep(0.02)
"""


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", textwrap.dedent(code))


def note(path: pathlib.Path, name: str, needs: tuple[str, ...] = ()) -> Stage:
    """A stage that adds its name to a file."""
    return Stage(name, python(f"open({str(path)!r}, 'a').write('{name} ')"), needs)


def test_order_by_needs(tmp_path: pathlib.Path) -> None:
    """A stage starts when those it needs have finished, not when they have started."""
    out, notes = tmp_path / "out", tmp_path / "notes"
    slow = python(f"import time; time.sleep(0.8); open({str(notes)!r}, 'a').write('slow ')")
    stages = [
        Stage("slow", slow),
        note(notes, "after_slow", ("slow",)),
        note(notes, "free"),
        note(notes, "last", ("free", "after_slow")),
    ]
    seconds = run_stages(stages, str(out), num_jobs=2)
    assert notes.read_text().split() == ["free", "slow", "after_slow", "last"]
    assert set(seconds) == {"slow", "after_slow", "free", "last"}
    assert seconds["slow"] >= 0.8


def test_one_at_a_time_in_the_given_order(tmp_path: pathlib.Path) -> None:
    notes = tmp_path / "notes"
    stages = [note(notes, name) for name in ("b", "c", "a")]
    run_stages(stages, str(tmp_path / "out"), num_jobs=1)
    assert notes.read_text().split() == ["b", "c", "a"]


def test_two_jobs_at_a_time(tmp_path: pathlib.Path) -> None:
    """The first two stages wait for each other; a third never runs beside both."""
    notes, threads = tmp_path / "notes", max(1, (os.cpu_count() or 1) // 2)
    code = f"""{WAIT}
notes = pathlib.Path({str(notes)!r})
with notes.open("a") as file:
    file.write("+")
wait_for(lambda: notes.read_text().count("+") >= 2)
time.sleep(0.5)
with notes.open("a") as file:
    file.write("-")
print(os.environ["OMP_NUM_THREADS"], os.environ["TF_NUM_INTRAOP_THREADS"])
"""
    stages = [Stage(name, (sys.executable, "-c", code)) for name in ("one", "two", "three")]
    run_stages(stages, str(tmp_path / "out"), num_jobs=2)
    text = notes.read_text()
    assert text.startswith("++") and sorted(text) == sorted("+++---")
    running = [text[:i].count("+") - text[:i].count("-") for i in range(len(text) + 1)]
    assert max(running) == 2
    assert (tmp_path / "out" / "one.log").read_text() == f"{threads} {threads}\n"


def test_finished_stages_are_skipped(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    out, notes = tmp_path / "out", tmp_path / "notes"
    first, second = note(notes, "first"), note(notes, "second", ("first",))
    seconds = run_stages([first], str(out), num_jobs=1)
    marker = json.loads((out / "first.done.json").read_text())
    assert marker["command"] == list(first.command)
    assert marker["seconds"] == pytest.approx(seconds["first"], abs=0.06)

    capsys.readouterr()
    seconds = run_stages([first, second], str(out), num_jobs=2)
    assert notes.read_text().split() == ["first", "second"]
    assert seconds["first"] == marker["seconds"]
    assert set(seconds) == {"first", "second"}
    assert "1 of 2 stages are already done." in capsys.readouterr().out
    assert "[2/2] second took" in caplog.text


def test_marker_of_another_command(tmp_path: pathlib.Path) -> None:
    """It is refused before any stage runs."""
    out, notes = tmp_path / "out", tmp_path / "notes"
    run_stages([note(notes, "first")], str(out), num_jobs=1)
    marker = (out / "first.done.json").read_bytes()
    changed = Stage("first", python("print('something else')"))
    with pytest.raises(UserError, match=r"first\.done\.json is from another command .* first; use"):
        run_stages([note(notes, "new"), changed], str(out), num_jobs=1)
    assert notes.read_text().split() == ["first"]
    assert (out / "first.done.json").read_bytes() == marker


def test_failing_command(tmp_path: pathlib.Path) -> None:
    """The message says all one needs; what depends on the stage is not run; later it goes on."""
    out, notes, cause = tmp_path / "out", tmp_path / "notes", tmp_path / "cause"
    command = python(f"""
        import os, sys
        print("working", flush=True)
        if not os.path.exists({str(cause)!r}):
            print("10%\\rthe cause is missing\\n", file=sys.stderr)
            sys.exit(3)
    """)
    stages = [
        note(notes, "before"),
        Stage("broken", command, ("before",)),
        note(notes, "dependent", ("broken",)),
    ]
    with pytest.raises(UserError) as caught:
        run_stages(stages, str(out), num_jobs=1)
    message = str(caught.value)
    assert "stage broken failed with exit status 3: the cause is missing\n" in message
    assert f"command: {sys.executable} -c " in message
    assert f"log: {out / 'broken.log'}" in message
    assert "working" in (out / "broken.log").read_text()
    assert notes.read_text().split() == ["before"]
    assert {path.name for path in out.glob("*.json")} == {"before.done.json"}

    cause.touch()
    run_stages(stages, str(out), num_jobs=1)
    assert notes.read_text().split() == ["before", "dependent"]


def test_failure_stops_the_other_jobs(tmp_path: pathlib.Path) -> None:
    """Nothing is left running, and what was stopped does not count as done."""
    out, started = tmp_path / "out", tmp_path / "started"
    long = f"""{WAIT}
pathlib.Path({str(started)!r} + ".tmp").write_text(str(os.getpid()))
os.rename({str(started)!r} + ".tmp", {str(started)!r})
time.sleep(120)
"""
    failing = f"{WAIT}\nwait_for(pathlib.Path({str(started)!r}).exists)\nsys.exit(1)\n"
    stages = [
        Stage("long", (sys.executable, "-c", long)),
        Stage("failing", (sys.executable, "-c", failing)),
    ]
    with pytest.raises(UserError, match="stage failing failed with exit status 1"):
        run_stages(stages, str(out), num_jobs=2)
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)
    assert not list(out.glob("*.done.json"))


def reader(path: pathlib.Path, out: pathlib.Path, needs: tuple[str, ...] = ()) -> Stage:
    """A stage that reads a file and adds it to another."""
    code = f"open({str(out)!r}, 'a').write(open({str(path)!r}).read() + ' ')"
    return Stage(f"read_{path.stem}", (*python(code), f"--input_file={path}"), needs)


def test_changed_content(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same command on other content is refused, or run again with all that need it."""
    out, notes = tmp_path / "out", tmp_path / "notes"
    first, second = tmp_path / "one.txt", tmp_path / "two.txt"
    first.write_text("1")
    second.write_text("2")
    stages = [reader(first, notes), reader(second, notes), note(notes, "after", ("read_one",))]
    run_stages(stages, str(out), num_jobs=1)
    assert notes.read_text().split() == ["1", "2", "after"]
    first.write_text("3")
    markers = {path.name: path.read_bytes() for path in out.glob("*.done.json")}
    message = rf"read_one\.done\.json is from other content of --input_file={first}; use another .*"
    with pytest.raises(UserError, match=f"{message}--start_over to run read_one and what needs it"):
        run_stages(stages, str(out), num_jobs=1)
    assert {path.name: path.read_bytes() for path in out.glob("*.done.json")} == markers
    assert notes.read_text().split() == ["1", "2", "after"]

    run_stages(stages, str(out), num_jobs=1, start_over=True)
    assert notes.read_text().split() == ["1", "2", "after", "3", "after"]
    assert "after is run again: its last run is from before a stage that it needs" in (
        capsys.readouterr().out
    )
    run_stages(stages, str(out), num_jobs=1)
    assert notes.read_text().split() == ["1", "2", "after", "3", "after"]


def test_file_that_has_become_another_one(tmp_path: pathlib.Path) -> None:
    """A set that is there under another name now is not the one that was read."""
    out, data = tmp_path / "out", tmp_path / "data"
    data.mkdir()
    (data / "train.tsv").write_text("1")
    stage = Stage("train", (*python("pass"), f"--data_dir={data}"))
    run_stages([stage], str(out), num_jobs=1)
    (data / "train.tsv").rename(data / "train.tsv.gz")
    with pytest.raises(
        UserError, match=r"train\.done\.json has read .*train\.tsv, which is not the"
    ):
        run_stages([stage], str(out), num_jobs=1)


def test_arguments_for_a_new_beginning(tmp_path: pathlib.Path) -> None:
    """They are passed on only if asked for, and are no part of the command."""
    out, notes = tmp_path / "out", tmp_path / "notes"
    command = python(f"import sys; open({str(notes)!r}, 'a').write(f'{{sys.argv[1:]}} ')")
    run_stages([Stage("a", command)], str(out), num_jobs=1)
    run_stages(
        [Stage("b", command), Stage("c", command, start_over=())], str(out), 1, start_over=True
    )
    run_stages([Stage("b", command)], str(out), num_jobs=1)
    assert notes.read_text().split() == ["[]", "['--start_over']", "[]"]


def test_machines_share_a_folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each runs its own stages, and waits for those of the other."""
    monkeypatch.setattr("experiments.stages.MARKER_INTERVAL", 0.1)
    out, notes = tmp_path / "out", tmp_path / "notes"
    chain = [note(notes, str(i), (str(i - 1),) if i else ()) for i in range(5)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(run_stages, chain, str(out), 1, False, Shard(i, 2)) for i in range(2)]
        seconds = [run.result(timeout=60) for run in runs]
    assert notes.read_text().split() == list("01234")
    assert list(seconds[0]) == list(seconds[1]) == list("01234")


def test_remaining_time_is_shown(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    stages = [Stage("one", python("import time; time.sleep(1)"), estimate=1800.0)]
    stages += [Stage("two", python("pass"), ("one",), estimate=3600.0)]
    run_stages(stages, str(tmp_path / "out"), num_jobs=1)
    assert "[0/2] 0:00:00 ETA 1:30:00 one:" in caplog.text


@pytest.mark.parametrize(
    ("seconds", "num_jobs", "left"),
    [
        ({}, 1, 6000),
        # Twice as long as thought, which counts more the longer the stages were.
        ({"a": 1200}, 1, 5400 * (1200 + 600) / (600 + 600)),
        ({"a": 1200, "b": 10_800}, 1, 0),
        # Two at a time take twice as long each, and the machine as long as was thought.
        ({"a": 1200}, 2, 5400),
        # A stage without an estimate says nothing about the estimates.
        ({"c": 5000}, 1, 6000),
    ],
)
def test_remaining_time(seconds: dict[str, float], num_jobs: int, left: float) -> None:
    estimates = {"a": 600.0, "b": 5400.0, "c": 0.0}
    assert remaining_seconds(estimates, seconds, num_jobs) == pytest.approx(left)


def test_moved_scripts_are_the_same_commands(tmp_path: pathlib.Path) -> None:
    """What is done stays done when Python or the checkout has moved."""
    before = Stage("one", ("old/python", "old/place/x.py", "--a=1"))
    (tmp_path / "one.done.json").write_text(
        json.dumps({"command": before.command, "inputs": {}, "seconds": 3.0})
    )
    moved = Stage("one", ("new/python", "new/x.py", "--a=1"))
    assert finished_stages([moved], str(tmp_path)) == {"one": 3.0}
    for changed in (("python", "y.py", "--a=1"), ("python", "x.py", "--a=2")):
        with pytest.raises(UserError, match="another command"):
            finished_stages([Stage("one", changed)], str(tmp_path))


def test_machines_with_different_flags(tmp_path: pathlib.Path) -> None:
    """What the other machine has done with other flags is not taken for a stage of this one."""
    stages = [
        Stage("theirs", python("pass")),
        Stage("mine", python("pass"), ("theirs",)),
    ]
    out = tmp_path / "out"

    def other_machine(_: object) -> None:
        record = {"command": python("print(1)"), "inputs": {}, "seconds": 1.0}
        (out / "theirs.done.json").write_text(json.dumps(record))

    stages.insert(1, Stage("first", python("pass")))
    with pytest.raises(UserError, match="start all machines that share a folder with the same"):
        run_stages(stages, str(out), 1, shard=Shard(1, 2), after_stage=other_machine)


def test_whoever_waits_for_stages_hears_of_each(tmp_path: pathlib.Path) -> None:
    heard: list[list[str]] = []
    stages = [Stage("one", python("pass")), Stage("two", python("pass"), ("one",))]
    run_stages(stages, str(tmp_path), 1, after_stage=lambda seconds: heard.append([*seconds]))
    assert heard == [["one"], ["one", "two"]]
