"""The figures of the paper as data, for tasks and sizes that are made up."""

from __future__ import annotations

import pytest

from experiments.paper.artifacts import LABELLED_SET, Artifact, Student
from experiments.paper.catalogue import artifacts

FOUND = artifacts(
    sizes=("2/128", "4/256"),
    grid=("2/128", "8/128", "2/256"),
    figure5=("2/128",),
    depth=("8/128", "2/256"),
    pairs="nli",
    sentiment="sst",
    reviews="books",
    compared=("nli", "books"),
    table3=("6/768", "12/768", ("rte", "nli")),
    figure8=("4/256", "2/128"),
    numbers=(10, 20, 40),
    domains=("far", "near", "same"),
    domain_texts=30,
    figure9_size="2/128",
    published={("PF", "rte"): "1.0"},
)


def students(artifact: Artifact, label: str) -> list[Student]:
    return [
        panel.student(line, point)
        for panel in artifact.panels
        for line in panel.lines
        for point in panel.points
        if line.label == label
    ]


@pytest.mark.parametrize(
    ("name", "line", "expected"),
    [
        (
            "table3",
            "DistilBERT",
            [
                Student(task, "6/768", "PF", "distilled", LABELLED_SET, teacher="12/768")
                for task in ("rte", "nli")
            ],
        ),
        ("figure5", "PD, truncated", [Student("nli", "2/128", "PD", "truncated")]),
        (
            "figure6",
            "Basic training",
            [Student("sst", size, "Basic") for size in ("2/128", "8/128", "2/256")],
        ),
        (
            "figure7",
            "Distillation",
            [Student(t, s, "KD") for t in ("nli", "books") for s in ("2/128", "4/256")],
        ),
        (
            "figure8",
            "Distillation",
            [Student("books", s, "KD", texts=n) for s in ("4/256", "2/128") for n in (10, 20, 40)],
        ),
        (
            "figure9",
            "PD-F",
            [
                Student("books", "2/128", "PD-F", transfer=domain, texts=30)
                for domain in ("far", "near", "same")
            ],
        ),
        (
            "figure10",
            "Pre-trained Distillation",
            [Student("nli", size, "PD", "transfer text") for size in ("2/128", "4/256")],
        ),
    ],
)
def test_students_of_a_line(name: str, line: str, expected: list[Student]) -> None:
    assert students(FOUND[name], line) == expected


def test_claims_of_figure_7_are_made_of_each_panel() -> None:
    claims = [(claim.panel, claim.lower) for claim in FOUND["figure7"].claims]
    lower = ("Basic training", "Distillation", "Pre-training+Fine-tuning")
    assert claims == [(panel, label) for panel in (0, 1) for label in lower]


@pytest.mark.parametrize(
    ("name", "text", "higher", "lower"),
    [
        ("figure6", "deep 8/128 is better than wide 2/256", ("8/128",), ("2/256",)),
        ("figure8", "PD is better than distillation with 20 texts", (20,), (20,)),
        ("figure8", "gains from more texts", (40,), (10,)),
        ("figure8", "PD with the fewest texts", (10,), (40,)),
        ("figure9", "needs texts of the domain", ("same",), ("far",)),
        ("figure9", "fine-tuning repairs PD", ("far",), ("far",)),
    ],
)
def test_points_of_a_claim(name: str, text: str, higher: tuple, lower: tuple) -> None:
    found = [claim for claim in FOUND[name].claims if text in claim.text]
    assert found
    for claim in found:
        assert (claim.higher_points, claim.lower_points) == (higher, lower)


def test_what_was_published_stands_in_table_3() -> None:
    assert FOUND["table3"].published == {("PF", "rte"): "1.0"}
    assert "labels" not in FOUND
