"""The measured side of a comparison: a process that does its work once per line of its input.

Standard library only, because peers run it in environments of their own.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any


def serve(prepare: Callable[[], tuple[Callable[[], int], Mapping[str, Any]]]) -> None:
    """Announces itself when it is warm, then answers every line of stdin with a measurement.

    Args:
      prepare: Imports, builds, and warms up. Returns the work, which returns how many units
        (tokens, examples, ...) it has done, and facts for the report.
    """
    # Whatever libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    work, facts = prepare()
    print(json.dumps({"facts": dict(facts)}), file=answers)
    for _ in sys.stdin:
        start = time.perf_counter()
        units = work()
        print(json.dumps({"seconds": time.perf_counter() - start, "units": units}), file=answers)
