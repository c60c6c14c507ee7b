"""Flags without effect are refused or named; all flags of all scripts are walked in test_flags.py."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from scripts import load_script

from common.errors import UserError
from training.flag_checks import CONDITIONS, check_flags

TRAIN = {"do_train": True}
OWN = {"task_name": "TSV", "text_a": "a", "label": "b"}
SAME = {"task_name": "tsv", "text_a": "a", "label": "a"}
LONG = {"do_train": True, "num_train_steps": 20}


@pytest.mark.parametrize(
    ("script", "given", "message"),
    [
        (
            "run_classifier",
            {**TRAIN, "evaluate_steps": 5},
            "--evaluate_steps=5 .* without --do_eval",
        ),
        (
            "run_classifier",
            {"task_name": "sst-2", "labels": "a,b"},
            "--labels=a,b .*=tsv or --task_",
        ),
        (
            "run_classifier",
            {**TRAIN, "task_name": "sst-2", "best_metric": "macro_f1"},
            "--best_metric=macro_f1 has no effect without --do_eval",
        ),
        ("run_classifier", {"task_name": "tsv", "text_b": "b"}, "--text_b=b .* without --text_a"),
        ("run_classifier", SAME, "--text_a=a and --label=a name the same column; name another"),
        ("run_distill", SAME, "--text_a=a and --label=a name the same column"),
        ("predict", {"text_a": "a", "text_b": "a"}, "--text_a=a and --text_b=a name the same"),
        ("run_classifier", {"submission_dir": "x"}, "--submission_dir=x .* without --make_glue"),
        (
            "run_classifier",
            {"init_layers": "0,1"},
            "--init_layers=0,1 .* without --init_checkpoint",
        ),
        (
            "run_classifier",
            {"init_checkpoint": "x", "init_layers": "0", "init_strategy": "random"},
            "--init_strategy=random has no effect with --init_layers; pass one or the other",
        ),
        ("run_classifier", {"use_tpu": True, "tpu_name": "a", "master": "b"}, "with --tpu_name"),
        ("run_distill", {"patience_layers": "last"}, "--patience_layers=last .* --patience_weight"),
        (
            "run_distill",
            {"data_dir": "x", "data_source": "tfds"},
            "tfds and --data_dir=x have no eff",
        ),
        ("run_pretraining", {"cosine_weight": 2}, "--cosine_weight=2.0 .* without --teacher;"),
        ("run_pretraining", {**LONG, "num_warmup_steps": 21}, "only rises, to 95.2 % of"),
        ("create_soft_labels", {"label": "x"}, "--label=x has no effect without --task_name"),
        (
            "create_soft_labels",
            {"task_name": "rte", "regression": True},
            "--regression has no effect",
        ),
        ("create_transfer_set", {"drop_leaks": True}, "without --exclude_file or --exclude_task"),
        ("convert_checkpoint", {"pairs": True}, "--pairs .* without --output_format=saved_model"),
        ("benchmark_models", {"measure": False, "repetitions": 2}, "--repetitions=2 .* --measure"),
        ("compare_strategies", {"lm_batch_size": 8}, "--lm_batch_size=8 .* without --lm_file"),
    ],
)
def test_another_run_than_asked_for_is_refused(
    script: str, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        check_flags(load_script(script, **given), script)


@pytest.mark.parametrize(
    ("script", "given", "said"),
    [
        ("run_classifier", {**OWN, "regression": True, **TRAIN, "log_steps": 5}, None),
        # Given, but the default: nothing is lost.
        ("run_classifier", {"do_predict": True, "train_batch_size": 32, "evaluate_steps": 0}, None),
        (
            "run_classifier",
            {"do_predict": True, "train_batch_size": 16, "evaluate_steps": 9, "eval_batch_size": 4},
            "Without effect here: --train_batch_size (without --do_train), --evaluate_steps (without "
            "--do_train), --eval_batch_size (without --do_eval).",
        ),
        (
            "run_distill",
            {**TRAIN, "eval_file": "x", "tpu_name": "y"},
            "Without effect here: --eval_file (without --do_eval), --tpu_name (without --use_tpu).",
        ),
        (
            "run_pretraining",
            {"do_eval": True, "worker_timeout": 5.0},
            "Without effect here: --worker_timeout (without TF_CONFIG).",
        ),
        # As run_grid_search.py predicts the test set with the flags of its runs.
        (
            "run_classifier",
            {"task_name": "sst-2", "do_predict": True, "best_metric": "macro_f1"},
            None,
        ),
        ("create_soft_labels", {"labels": "a,b", "text_a": "x", "text_b": "y"}, None),
        ("run_pretraining", {**LONG, "num_warmup_steps": 19}, None),
        ("run_pretraining", {"do_eval": True}, None),
        (
            "run_pretraining",
            LONG,
            "WARNING: --num_warmup_steps=10000 (the default) but --num_train_steps=20: the learning "
            "rate only rises, to 0.2 % of --learning_rate at the end; pass fewer, such as "
            "--num_warmup_steps=2.",
        ),
    ],
)
def test_harmless_flags_are_named_in_one_line(
    script: str, given: dict[str, Any], said: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    check_flags(load_script(script, **given), script)
    assert caplog.messages == ([said] if said else [])


@pytest.mark.parametrize("script", CONDITIONS)
def test_conditions_name_flags_of_their_script(script: str) -> None:
    values = load_script(script)
    for condition in CONDITIONS[script]:
        of_flags = [need for need in condition.needs.split() if not need.startswith("$")]
        needs = [need.lstrip("!").partition("=") for need in of_flags]
        for name in [*condition.names.split(), *(name for name, _, _ in needs)]:
            assert name in values, condition
        for name, _, value in needs:
            flag = values[name]
            assert value in getattr(flag.parser, "enum_values", [value]), condition
