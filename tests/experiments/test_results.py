"""The table of a comparison, from the files that runs leave."""

from __future__ import annotations

import lzma
import pathlib

import pytest

from classification.task import Task
from classification.tasks import get_task
from common.errors import UserError
from experiments.results import collect_rows, read_test_labels
from experiments.scores import Row
from modeling.config import BertConfig

STAGES = {
    "Teacher": ["teacher"],
    "Basic": ["basic_1", "basic_2", "basic_3"],
    "PD": ["pd_1", "pd_2", "pd_3"],
}
DEV = {
    "teacher": 0.95,
    "basic_1": 0.5,
    "basic_2": 0.6,
    "basic_3": 0.7,
    "pd_1": 0.9,
    "pd_2": 0.9,
    "pd_3": 0.9,
}
# Right answers among the five test examples.
TEST = {
    "teacher": 5,
    "basic_1": 2,
    "basic_2": 3,
    "basic_3": 1,
    "pd_1": 4,
    "pd_2": 4,
    "pd_3": 4,
}
TRUTH = ["no", "yes", "yes", "no", "yes"]
SECONDS = {
    "lm_data": 12.34,
    "soft_labels": 20.0,
    "teacher": 100.0,
    "basic_1": 10.0,
    "basic_2": 20.0,
    "basic_3": 33.0,
    "pd_1": 41.0,
    "pd_2": 41.0,
    "pd_3": 41.0,
}


def config(hidden_size: int) -> BertConfig:
    return BertConfig(
        vocab_size=30,
        hidden_size=hidden_size,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )


@pytest.fixture
def data_dir(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.tsv").write_text("sentence\ttopic\na\tyes\nb\tno\n")
    rows = [f"text {i}\t{label}\n" for i, label in enumerate(TRUTH)]
    (folder / "test.tsv").write_text("sentence\ttopic\n" + "".join(rows))
    return folder


@pytest.fixture
def task(data_dir: pathlib.Path) -> Task:
    return get_task("tsv", str(data_dir), "sentence", None, "topic")


@pytest.fixture
def output_dir(tmp_path: pathlib.Path) -> pathlib.Path:
    """What the runs of the comparison have left."""
    output = tmp_path / "out"
    for name, accuracy in DEV.items():
        folder = output / name
        folder.mkdir(parents=True)
        hidden_size = 8 if name == "teacher" else 4
        (folder / "bert_config.json").write_text(config(hidden_size).to_json())
        results = {"eval_accuracy": accuracy, "eval_loss": 0.3, "global_step": 7, "loss": 0.3}
        (folder / "eval_results.txt").write_text(
            "".join(f"{key} = {value}\n" for key, value in results.items())
        )
        # Columns in the order of the labels: no, yes.
        certain = {"no": "0.9\t0.1", "yes": "0.2\t0.8"}
        wrong = {"no": "yes", "yes": "no"}
        said = [t if i < TEST[name] else wrong[t] for i, t in enumerate(TRUTH)]
        (folder / "test_results.tsv").write_text("".join(f"{certain[s]}\n" for s in said))
    return output


@pytest.fixture
def results(output_dir: pathlib.Path, task: Task, data_dir: pathlib.Path) -> dict[str, Row]:
    return rows(output_dir, task, data_dir, "topic")


def rows(
    output_dir: pathlib.Path, task: Task, data_dir: pathlib.Path, label: str | None
) -> dict[str, Row]:
    models = {row: [str(output_dir / name) for name in names] for row, names in STAGES.items()}
    return collect_rows(models, task, read_test_labels(task, str(data_dir), label))


def test_scores_of_every_row(results: dict[str, Row]) -> None:
    assert list(results) == ["Teacher", "Basic", "PD"]
    assert results["Basic"].dev.values == pytest.approx((50.0, 60.0, 70.0))
    assert results["Basic"].dev.mean == pytest.approx(60.0)
    assert results["Basic"].dev.deviation == pytest.approx(10.0)
    assert results["Basic"].test.values == pytest.approx((40.0, 60.0, 20.0))
    assert results["Basic"].test.deviation == pytest.approx(20.0)
    assert results["PD"].test.values == pytest.approx((80.0, 80.0, 80.0))
    assert results["PD"].test.deviation == pytest.approx(0.0)
    assert results["Teacher"].dev.values == pytest.approx((95.0,))
    assert results["Teacher"].test.mean == pytest.approx(100.0)
    assert results["Teacher"].parameters == config(8).num_parameters()
    assert results["Basic"].parameters == config(4).num_parameters()


def test_compressed_test_table(
    output_dir: pathlib.Path, task: Task, data_dir: pathlib.Path, results: dict[str, Row]
) -> None:
    table = data_dir / "test.tsv"
    (data_dir / "test.tsv.xz").write_bytes(lzma.compress(table.read_bytes()))
    table.unlink()
    again = rows(output_dir, task, data_dir, "topic")
    assert again == results


def test_no_test_labels(output_dir: pathlib.Path, task: Task, data_dir: pathlib.Path) -> None:
    """Neither where the column is missing nor for a GLUE task, whose test labels are secret."""
    (data_dir / "test.tsv").write_text("sentence\n" + "text\n" * 5)
    without_column = rows(output_dir, task, data_dir, "topic")
    glue_task = get_task("SST-2", str(data_dir))
    of_glue = rows(output_dir, glue_task, data_dir, None)
    for found in (without_column, of_glue):
        assert [values.test for values in found.values()] == [None, None, None]
        assert found["Basic"].dev.values == pytest.approx((50.0, 60.0, 70.0))


def test_mean_of_the_metrics_of_a_task(output_dir: pathlib.Path, data_dir: pathlib.Path) -> None:
    path = output_dir / "teacher" / "eval_results.txt"
    path.write_text("eval_accuracy = 0.8\neval_f1 = 0.9\neval_loss = 0.3\n")
    mrpc = get_task("MRPC", str(data_dir))
    found = collect_rows({"Teacher": [str(output_dir / "teacher")]}, mrpc)
    assert found["Teacher"].dev.values == pytest.approx((85.0,))


def test_predictions_of_another_test_set(
    output_dir: pathlib.Path, task: Task, data_dir: pathlib.Path
) -> None:
    path = output_dir / "basic_2" / "test_results.tsv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError, match=r"basic_2/test_results\.tsv has 4 predictions for 5 test"):
        rows(output_dir, task, data_dir, "topic")


def test_unknown_test_label_is_found_before_any_run(task: Task, data_dir: pathlib.Path) -> None:
    with open(data_dir / "test.tsv", "a") as file:
        file.write("text\tmaybe\n")
    with pytest.raises(UserError, match=r'test\.tsv, line 7: unknown label "maybe".*no, yes'):
        read_test_labels(task, str(data_dir), "topic")
