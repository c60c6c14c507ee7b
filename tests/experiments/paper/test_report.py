"""Reports of the paper's artifacts, from faked runs."""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Callable

import pytest
from scipy import stats

from experiments.paper.artifacts import Artifact, Claim, Panel, Student
from experiments.paper.catalogue import KD, PD, PF
from experiments.paper.report import ArtifactReport, paired_difference
from experiments.paper.scales import SCALES

SMALL = SCALES["small"]
SCORES = {"KD": (0.60, 0.62, 0.61), "PF": (0.70, 0.71, 0.72), "PD": (0.75, 0.77, 0.79)}
PANEL = Panel("nli", (KD, PF, PD), "size", ("2/128", "4/256"), Student("nli", "", ""))


def write_run(folder: pathlib.Path, score: float) -> None:
    folder.mkdir(parents=True)
    (folder / "eval_results.txt").write_text(f"eval_accuracy = {score}\n")
    line = {"step": 9, "kind": "eval", "eval_accuracy": score, "score": score}
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")


@pytest.fixture
def models(tmp_path: pathlib.Path) -> Callable[[Student], dict[int, str]]:
    """Folders of students; those of 4/256 are ten points better, and its PD lacks a seed."""

    def folders(student: Student) -> dict[int, str]:
        paths = [
            tmp_path / f"{student.size.replace('/', '-')}_{student.strategy}_{i}" for i in range(3)
        ]
        for i, path in enumerate(paths):
            missing = student.size == "4/256" and student.strategy == "PD" and i == 2
            if not path.exists() and not missing:
                write_run(path, SCORES[student.strategy][i] + 0.1 * (student.size == "4/256"))
        return {i: str(path) for i, path in enumerate(paths, 1) if path.exists()}

    return folders


def report(
    tmp_path: pathlib.Path, models: Callable[[Student], dict[int, str]], *claims: Claim
) -> tuple[str, dict]:
    artifact = Artifact("Title", (PANEL,), claims, {("Distillation", "nli"): "47.1"})
    if not (tmp_path / "teacher").exists():
        write_run(tmp_path / "teacher", 0.9)
    teacher = str(tmp_path / "teacher")
    made = ArtifactReport("figure0", artifact, SMALL, models, lambda *_: teacher, lambda _: None)
    text = made.write(str(tmp_path / "results"), {"command": "python x.py"})
    return text, json.loads((tmp_path / "results" / "figure0.json").read_text())


def test_report(tmp_path: pathlib.Path, models: Callable[[Student], dict[int, str]]) -> None:
    text, content = report(
        tmp_path,
        models,
        Claim("PD beats KD", PD.label, KD.label),
        Claim("KD beats PF", KD.label, PF.label, ("2/128",), ("2/128",)),
        Claim("wide beats slim", PF.label, PF.label, ("4/256",), ("2/128",)),
    )
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines()]
    assert ["Distillation", "61.0 ± 1.0", "71.0 ± 1.0"] in rows
    assert ["Distillation, the paper", "47.1", "47.1"] in rows
    assert ["Pre-trained Distillation", "77.0 ± 2.0", "86.0 ± 1.4"] in rows
    assert ["Teacher", "90.0", "90.0"] in rows
    claims = {row[0]: row[1:] for row in rows if len(row) == 4}
    # Two seeds have all points: differences of 15 and 15 points.
    assert claims["PD beats KD"] == ["+15.0 [+15.0, +15.0]", "2", "holds"]
    assert claims["KD beats PF"][1:] == ["3", "does not hold"]
    assert claims["wide beats slim"] == ["+10.0 [+10.0, +10.0]", "3", "holds"]
    assert "* command: python x.py" in text
    # The seeds that are there, not those of the plan.
    assert "* seeds: 3 of 5 planned for 2/128; 2 to 3 of 3 planned for 4/256" in text
    values = content["panels"][0]["lines"][PD.label]["4/256"]
    assert values == {"1": pytest.approx(85), "2": pytest.approx(87)}
    assert content["claims"][1]["verdict"] == "does not hold"
    assert (tmp_path / "results" / "figure0.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (tmp_path / "results" / "figure0.svg").read_bytes()


def test_transfer_sets_are_named_with_their_similarity(
    tmp_path: pathlib.Path, models: Callable[[Student], dict[int, str]]
) -> None:
    fixed = Student("nli", "2/128", "", texts=30)
    artifact = Artifact("Title", (Panel("nli", (KD, PF), "transfer", ("far", "near"), fixed),), ())
    content = {"similarities": {"joint": {"spearman": 0.4321}}}
    (tmp_path / "far.json").write_text(json.dumps(content))

    def similarity(student: Student) -> str | None:
        path = tmp_path / f"{student.transfer}.json"
        return str(path) if path.exists() else None

    made = ArtifactReport("figure0", artifact, SMALL, models, lambda *_: None, similarity)
    text = made.write(str(tmp_path / "results"), {})
    assert "|  | far (S=0.43) | near |" in text


def test_claims_name_their_panel_and_the_points_that_are_there(
    tmp_path: pathlib.Path, models: Callable[[Student], dict[int, str]]
) -> None:
    def without_wide_pd(student: Student) -> dict[int, str]:
        is_there = (student.size, student.strategy) != ("4/256", "PD")
        return models(student) if is_there else {}

    _, content = report(
        tmp_path,
        without_wide_pd,
        Claim("PD beats KD", PD.label, KD.label, panel=0),
        Claim("KD beats PF", KD.label, PF.label),
        Claim("wide beats slim", PD.label, PD.label, ("4/256",), ("2/128",)),
    )
    found = [(claim["text"], claim.get("mean"), claim["verdict"]) for claim in content["claims"]]
    assert found[0] == ("NLI: PD beats KD, at 2/128 alone", pytest.approx(16.0), "holds")
    assert found[1][0] == "KD beats PF"
    assert found[2] == ("wide beats slim", None, "not measured")


def test_one_seed_has_no_interval(
    tmp_path: pathlib.Path, models: Callable[[Student], dict[int, str]]
) -> None:
    """In JSON null, which is what other readers than Python's know."""
    claim = Claim("PD beats KD", PD.label, KD.label)
    text, content = report(tmp_path, lambda student: {1: models(student)[1]}, claim)
    assert "| PD beats KD | +15.0 | 1 | cannot be told |" in text
    [found] = content["claims"]
    assert (found["low"], found["high"], found["seeds"]) == (None, None, 1)


def test_interval_is_that_of_a_paired_t_test() -> None:
    higher = {1: 71.0, 2: 74.5, 3: 70.2, 5: 73.0}
    lower = {1: 70.1, 2: 71.0, 3: 70.9, 4: 60.0, 5: 71.5}
    found = paired_difference(higher, lower)
    seeds = (1, 2, 3, 5)
    test = stats.ttest_rel([higher[s] for s in seeds], [lower[s] for s in seeds])
    interval = test.confidence_interval(0.95)
    assert found and (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.seeds == 4 and found.verdict == "cannot be told"


def test_one_pair_and_none() -> None:
    alone = paired_difference({1: 3.0}, {1: 1.0, 2: 0.0})
    assert alone and str(alone) == "+2.0" and math.isnan(alone.low)
    assert alone.verdict == "cannot be told"
    assert paired_difference({1: 3.0}, {2: 1.0}) is None
