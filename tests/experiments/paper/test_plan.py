"""The commands that the paper's artifacts need."""

from __future__ import annotations

import pathlib

import pytest
from scripts import load_script, script_flags

from experiments.paper.artifacts import Student
from experiments.paper.estimates import MACHINES
from experiments.paper.plan import PaperPlan, Paths, students_of
from experiments.paper.scales import SCALES
from experiments.stages import Stage

SIZES = ("1/128", "1/256", "2/128", "4/128", "8/128", "2/256", "4/256", "8/256", "4/512")
PATHS = Paths(students={size: f"read_{size.replace('/', '_')}" for size in SIZES})


# Nothing is given but a teacher: vocabulary and students are made.
TEACHER_ALONE = Paths(teacher="minilm")


def new_plan(scale: str, paths: Paths = PATHS) -> PaperPlan:
    return PaperPlan(SCALES[scale], paths, "out", "bfloat16", MACHINES["2-cores"])


def options(stage: Stage) -> dict[str, str]:
    """Flag -> value of a stage's command."""
    pairs = (
        argument.removeprefix("--").partition("=")
        for argument in stage.command
        if argument[:2] == "--"
    )
    return {name: value for name, _, value in pairs}


@pytest.mark.parametrize("scale", sorted(SCALES))
def test_every_stage_follows_those_it_needs(scale: str) -> None:
    plan = new_plan(scale)
    for name, artifact in SCALES[scale].artifacts.items():
        plan.add(name, artifact)
    seen: set[str] = set()
    for stage in plan.graph.stages:
        assert set(stage.needs) <= seen, stage.name
        seen.add(stage.name)
    commands = [tuple(a for a in s.command if "output_" not in a) for s in plan.graph.stages]
    assert len(set(commands)) == len(commands), "two stages do the same"


@pytest.mark.parametrize("scale", sorted(SCALES))
def test_commands_have_the_flags_of_their_scripts(scale: str) -> None:
    plan = new_plan(scale)
    for name, artifact in SCALES[scale].artifacts.items():
        plan.add(name, artifact)
    stages: dict[str, list[Stage]] = {}
    for stage in plan.graph.stages:
        _, program, module, *_ = stage.command
        path = module.replace(".", "/") if program == "-m" else pathlib.Path(program).stem
        stages.setdefault(path, []).append(stage)
    assert len(stages) == 9 + (scale == "small")
    for path, calls in stages.items():
        load_script(path)
        known = script_flags()
        names = {name for stage in calls for name in options(stage)}
        assert {name.removeprefix("no") for name in names - known} <= known, path


def test_figures_share_students() -> None:
    """Pre-trained once, and the same student in two figures is one run."""
    plan = new_plan("small", Paths())
    artifacts = SCALES["small"].artifacts
    plan.add("figure7", artifacts["figure7"])
    before = len(plan.graph.stages)
    shared = set(students_of(artifacts["figure7"])) & set(students_of(artifacts["figure10"]))
    assert shared == {
        Student("nli", size, strategy)
        for size in ("2/128", "4/256")
        for strategy in ("Basic", "KD")
    }
    plan.add("figure10", artifacts["figure10"])
    added = [stage.name for stage in plan.graph.stages[before:]]
    assert added and not any("_basic_" in name or "_kd_" in name for name in added)
    names = [stage.name for stage in plan.graph.stages]
    assert names.count("lm_2-128") == names.count("lm_records") == 1


@pytest.mark.parametrize(
    ("student", "expected"),
    [
        (Student("nli", "2/128", "Basic"), {"bert_config_file": "2/128", "init_checkpoint": None}),
        (Student("nli", "2/128", "PD"), {"init_checkpoint": "read_2_128"}),
        (
            Student("nli", "2/128", "PD", "truncated"),
            {
                "bert_config_file": "2/128",
                "init_checkpoint": "read_8_128",
                "init_strategy": "truncate_bottom",
            },
        ),
        (
            Student("nli", "4/256", "PD", "embeddings"),
            {"init_checkpoint": "read_1_256", "init_strategy": "embeddings_only"},
        ),
        (
            Student("nli", "2/128", "PF", "transfer text"),
            {"init_checkpoint": "out/nli_lm_2-128"},
        ),
        (
            Student("book-reviews", "2/128", "KD", texts=1000),
            {
                "input_file": ",".join(
                    f"out/book-reviews_teacher_soft_labels_texts/soft_labels-0000{i}.tfrecord"
                    for i in range(2)
                ),
                # As many examples as of the whole transfer set: 3 passes over 22,000 texts.
                "num_train_epochs": "66.0",
            },
        ),
        (
            Student("rte", "4/256", "Patient KD", "truncated", "labelled set", teacher="8/256"),
            {
                "input_file": "out/rte_teacher8-256_soft_labels_labelled/*.tfrecord",
                "patience_weight": "100",
                "init_checkpoint": "read_8_256",
            },
        ),
        (
            Student("rte", "4/256", "PD-F"),
            {"init_checkpoint": "out/rte_4-256_pd_seed3", "input_file": None},
        ),
    ],
)
def test_command_of_a_student(student: Student, expected: dict[str, str | None]) -> None:
    plan = new_plan("small")
    folder = plan.student(student, "3")
    (stage,) = [s for s in plan.graph.stages if plan.graph.folder(s.name) == folder]
    found = options(stage)
    assert {name: found.get(name) for name in expected} == expected
    assert found["random_seed"] == "3"


