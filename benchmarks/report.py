"""Tables of a comparison: Markdown for readers, JSON for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from benchmarks.contestants import Result
from modeling.config import BertConfig

OURS = "ours"


@dataclasses.dataclass
class Group:
    """Contestants that were measured in turn on the same input.

    Attributes:
      name: Loop and setting.
      unit: What a rate counts per second; "run" where a run's seconds are of interest.
      results: In the order of the rows.
      flops_per_unit: Useful floating-point operations of a unit; None where that says nothing.
    """

    name: str
    unit: str
    results: list[Result]
    flops_per_unit: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Group:
        """The inverse of `to_dict`."""
        return cls(**{**values, "results": [Result(**r) for r in values["results"]]})


def pretraining_flops_per_token(config: BertConfig, seq_length: int, predictions: int) -> float:
    """Operations of the matrix products of an update, forward and twice that backward.

    Per token: four H x H and two H x I products and the two of attention in every layer; the masked
    LM transform and decoder at `predictions` of `seq_length` positions.
    """
    width, inner = config.hidden_size, config.intermediate_size
    layer = 4 * width * width + 2 * width * inner + 2 * seq_length * width
    head = (width * width + width * config.vocab_size) * predictions / seq_length
    return 3 * 2 * (config.num_hidden_layers * layer + head)


def markdown(groups: Sequence[Group], ceiling: float | None, heading: str) -> str:
    """One table of all groups.

    Args:
      groups: In the order of the rows.
      ceiling: Operations per second of a large bfloat16 matrix product, for the column of shares.
      heading: Lines above the table.
    """
    lines = [heading, ""]
    columns = ["Loop", "Who", "median", "lowest to highest", "ours is", "of bf16 product", "notes"]
    lines += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for group in groups:
        best = max((r.median or 0.0 for r in group.results if r.name.startswith(OURS)), default=0.0)
        for result in group.results:
            share = ratio = rate = spread = ""
            if result.median:
                rate = _amount(result.median, group.unit)
                spread = f"{_number(min(result.rates))} to {_number(max(result.rates))}"
                if best and not result.name.startswith(OURS):
                    ratio = f"{best / result.median:.2f}×"
                if group.flops_per_unit and ceiling:
                    share = f"{100 * result.median * group.flops_per_unit / ceiling:.0f} %"
            notes = [result.problem] if result.problem else []
            notes += [f"{key}: {value}" for key, value in result.facts.items()]
            text = "; ".join(notes).replace("|", "/")
            cells = [group.name, result.name, rate, spread, ratio, share, text]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _amount(rate: float, unit: str) -> str:
    return f"{1 / rate:.2f} s" if unit == "run" else f"{_number(rate)} {unit}/s"


def _number(value: float) -> str:
    for factor, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= factor:
            return f"{value / factor:.2f} {letter}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
