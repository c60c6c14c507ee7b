"""Reader of the metrics in the folders of runs, without TensorFlow.

`eval_results.txt` has lines `key = value`, `metrics.jsonl` one JSON object a line: "step", "kind"
("train" or "eval") and values by name (null for NaN and infinity); that of an evaluation has a
"score", by which models are compared (higher is better).
"""

from __future__ import annotations

import math
import os
from typing import Any

from common.errors import UserError
from common.files import parse_json, read_lines

METRICS_FILE = "metrics.jsonl"
# Lines of the same form about time, which alone is another when a run is repeated.
SPEED_FILE = "speed.jsonl"
SPEED = "examples_per_second"
KINDS = ("train", "eval")


def read_metrics(output_dir: str, file: str = METRICS_FILE) -> list[dict[str, Any]]:
    """The lines of a run's log, without one that a killed run was writing.

    A value that is no finite number, which stands there as null, is NaN.

    Args:
      output_dir: Folder of the run.
      file: Name of the log.

    Raises:
      UserError: There is no log.
    """
    records = []
    for _, line in read_lines(os.path.join(output_dir, file)):
        try:
            record = parse_json(line)
        except ValueError:
            continue
        is_complete = isinstance(record, dict) and {"step", "kind"} <= record.keys()
        if is_complete and type(record["step"]) is int and record["kind"] in KINDS:
            records.append({k: math.nan if v is None else v for k, v in record.items()})
    return records


def read_results(path: str) -> dict[str, float]:
    """The numbers of an `eval_results.txt`, in its order.

    Raises:
      UserError: The file is missing, or a line is not `key = number`.
    """
    results = {}
    for number, line in read_lines(path):
        key, _, value = line.partition(" = ")
        if key == "checkpoint":
            continue
        try:
            results[key] = float(value)
        except ValueError:
            raise UserError(
                f'{path}, line {number}: found "{line:.40}", expected "key = number"; evaluate again.'
            ) from None
    return results


def best_evaluation(output_dir: str) -> dict[str, Any]:
    """The line of the evaluation with the highest score, the first of equal ones.

    It is that of the model in the run's folder `best`, so a score that is not a number is none.

    Raises:
      UserError: No evaluation is on record.
    """
    return max(_evaluations(output_dir), key=lambda record: record["score"])


def final_evaluation(output_dir: str) -> dict[str, Any]:
    """The line of the last evaluation, that of the model in the run's folder itself.

    Raises:
      UserError: No evaluation is on record.
    """
    return _evaluations(output_dir)[-1]


def _evaluations(output_dir: str) -> list[dict[str, Any]]:
    """Evaluations with a score, one or more."""
    evaluations = [
        record
        for record in read_metrics(output_dir)
        if record["kind"] == "eval" and not math.isnan(record.get("score", math.nan))
    ]
    if not evaluations:
        raise UserError(
            f"{os.path.join(output_dir, METRICS_FILE)} has no evaluation whose score is a "
            "number; run the same training again, with evaluation."
        )
    return evaluations
