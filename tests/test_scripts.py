"""What a user sees of every script before it does anything."""

from __future__ import annotations

import ast
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from scripts import ROOT

from experiments.fork_server import ForkServer

SCRIPTS = sorted(path.stem for path in ROOT.glob("*.py"))
# Runs a script as the user does, then tells whether TensorFlow was imported on the way.
RUN = """
import atexit, runpy, sys
atexit.register(lambda: print("TENSORFLOW" if "tensorflow" in sys.modules else "LIGHT"))
sys.path.insert(0, "")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.argv = {[f'{script}.py', *arguments]!r}\n{RUN}"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_there_are_the_scripts_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert {
        "convert_checkpoint",
        "create_pretraining_data",
        "create_soft_labels",
        "run_classifier",
        "run_distill",
        "run_pretraining",
    } <= set(SCRIPTS)
    assert [name for name in SCRIPTS if f"{name}.py" not in readme] == []


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """Forks a process that has imported what all scripts do before they read their flags."""
    server = ForkServer(dict(os.environ), preloaded=["training.cli"])
    yield server
    server.close()


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_and_flag_errors_answer_without_tensorflow(
    server: ForkServer, script: str, tmp_path: pathlib.Path
) -> None:
    program, log = tmp_path / "run.py", tmp_path / "log"
    program.write_text(f"import sys\ndel sys.argv[0]\n{RUN}")

    def output(*arguments: str) -> tuple[int, str]:
        """Exit status, and both streams of output."""
        command = [sys.executable, str(program), f"{script}.py", *arguments]
        return server.start(command, str(log)).wait(), log.read_text()

    status, text = output("--help")
    assert status == 0 and "--output" in text and text.endswith("LIGHT\n")
    for arguments in (["--no_such_flag=1"], [], ["--output_dir"]):
        status, text = output(*arguments)
        assert status > 0
        assert text.endswith("LIGHT\n")
        assert "Traceback" not in text


def test_flags_are_read_in_main_alone() -> None:
    """So every other function can be called with options of one's own."""
    reading = []
    for path in ROOT.rglob("*.py"):
        name = path.relative_to(ROOT)
        if name.parts[0] == "tests" or name.parts[0].startswith("."):
            continue
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef) and function.name != "main":
                names = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
                reading += [f"{name}: {function.name}"] if "FLAGS" in names else []
    assert reading == []


def test_a_forgotten_dash_is_an_error(tmp_path: pathlib.Path) -> None:
    failed = run("run_pretraining", "--input_file=a", f"--output_dir={tmp_path}", "do_train")
    assert failed.returncode == 1
    assert failed.stderr == (
        'ERROR: unexpected argument "do_train"; every flag is written --name=value.\n'
    )


def test_errors_are_one_line_and_exit_status_1(tmp_path: pathlib.Path) -> None:
    failed = run(
        "create_pretraining_data",
        f"--input_file={tmp_path}/nothing*.txt",
        f"--output_file={tmp_path}/out.tfrecord",
        f"--vocab_file={tmp_path}/vocab.txt",
    )
    assert failed.returncode == 1
    assert failed.stderr.startswith("ERROR: --input_file: no file matches")
    assert failed.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_flags_without_effect_are_refused_before_anything_else(tmp_path: pathlib.Path) -> None:
    files = ("--input_file=missing", f"--output_dir={tmp_path}/out")
    failed = run("run_pretraining", *files, "--do_train", "--evaluate_steps=5")
    assert failed.returncode == 1
    assert failed.stdout == "LIGHT\n"
    assert failed.stderr == (
        "ERROR: --evaluate_steps=5 has no effect without --do_eval; pass that as well, or leave it "
        "out.\n"
    )


# Of TensorFlow, absl, google.api_core, oneDNN and XLA.
NOISE = ("absl", "Warning", "WARNING", "fingerprint", "oneDNN", "XLA", "I0000", "INFO:", "/tmp/tmp")


def test_a_run_is_quiet_and_says_what_it_is(
    tmp_path: pathlib.Path,
    task_dir: str,
    vocab_file: str,
    write_config: Callable[..., str],
) -> None:
    done = run(
        "run_classifier",
        "--task_name=SST-2",
        f"--data_dir={task_dir}",
        f"--output_dir={tmp_path / 'out'}",
        f"--bert_config_file={write_config(num_hidden_layers=1)}",
        f"--vocab_file={vocab_file}",
        "--do_train",
        "--max_seq_length=16",
        "--train_batch_size=20",
        "--num_train_epochs=0.5",
    )
    assert done.returncode == 0, done.stderr
    assert [word for word in NOISE if word in done.stderr] == []
    rows = pathlib.Path(task_dir, "train.tsv").read_text().splitlines()[1:]
    ones = sum(row.endswith("\t1") for row in rows)
    for line in (
        f"  Training data: {len(rows)} rows (0 {len(rows) - ones}, 1 {ones})",
        "  Precision: float32",
        "  Weights from: random weights",
        f"  Updates: {len(rows) // 40} (0.5 epochs)",
    ):
        assert line in done.stderr.splitlines()
    assert done.stderr.count("*** Example ***") == 1
    assert "  Device: " in done.stderr and " replica)" in done.stderr
