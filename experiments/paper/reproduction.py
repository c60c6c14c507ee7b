"""Plans, runs and reports the artifacts of the paper (`reproduce_paper.py`)."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from common.errors import UserError
from common.files import exists, read_json
from common.markdown import table
from common.progress import clock
from experiments.paper.artifacts import LABELLED_SET, Artifact, Scale, Student
from experiments.paper.estimates import MACHINES
from experiments.paper.plan import SIMILARITY_FILE, PaperPlan, Paths, students_of
from experiments.paper.report import ArtifactReport
from experiments.paper.scales import SCALES
from experiments.paper.tables import write_table
from experiments.stages import Shard, Stage, finished_stages, run_stages
from training.options import Options

# The order in which a part of the work is already a result.
ORDER = (
    *("table1", "table2", "table4", "labels", "figure7", "figure5", "figure8", "figure9"),
    *("figure6", "figure10", "table3"),
)


@dataclasses.dataclass(frozen=True)
class ReproductionOptions(Options):
    """Options of a reproduction; every attribute is the flag of that name."""

    artifact: Sequence[str] = ("all",)
    scale: str = "small"
    data: str | None = None
    dry_run: bool = False
    machine: str = "2-cores"
    report_only: bool = False
    output_dir: str = ""
    start_over: bool = False
    jobs: int = 2
    precision: str = "bfloat16"
    shard_index: int = 0
    num_shards: int = 1


def run(options: ReproductionOptions) -> str:
    """Runs what is not done yet; writes a report for each artifact into `results`.

    Returns:
      The plan of a dry run; otherwise the reports.

    Raises:
      UserError: Data is missing, or a command failed.
    """
    scale = SCALES[options.scale]
    paths = read_paths(options.data)
    check_names(paths, options.data)
    artifacts = chosen_artifacts(options.artifact, scale)
    machine = MACHINES[options.machine]
    plan = PaperPlan(scale, paths, options.output_dir or "", options.precision, machine)
    folders = {name: plan.add(name, artifact) for name, artifact in artifacts.items()}
    stages = {name: plan.graph.needed_for(made_from) for name, made_from in folders.items()}
    text = plan_text(options, stages, plan.graph.stages)
    if options.dry_run:
        return text
    if not options.output_dir:
        raise UserError("--output_dir is missing; or pass --dry_run to see the plan alone.")
    if missing := missing_data(plan.graph.stages):
        raise UserError(f"--data={options.data} lacks {', '.join(missing)}.")
    if not 0 <= options.shard_index < options.num_shards:
        raise UserError(
            f"--shard_index={options.shard_index} with --num_shards={options.num_shards}: expected 0 "
            f"to {options.num_shards - 1}."
        )
    print(text, flush=True)
    reports: dict[str, str] = {}

    def write_reports(seconds: Mapping[str, float], of_part: bool = False) -> None:
        """Of artifacts whose commands are done; `of_part`, also of those where some are."""
        for name, artifact in artifacts.items():
            done = {s.name: seconds[s.name] for s in stages[name] if s.name in seconds}
            if name not in reports and (of_part or len(done) == len(stages[name])):
                reports[name] = write_report(options, plan, name, artifact, done)

    folder = os.path.join(options.output_dir, "stages")
    if options.report_only:
        seconds = finished_stages(plan.graph.stages, folder)
    else:
        seconds = run_stages(
            plan.graph.stages,
            folder,
            options.jobs,
            options.start_over,
            Shard(options.shard_index, options.num_shards),
            after_stage=write_reports,
        )
    write_reports(seconds, of_part=True)
    return "\n".join(reports[name] for name in artifacts)


def read_paths(path: str | None) -> Paths:
    """The data that a file names.

    Raises:
      UserError: It holds other keys, or what it names is of another kind.
    """
    if path is None:
        return Paths()
    content = read_json(path)
    known = {field.name: field for field in dataclasses.fields(Paths)}
    for key, value in content.items() if isinstance(content, dict) else [("", None)]:
        is_text = key in ("vocab_file", "teacher")
        if key not in known or not isinstance(value, str if is_text else dict):
            raise UserError(
                f'--data={path}: found "{key}", expected an object with {", ".join(known)}; '
                "vocab_file and teacher are strings, the others objects of strings."
            )
        for name, of_name in value.items() if isinstance(value, dict) else ():
            if not isinstance(of_name, str):
                raise UserError(
                    f'--data={path}: "{name}" in {key} is {of_name!r:.60}, expected a string; '
                    "several files are one string, separated by commas."
                )
    return Paths(**content)


def check_names(paths: Paths, path: str | None) -> None:
    """Refuses names that no scale knows: what they name would not be used.

    Raises:
      UserError: There is one.
    """
    texts, tasks = set(), set()
    for scale in SCALES.values():
        tasks |= {task.data for task in scale.tasks.values()}
        texts |= {*scale.pretraining.texts}.union(*(t.transfer for t in scale.tasks.values()))
        students = (s for artifact in scale.artifacts.values() for s in students_of(artifact))
        texts |= {student.transfer for student in students} - {"", LABELLED_SET}
    for key, names in {"texts": texts, "tasks": tasks}.items():
        for name in getattr(paths, key):
            if name not in names:
                raise UserError(
                    f'--data={path}: nothing uses "{name}" in {key}; expected '
                    f"{', '.join(sorted(names))}."
                )
    for size in paths.students:
        if not re.fullmatch(r"\d+/\d+", size):
            raise UserError(
                f'--data={path}: "{size}" in students: expected layers/width, as 2/128.'
            )


def chosen_artifacts(names: Sequence[str], scale: Scale) -> dict[str, Artifact]:
    """The artifacts of those names, in the order in which they are run.

    Raises:
      UserError: The scale has none of that name.
    """
    wanted = [*scale.artifacts] if "all" in names else names
    for name in wanted:
        if name not in scale.artifacts:
            raise UserError(f"--artifact={name} is not there at this --scale.")
    return {name: scale.artifacts[name] for name in ORDER if name in wanted}


def plan_text(
    options: ReproductionOptions, stages: Mapping[str, Sequence[Stage]], total: Sequence[Stage]
) -> str:
    """Number of commands and time of each artifact, and the data that is missing."""
    done = set()
    if options.output_dir:
        folder = os.path.join(options.output_dir, "stages")
        done = {s.name for s in total if exists(os.path.join(folder, f"{s.name}.done.json"))}
    known: set[str] = set()
    rows = []
    for name, of_artifact in stages.items():
        new = [stage for stage in of_artifact if stage.name not in known]
        known |= {stage.name for stage in new}
        left = sum(stage.estimate for stage in new if stage.name not in done)
        rows.append([name, str(len(of_artifact)), str(len(new)), clock(left)])
    left = sum(stage.estimate for stage in total if stage.name not in done)
    rows.append(["all", "", str(len(total)), clock(left)])
    lines = table(["", "commands", "not in those above", "estimated hours left"], rows)
    lines += ["", f"Estimated for {MACHINES[options.machine].name}; {len(done)} commands are done."]
    if missing := missing_data(total):
        lines += [f"Missing in --data: {', '.join(missing)}."]
    return "\n".join(lines) + "\n"


def missing_data(stages: Sequence[Stage]) -> list[str]:
    """The names in angle brackets of `Paths` that commands hold."""
    words = [word for stage in stages for argument in stage.command for word in argument.split("=")]
    parts = [part for word in words for part in word.split(",")]
    return sorted({part.partition(">")[0][1:] for part in parts if part.startswith("<")})


def write_report(
    options: ReproductionOptions,
    plan: PaperPlan,
    name: str,
    artifact: Artifact,
    seconds: Mapping[str, float],
) -> str:
    """Writes what an artifact has come to so far, and returns its Markdown.

    Args:
      options: Of the reproduction.
      plan: Has all commands of the artifact.
      name: Of the artifact.
      artifact: The table or figure.
      seconds: Name -> seconds of its commands that are done.
    """
    folder = os.path.join(options.output_dir, "results")
    facts: dict[str, Any] = {
        "command": f"python reproduce_paper.py --artifact={name} --scale={options.scale} "
        f"--precision={options.precision} --data=paths.json --output_dir=paper",
    }
    if seconds:
        hours = sum(seconds.values()) / 3600 / options.jobs
        facts["hours"] = (
            f"{hours:.1f} with {options.jobs} commands at a time, including those that other figures "
            "share"
        )
    if not artifact.panels:
        return write_table(name, artifact, plan, folder, facts)

    def finished(output: str) -> bool:
        return os.path.basename(output) in seconds

    def models(student: Student) -> dict[int, str]:
        return {i: run for i, run in enumerate(plan.models(student), 1) if finished(run)}

    def teacher(task: str, size: str) -> str | None:
        output = plan.teacher(task, size)
        return output if finished(output) else None

    def similarity(student: Student) -> str | None:
        output = plan.similarity(student)
        return os.path.join(output, SIMILARITY_FILE) if finished(output) else None

    report = ArtifactReport(name, artifact, plan.scale, models, teacher, similarity)
    return report.write(folder, {**facts, **plan.facts(artifact)})
