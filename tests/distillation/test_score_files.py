"""Soft labels in tables: probabilities, logits, votes and scores."""

from __future__ import annotations

import gzip
import json
import math
import pathlib
from typing import Any

import numpy as np
import pytest

from common.errors import UserError
from distillation.score_files import FLOOR, ScoreFiles

LOW = math.log(FLOOR)


def lines_of(*objects: dict[str, Any]) -> str:
    return "".join(json.dumps(each) + "\n" for each in objects)


@pytest.mark.parametrize(
    ("name", "content", "options", "labels", "outputs"),
    [
        (
            "a.csv",
            'text,p_b,p_a\n"good, ""fine""\nfilm",0.25,0.75\nbad,1,0\n',
            {},
            ["b", "a"],
            [[math.log(0.25), math.log(0.75)], [0, LOW]],
        ),
        ("a.tsv", "p_no\tp_yes\tmine\n0.5\t0.5\tx\n", {"text_a": "mine"}, ["no", "yes"], None),
        ("a.csv", "text,logit_a,logit_b\nx,-3,2.5\n", {}, ["a", "b"], [[-3, 2.5]]),
        (
            "a.csv",
            "text,p_value,p_a,p_b\nx,9,0.4,0.6\n",
            {"labels": ["b", "a"]},
            ["b", "a"],
            [[math.log(0.6), math.log(0.4)]],
        ),
        ("a.csv", "text,score\nx,2.5\n", {}, [], [[2.5]]),
        ("a.csv", "text,score,p_a\nx,2.5,1\n", {"labels": []}, [], [[2.5]]),
        (
            "a.jsonl",
            lines_of(
                {"text": "x", "votes": {"a": 3, "b": 1}},
                {"votes": {"b": 2, "a": 0}, "text": "y", "other": [1]},
            ),
            {},
            ["a", "b"],
            [[math.log(0.75), math.log(0.25)], [LOW, 0]],
        ),
        (
            "a.jsonl",
            lines_of({"text": "x", "logits": {"a": 3, "b": -1e-3}}),
            {"labels": ["b", "a"]},
            ["b", "a"],
            [[-1e-3, 3]],
        ),
        (
            "a.jsonl",
            lines_of({"text": "x", "label": "a", "p_a": 1.0, "p_b": 0.0}),
            {},
            ["a", "b"],
            [[0, LOW]],
        ),
        (
            "a.jsonl",
            lines_of(
                {"text": "x", "logit_a": 1, "logit_b": 0},
                {"logit_c": 9, "text": "y", "note": 1, "logit_b": 2, "logit_a": 3},
            ),
            {"labels": ["a", "b"]},
            ["a", "b"],
            [[1, 0], [3, 2]],
        ),
        (
            "a.jsonl.gz",
            lines_of({"text": " ", "logits": {"a": 0}}, {"text": "x", "probabilities": {}}),
            {"labels": ["a", "b"]},
            UserError,
            'a.jsonl.gz, line 2: "logits" is None, expected an object',
        ),
    ],
)
def test_kinds_of_scores(
    tmp_path: pathlib.Path,
    name: str,
    content: str,
    options: dict[str, Any],
    labels: Any,
    outputs: Any,
) -> None:
    data = content.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    if labels is UserError:
        with pytest.raises(UserError, match=outputs):
            list(ScoreFiles(str(tmp_path / name), **options).read())
        return
    scores = ScoreFiles(str(tmp_path / name), **options)
    assert scores.labels == labels
    found = list(scores.read())
    if outputs:
        np.testing.assert_allclose([e.outputs for e in found], outputs, rtol=1e-12)
    assert all(e.text_b is None for e in found)


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("a.txt", "x\n", {}, "a.txt: cannot tell its format"),
        ("a.csv", "", {}, "a.csv is empty"),
        ("a.csv", "words,p_a,p_b\nx,0,1\n", {}, "with --text_a; there are words, p_a, p_b"),
        ("a.csv", "text,p_a,p_b\nx,0,1\n", {"text_a": "y"}, 'no column is called "y"'),
        ("a.csv", "text,p_a,p_b,p_a\nx,0,1,1\n", {}, '2 columns are called "p_a"'),
        ("a.csv", "text,label\nx,1\n", {}, "no scores among the columns text, label; expected col"),
        (
            "a.csv",
            "text,p_a\nx,1\n",
            {},
            "probabilities of the label a alone among the columns text, p_a; .* the column score",
        ),
        (
            "a.csv",
            "text,p_a,p_b\nx,1,0\n",
            {"labels": ["a", "b", "c"]},
            'a.csv: no column is called "p_c", which --labels=a,b,c asks for; there are p_a, p_b; '
            "add a column for each label, or pass --labels=a,b if these are all.$",
        ),
        (
            "a.csv",
            "text,logit_a,p_x\nx,1,0\n",
            {"labels": ["a", "b"]},
            '"logit_b", .* there are logit_a; add a column for each label.$',
        ),
        (
            "a.csv",
            "text,p_a,p_b\nx,1,0\n",
            {"labels": ["c", "d"]},
            'called "p_c" or "p_d", .* p_a, p_b',
        ),
        (
            "a.csv",
            "text,p_a,p_b\nx,0.5,0.2\n",
            {},
            "line 2: the probabilities p_a, p_b sum to 0.7, .* add the label that is missing, to the",
        ),
        ("a.csv", "text,p_a,p_b\nx,1,0\n", {"labels": []}, "no scores among"),
        (
            "a.csv",
            "text,p_a,p_b,logit_a,logit_b\nx,1,0,1,1\n",
            {},
            "there are probabilities and logits .* leave all but one out",
        ),
        (
            "a.csv",
            "text,p_a,p_b\nx,1,0\ny,nan,1\n",
            {},
            r'a.csv, line 3: column "p_a" is "nan", expected a finite number; correct',
        ),
        ("a.csv", "text,logit_a,logit_b\nx,1,inf\n", {}, 'line 2: column "logit_b" is "inf"'),
        ("a.csv", "text,logit_a,logit_b\nx,1,1e39\n", {}, 'line 2: column "logit_b" is "1e39"'),
        ("a.csv", "text,p_a,p_b\nx,,1\n", {}, 'line 2: column "p_a" is ""'),
        ("a.csv", "text,score\nx,good\n", {}, 'line 2: column "score" is "good"'),
        (
            "a.csv",
            "text,p_a,p_b\nx,0.5,0.6\n",
            {},
            "line 2: the probabilities p_a, p_b sum to 1.1, .* pass --labels if some of them",
        ),
        ("a.csv", "text,p_a,p_b\nx,-0.5,1.5\n", {}, "line 2: found -0.5 among the probabilities"),
        ("a.csv", "text,p_a,p_b\nx,1\n", {}, "line 2: found 2 columns, but the header names 3"),
        (
            "a.jsonl",
            lines_of({"text": "x", "votes": {"a": 1, "b": 0}}, {"text": "y", "votes": {"a": 1}}),
            {},
            'line 2: "votes" has the labels a, expected a, b',
        ),
        *(
            (
                "a.jsonl",
                lines_of({"text": "x", **scores}, {"text": "y", **scores, further: 9}),
                {},
                f'a.jsonl, line 2: there is a column "{further}", which the first row of .*--labels',
            )
            for scores, further in (
                ({"logit_a": 1, "logit_b": 2}, "logit_c"),
                ({"p_a": 1, "p_b": 0}, "logit_a"),
                ({"score": 1}, "logit_a"),
                ({"logits": {"a": 1, "b": 2}}, "votes"),
            )
        ),
        ("a.jsonl", lines_of({"text": "x", "votes": {"a": 0, "b": 0}}), {}, "all votes are 0"),
        (
            "a.jsonl",
            lines_of({"text": "x", "votes": {"a": -1, "b": 2}}),
            {},
            "found -1 among the v",
        ),
        (
            "a.jsonl",
            lines_of({"text": "x", "votes": [1, 2]}),
            {},
            r"\[1, 2\], expected an object",
        ),
        ("a.jsonl", lines_of({"text": "x", "p_a": True, "p_b": 0}), {}, 'column "p_a" is "true"'),
        (
            "a.jsonl",
            lines_of({"text": "x", "logits": {"a": 1, "b": 2}}, {"logits": {"a": 1, "b": 2}}),
            {},
            'line 2: no column is called "text"',
        ),
        (
            "a.jsonl",
            '{"text": "x", "logits": {"a": NaN, "b": 2}}',
            {},
            'line 1: the value of "a" is nan, expected a text or a number',
        ),
    ],
)
def test_bad_files(
    tmp_path: pathlib.Path, name: str, content: str, options: dict[str, Any], message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message) as error:
        list(ScoreFiles(str(tmp_path / name), **options).read())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("b.csv", "text,logit_a,logit_b,logit_c\nx,1,2,9\n", "logits of the labels a, b, c"),
        ("b.csv", "text,p_a,p_b\nx,0,1\n", "probabilities of the labels a, b"),
        (
            "b.jsonl",
            lines_of({"text": "x", "logits": {"b": 1, "c": 2}}),
            "logits of the labels b, c",
        ),
    ],
)
def test_files_of_other_labels(tmp_path: pathlib.Path, name: str, content: str, found: str) -> None:
    (tmp_path / "a.csv").write_text("text,logit_b,logit_a\nx,1,2\n")
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=rf"{name} has {found}, but .*a\.csv has logits of b, a; "):
        ScoreFiles(str(tmp_path))


