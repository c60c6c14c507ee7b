"""All flags of all scripts: each has an effect or is said to have none."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import pathlib
import re
import shlex
import sys
from collections.abc import Callable
from typing import Any

import pytest
from absl import flags
from scripts import ROOT, SCRIPTS, load_script, module_of, run_script, script_flags

import training.options
from training.flag_checks import check_flags, without_effect
from training.options import TASK_FLAGS


def _options(module: str, name: str) -> Callable[[], Any]:
    return lambda: getattr(importlib.import_module(module), name)


# Script -> the class that its flags become; imported late, since it imports TensorFlow.
OPTIONS = {
    "run_classifier": _options("classification.fine_tuning", "FineTuningOptions"),
    "run_distill": _options("distillation.student_training", "DistillationOptions"),
    "run_pretraining": _options("pretraining.training_run", "PretrainingOptions"),
    "create_soft_labels": _options("distillation.labelling", "LabellingOptions"),
    "create_pretraining_data": _options("pretraining.data_creation", "DataCreationOptions"),
    "create_transfer_set": _options("distillation.transfer_creation", "TransferOptions"),
    "measure_similarity": _options("distillation.similarity_report", "SimilarityOptions"),
    "plot_runs": _options("training.curves", "CurveOptions"),
    "predict": _options("serving.prediction", "PredictionOptions"),
    "extract_features": _options("serving.features", "FeatureOptions"),
    "convert_checkpoint": _options("serving.conversion", "ConversionOptions"),
    "export_model": _options("serving.export", "ExportOptions"),
    "compare_strategies": _options("experiments.comparison", "ComparisonOptions"),
    "reproduce_paper": _options("experiments.paper.reproduction", "ReproductionOptions"),
}
# Classes that a part of the flags of their script become.
PARTS = [
    _options("benchmarks.adviser", "AdviserOptions"),
    _options("benchmarks.model_table", "TableOptions"),
]
LENGTH = 16


def test_all_scripts_are_walked() -> None:
    comparisons = {path.stem for path in (ROOT / "experiments").glob("compare_*.py")}
    assert {path.stem for path in ROOT.glob("*.py")} | comparisons == set(SCRIPTS)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The flags that are read from here on, not counting those that are only put on record.

    Those are `values` of options, of other flags than a task's, which `get_task`
    hears; and `from_flags`, which hands all of them on.
    """
    names: set[str] = set()
    by_attribute, by_name = flags.FlagValues.__getattr__, flags.FlagValues.__getitem__
    of_options = training.options.Options.__getattribute__
    kinds = [*OPTIONS.values(), *PARTS]
    option_names = {field.name for kind in kinds for field in dataclasses.fields(kind())}

    def getattr_(values: flags.FlagValues, name: str) -> Any:
        names.add(name)
        return by_attribute(values, name)

    def getitem(values: flags.FlagValues, name: str) -> flags.Flag:
        names.add(name)
        return by_name(values, name)

    def getattribute(options: training.options.Options, name: str) -> Any:
        if name in option_names:
            names.add(name)
        return of_options(options, name)

    def unnoticed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(first: Any, wanted: Any) -> Any:
            before = set(names)
            found = function(first, wanted)
            if wanted is not TASK_FLAGS:
                names.intersection_update(before)
            return found

        return call

    monkeypatch.setattr(flags.FlagValues, "__getattr__", getattr_)
    monkeypatch.setattr(flags.FlagValues, "__getitem__", getitem)
    monkeypatch.setattr(training.options.Options, "__getattribute__", getattribute)
    for module, name in (
        (training.options.Options, "values"),
        (training.options, "from_flags"),
    ):
        monkeypatch.setattr(module, name, unnoticed(getattr(module, name)))
    return names


class Done(Exception):
    """Ends a script where others would begin their work."""


def done(*_: Any, **__: Any) -> None:
    raise Done


@pytest.fixture(scope="module")
def files(
    tmp_path_factory: pytest.TempPathFactory,
    task_dir: str,
    vocab_file: str,
    write_config: Callable[..., str],
    transfer_file: str,
    corpus_file: str,
    records_file: str,
    pretraining_flags: dict[str, Any],
) -> dict[str, Any]:
    """Names in braces in `MODES` -> files; with models and soft labels."""
    folder = tmp_path_factory.mktemp("files")
    config = write_config(num_hidden_layers=1)
    found = {
        "task": task_dir,
        "vocab": vocab_file,
        "config": config,
        "texts": transfer_file,
        "corpus": corpus_file,
        "records": records_file,
        "lm": folder / "lm",
        "teacher": folder / "teacher",
        "labels": folder / "labels",
        "scores": folder / "scores.csv",
    }
    found["scores"].write_text("text,p_a,p_b\ngood film,0.5,0.5\n")
    short = {"num_train_steps": 2, "num_warmup_steps": 1, "do_eval": False}
    run_script("run_pretraining", **{**pretraining_flags, **short}, output_dir=found["lm"])
    run_script("run_classifier", **arguments(FINE_TUNING, found), output_dir=found["teacher"])
    run_script("create_soft_labels", **arguments(SOFT_LABELS, found), output_dir=found["labels"])
    return found


