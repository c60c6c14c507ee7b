"""run_grid_search.py with real runs of run_classifier.py."""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import time
import types
from collections.abc import Callable

import pytest
from runs import metrics, predictions
from scripts import ROOT, run_script

from common.errors import UserError
from experiments.fork_server import ForkServer

CELLS = [f"batch16_lr{rate}_seed3" for rate in ("0.002", "1e-05")]


def markers(folder: pathlib.Path) -> dict[str, int]:
    """Finished runs and when they finished."""
    paths = (folder / "stages").glob("*.done.json")
    return {path.name.removesuffix(".done.json"): path.stat().st_mtime_ns for path in paths}


def test_grid_search(
    fork_server: ForkServer,
    task_dir: str,
    write_config: Callable[..., str],
    vocab_file: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Interrupted, continued, and asked for predictions of the test set afterwards."""
    data, out = tmp_path / "data", tmp_path / "grid"
    data.mkdir()
    # There is no test set yet: a search that wanted one would fail.
    for name in ("train.tsv", "dev.tsv"):
        shutil.copy(f"{task_dir}/{name}", data)
    config = write_config(num_hidden_layers=1, hidden_size=48, initializer_range=0.05)
    grid = {
        "output_dir": out,
        "train_batch_sizes": "16",
        "learning_rates": "2e-3,1e-5",
        "num_train_epochs": 4,
        "seeds": "3,4",
    }
    of_runs = [
        "--task_name=SST-2",
        f"--data_dir={data}",
        f"--bert_config_file={config}",
        f"--vocab_file={vocab_file}",
        "--max_seq_length=16",
        "--evaluate_steps=20",
    ]

    # Ended while its runs are at work, and started again.
    grid_flags = [f"--{name}={value}" for name, value in grid.items()]
    interrupted = subprocess.Popen(
        [sys.executable, str(ROOT / "run_grid_search.py"), *grid_flags, "--", *of_runs],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not markers(out) and interrupted.poll() is None:
        time.sleep(0.02)
    interrupted.send_signal(signal.SIGTERM)
    assert interrupted.wait() == 128 + signal.SIGTERM
    finished = markers(out)
    assert 0 < len(finished) < len(CELLS)
    assert not (out / "results.json").exists()

    # From here on, one process that has imported TensorFlow starts the runs of all searches.
    processes = contextlib.nullcontext(types.SimpleNamespace(start=fork_server.start))
    monkeypatch.setattr("experiments.grid_search.Processes", lambda num_jobs: processes)
    run_script("run_grid_search", *of_runs, **grid)
    saved = json.loads((out / "results.json").read_text())
    assert capsys.readouterr().out.endswith((out / "results.md").read_text())
    # The rate decides, by far: at the other one the model learns nothing.
    best = saved["cells"][0]
    assert saved["chosen"]["learning_rate"] == 0.002 and best["score"] > 0.8
    assert best["score"] == max(cell["score"] for cell in saved["cells"])
    repeated = pathlib.Path(best["folder"].replace("seed3", "seed4"))
    after = markers(out)
    assert set(after) == {*CELLS, repeated.name}
    assert {name: after[name] for name in finished} == finished
    runs = [pathlib.Path(best["folder"]), repeated]
    scores = [max(line["eval_accuracy"] for line in metrics(run, "eval")) for run in runs]
    assert [run["score"] for run in saved["chosen"]["runs"]] == scores
    assert saved["chosen"]["mean"]["score"] == pytest.approx(statistics.fmean(scores))
    deviation = saved["chosen"]["sample_standard_deviation"]["score"]
    assert deviation == pytest.approx(statistics.stdev(scores))

    # Predictions are asked for afterwards: by the best models of the chosen setting alone, both at
    # the same time.
    shutil.copy(f"{task_dir}/test.tsv", data)
    run_script("run_grid_search", *of_runs, "--do_predict", **grid, jobs=2)
    new = set(markers(out)) - set(after)
    assert new == {f"{run.name}_predictions" for run in runs}
    found = sorted(path.parent.name for path in out.rglob("test_results.tsv"))
    assert found == sorted(new)
    assert predictions(out / f"{runs[0].name}_predictions").shape == (37, 2)
    assert {name: markers(out)[name] for name in after} == after


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"output_dir": "gs://bucket/grid"},
            "--output_dir=gs://bucket/grid: .* use a local folder",
        ),
        ({"seeds": "1,1"}, "--seeds=1,1 has a value twice"),
        ({"train_batch_sizes": "8,large"}, "--train_batch_sizes=8,large: expected whole numbers"),
        ({"learning_rates": ""}, "--learning_rates=: expected numbers"),
    ],
)
def test_bad_flags(tmp_path: pathlib.Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run_script("run_grid_search", **{"output_dir": tmp_path, **changes})
    assert list(tmp_path.iterdir()) == []
