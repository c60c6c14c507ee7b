"""The measured side of a comparison: a process that does its work once per line of its input.

Standard library only, because peers run it in environments of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Prepare: TypeAlias = Callable[[argparse.Namespace], tuple[Callable[[], int], Mapping[str, Any]]]


def arguments() -> argparse.Namespace:
    """Arguments of a process, from its command line; each takes what concerns it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--loop")
    parser.add_argument("--input", help="npz of `benchmarks.inputs`; texts, for labelling")
    parser.add_argument("--vocab_file")
    parser.add_argument("--model", help="L,H of the model; for engines its folder or program")
    parser.add_argument("--engine", help="runtime that computes")
    parser.add_argument("--precision", choices=["float32", "bfloat16", "int8"])
    parser.add_argument("--compile", type=int, default=0, help="1 for torch.compile")
    parser.add_argument("--max_seq_length", type=int)
    parser.add_argument("--batch_size", type=int)
    parser.add_argument("--batches", type=int, help="per measurement")
    return parser.parse_args()


def read_texts(path: str) -> list[str]:
    """The texts of a file as `benchmarks.inputs.write_texts` counts them: LF alone ends a line."""
    with open(path, encoding="utf-8", newline="\n") as file:
        return [line.removesuffix("\n") for line in file]


def serve(prepare: Prepare, args: argparse.Namespace) -> None:
    """Announces itself when it is warm, then answers every line of stdin with a measurement.

    Args:
      prepare: Imports, builds, and warms up. Returns the work, which returns how many units
        (tokens, examples, ...) it has done, and facts for the report.
      args: From `arguments`.
    """
    # Whatever libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    work, facts = prepare(args)
    print(json.dumps({"facts": dict(facts)}), file=answers)
    for _ in sys.stdin:
        start = time.perf_counter()
        units = work()
        print(json.dumps({"seconds": time.perf_counter() - start, "units": units}), file=answers)
