"""Tables of a comparison, from rates that are given."""

from __future__ import annotations

import pytest

from benchmarks.contestants import MEMORY, Result
from benchmarks.report import Group, markdown, pretraining_flops_per_token
from modeling.config import load_config


def test_table_has_ratios_shares_and_problems() -> None:
    group = Group(
        "pretraining tiny",
        "tokens",
        [
            Result("ours, bfloat16", [900.0, 1000.0, 1100.0], {MEMORY: 1250}),
            Result("ours, float32", [400.0], {MEMORY: 980}),
            Result("peer, eager", [250.0], {"version": 5, MEMORY: 640}),
            Result("other", problem="not installed"),
        ],
        flops_per_unit=2e6,
    )
    assert Group.from_dict(group.to_dict()) == group
    alone = Group("ceilings", "operations", [Result("ours, product", [2.0])])
    lines = markdown([alone, group], ceiling=4e9, heading="Here.").splitlines()
    assert lines[:2] == ["Here.", ""]
    # The best of each, where there is someone to compare with.
    assert lines[2].count("|") == lines[4].count("|") == 7
    assert lines[2].endswith("| peer: ours is | other: ours is | least memory of ours, of a peer |")
    assert lines[4] == (
        "| pretraining tiny | 1,000 tokens/s (bfloat16) | 50 % | 4.00× (eager) |  "
        "| 980 MB (ours, float32), 640 MB (peer, eager) |"
    )
    assert lines[5] == ""
    assert "| ceilings | ours, product | 2.00 operations/s |" in lines[8]
    ours, slower, peer, other = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines[-4:]
    )
    assert ours[2:6] == ["1,000 tokens/s", "900 to 1,100", "", "50 %"]
    assert slower[4] == ""
    assert peer[4] == "4.00×" and peer[6:] == ["640", "version: 5"]
    assert other[2:] == ["", "", "", "", "", "not installed"]


def test_useful_operations_are_those_of_the_products() -> None:
    config = load_config("tiny")
    by_hand = 4 * 128 * 128 + 2 * 128 * 512 + 2 * 128 * 128
    by_hand += 2 * 128 * 128 + (2 * 128 * 128 + 2 * 128 * 512 + 2 * 128 * 128) * 21 / 128
    by_hand = 6 * (by_hand + (128 * 128 + 128 * 30522) * 20 / 128)
    assert pretraining_flops_per_token(config, 128, 20) == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("rate", "unit", "text"),
    [
        (2.5e12, "operations", "2.50 T operations/s"),
        (12_345_678.0, "bytes", "12.35 M bytes/s"),
        (12_345.6, "words", "12,346 words/s"),
        (99.944, "rows", "99.94 rows/s"),
    ],
)
def test_amounts(rate: float, unit: str, text: str) -> None:
    table = markdown([Group("g", unit, [Result("ours, a", [rate])])], None, "Here.")
    assert f"| g | ours, a | {text} |" in table