def arguments(text: str, files: dict[str, Any]) -> dict[str, str]:
    """`--name=value ...` as keyword arguments."""
    pairs = (word.removeprefix("--").partition("=") for word in shlex.split(text.format(**files)))
    return {name: value if equals else "True" for name, equals, value in pairs}


_SST2 = "--task_name=SST-2 --data_dir={task}"
_OWN = "--task_name=tsv --text_a=sentence --label=label --data_dir={task}"
_NEW = f"--bert_config_file={{config}} --vocab_file={{vocab}} --max_seq_length={LENGTH}"
_SHORT = "--do_train --num_train_epochs=0.5"
_DISTIL = f"--input_file={{labels}}/*.tfrecord {_NEW}"
_LM = "--input_file={records} --max_seq_length=24 --max_predictions_per_seq=4"
_HERE = "--vocab_file={vocab} --num_processes=1"
_LM_NEW = f"{_LM} --bert_config_file={{config}} --do_train --num_train_steps=2 --num_warmup_steps=1"
_STRATEGIES = "--data_dir={task} --vocab_file=v --transfer_file=t --output_dir=o"
FINE_TUNING = f"{_SST2} {_NEW} {_SHORT}"
SOFT_LABELS = f"--init_checkpoint={{teacher}} --input_file={{texts}} --max_seq_length={LENGTH}"

# Every mode in which a script reads other flags. `--output_dir` is added where it is missing.
MODES = {
    "create_pretraining_data": [
        f"--input_file={{corpus}} {_HERE} --max_seq_length=24 --max_predictions_per_seq=4",
        f"--input_file={{texts}} {_HERE} --input_format=transfer_set",
    ],
    "run_pretraining": [
        f"{_LM_NEW}",
        f"{_LM_NEW} --do_eval",
        f"{_LM_NEW} --teacher={{lm}}",
        f"{_LM} --do_eval --init_checkpoint={{lm}}",
    ],
    "run_classifier": [
        FINE_TUNING,
        f"{_OWN} {_NEW} {_SHORT} --do_eval",
        f"{_SST2} --do_eval --init_checkpoint={{teacher}} --max_seq_length={LENGTH}",
        f"{_SST2} --do_predict --init_checkpoint={{teacher}} --max_seq_length={LENGTH}",
    ],
    "create_transfer_set": [
        "--input_file={texts}",
        "--input_task=sst-2:{task} --exclude_task=sst-2:{task} --drop_leaks",
    ],
    "create_soft_labels": [
        SOFT_LABELS,
        f"{SOFT_LABELS} {_SST2}",
        f"{SOFT_LABELS} {_OWN}",
        "--init_checkpoint={teacher},{teacher} --input_file={texts} --teacher_weights=1,2",
        "--from_file={scores} --vocab_file={vocab}",
    ],
    "run_distill": [
        f"{_DISTIL} {_SHORT}",
        f"{_DISTIL} {_SHORT} --patience_weight=0 --do_eval {_SST2}",
        f"{_DISTIL} --init_checkpoint={{teacher}} --do_eval --eval_file={{labels}}/*.tfrecord",
        f"{_DISTIL} --init_checkpoint={{teacher}} --do_predict {_OWN}",
    ],
    "predict": ["--init_checkpoint={teacher} --input_file={texts} --output_file=-"],
    "extract_features": ["--init_checkpoint={teacher} --input_file={texts}"],
    "convert_checkpoint": [
        "--input_path={teacher}",
        "--input_path={teacher} --output_format=hf --verify=False",
        "--input_path={teacher} --output_format=model_garden --verify=False",
        "--input_path={teacher} --output_format=saved_model --max_seq_length=40 --verify=False",
        "--input_path={teacher} --output_format=saved_model --include_tokenizer=False --verify=False",
    ],
    "export_model": [
        "--input_path={teacher} --formats=onnx --measure=False",
        "--input_path={teacher} --formats=onnx --measure=False --eval_file={texts}",
        f"--input_path={{teacher}} --formats=onnx --measure=False {_SST2}",
        f"--input_path={{teacher}} --formats=onnx --measure=False {_OWN}",
    ],
    "measure_similarity": [
        "--corpus_a={texts} --corpus_b={corpus} --num_words=5",
        "--corpus_a={texts} --corpus_b={corpus} --num_words=5 --bootstrap_samples=0",
    ],
    "run_grid_search": ["--script=run_distill.py"],
    "plot_runs": ["--runs={lm},{teacher} --output_file={lm}.png"],
    "benchmark_models": [
        "--models=tiny",
        "--models=tiny --measure=False",
        "--models=1/64 --formats=onnx",
    ],
    "estimate_tpu": ["--models=tiny", "--models=tiny --training_batch_size=0"],
    "reproduce_paper": ["--artifact=table4", "--artifact=figure5 --dry_run"],
    "compare_strategies": [
        f"{_STRATEGIES} --task_name=SST-2 --lm_file=a --teacher_config=mini",
        f"{_STRATEGIES} --task_name=tsv --text_a=sentence --label=label --student_checkpoint=a "
        "--teacher_checkpoint=b",
        f"{_STRATEGIES} --task_name=SST-2 --transfer_sizes=1 --student_checkpoint=a "
        "--teacher_checkpoint=b",
    ],
}
# Where scripts are ended that would only start others, or that measure.
ENDS = {
    "run_grid_search": ["experiments.grid_search.search"],
    "benchmark_models": ["benchmarks.model_table.write_json"],
    "estimate_tpu": ["benchmarks.tpu_table.estimate"],
    "compare_strategies": ["experiments.comparison.collect_rows"],
}