def test_hidden_states_for_patience() -> None:
    plan = new_plan("small")
    plan.student(
        Student("rte", "4/256", "Patient KD", "truncated", "labelled set", teacher="8/256"), "1"
    )
    (labels,) = [s for s in plan.graph.stages if "soft_labels" in s.name]
    assert options(labels)["hidden_state_layers"] == "2,4,6"


def test_transfer_sets_of_other_domains_are_as_large_as_each_other_and_compared() -> None:
    plan = new_plan("small")
    plan.add("figure9", SCALES["small"].artifacts["figure9"])
    stages = {stage.name: stage for stage in plan.graph.stages}
    for domain in ("wikipedia", "movie_reviews"):
        made = options(stages[f"book-reviews_transfer_{domain}"])
        assert made["sizes"] == "5500"
        texts = f"out/book-reviews_transfer_{domain}/texts-5500.tsv"
        labelled = options(stages[f"book-reviews_teacher_soft_labels_texts_{domain}"])
        assert labelled["input_file"] == texts
        compared = options(stages[f"book-reviews_similarity_{domain}"])
        assert compared["corpus_b"] == texts
        assert compared["corpus_a"] == "out/book-reviews_training_texts/texts.tsv"
    assert options(stages["book-reviews_training_texts"])["input_task"].startswith("book-reviews:")


def test_students_learn_a_vocabulary_and_the_teacher_keeps_its_own() -> None:
    plan = new_plan("small", TEACHER_ALONE)
    for seed in ("1", "2"):
        plan.student(Student("nli", "2/128", "PD"), seed)
    stages = {stage.name: stage for stage in plan.graph.stages}
    learned = options(stages["vocabulary"])
    assert learned["output_file"] == "out/vocabulary/vocab.txt"
    assert learned["input_file"].startswith("<texts: wikipedia>")
    of_teacher = {"nli_teacher_seed1", "nli_teacher_seed2", "nli_teacher_seed3"}
    for name, stage in stages.items():
        found = options(stage).get("vocab_file")
        assert found in (None, "minilm/vocab.txt" if name in of_teacher else learned["output_file"])
        assert (found == learned["output_file"]) == ("vocabulary" in stage.needs)
    assert "vocab_file" in options(stages["nli_teacher_soft_labels"])
    assert of_teacher < set(stages)


@pytest.mark.parametrize(
    ("scale", "paths", "vocab_file"),
    [
        ("small", Paths(vocab_file="v.txt"), "v.txt"),
        # Whoever has students has the vocabulary that they were trained with.
        ("small", PATHS, "<vocab_file>"),
        ("paper", TEACHER_ALONE, "<vocab_file>"),
    ],
)
def test_given_vocabulary(scale: str, paths: Paths, vocab_file: str) -> None:
    plan = new_plan(scale, paths)
    plan.student(Student("rte", "2/128", "PD"), "1")
    assert "vocabulary" not in [stage.name for stage in plan.graph.stages]
    found = {options(stage).get("vocab_file") for stage in plan.graph.stages}
    assert found == {None, vocab_file}


def test_pretraining_on_two_cores() -> None:
    """All without dropout; weights that are not random keep their attention."""
    plan = new_plan("small", TEACHER_ALONE)
    plan.student(Student("nli", "4/128", "PF", "distilled", teacher="8/128"), "1")
    stages = {stage.name: options(stage) for stage in plan.graph.stages}
    teacher, student = stages["lm_8-128"], stages["lm_4-128_distilled-8-128"]
    assert teacher["dropout_prob"] == student["dropout_prob"] == "0"
    assert "init_local_attention" in teacher and "init_local_attention" not in student
    assert "dropout_prob" not in stages["nli_4-128_pf_distilled_8-128_seed1"]
