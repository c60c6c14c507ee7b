"""Warnings of a library are kept back, and those after it are not."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings

import pytest
from scripts import ROOT

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


@pytest.mark.parametrize(
    "code",
    [
        "from serving import Predictor; assert 'tensorflow' in sys.modules",
        "import classification, distillation, pretraining; assert 'tensorflow' not in sys.modules",
    ],
)
def test_packages_that_are_called_from_python_are_quiet(code: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    code = f"import os, sys; {code}; print(os.environ['TF_CPP_MIN_LOG_LEVEL'])"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert result.stderr == "" and result.stdout in ("2\n", "3\n")
