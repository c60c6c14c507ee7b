"""Record sets that the tests of records and batches share."""

from __future__ import annotations

import pytest
from numbered_records import SPEC, rows, write_records

from data.record_sets import RecordSet, open_records


@pytest.fixture(scope="session")
def one_file(tmp_path_factory: pytest.TempPathFactory) -> RecordSet:
    """130 examples."""
    path = write_records(tmp_path_factory.mktemp("one") / "a.tfrecord", rows(0, 130))
    return open_records(path, "input_file", SPEC, {})


@pytest.fixture(scope="session")
def several_files(tmp_path_factory: pytest.TempPathFactory) -> RecordSet:
    """130 examples in three files of different sizes, one of them compressed."""
    folder = tmp_path_factory.mktemp("several")
    for i, (first, count) in enumerate(((0, 20), (20, 63), (83, 47))):
        write_records(folder / f"{i}.tfrecord", rows(first, count), compress=i == 1)
    return open_records(f"{folder}/*.tfrecord", "input_file", SPEC, {})


@pytest.fixture(params=["one_file", "several_files"])
def records(request: pytest.FixtureRequest) -> RecordSet:
    return request.getfixturevalue(request.param)
