"""`metrics.jsonl`: the measurements of a run, one JSON object a line.

A line has "step", "kind" ("train" or "eval") and values by name; that of an evaluation has a "score",
by which models are compared (higher is better). Needs no TensorFlow to be read.
"""

from __future__ import annotations

import os
from typing import Any

from common.errors import UserError
from common.files import parse_json, read_lines

METRICS_FILE = "metrics.jsonl"
KINDS = ("train", "eval")


def read_metrics(output_dir: str) -> list[dict[str, Any]]:
    """The lines of a run's log, without one that a killed run was writing.

    Raises:
      UserError: There is no log.
    """
    records = []
    for _, line in read_lines(os.path.join(output_dir, METRICS_FILE)):
        try:
            record = parse_json(line)
        except ValueError:
            continue
        is_complete = isinstance(record, dict) and {"step", "kind"} <= record.keys()
        if is_complete and type(record["step"]) is int and record["kind"] in KINDS:
            records.append(record)
    return records


def best_evaluation(output_dir: str) -> dict[str, Any]:
    """The line of the evaluation with the highest score, the first of equal ones.

    It is that of the model in the run's folder `best`.

    Raises:
      UserError: No evaluation is on record.
    """
    evaluations = [r for r in read_metrics(output_dir) if r["kind"] == "eval" and "score" in r]
    if not evaluations:
        raise UserError(
            f"{os.path.join(output_dir, METRICS_FILE)} has no evaluation; run with --do_eval, in "
            "another --output_dir."
        )
    return max(evaluations, key=lambda record: record["score"])
