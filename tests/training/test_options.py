"""Options of a run, from flags and from Python."""

from __future__ import annotations

import dataclasses

import pytest
from absl import flags

from common.errors import UserError
from training.options import TASK_FLAGS, Options, TaskOptions, from_flags


@dataclasses.dataclass(frozen=True)
class Some(Options):
    """A number, a name, names, and a switch."""

    number: int = 3
    name: str | None = None
    names: tuple[str, ...] = ()
    switch: bool = False


def test_options_are_what_the_flags_hold() -> None:
    values = flags.FlagValues()
    flags.DEFINE_integer("number", 3, "", flag_values=values)
    flags.DEFINE_string("name", None, "", flag_values=values)
    flags.DEFINE_list("names", [], "", flag_values=values)
    flags.DEFINE_bool("switch", False, "", flag_values=values)
    flags.DEFINE_string("of_another", "x", "", flag_values=values)
    values(["program", "--number=7", "--names=a,b", "--switch"])
    assert from_flags(Some, values) == Some(7, None, ["a", "b"], True)


def test_values_by_name() -> None:
    assert Some(number=5).values(("switch", "number")) == {"switch": False, "number": 5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Some(number=7), "^--number=7 has no effect: reason; leave it out.$"),
        (Some(name="x"), "^--name=x has no effect"),
        (Some(switch=True), "^--switch has no effect"),
    ],
)
def test_options_that_say_nothing_are_refused(options: Some, message: str) -> None:
    with pytest.raises(UserError, match=message):
        options.refuse(("number", "name", "switch"), "reason")
    options.refuse(("names",), "reason")
    Some().refuse(("number", "name", "switch"), "reason")


def test_inputs_of_a_task() -> None:
    options = TaskOptions(data_dir="a,b", dev_file="x.tsv,y.tsv", label="label")
    assert options.task_inputs() == {"data_dir": ["a,b"], "dev_file": ["x.tsv", "y.tsv"]}
    assert {"data_dir", "dev_share", "regression"} < set(TASK_FLAGS)
