"""Table 1(a) of Turc et al. (2019) exactly, and the form of its measured analogue."""

from __future__ import annotations

import json
import math
import pathlib

import pytest
from scripts import run_script

from common.errors import UserError

# Millions of parameters as the paper prints them, by width and depth.
PRINTED = {
    128: {2: 4.4, 4: 4.8, 6: 5.2, 8: 5.6, 10: 6.0, 12: 6.4},
    256: {2: 9.7, 4: 11.3, 6: 12.8, 8: 14.4, 10: 16.0, 12: 17.6},
    512: {2: 22.8, 4: 29.1, 6: 35.4, 8: 41.7, 10: 48.0, 12: 54.3},
    768: {2: 39.2, 4: 53.4, 6: 67.5, 8: 81.7, 10: 95.9, 12: 110.1},
}
# Two cells of the paper are cut off, not rounded.
TRUNCATED = {(6, 768), (8, 768)}


def test_parameters_of_the_paper(tmp_path: pathlib.Path) -> None:
    run_script("benchmark_models", output_dir=tmp_path, measure=False)
    table = json.loads((tmp_path / "table1.json").read_text())
    rows = {(r["num_hidden_layers"], r["hidden_size"]): r for r in table["rows"]}
    assert len(rows) == 25
    for width, column in PRINTED.items():
        for depth, printed in column.items():
            millions = rows[depth, width]["parameters_with_heads"] / 1e6
            if (depth, width) in TRUNCATED:
                assert math.floor(millions * 10) / 10 == printed
            else:
                assert round(millions, 1) == printed
    assert rows[24, 1024]["parameters_with_heads"] == 336_226_108
    assert rows[2, 128]["parameters_without_heads"] == 4_385_920
    markdown = (tmp_path / "table1.md").read_text()
    assert "| 2/128 | 2 | 128 | 4,433,468 | 4.4 | 4,385,920 |" in markdown
    assert "speed-up" not in markdown


def test_measured_table(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Large itself would take seconds and a gigabyte here.
    monkeypatch.setattr("benchmarks.model_table.REFERENCE", "2/256")
    run_script("benchmark_models", output_dir=tmp_path, models="tiny", seq_length=16, repetitions=2)
    tiny, reference = json.loads((tmp_path / "table1.json").read_text())["rows"]
    assert tiny["model"] == "tiny" and tiny["seconds"] > 0
    assert tiny["speedup"] == pytest.approx(reference["seconds"] / tiny["seconds"])
    assert reference["speedup"] == 1.0
    assert "batch_size 1, seq_length 16" in (tmp_path / "table1.md").read_text()


def test_unknown_size(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="--models: huge is not one of tiny"):
        run_script("benchmark_models", output_dir=tmp_path, models="tiny,huge", measure=False)
