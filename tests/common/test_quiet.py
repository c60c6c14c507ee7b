"""Warnings of a library are kept back, and those after it are not."""

from __future__ import annotations

import logging

import pytest

from common.quiet import without_warnings


def test_errors_alone_are_said(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match="raised"), without_warnings():
        logging.warning("kept back")
        logging.error("said")
        raise ValueError("raised")
    logging.warning("said afterwards")
    assert caplog.messages == ["said", "said afterwards"]
