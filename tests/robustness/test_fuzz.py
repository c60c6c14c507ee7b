"""Damaged inputs: each is read cleanly, or refused with one line that names the file.

FUZZ_CASES in the environment is the number of mutated inputs (300 without it), FUZZ_SEED draws them.
A target is a folder of good files and a reader of all of them; a case damages one file. What a reader
returns is compared with what stands in the files, so that nothing is left out silently.
"""

from __future__ import annotations

import os
import pathlib
import random
import shutil
import signal
import traceback
from collections.abc import Iterator

import pytest
from fuzz_targets import TARGETS, Target
from mutations import mutated, mutated_json

from common.errors import UserError

CASES = int(os.environ.get("FUZZ_CASES", "300"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
# Longer than any reader needs for files this small, on a busy machine (seconds).
_HANG = 120


def _hangs(*_: object) -> None:
    raise TimeoutError("the reader hangs")


def run_case(target: Target, good: pathlib.Path, folder: pathlib.Path, seed: str) -> str | None:
    """Damages a file and reads it; returns what was wrong about the outcome, if anything."""
    rng = random.Random(seed)
    shutil.copytree(good, folder)
    path = rng.choice(sorted(p for p in folder.iterdir() if p.is_file()))
    is_json = path.suffix == ".json" and rng.random() < 2 / 3
    path.write_bytes((mutated_json if is_json else mutated)(path.read_bytes(), rng))
    signal.alarm(_HANG)
    try:
        target.read(folder)
    except UserError as error:
        message = str(error)
        if str(folder) not in message and path.name not in message:
            return f"{path.name}: the message names no file: {message}"
        if "Traceback" in message:
            return f"{path.name}: a traceback in the message: {message}"
    except Exception:
        return f"{path.name}: {traceback.format_exc()}"
    finally:
        signal.alarm(0)
        shutil.rmtree(folder)
    return None


def num_cases(target: Target) -> int:
    return -(-CASES * target.share // sum(other.share for other in TARGETS.values()))


@pytest.fixture
def alarm() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, _hangs)
    yield
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("name", TARGETS)
def test_damaged_input_is_read_or_refused(name: str, tmp_path: pathlib.Path) -> None:
    target = TARGETS[name]
    good = tmp_path / "good"
    good.mkdir()
    target.write(good)
    # The good files are good.
    shutil.copytree(good, tmp_path / "copy")
    target.read(tmp_path / "copy")
    problems = []
    for number in range(num_cases(target)):
        seed = f"{SEED} {name} {number}"
        problem = run_case(target, good, tmp_path / "case", seed)
        if problem:
            problems.append(f"case {seed!r}: {problem}")
    assert not problems, f"{len(problems)} cases:\n" + "\n".join(problems[:30])
