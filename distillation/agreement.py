"""Disagreement of a student with its teacher: label by label, and text by text."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import softmax

from common.atomic import write_json, write_text
from data.batches import read_features
from data.record_sets import RecordSet
from data.rows import csv_text
from modeling.bert import INPUTS
from modeling.tokenization import FullTokenizer
from training.engine import Engine

AGREEMENT_FILE, DISAGREEMENTS_FILE = "agreement.json", "disagreements.csv"
# Soft labels that are looked at, the first of a set, and texts that are written.
MOST_EXAMPLES = 10000
MOST_TEXTS = 100


class LabelAgreement(NamedTuple):
    """Agreement of a student with its teacher on the rows of one label.

    Attributes:
      label: The label.
      teacher: Texts for which it is the teacher's.
      student: Texts for which it is the student's.
      agreement: Share of the teacher's for which it is the student's too; None without any.
    """

    label: str
    teacher: int
    student: int
    agreement: float | None


def write_agreement(
    output_dir: str,
    name: str,
    records: RecordSet,
    labels: Sequence[str],
    tokenizer: FullTokenizer,
    engine: Engine,
) -> None:
    """Compares student and teacher on soft labels; logs and writes where they differ.

    Args:
      output_dir: Folder for `agreement.json` and `disagreements.csv`.
      name: The soft labels in messages.
      records: Soft labels; of more than `MOST_EXAMPLES`, the first.
      labels: In the order of the outputs.
      tokenizer: Of the student; the texts are written as it reads them.
      engine: The student's logits.
    """
    wanted = (*INPUTS, "label_ids", "has_label", "teacher_logits")
    (rows,) = read_features(records, wanted, MOST_EXAMPLES, MOST_EXAMPLES)
    logits = engine({key: rows[key] for key in INPUTS})
    if not engine.is_chief:
        return
    teacher, student = softmax(rows["teacher_logits"], axis=1), softmax(logits, axis=1)
    figures = label_agreements(labels, teacher, student)
    overall = float(np.mean(teacher.argmax(axis=1) == student.argmax(axis=1)))
    content = {
        "soft_labels": name,
        "rows": len(teacher),
        "agreement": overall,
        "labels": [figure._asdict() for figure in figures],
    }
    write_json(os.path.join(output_dir, AGREEMENT_FILE), content)
    path = os.path.join(output_dir, DISAGREEMENTS_FILE)
    write_text(path, disagreements(labels, tokenizer, rows, teacher, student))
    logging.info(
        "Student and teacher agree on %.1f %% of %d texts of %s; by the teacher's labels: %s. "
        "The most certain disagreements are in %s.",
        100 * overall,
        len(teacher),
        name,
        ", ".join(
            f"{figure.label} {100 * figure.agreement:.1f} % of {figure.teacher}"
            for figure in figures
            if figure.agreement is not None
        ),
        path,
    )


def label_agreements(
    labels: Sequence[str], teacher: np.ndarray, student: np.ndarray
) -> list[LabelAgreement]:
    """The agreement by the teacher's label; probabilities are float [N, num_labels]."""
    of_teacher, of_student = teacher.argmax(axis=1), student.argmax(axis=1)
    found = []
    for i, label in enumerate(labels):
        same = of_student[of_teacher == i] == i
        share = float(same.mean()) if len(same) else None
        found.append(LabelAgreement(label, len(same), int((of_student == i).sum()), share))
    return found


def disagreements(
    labels: Sequence[str],
    tokenizer: FullTokenizer,
    rows: Mapping[str, np.ndarray],
    teacher: np.ndarray,
    student: np.ndarray,
) -> str:
    """A CSV of texts on which teacher and student disagree: up to `MOST_TEXTS`, most certain first.

    The certainty of a row is the smaller of two probabilities: the one that the teacher gives to
    the label it predicts, and the one that the student gives to its own.

    Args:
      labels: In the order of the outputs.
      tokenizer: Of the student.
      rows: `INPUTS`, int [N, max_seq_length]; `label_ids` and `has_label`, int [N].
      teacher: Probabilities, float [N, num_labels].
      student: As `teacher`.
    """
    of_teacher, of_student = teacher.argmax(axis=1), student.argmax(axis=1)
    certainty = np.minimum(teacher.max(axis=1), student.max(axis=1))
    differ = np.flatnonzero(of_teacher != of_student)
    chosen = differ[np.argsort(-certainty[differ], kind="stable")][:MOST_TEXTS]
    pairs = bool(rows["segment_ids"].any())
    text_columns = ["text_a", "text_b"] if pairs else ["text"]
    probabilities = [f"{who}_p_{label}" for who in ("teacher", "student") for label in labels]
    table = [[*text_columns, "label", "teacher", "student", *probabilities]]
    for i in chosen.tolist():
        texts = _texts(tokenizer, {name: rows[name][i] for name in INPUTS}, pairs)
        label = labels[int(rows["label_ids"][i])] if rows["has_label"][i] else ""
        numbers = [f"{p:.4f}" for p in (*teacher[i], *student[i])]
        table.append([*texts, label, labels[of_teacher[i]], labels[of_student[i]], *numbers])
    return csv_text(table)


def _texts(tokenizer: FullTokenizer, row: Mapping[str, Any], pairs: bool) -> list[str]:
    """The one text or two of a record: WordPieces put together, without [CLS] and [SEP]."""
    ids, segments = row["input_ids"], row["segment_ids"]
    is_text = (row["input_mask"] > 0) & ~np.isin(ids, (tokenizer.cls_id, tokenizer.sep_id))
    return [
        " ".join(tokenizer.convert_ids_to_tokens(ids[is_text & (segments == i)])).replace(" ##", "")
        for i in range(1 + pairs)
    ]
