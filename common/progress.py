"""A line that shows how far a run is: redrawn on a terminal, now and then a new one in a log."""

from __future__ import annotations

import logging
import os
import sys
import time

# A terminal's line is redrawn this often; a log file gets a line this often (seconds).
TERMINAL_INTERVAL, LOG_INTERVAL = 0.5, 15.0


class ProgressLine:
    """Shows progress on standard error: a line that is redrawn on a terminal, else log lines."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._interval = TERMINAL_INTERVAL if self._terminal else LOG_INTERVAL
        self._start = time.monotonic()
        self._shown_at = 0.0

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return max(time.monotonic() - self._start, 1e-6)

    def is_due(self) -> bool:
        return time.monotonic() - self._shown_at >= self._interval

    def show(self, line: str, stays: bool = False) -> None:
        """Shows a line; on a terminal the next one takes its place, unless it stays."""
        self._shown_at = time.monotonic()
        if not self._terminal:
            logging.info(line)
            return
        if not stays:
            line = line[: os.get_terminal_size(sys.stderr.fileno()).columns - 1]
        sys.stderr.write("\r\x1b[K" + line + ("\n" if stays else ""))
        sys.stderr.flush()


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: 1:02:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
