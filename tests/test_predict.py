"""predict.py through its flags: tables in, the same tables with predictions out."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import pathlib
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import review
from models import write_classifier
from scripts import ROOT, run_script

from common.errors import UserError
from modeling.config import load_config
from serving import Predictor
from serving import prediction as prediction_module
from training.engine import Engine

LABELS = ["bad", "so, so", "good"]
OURS = ["label", "probability", *(f"p_{label}" for label in LABELS)]


@pytest.fixture(scope="module")
def student(
    write_config: Callable[..., str], vocab_file: str, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("student")
    config = load_config(write_config(num_hidden_layers=1, initializer_range=0.3))
    info = {"labels": LABELS, "flags": {"max_seq_length": 12}}
    write_classifier(str(folder), config, vocab_file, 3, **info)
    return folder


@pytest.fixture(scope="module")
def texts() -> list[str]:
    rng = random.Random(6)
    texts = [review(rng, i % 2) for i in range(25)]
    return [*texts, 'a "good" film,\nvery good', "", " ".join(texts)]


@pytest.fixture(scope="module")
def expected(student: pathlib.Path, texts: list[str]) -> list[list[Any]]:
    """The values of our columns for `texts`."""
    return answers(student, texts)


def answers(student: pathlib.Path, inputs: Any) -> list[list[Any]]:
    found = Predictor.load(str(student)).predict(inputs)
    return [[p.label, p.probability, *(p.probabilities or {}).values()] for p in found]


def assert_same(found: list[list[Any]], wanted: list[list[Any]]) -> None:
    assert [row[0] for row in found] == [row[0] for row in wanted]
    numbers = [[float(value) for value in row[1:]] for row in found]
    np.testing.assert_allclose(numbers, [row[1:] for row in wanted], atol=2e-6)


def write_csv(path: pathlib.Path, columns: dict[str, list[str]]) -> pathlib.Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def read_csv(data: str) -> tuple[list[str], list[list[str]]]:
    header, *rows = csv.reader(io.StringIO(data))
    return header, rows


def test_columns_are_kept_and_answers_stand_behind_them(
    student: pathlib.Path, texts: list[str], expected: list[list[Any]], tmp_path: pathlib.Path
) -> None:
    ids = [f"row {i}" for i in range(len(texts))]
    columns = {"id": ids, "text": texts, "label": ["?"] * len(texts)}
    table = write_csv(tmp_path / "new.csv", columns)
    out = tmp_path / "out.csv"
    run_script("predict", init_checkpoint=student, input_file=table, output_file=out)
    header, rows = read_csv(out.read_text())
    assert header == ["id", "text", "input_label", *OURS]
    assert [row[:3] for row in rows] == [[i, text, "?"] for i, text in zip(ids, texts, strict=True)]
    assert_same([row[3:] for row in rows], expected)
    assert {path.name for path in tmp_path.iterdir()} == {"new.csv", "out.csv"}


def test_json_objects_are_kept_as_they_are(
    student: pathlib.Path, texts: list[str], expected: list[list[Any]], tmp_path: pathlib.Path
) -> None:
    objects = [{"n": i, "body": text, "é": [i, None]} for i, text in enumerate(texts)]
    for part, name in ((objects[:9], "a"), (objects[9:], "b")):
        lines = "".join(json.dumps(o) + "\n" for o in part)
        (tmp_path / f"{name}.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    out = tmp_path / "out.jsonl.xz"
    run_script(
        "predict",
        init_checkpoint=student,
        input_file=f"{tmp_path}/*.jsonl.gz",
        text_a="body",
        output_file=out,
    )
    found = [json.loads(line) for line in lzma.decompress(out.read_bytes()).splitlines()]
    kept = [{name: o[name] for name in ("n", "body", "é")} for o in found]
    assert kept == objects
    assert list(found[0]) == ["n", "body", "é", *OURS]
    assert_same([[o[name] for name in OURS] for o in found], expected)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 2e-6), ("int8", 0.2)])
def test_another_engine(
    student: pathlib.Path,
    texts: list[str],
    expected: list[list[Any]],
    tmp_path: pathlib.Path,
    precision: str,
    tolerance: float,
) -> None:
    pytest.importorskip("onnxruntime")
    table, out = write_csv(tmp_path / "new.csv", {"text": texts}), tmp_path / "out.csv"
    flags = {"init_checkpoint": student, "input_file": table, "output_file": out}
    run_script("predict", **flags, engine="onnxruntime", precision=precision)
    _, rows = read_csv(out.read_text())
    assert [row[0] for row in rows] == texts
    found = [[float(value) for value in row[2:]] for row in rows]
    np.testing.assert_allclose(found, [row[1:] for row in expected], atol=tolerance)


def test_lines_of_text_to_standard_output(
    student: pathlib.Path, tmp_path: pathlib.Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (tmp_path / "new.txt").write_text("good film\nbad , dull plot\n")
    run_script("predict", init_checkpoint=student, input_file=tmp_path / "new.txt")
    header, rows = read_csv(capfdbinary.readouterr().out.decode())
    assert header == ["text", *OURS]
    assert [row[0] for row in rows] == ["good film", "bad , dull plot"]
    assert_same([row[1:] for row in rows], answers(student, ["good film", "bad , dull plot"]))


def test_pairs_in_the_columns_that_are_read_by_default(
    student: pathlib.Path, texts: list[str], tmp_path: pathlib.Path
) -> None:
    pairs = [
        (text.replace("\n", " "), other) for text, other in zip(texts[3:], texts[:25], strict=False)
    ]
    lines = ["text_b\ttext_a", *(f"{b}\t{a}" for a, b in pairs)]
    (tmp_path / "new.tsv").write_text("\n".join(lines) + "\n")
    out = tmp_path / "out.tsv"
    run_script("predict", init_checkpoint=student, input_file=tmp_path / "new.tsv", output_file=out)
    header, *rows = (line.split("\t") for line in out.read_text().splitlines())
    assert header == ["text_b", "text_a", *OURS]
    assert_same([row[2:] for row in rows], answers(student, pairs))


def test_regression(
    write_config: Callable[..., str], vocab_file: str, tmp_path: pathlib.Path
) -> None:
    config = load_config(write_config(num_hidden_layers=1))
    model = tmp_path / "model"
    write_classifier(str(model), config, vocab_file, 1, labels=[])
    table = write_csv(tmp_path / "new.csv", {"text": ["good", "bad film"]})
    out = tmp_path / "out.csv"
    run_script("predict", init_checkpoint=model, input_file=table, output_file=out)
    header, rows = read_csv(out.read_text())
    assert header == ["text", "score"]
    scores = [p.score for p in Predictor.load(str(model)).predict(["good", "bad film"])]
    np.testing.assert_allclose([float(row[1]) for row in rows], scores, atol=1e-6)


def test_killed_run_goes_on_and_another_model_begins_anew(
    student: pathlib.Path,
    texts: list[str],
    expected: list[list[Any]],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, out = write_csv(tmp_path / "new.csv", {"text": texts}), tmp_path / "out.csv"
    out.write_text("earlier")
    flags = {"init_checkpoint": student, "input_file": table, "output_file": out}
    flags["engine"] = "tensorflow"  # Others are compared first, which would count as well.
    monkeypatch.setattr(prediction_module, "WINDOW_ROWS", 10)
    compute, calls = Engine.__call__, [0]

    def until_killed(engine: Engine, features: Any) -> np.ndarray:
        calls[0] += 1
        if calls[0] == 3:
            raise KeyboardInterrupt
        return compute(engine, features)

    monkeypatch.setattr(Engine, "__call__", until_killed)
    with pytest.raises(KeyboardInterrupt):
        run_script("predict", **flags)
    assert out.read_text() == "earlier"
    run_script("predict", **flags)
    assert calls == [4]  # Of three windows, the last was left.
    assert_same([row[1:] for row in read_csv(out.read_text())[1]], expected)
    assert {path.name for path in tmp_path.iterdir()} == {"new.csv", "out.csv"}

    calls[:] = [1]
    with pytest.raises(KeyboardInterrupt):
        run_script("predict", **flags)
    run_script("predict", **flags, max_seq_length=5)
    assert calls == [6]  # The window of the other length was of no use.


def test_bad_row_far_down_leaves_the_earlier_output(
    student: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "new.jsonl").write_text('{"text": "good"}\n\n{"body": "bad"}\n')
    out = tmp_path / "out.csv"
    out.write_text("earlier")
    with pytest.raises(UserError, match='new.jsonl, line 3: no column is called "text"; .* body'):
        run_script(
            "predict", init_checkpoint=student, input_file=tmp_path / "new.jsonl", output_file=out
        )
    assert out.read_text() == "earlier"


@pytest.mark.parametrize(
    ("name", "content", "changes", "message"),
    [
        (
            "a.csv",
            "id,body\n1,good\n",
            {},
            "a.csv: name the column of the text with --text_a; .* id",
        ),
        ("a.csv", "id,body\n1,good\n", {"text_a": "boddy"}, 'no column is called "boddy"; .* body'),
        ("a.csv", "text,text\na,b\n", {}, '2 columns are called "text"'),
        ("a.csv", "text\na,b\n", {}, "a.csv, line 2: found 2 columns, but the header names 1"),
        (
            "a.csv",
            "text,label,input_label\na,b,c\n",
            {},
            'columns called "label" and "input_label"',
        ),
        ("a.csv", "text\n", {}, "there is no row in a.csv"),
        ("a.csv", "text\na\n", {"output_file": "a.csv"}, '"a.csv" is an input file as well'),
        ("a.csv", "text\na\n", {"output_file": "out.xls"}, "out.xls: cannot tell the format"),
        (
            "a.csv",
            "text\na\n",
            {"input_file": "a.csv,b.csv"},
            "b.csv has the columns id, text",
        ),
        (
            "a.csv",
            'text\n"a\nb"\n',
            {"output_file": "o.tsv"},
            "the column .text. holds a tab",
        ),
        ("a.dat", "text\na\n", {}, "a.dat: cannot tell its format by its name"),
        (
            "a.jsonl",
            '{"text":"a"}\n{"text":"b","n":1}',
            {},
            'line 2: the key "n" is not in',
        ),
        (
            "a.csv",
            "text\na\n",
            {"labels": "x,y,z"},
            "made for the labels bad, so, so, good",
        ),
        ("a.csv", "text\na\n", {"init_checkpoint": "none"}, "none: no checkpoint found"),
        ("a.csv", "text\na\n", {"max_seq_length": 41}, "max_seq_length=41 is more than"),
    ],
)
def test_bad_input(
    student: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: str,
    changes: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    pathlib.Path(name).write_text(content)
    pathlib.Path("b.csv").write_text("id,text\n1,good\n")
    given = {"init_checkpoint": student, "input_file": name, "output_file": "out.csv", **changes}
    with pytest.raises(UserError, match=message):
        run_script("predict", **given)
    assert {path.name for path in tmp_path.iterdir()} == {name, "b.csv"}


@pytest.mark.slow
def test_reader_of_standard_output_that_ends_early(
    student: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    table = write_csv(
        tmp_path / "new.csv", {"id": ["1"] * 20_001, "text": ["very good film"] * 20_001}
    )
    command = f"{sys.executable} predict.py --init_checkpoint={student} --input_file=-"
    pipe = f"set -o pipefail; cat {table} | {command} | head -1"
    found = subprocess.run(["bash", "-c", pipe], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 1
    assert found.stdout.startswith("id,text,label,probability,p_bad,")
    last = found.stderr.splitlines()[-1]
    assert last.startswith("ERROR: the command that reads standard output has ended before all")
    assert "Traceback" not in found.stderr
