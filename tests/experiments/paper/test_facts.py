"""Facts about the models of an artifact are those of the commands that make them."""

from __future__ import annotations

import pytest

from experiments.paper.artifacts import LABELLED_SET, Student
from experiments.paper.facts import facts
from experiments.paper.scales import SCALES

SMALL = SCALES["small"]


def of(*students: Student, given: tuple[str, ...] = ()) -> dict[str, str]:
    return facts(students, SMALL, given, learns_vocabulary=not given)


@pytest.mark.parametrize(
    ("student", "expected"),
    [
        (Student("nli", "2/128", "Basic"), "none"),
        (Student("nli", "2/128", "KD"), "none"),
        (
            Student("nli", "2/128", "PD"),
            "2/128: 24,000 updates of 32 × 64 tokens (49 million) --dropout_prob=0 "
            "--init_local_attention",
        ),
        (Student("nli", "2/128", "PD", "truncated"), "8/128: 24,000 updates"),
        (Student("nli", "2/128", "PD", "embeddings"), "1/128: 24,000 updates"),
        (
            Student("nli", "4/256", "PF", "transfer text"),
            "4/256 on the texts of the transfer set: 12,000 updates",
        ),
        (
            Student("rte", "4/128", "PF", "distilled", LABELLED_SET, teacher="8/128"),
            "8/128: 24,000 updates of 32 × 64 tokens (49 million) --dropout_prob=0 "
            "--init_local_attention; 4/128 after truncation, by a language-model teacher: 12,000 "
            "updates of 32 × 64 tokens (25 million) --dropout_prob=0$",
        ),
    ],
)
def test_pretraining(student: Student, expected: str) -> None:
    # A $ is the end.
    assert f"{of(student)['pre-training']}$".startswith(expected)


def test_given_models() -> None:
    found = of(
        Student("nli", "2/128", "PD"), Student("nli", "4/256", "PD-F"), given=("2/128", "8/512")
    )
    assert found["pre-training"].startswith("2/128 as given in --data; 4/256: 24,000 updates")
    assert found["vocabulary"] == "as given in --data"
    assert found["students"].endswith("final fine-tuning 5e-05")


@pytest.mark.parametrize(
    ("students", "expected"),
    [
        ([Student("mrpc", "4/128", "PF")], "MRPC: 3,668 labels (10 passes)"),
        (
            [
                Student("mrpc", "4/128", "PF", transfer=LABELLED_SET, teacher="8/128"),
                Student("mrpc", "4/128", "PD", transfer=LABELLED_SET, teacher="8/128"),
            ],
            "MRPC: 3,668 labels (10 passes), distilled on their texts (3 passes)",
        ),
        (
            [Student("nli", "4/128", "PD-F"), Student("rte", "4/128", "PF")],
            "NLI: 22,474 labels (4 passes), about 66,000 transfer texts (3 passes); "
            "RTE: 2,490 labels (10 passes)",
        ),
    ],
)
def test_tasks(students: list[Student], expected: str) -> None:
    assert of(*students)["tasks"] == expected


def test_numbers_of_texts() -> None:
    assert "transfer sets" not in of(Student("nli", "2/128", "PD"))
    sizes = [Student("book-reviews", "2/128", "PD", texts=n) for n in (4000, 1000)]
    assert of(*sizes)["transfer sets"].startswith("1,000, 4,000 texts")
