"""The paper's tables and figures, and what it reads off them, for the tasks and sizes of a scale."""

from __future__ import annotations

from collections.abc import Mapping

from experiments.paper.artifacts import LABELLED_SET, Artifact, Claim, Line, Panel, Student

BASIC, KD = Line("Basic training", "Basic"), Line("Distillation", "KD")
PF, PD = Line("Pre-training+Fine-tuning", "PF"), Line("Pre-trained Distillation", "PD")
PDF = Line("PD-F", "PD-F")
STRATEGY_LINES = (BASIC, KD, PF, PD)


def _pd_wins(section: str, panel: int | None = None) -> tuple[Claim, ...]:
    return tuple(
        Claim(f"PD is better than {line.label} ({section})", PD.label, line.label, panel=panel)
        for line in (BASIC, KD, PF)
    )


def artifacts(
    sizes: tuple[str, ...],
    grid: tuple[str, ...],
    figure5: tuple[str, ...],
    depth: tuple[str, str],
    pairs: str,
    sentiment: str,
    reviews: str,
    compared: tuple[str, ...],
    table3: tuple[str, str, tuple[str, ...]],
    figure8: tuple[str, ...],
    numbers: tuple[int, ...],
    domains: tuple[str, ...],
    domain_texts: int,
    figure9_size: str,
    few_labels: tuple[str, ...] = (),
    published: Mapping[tuple[str, str], str] | None = None,
) -> dict[str, Artifact]:
    """The artifacts of a scale.

    Args:
      sizes: The students of Figures 7 and 10.
      grid: Sizes of Figure 6, in its order: by width, then depth.
      figure5: Sizes of Figure 5.
      depth: A deep narrow and a shallow wide model with about as many weights (section 6.1).
      pairs: The task in place of MNLI.
      sentiment: The task in place of SST-2.
      reviews: The task in place of Amazon Book Reviews.
      compared: The tasks of Figure 7.
      table3: Size of the student, of its teacher, and the tasks.
      figure8: Sizes of Figure 8.
      numbers: Of its transfer texts.
      domains: Transfer sets of Figure 9, the closest one last.
      domain_texts: Number of texts of each.
      figure9_size: Its student.
      few_labels: Tasks that differ in the number of labels, the fewest first.
      published: Of Table 3: (line, task) -> the value that the paper prints.
    """
    student, teacher, tasks = table3
    start5 = (
        KD,
        Line("PD, word embeddings only", "PD", "embeddings"),
        Line("PD, truncated", "PD", "truncated"),
        PD,
    )
    methods = (
        Line("TF", "PF", "truncated"),
        PF,
        PD,
        Line("Patient KD", "Patient KD", "truncated"),
        Line("DistilBERT", "PF", "distilled"),
    )
    found = {
        "table1": Artifact("Student models: parameters and speed-up"),
        "table2": Artifact("Training strategies that build compact models"),
        "table3": Artifact(
            f"Model quality: students {student}, teachers {teacher}",
            tuple(
                Panel(
                    task,
                    methods,
                    "size",
                    (student,),
                    Student(task, student, "", transfer=LABELLED_SET, teacher=teacher),
                )
                for task in tasks
            ),
            (
                Claim(
                    "PD is better than PF, the mean of the tasks (section 4)", PD.label, PF.label
                ),
                Claim("PF is better than truncation, TF (section 4)", PF.label, "TF"),
                Claim("PD is at least as good as Patient KD (section 4)", PD.label, "Patient KD"),
                Claim("PD is at least as good as DistilBERT (section 4)", PD.label, "DistilBERT"),
            ),
            published or {},
        ),
        "table4": Artifact("Datasets used for analysis"),
        "figure5": Artifact(
            "Pre-training outperforms truncation",
            (Panel(pairs, start5, "size", figure5, Student(pairs, "", "")),),
            (
                Claim(
                    "full pre-training is better than word embeddings alone (section 6.1)",
                    PD.label,
                    "PD, word embeddings only",
                ),
                Claim(
                    "full pre-training is better than truncation (section 6.1)",
                    PD.label,
                    "PD, truncated",
                ),
                Claim(
                    "pre-trained word embeddings bring something (section 6.1)",
                    "PD, word embeddings only",
                    KD.label,
                ),
            ),
        ),
        "figure6": Artifact(
            "Depth outweighs width",
            (Panel(sentiment, STRATEGY_LINES, "size", grid, Student(sentiment, "", "")),),
            tuple(
                Claim(
                    f"deep {depth[0]} is better than wide {depth[1]}, {line.strategy} (section 6.1)",
                    line.label,
                    line.label,
                    depth[:1],
                    depth[1:],
                )
                for line in (PD, PF)
            ),
        ),
        "figure7": Artifact(
            "Comparison against analysis baselines",
            tuple(
                Panel(task, STRATEGY_LINES, "size", sizes, Student(task, "", ""))
                for task in compared
            ),
            tuple(claim for i in range(len(compared)) for claim in _pd_wins("section 6.2", i)),
        ),
        "figure8": Artifact(
            "Robustness to the size of the transfer set",
            tuple(
                Panel(f"{reviews}, {size}", (KD, PD), "texts", numbers, Student(reviews, size, ""))
                for size in figure8
            ),
            (
                *(
                    Claim(
                        f"PD is better than distillation with {number:,} texts (section 6.2)",
                        PD.label,
                        KD.label,
                        (number,),
                        (number,),
                    )
                    for number in numbers
                ),
                Claim(
                    "distillation gains from more texts (section 6.2)",
                    KD.label,
                    KD.label,
                    numbers[-1:],
                    numbers[:1],
                ),
                Claim(
                    "PD with the fewest texts is better than distillation with all (section 6.2)",
                    PD.label,
                    KD.label,
                    numbers[:1],
                    numbers[-1:],
                ),
            ),
        ),
        "figure9": Artifact(
            "Robustness to domain shift in the transfer set",
            (
                Panel(
                    f"{reviews}, {figure9_size}",
                    (BASIC, PF, KD, PD, PDF),
                    "transfer",
                    domains,
                    Student(reviews, figure9_size, "", texts=domain_texts),
                ),
            ),
            (
                Claim(
                    "distillation needs texts of the domain (section 6.2)",
                    KD.label,
                    KD.label,
                    domains[-1:],
                    domains[:1],
                ),
                Claim(
                    "PD is better than distillation on the farthest texts (section 6.2)",
                    PD.label,
                    KD.label,
                    domains[:1],
                    domains[:1],
                ),
                Claim(
                    "fine-tuning repairs PD on the farthest texts (section 6.2)",
                    PDF.label,
                    PD.label,
                    domains[:1],
                    domains[:1],
                ),
            ),
        ),
        "figure10": Artifact(
            "Pre-training complements distillation on the same data",
            (
                Panel(
                    pairs,
                    (
                        BASIC,
                        KD,
                        Line(PF.label, "PF", "transfer text"),
                        Line(PD.label, "PD", "transfer text"),
                    ),
                    "size",
                    sizes,
                    Student(pairs, "", ""),
                ),
            ),
            _pd_wins("section 6.3"),
        ),
    }
    if few_labels:
        found["labels"] = Artifact(
            "What each step is worth by the number of labels (not in the paper)",
            tuple(
                Panel(
                    f"{sentiment}, {size}",
                    (*STRATEGY_LINES, PDF),
                    "task",
                    few_labels,
                    Student("", size, ""),
                )
                for size in sizes[:1]
            ),
            tuple(
                Claim(
                    f"with the fewest labels, {higher.strategy} is better than {lower.strategy}",
                    higher.label,
                    lower.label,
                    few_labels[:1],
                    few_labels[:1],
                )
                for higher, lower in ((PF, BASIC), (KD, BASIC), (PD, PF), (PD, KD), (PDF, PD))
            ),
        )
    return found