# A measurement of a program.
PROBED = {"peak_mb": 1, "times": [{"batch_size": 1, "median_ms": 1, "p95_ms": 1}]}


@pytest.mark.parametrize(
    ("script", "mode"), [(script, mode) for script in SCRIPTS for mode in MODES[script]]
)
def test_a_flag_is_read_or_said_to_have_no_effect(
    script: str,
    mode: str,
    files: dict[str, Any],
    reads: set[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    path = module_of(script).replace(".", "/")
    given = arguments(mode, files)
    defined = set(load_script(path)) & script_flags()
    output = "output_dir" if "output_dir" in defined else "output_file"
    given.setdefault(output, str(tmp_path / "out.txt"))
    for end in ENDS.get(script, []):
        monkeypatch.setattr(end, done)
    for room in ("comparison", "paper.reproduction"):
        monkeypatch.setattr(f"experiments.{room}.run_stages", lambda *_, **__: {})
    # All flags are read when the updates begin.
    monkeypatch.setattr("training.run.train", lambda *_: None)
    monkeypatch.setattr("experiments.comparison.check_models", lambda *_: None)
    monkeypatch.setattr("benchmarks.model_table.REFERENCE", "2/256")
    monkeypatch.setattr("benchmarks.model_table.interleaved_medians", lambda *_, **__: (1.0, 1.0))
    monkeypatch.setattr("benchmarks.adviser.probe", lambda *_: PROBED)
    monkeypatch.setattr("benchmarks.tpu_compiler.check_installed", lambda: None)
    values = load_script(path, **given)
    check_flags(values, script)
    said = {name for _, name in without_effect(values, script)}
    reads.clear()
    with contextlib.suppress(Done):
        sys.modules[path].main([path])
    was_read = set(reads)
    assert defined - was_read - said == set(), "neither read nor in training.flag_checks.CONDITIONS"
    if "--do_predict" in mode:  # This test can fail.
        assert "learning_rate" in said - was_read


def test_a_task_has_one_maker() -> None:
    """Whoever has a task from flags gives all of them to `get_task`."""
    calls = {
        str(path.relative_to(ROOT)): re.findall(
            r"(?<!def )\bget_task\(((?:[^()]|\([^()]*\))*)\)", path.read_text()
        )
        for path in ROOT.rglob("*.py")
        if not {"tests", ".venv"} & set(path.parts) and path.name != "tasks.py"
    }
    calls = {name: found for name, found in calls.items() if found}
    # Not from the task flags.
    assert calls.pop("distillation/transfer_creation.py") == ["name, folder"]
    assert len(calls) == 6
    for name, found in calls.items():
        assert all(call.strip().endswith(".values(TASK_FLAGS)") for call in found), name


@pytest.mark.parametrize("script", sorted(OPTIONS))
def test_options_are_the_flags_of_their_script(script: str) -> None:
    """An attribute for each flag, with its default, but for those that must be given."""
    values = load_script(module_of(script).replace(".", "/"))
    fields = {field.name: field.default for field in dataclasses.fields(OPTIONS[script]())}
    assert set(fields) == script_flags()
    for name, default in fields.items():
        default = list(default) if isinstance(default, tuple) else default
        assert values[name].default in (default, default or None), name
