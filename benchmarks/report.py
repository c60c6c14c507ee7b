"""Tables of a comparison: Markdown for readers, JSON for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from benchmarks.contestants import MEMORY, Result
from common.markdown import table
from modeling.config import BertConfig

OURS = "ours"


@dataclasses.dataclass
class Group:
    """Contestants that were measured in turn on the same input.

    Attributes:
      name: Loop and setting.
      unit: Unit of work of the rates.
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
    LM transform and decoder at `predictions` of `seq_length` positions. Of the last layer only what
    the heads need counts: keys and values, and the rest at the predictions and [CLS].
    """
    width, inner = config.hidden_size, config.intermediate_size
    keys_and_values = 2 * width * width
    rest = 2 * width * width + 2 * width * inner + 2 * seq_length * width
    last = keys_and_values + rest * (predictions + 1) / seq_length
    head = (width * width + width * config.vocab_size) * predictions / seq_length
    return 3 * 2 * ((config.num_hidden_layers - 1) * (keys_and_values + rest) + last + head)


def markdown(groups: Sequence[Group], ceiling: float | None, heading: str) -> str:
    """A table of the best of everyone, and one of all that was measured.

    Args:
      groups: In the order of the rows.
      ceiling: Operations per second of a large bfloat16 matrix product, for the column of shares.
      heading: Lines above the tables.
    """
    return (
        "\n".join([heading, "", *_best_rows(groups, ceiling), "", *_all_rows(groups, ceiling)])
        + "\n"
    )


def _best_rows(groups: Sequence[Group], ceiling: float | None) -> list[str]:
    """Ours beside the best mode of each peer, where there are peers."""
    peers = list(dict.fromkeys(r.who for g in groups for r in g.results if r.who != OURS))
    rows = []
    for group in groups:
        ours = _best(group, OURS)
        if ours is None or all(r.who == OURS for r in group.results):
            continue
        cells = [f"{_number(ours.rate)} {group.unit}/s ({ours.mode})", _share(ours, group, ceiling)]
        for peer in peers:
            best = _best(group, peer)
            ratio = f"{ours.rate / best.rate:.2f}× ({best.mode})" if best else ""
            cells.append(ratio.replace(" ()", ""))
        rows.append([group.name, cells[0].replace(" ()", ""), *cells[1:], _leanest(group)])
    columns = ["Loop", OURS, "of bf16 product", *(f"{p}: ours is" for p in peers)]
    return table([*columns, "least memory of ours, of a peer"], rows)


def _all_rows(groups: Sequence[Group], ceiling: float | None) -> list[str]:
    header = ["Loop", "Who", "median", "lowest to highest", "ours is", "of bf16 product"]
    header += ["most memory, MB", "notes"]
    rows = []
    for group in groups:
        ours = _best(group, OURS)
        for result in group.results:
            ratio = rate = spread = ""
            if result.rates:
                rate = f"{_number(result.rate)} {group.unit}/s"
                spread = f"{_number(min(result.rates))} to {_number(max(result.rates))}"
                if ours and result.who != OURS:
                    ratio = f"{ours.rate / result.rate:.2f}×"
            notes = [result.problem] if result.problem else []
            notes += [f"{key}: {value}" for key, value in result.facts.items() if key != MEMORY]
            text = "; ".join(notes).replace("|", "/")
            share, memory = _share(result, group, ceiling), result.facts.get(MEMORY)
            cells = [rate, spread, ratio, share, f"{memory:,}" if memory else "", text]
            rows.append([group.name, result.name, *cells])
    return table(header, rows)


def _best(group: Group, who: str) -> Result | None:
    """The fastest mode of one of them; None if nothing was measured."""
    measured = [r for r in group.results if r.who == who and r.rates]
    return max(measured, key=lambda r: r.rate, default=None)


def _leanest(group: Group) -> str:
    """Memory of the modes that need the least, of ours and of the peers; "" where it is not known."""
    known = [r for r in group.results if r.facts.get(MEMORY)]
    parts = []
    for results in ([r for r in known if r.who == OURS], [r for r in known if r.who != OURS]):
        least = min(results, key=lambda r: r.facts[MEMORY], default=None)
        parts += [f"{least.facts[MEMORY]:,} MB ({least.name})"] if least else []
    return ", ".join(parts)


def _share(result: Result, group: Group, ceiling: float | None) -> str:
    if not (result.rates and group.flops_per_unit and ceiling):
        return ""
    return f"{100 * result.rate * group.flops_per_unit / ceiling:.0f} %"


def _number(value: float) -> str:
    for factor, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= factor:
            return f"{value / factor:.2f} {letter}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
