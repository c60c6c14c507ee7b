"""What the exported programs take and return."""

from __future__ import annotations

from accelerator_rows import CONFIG, LENGTH, PREDICTIONS

from benchmarks.accelerator.export import METRICS, SCHEDULE, UPDATE, Pretraining, Setting
from checkpoints.weights import variable_name


def test_programs() -> None:
    """All that training changes is a result, and what stays the same is the schedule."""
    training = Pretraining(CONFIG, Setting(4, LENGTH, PREDICTIONS))
    programs = training.programs()
    names = sorted(variable_name(v) for v in training.variables)
    assert sorted(programs[UPDATE].variables) == names == sorted(set(names))
    assert sorted([*programs[UPDATE].updated, *SCHEDULE]) == names
    assert not programs[METRICS].updated
    assert set(programs[METRICS].variables) == set(
        map(variable_name, training.model.trainable_variables)
    )
