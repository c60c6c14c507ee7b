"""Warnings of a library are kept back, and those after it are not."""

from __future__ import annotations

import logging
import warnings

import pytest

from common.quiet import without_warnings


def test_errors_alone_are_said(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match="raised"), without_warnings():
        with without_warnings():
            warnings.warn("kept back", UserWarning, stacklevel=1)
        logging.warning("kept back, the outer one is still there")
        logging.error("said")
        raise ValueError("raised")
    logging.warning("said afterwards")
    assert caplog.messages == ["said", "said afterwards"]
    with pytest.warns(UserWarning, match="said"):
        warnings.warn("said", UserWarning, stacklevel=1)
