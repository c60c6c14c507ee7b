"""Suppression of the log messages of other libraries, and other settings of theirs."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import glob
import importlib.util
import logging
import os
import warnings
from collections.abc import Iterator

from common.machine import nvidia_driver

# absl::SetMinLogLevel, as the library of TensorFlow 2.20 exports it.
_SET_MIN_LOG_LEVEL = "_ZN4absl12lts_2025012714SetMinLogLevelENS0_18LogSeverityAtLeastE"


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Suppresses log messages up to warnings, and Python's warnings; errors are still raised."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def prepare_libraries() -> None:
    """Settings that TensorFlow reads when it is imported: no notices, and no Keras 3.

    For `tf.keras`, which nothing here uses, it would import Keras 3: a second and 90 MB of every
    process.
    """
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    quiet_libraries()


@functools.cache
def quiet_libraries() -> None:
    """Leaves out the notices of other libraries, which would bury our output; errors stay.

    Must come before TensorFlow is imported, so the packages that are called from Python begin with
    it. Whoever wants to see TensorFlow's notices sets TF_CPP_MIN_LOG_LEVEL to 0 (all), 1 (warnings)
    or 2 (errors).
    """
    # About versions of Python that they will not support some day.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"google\.")
    # Where there is no GPU driver, TensorFlow's errors include one about its absence.
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if nvidia_driver() else "3")
    # Its parts in C++ log in two ways, and that variable is heard by one of them only.
    with contextlib.suppress(ImportError, OSError, AttributeError, ValueError):
        package = importlib.util.find_spec("tensorflow")
        for folder in package.submodule_search_locations or () if package else ():
            for path in glob.glob(os.path.join(folder, "libtensorflow_framework.*")):
                ctypes.CDLL(path)[_SET_MIN_LOG_LEVEL](int(level))