def test_files_of_the_same_labels_in_another_order(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.csv").write_text("text,logit_b,logit_a\nx,1,2\n")
    (tmp_path / "b.csv").write_text("logit_a,text,logit_b\n4,y,3\n")
    assert [list(e.outputs) for e in ScoreFiles(str(tmp_path)).read()] == [[1, 2], [3, 4]]


def test_a_table_without_rows(tmp_path: pathlib.Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    of_labels = pyarrow.struct([("a", pyarrow.float64()), ("b", pyarrow.float64())])
    columns = {"text": pyarrow.array([], pyarrow.string()), "votes": pyarrow.array([], of_labels)}
    path = str(tmp_path / "a.parquet")
    parquet.write_table(pyarrow.table(columns), path)
    with pytest.raises(UserError, match=r"a\.parquet has no rows that name the labels; .*--labels"):
        ScoreFiles(path)
    assert ScoreFiles(path, labels=["a", "b"]).labels == ["a", "b"]


def test_rows_without_text_are_counted(tmp_path: pathlib.Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("text,score\nx,1\n ,2\ny,3\n,4\n")
    scores = ScoreFiles(f"{tmp_path}/*.csv")
    for _ in range(2):  # It is read twice: to find errors, and to label.
        assert [e.example_id for e in scores.read()] == ["a.csv:2", "a.csv:4", "b.csv:2", "b.csv:4"]
        assert (scores.num_empty, scores.first_empty) == (4, f"{tmp_path}/a.csv, line 3")
    assert (scores.kind, scores.labels) == ("score", [])


@pytest.mark.parametrize(
    ("columns", "texts"),
    [
        ("text_a,text_b", ("x", "y")),
        ("text,text_b", ("x", None)),
    ],
)
def test_pairs(tmp_path: pathlib.Path, columns: str, texts: tuple[str, str | None]) -> None:
    (tmp_path / "a.csv").write_text(f"{columns},score\nx,y,1\n")
    (example,) = ScoreFiles(str(tmp_path / "a.csv")).read()
    assert (example.text_a, example.text_b, example.outputs) == (*texts, (1.0,))
