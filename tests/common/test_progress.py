"""The line of progress, on a terminal and in a log, with a clock that the test moves."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest

from common import progress
from common.progress import LOG_INTERVAL, TERMINAL_INTERVAL, ProgressLine, clock


class Clock:
    """Stands in for `time.monotonic`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moved = Clock()
    monkeypatch.setattr(progress, "time", moved)
    return moved


@pytest.fixture
def line_on(monkeypatch: pytest.MonkeyPatch, time: Clock) -> Callable[[bool], ProgressLine]:
    """Makes a line on a terminal of 20 columns, or in a log."""

    def make(terminal: bool) -> ProgressLine:
        monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
        monkeypatch.setattr(sys.stderr, "fileno", lambda: 2, raising=False)
        monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((20, 5)))
        return ProgressLine()

    return make


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00:00"),
        (59.4, "0:00:59"),
        (59.6, "0:01:00"),
        (3599.7, "1:00:00"),
        (3723, "1:02:03"),
        (100 * 3600 + 61, "100:01:01"),
    ],
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(("terminal", "interval"), [(True, 0.5), (False, 15.0)])
def test_next_line_is_due_after_the_interval(
    line_on: Callable[[bool], ProgressLine], time: Clock, terminal: bool, interval: float
) -> None:
    assert (TERMINAL_INTERVAL, LOG_INTERVAL) == (0.5, 15.0)
    line = line_on(terminal)
    assert line.is_due()
    line.show("first")
    time.now += interval - 0.01
    assert not line.is_due()
    time.now += 0.02
    assert line.is_due()


def test_terminal_line_is_redrawn_and_cut(
    line_on: Callable[[bool], ProgressLine], capsys: pytest.CaptureFixture[str]
) -> None:
    line = line_on(True)
    line.show("a" * 30)
    line.show("b" * 30, stays=True)
    assert capsys.readouterr().err == "\r\x1b[K" + "a" * 19 + "\r\x1b[K" + "b" * 30 + "\n"


def test_log_has_whole_lines(
    line_on: Callable[[bool], ProgressLine],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    line_on(False).show("a" * 30)
    assert caplog.messages == ["a" * 30]
    assert "\x1b" not in capsys.readouterr().err


def test_seconds_since_the_start(line_on: Callable[[bool], ProgressLine], time: Clock) -> None:
    """Never 0, by which a rate is divided."""
    line = line_on(False)
    assert 0 < line.seconds < 1e-3
    time.now += 2.5
    assert line.seconds == 2.5
