"""Small inputs that every script can be run on."""

from __future__ import annotations

import json
import os
import pathlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from scripts import run_script
from tiny_data import WORDS, review

from experiments.fork_server import ForkServer
from training.cli import relax_garbage_collection

# As scripts have it (`common.quiet.prepare_libraries`).
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Models of tests are small: a second thread waits more than it computes, and pytest -n has the cores.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# XLA's loops run for milliseconds here, and LLVM would take longer to make them fast.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")
relax_garbage_collection()


# `-m quick` runs the tests of rooms but for these, which take seconds: whole runs, models of other
# libraries, many data sets.
NOT_QUICK = {
    "test_batches.py",
    "test_conversion.py",
    "test_docstring_corpus.py",
    "test_fine_tuning.py",
    "test_fork_server.py",
    "test_grid_search.py",
    "test_model_garden.py",
    "test_model_garden_graph.py",
    "test_stages.py",
    "test_student_training.py",
    "test_training_run.py",
    "test_gradients_in_bfloat16_are_those_in_float32",
    "test_every_character_is_treated_as_in_the_original",
    "test_encoder_equals_model_garden",
    "test_packages_that_are_called_from_python_are_quiet",
    "test_intervals_are_those_of_drawing_rows",
    "test_reading_streams",
}
# These send SIGTERM to their own process. They come first: in a process that has run the tests of the
# TPU and of the engines of other libraries before, the signal is a segmentation fault.
SENDS_SIGNAL = {
    "test_handler_before_is_back",
    "test_signal_is_noted_and_nothing_ends",
    "test_sigterm_saves_and_the_run_goes_on",
}
QUICK_FOLDERS = {
    "checkpoints",
    "classification",
    "common",
    "data",
    "distillation",
    "experiments",
    "modeling",
    "pretraining",
}
TESTS = pathlib.Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        names = {item.path.name, _function_name(item)}
        is_slow = item.get_closest_marker("slow") or names & NOT_QUICK
        room = item.path.relative_to(TESTS).parts[0]
        if room in QUICK_FOLDERS and not is_slow:
            item.add_marker("quick")
    items.sort(key=lambda item: _function_name(item) not in SENDS_SIGNAL)


def _function_name(item: pytest.Item) -> str:
    """The name without the parameters of the case."""
    return getattr(item, "originalname", item.name)


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """Starts scripts in processes of their own that have TensorFlow imported already."""
    server = ForkServer({**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    yield server
    server.close()


@pytest.fixture(scope="session")
def vocab_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def write_config(tmp_path_factory: pytest.TempPathFactory, vocab_file: str) -> Callable[..., str]:
    """Writes a bert_config.json of odd sizes, with changes."""

    def write(**changes: object) -> str:
        config = {
            "attention_probs_dropout_prob": 0.1,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1,
            "hidden_size": 24,
            "initializer_range": 0.02,
            "intermediate_size": 37,
            "max_position_embeddings": 40,
            "num_attention_heads": 3,
            "num_hidden_layers": 2,
            "type_vocab_size": 2,
            "vocab_size": len(pathlib.Path(vocab_file).read_text().split()),
            **changes,
        }
        path = tmp_path_factory.mktemp("config") / "bert_config.json"
        path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
        return str(path)

    return write


@pytest.fixture(scope="session")
def task_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A task in the layout of SST-2 that a small model learns at once."""
    folder = tmp_path_factory.mktemp("SST-2")
    rng = random.Random(0)
    for name, rows in (("train", 200), ("dev", 61)):
        labels = [rng.randint(0, 1) for _ in range(rows)]
        lines = [f"{review(rng, label)}\t{label}" for label in labels]
        (folder / f"{name}.tsv").write_text("sentence\tlabel\n" + "\n".join(lines) + "\n")
    lines = [f"{i}\t{review(rng, rng.randint(0, 1))}" for i in range(37)]
    (folder / "test.tsv").write_text("index\tsentence\n" + "\n".join(lines) + "\n")
    return str(folder)


@pytest.fixture(scope="session")
def transfer_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("transfer") / "reviews.txt"
    rng = random.Random(1)
    path.write_text("".join(review(rng, rng.randint(0, 1)) + "\n" for _ in range(150)))
    return str(path)


@pytest.fixture(scope="session")
def corpus_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    rng = random.Random(2)
    documents = ["\n".join(review(rng, i % 2) for _ in range(rng.randint(3, 8))) for i in range(60)]
    path.write_text("\n\n".join(documents) + "\n")
    return str(path)


@pytest.fixture(scope="session")
def records_file(
    tmp_path_factory: pytest.TempPathFactory, corpus_file: str, vocab_file: str
) -> str:
    """Pre-training records of length 24 with 4 predictions."""
    path = str(tmp_path_factory.mktemp("records") / "text.tfrecord")
    run_script(
        "create_pretraining_data",
        input_file=corpus_file,
        output_file=path,
        vocab_file=vocab_file,
        max_seq_length=24,
        max_predictions_per_seq=4,
        dupe_factor=2,
        num_processes=1,
    )
    return path


@pytest.fixture(scope="session")
def pretraining_flags(
    write_config: Callable[..., str], records_file: str, vocab_file: str
) -> dict[str, Any]:
    """Of a run that pre-trains a small model and evaluates it."""
    return {
        "bert_config_file": write_config(num_hidden_layers=1),
        "vocab_file": vocab_file,
        "input_file": records_file,
        "max_seq_length": 24,
        "max_predictions_per_seq": 4,
        "train_batch_size": 8,
        "do_train": True,
        "do_eval": True,
    }


@pytest.fixture(scope="session")
def fine_tuning_flags(
    task_dir: str, write_config: Callable[..., str], vocab_file: str
) -> dict[str, Any]:
    """Of a run from random weights, of a size that learns the task from any seed."""
    return {
        "task_name": "SST-2",
        "data_dir": task_dir,
        "bert_config_file": write_config(
            num_hidden_layers=1, hidden_size=48, initializer_range=0.05
        ),
        "vocab_file": vocab_file,
        "max_seq_length": 16,
        "train_batch_size": 16,
        "learning_rate": 2e-3,
        "log_steps": 10,
    }


@pytest.fixture(scope="session")
def fine_tuned(
    fine_tuning_flags: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """The folder of such a run, with all three modes."""
    folder = tmp_path_factory.mktemp("fine_tuned")
    run_script(
        "run_classifier",
        **fine_tuning_flags,
        output_dir=folder,
        do_train=True,
        do_eval=True,
        do_predict=True,
        num_train_epochs=5,
        evaluate_steps=20,
    )
    return folder
