"""The making of an artifact's models in words, for its report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from experiments.paper.artifacts import (
    LABELLED_SET,
    PaperTask,
    Pretraining,
    Scale,
    Student,
    layers_and_width,
)
from experiments.students import STRATEGIES, is_distilled


def facts(
    students: Sequence[Student], scale: Scale, given: Sequence[str], learns_vocabulary: bool
) -> dict[str, str]:
    """Name -> facts about students.

    Args:
      students: Of an artifact.
      scale: Their settings.
      given: Sizes of pre-trained models that are given.
      learns_vocabulary: Whether their vocabulary is learned; else it is given.
    """
    learned = f"about {scale.vocab_size:,} WordPieces, learned from the pre-training texts"
    widths = {layers_and_width(student.size)[1] for student in students}
    rates = [f"{rate:g} at width {h}" for h, rate in scale.learning_rates.items() if h in widths]
    found = {
        "vocabulary": learned if learns_vocabulary else "as given in --data",
        "pre-training": "; ".join(_pretraining(students, scale, given)) or "none",
        "students": f"{scale.batch_size} examples per update; peak learning rate "
        f"{', '.join(rates)}, the same for every strategy",
        "tasks": "; ".join(
            _task(scale.tasks[name], [student for student in students if student.task == name])
            for name in dict.fromkeys(student.task for student in students)
        ),
    }
    if any(student.strategy == "PD-F" for student in students):
        found["students"] += f"; final fine-tuning {scale.final.learning_rate:g}"
    if sets := sorted({student.texts for student in students if student.texts}):
        counts = ", ".join(f"{count:,}" for count in sets)
        found["transfer sets"] = f"{counts} texts, for as many updates as the whole set"
    return found


def _pretraining(students: Sequence[Student], scale: Scale, given: Sequence[str]) -> Iterator[str]:
    """A text for each kind of pre-training that the students need."""
    general: dict[str, None] = {}
    kinds: dict[str, dict[str, None]] = {"transfer text": {}, "distilled": {}}
    for student in students:
        if student.teacher:
            general[student.teacher] = None
        if STRATEGIES[student.strategy].start == "random":
            continue
        if student.start in kinds:
            kinds[student.start][student.size] = None
        if student.start != "transfer text":
            general[scale.source_size(student)] = None
    if there := [size for size in general if size in given]:
        yield f"{', '.join(there)} as given in --data"
    if made := [size for size in general if size not in given]:
        lm = scale.pretraining
        yield f"{', '.join(made)}: {_updates(lm, lm.steps, lm.initialization)}"
    if sizes := kinds["transfer text"]:
        lm = scale.transfer_pretraining
        updates = _updates(lm, lm.steps, lm.initialization)
        yield f"{', '.join(sizes)} on the texts of the transfer set: {updates}"
    if sizes := kinds["distilled"]:
        updates = _updates(scale.pretraining, scale.distilled_steps, ())
        yield f"{', '.join(sizes)} after truncation, by a language-model teacher: {updates}"


def _updates(settings: Pretraining, steps: int, initialization: Sequence[str]) -> str:
    tokens = steps * settings.batch_size * settings.seq_length
    text = (
        f"{steps:,} updates of {settings.batch_size} × {settings.seq_length} tokens "
        f"({tokens / 1e6:.0f} million)"
    )
    return " ".join([text, *settings.training, *initialization])


def _task(task: PaperTask, students: Sequence[Student]) -> str:
    passes = f"({task.distill_epochs:g} passes)"
    parts = [f"{task.num_train:,} labels ({task.label_epochs:g} passes)"]
    sets = {student.transfer for student in students if is_distilled(student.strategy)}
    if LABELLED_SET in sets:
        parts.append(f"distilled on their texts {passes}")
    if sets - {LABELLED_SET}:
        parts.append(f"about {task.num_transfer:,} transfer texts {passes}")
    return f"{task.title}: {', '.join(parts)}"
