"""The students of a panel."""

from __future__ import annotations

import pytest

from experiments.paper.artifacts import Line, Panel, Student

FIXED = Student("nli", "2/128", "", texts=7, teacher="8/256")
LINE = Line("a line", "PD", "truncated")


@pytest.mark.parametrize(
    ("axis", "point", "student"),
    [
        ("size", "4/256", Student("nli", "4/256", "PD", "truncated", "", 7, "8/256")),
        ("texts", 1000, Student("nli", "2/128", "PD", "truncated", "", 1000, "8/256")),
        ("transfer", "books", Student("nli", "2/128", "PD", "truncated", "books", 7, "8/256")),
        ("task", "rte", Student("rte", "2/128", "PD", "truncated", "", 7, "8/256")),
    ],
)
def test_student_of_a_point(axis: str, point: str | int, student: Student) -> None:
    panel = Panel("title", (LINE,), axis, (point,), FIXED)
    assert panel.student(LINE, point) == student
