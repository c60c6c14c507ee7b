"""The scales hold together, and the paper's is the paper's (Turc et al. 2019)."""

from __future__ import annotations

import pytest

from experiments.paper.artifacts import LABELLED_SET, STARTS, Scale
from experiments.paper.scales import PAPER, SCALES
from experiments.students import STRATEGIES
from modeling.config import named_config


@pytest.mark.parametrize("scale", SCALES.values(), ids=list(SCALES))
def test_students_are_of_the_scale(scale: Scale) -> None:
    """Every name in a figure is one that the scale knows, and claims are about its lines."""
    seen = 0
    for artifact in scale.artifacts.values():
        for panel in artifact.panels:
            for line in panel.lines:
                for point in panel.points:
                    student = panel.student(line, point)
                    seen += 1
                    assert student.task in scale.tasks
                    assert student.strategy in STRATEGIES
                    assert student.start in ("", *STARTS)
                    config = named_config(student.size)
                    assert config and config.hidden_size in scale.learning_rates
                    assert student.texts % scale.shard == 0
                    if student.transfer == LABELLED_SET:
                        assert student.teacher
        for claim in artifact.claims:
            chosen = (
                artifact.panels
                if claim.panel is None
                else artifact.panels[claim.panel : claim.panel + 1]
            )
            assert chosen
            for panel in chosen:
                assert {claim.higher, claim.lower} <= {line.label for line in panel.lines}
                points = (*claim.higher_points, *claim.lower_points)
                assert set(points) <= set(panel.points)
    assert seen > 50


@pytest.mark.parametrize("scale", SCALES.values(), ids=list(SCALES))
def test_truncated_starts_are_deeper_and_as_wide(scale: Scale) -> None:
    for width, deep in scale.deep.items():
        config = named_config(deep)
        assert config and config.hidden_size == width
        depths = [
            int(panel.student(line, point).size.split("/")[0])
            for artifact in scale.artifacts.values()
            for panel in artifact.panels
            for line in panel.lines
            for point in panel.points
            if line.start in ("truncated", "distilled")
            and panel.student(line, point).size.endswith(f"/{width}")
        ]
        assert all(depth < config.num_hidden_layers for depth in depths)


def test_grid_of_the_paper() -> None:
    """Figure 6: six depths at four widths."""
    (panel,) = PAPER.artifacts["figure6"].panels
    assert len(panel.points) == 24
    assert set(panel.points) == {f"{d}/{w}" for d in range(2, 13, 2) for w in (128, 256, 512, 768)}


@pytest.mark.parametrize(
    ("line", "task", "value"),
    [
        ("Pre-trained Distillation", "rte", "66.7"),
        ("Pre-trained Distillation", "mrpc", "89.4/84.9"),
        ("Pre-training+Fine-tuning", "qnli", "87.8"),
        ("DistilBERT", "sst-2", "92.7"),
    ],
)
def test_published_values_of_table_3(line: str, task: str, value: str) -> None:
    table = PAPER.artifacts["table3"]
    assert table.published[line, task] == value
    assert line in [of_panel.label for of_panel in table.panels[0].lines]


def test_more_seeds_for_small_students() -> None:
    small = SCALES["small"]
    assert (small.num_seeds("2/128"), small.num_seeds("8/256")) == (5, 3)
    assert PAPER.num_seeds("12/768") == 5
