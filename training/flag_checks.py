"""Table of the conditions under which flags have an effect, and the check of a command line.

A flag that was given another value than its default, but has no effect in this run, is refused if
the run would then not be the one that was asked for. Otherwise a line in the log names it: the
flags of training may be passed to a prediction as well, as with the original scripts.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Iterator, Mapping, Sequence

from absl import flags

from common.errors import UserError


@dataclasses.dataclass(frozen=True)
class Condition:
    """Condition under which some flags have an effect.

    Attributes:
      names: Names of the flags, between spaces.
      needs: Alternatives, between spaces, one of which must hold: `name` (given, not empty, not
        0), `name=value` (upper and lower case are equal), `!name` (not given, empty or 0), or
        `$NAME` (an environment variable that is set).
      refused: Whether the flags are refused without it; else they are named as without effect.
      because: Reason, where it is not plain.
    """

    names: str
    needs: str
    refused: bool = False
    because: str = ""

    def holds(self, values: flags.FlagValues) -> bool:
        return any(_is_so(values, need) for need in self.needs.split())

    def reason(self) -> str:
        """Reason in words, such as "without --do_train" or "with --beam_runner"."""
        needs = self.needs.split()
        wanted = [_as_written(need) for need in needs if not need.startswith("!")]
        if wanted:
            return f"without {' or '.join(wanted)}"
        return f"with {' and '.join(f'--{need[1:]}' for need in needs)}"

    def way_out(self, is_one: bool) -> str:
        it = "it" if is_one else "them"
        if all(need.startswith("!") for need in self.needs.split()):
            return f"pass one or the other{self.because}"
        return f"pass that as well, or leave {it} out{self.because}"


def _as_written(need: str) -> str:
    return need[1:] if need.startswith("$") else f"--{need}"


def _is_so(values: flags.FlagValues, need: str) -> bool:
    if need.startswith("$"):
        return bool(os.environ.get(need[1:]))
    if need.startswith("!"):
        return not values[need[1:]].value
    name, _, value = need.partition("=")
    return str(values[name].value).lower() == value if value else bool(values[name].value)


# A task on tables of one's own.
_OWN = "task_name=csv task_name=tsv task_name=jsonl task_name=parquet"
_OWN_FLAGS = "text_a text_b label labels regression train_file dev_file test_file dev_share"

_DEVICES = (
    Condition("tpu_name tpu_zone gcp_project master num_tpu_cores", "use_tpu"),
    Condition("master", "!tpu_name", refused=True),
    Condition("worker_timeout", "$TF_CONFIG"),
)
_TRAINING = (
    Condition(
        "train_batch_size learning_rate adam_bias_correction dropout_prob "
        "gradient_accumulation_steps random_seed log_steps "
        "save_checkpoints_steps keep_checkpoint_max evaluate_steps init_strategy init_layers "
        "iterations_per_loop start_over",
        "do_train",
    ),
    Condition("iterations_per_loop", "use_tpu"),
    Condition("evaluate_steps", "do_eval !do_train", refused=True),
    Condition("init_strategy init_layers", "init_checkpoint", refused=True),
    Condition("init_strategy", "!init_layers", refused=True),
    Condition("eval_batch_size", "do_eval"),
    *_DEVICES,
)
_FINE_TUNING = (
    Condition("num_train_epochs warmup_proportion early_stopping_patience init_head", "do_train"),
    Condition("init_head", "init_checkpoint", refused=True),
    Condition("early_stopping_patience", "do_eval !do_train", refused=True),
    Condition("early_stopping_patience", "evaluate_steps !do_train", refused=True),
    Condition("best_metric", "do_eval !do_train", refused=True),
    Condition("best_metric", "task_name", refused=True),
    Condition("predict_batch_size", "do_predict"),
    Condition(_OWN_FLAGS, _OWN, refused=True),
    Condition("text_b", "text_a", refused=True),
    Condition("dev_seed", "dev_share", refused=True),
    *_TRAINING,
)
_BEAM = (Condition("beam_options", "beam_runner", refused=True),)
_COMPARISON = (
    Condition(_OWN_FLAGS, _OWN, refused=True),
    Condition("text_b", "text_a", refused=True),
    Condition("dev_seed", "dev_share", refused=True),
)

# Script -> what its flags need; flags that stand nowhere here have an effect in every run.
CONDITIONS: Mapping[str, tuple[Condition, ...]] = {
    "create_pretraining_data": (
        Condition(
            "num_processes",
            "!beam_runner",
            refused=True,
            because="; --beam_options says how many workers there are",
        ),
        Condition(
            "do_sentence_split",
            "input_format=text",
            refused=True,
            because="; single texts of a transfer set are always split, pairs never",
        ),
        *_BEAM,
    ),
    "run_pretraining": (
        Condition(
            "num_train_steps num_warmup_steps init_local_attention teacher teacher_temperature "
            "soft_masked_lm_weight masked_lm_weight cosine_weight",
            "do_train",
        ),
        Condition("init_local_attention", "!init_checkpoint", refused=True),
        Condition(
            "teacher_temperature soft_masked_lm_weight masked_lm_weight cosine_weight",
            "teacher",
            refused=True,
        ),
        Condition("eval_file max_eval_steps", "do_eval"),
        *_TRAINING,
    ),
    "run_classifier": (
        Condition("class_weights", "do_train"),
        Condition("make_glue_submission", "do_predict", refused=True),
        Condition("make_glue_submission", "submission_dir", refused=True),
        Condition("submission_dir", "make_glue_submission", refused=True),
        *_FINE_TUNING,
    ),
    "create_transfer_set": (
        Condition("text_a text_b", "input_file exclude_file", refused=True),
        Condition("text_b", "text_a", refused=True),
        Condition("exclude_text_a exclude_text_b", "exclude_file", refused=True),
        Condition("exclude_text_b", "exclude_text_a", refused=True),
        Condition("split", "input_file", refused=True),
        Condition("allow_leaks", "!drop_leaks", refused=True),
        Condition("drop_leaks", "exclude_file exclude_task", refused=True),
        Condition("allow_leaks", "exclude_file exclude_task"),
        *_BEAM,
    ),
    "create_soft_labels": (
        Condition("init_checkpoint input_file task_name", "!from_file", refused=True),
        Condition("hidden_state_layers ensemble teacher_weights", "!from_file", refused=True),
        Condition("ensemble teacher_weights", "init_checkpoint", refused=True),
        Condition("bert_config_file predict_batch_size precision engine use_tpu", "!from_file"),
        Condition("data_source data_dir", "task_name", refused=True),
        Condition("text_a text_b labels regression", f"{_OWN} !task_name", refused=True),
        Condition("label train_file dev_file test_file dev_share", _OWN, refused=True),
        Condition("dev_seed", "dev_share", refused=True),
        Condition("text_b", "text_a", refused=True),
        *_DEVICES,
    ),
    "run_distill": (
        Condition("data_source data_dir", "task_name", refused=True),
        Condition("temperature hard_label_weight patience_weight patience_layers", "do_train"),
        Condition("patience_layers", "patience_weight", refused=True),
        Condition("eval_file", "do_eval"),
        *_FINE_TUNING,
    ),
    "predict": (Condition("text_b", "text_a", refused=True), *_DEVICES),
    "extract_features": _DEVICES,
    "convert_checkpoint": (
        Condition(
            "include_optimizer",
            "output_format=tf1",
            refused=True,
            because="; no other form holds optimizer state",
        ),
        Condition(
            "include_tokenizer pairs max_seq_length", "output_format=saved_model", refused=True
        ),
        Condition("pairs max_seq_length", "include_tokenizer"),
    ),
    "export_model": (
        Condition("data_source data_dir", "task_name", refused=True),
        Condition("text_a text_b label labels regression", f"{_OWN} eval_file", refused=True),
        Condition("label labels regression", _OWN, refused=True),
        Condition("text_b", "text_a", refused=True),
        Condition("max_accuracy_drop", "task_name", refused=True),
        Condition("max_disagreement keep_vocabulary_of", "task_name eval_file", refused=True),
        Condition("eval_file", "!task_name", refused=True),
    ),
    "measure_similarity": (
        Condition("text_b", "text_a", refused=True),
        Condition("random_seed", "bootstrap_samples"),
    ),
    "run_grid_search": (),
    "plot_runs": (),
    "benchmark_models": (
        Condition("batch_size seq_length repetitions precision use_tpu", "measure", refused=True),
        Condition("batch_size repetitions measure precision use_tpu", "!formats", refused=True),
        Condition("quantization batch_sizes threads max_ms max_mb", "formats", refused=True),
        *_DEVICES,
    ),
    "estimate_tpu": (
        Condition("training_seq_length max_predictions_per_seq", "training_batch_size"),
    ),
    "reproduce_paper": (
        Condition("start_over jobs shard_index num_shards", "!dry_run"),
        Condition("start_over jobs shard_index num_shards", "!report_only"),
        Condition("report_only", "!dry_run", refused=True),
    ),
    "compare_strategies": (
        Condition("lm_file", "teacher_config !student_checkpoint", refused=True),
        Condition(
            "lm_sentence_split lm_dupe_factor lm_max_seq_length lm_batch_size",
            "lm_file",
            refused=True,
        ),
        Condition("lm_student_steps lm_learning_rate", "!student_checkpoint", refused=True),
        Condition("lm_teacher_steps lm_teacher_learning_rate", "teacher_config", refused=True),
        Condition("teacher_vocab_file", "teacher_checkpoint", refused=True),
        Condition("distill_examples", "transfer_sizes", refused=True),
        Condition(
            "transfer_labelled_set distill_epochs final_learning_rate final_epochs",
            "!transfer_sizes",
            refused=True,
        ),
        *_COMPARISON,
    ),
}


def without_effect(values: flags.FlagValues, script: str) -> Iterator[tuple[Condition, str]]:
    """The flags of a script, given or not, that say nothing in a run with these values.

    Args:
      values: Values of all flags.
      script: Its name, a key of `CONDITIONS`; others have no conditions.

    Yields:
      (What the flag needs, its name).
    """
    for condition in CONDITIONS.get(script, ()):
        if not condition.holds(values):
            for name in condition.names.split():
                yield condition, name


def check_flags(values: flags.FlagValues, script: str) -> None:
    """Says before a run which of the given flags have no effect in it.

    Args:
      values: Values of all flags, as the command line has set them.
      script: Name of the script.

    Raises:
      UserError: The run would not be the one that was asked for.
    """
    _check_columns(values)
    silent: dict[str, list[str]] = {}
    refused: dict[Condition, list[str]] = {}
    for condition, name in without_effect(values, script):
        if not _was_asked(values[name]):
            continue
        if condition.refused:
            refused.setdefault(condition, []).append(values[name].serialize())
        else:
            silent.setdefault(name, []).append(condition.reason())
    for condition, given in refused.items():
        raise UserError(
            f"{_have_no_effect(given)} {condition.reason()}; {condition.way_out(len(given) == 1)}."
        )
    if silent:
        named = [f"--{name} ({reasons[0]})" for name, reasons in silent.items()]
        logging.warning("Without effect here: %s.", ", ".join(named))
    if script == "run_pretraining" and values.do_train:
        _check_warmup(values)


def _check_columns(values: flags.FlagValues) -> None:
    """A text that is its own label, or its own second text, is a mistake."""
    flag_of: dict[str, str] = {}
    for name in ("text_a", "text_b", "label"):
        if column := name in values and values[name].value:
            if column in flag_of:
                raise UserError(
                    f"--{flag_of[column]}={column} and --{name}={column} name the same column; name "
                    "another one with one of them, or leave it out."
                )
            flag_of[column] = name


def _have_no_effect(given: Sequence[str]) -> str:
    return f"{' and '.join(given)} {'has' if len(given) == 1 else 'have'} no effect"


def _was_asked(flag: flags.Flag) -> bool:
    return bool(flag.present) and flag.value != flag.default


def _check_warmup(values: flags.FlagValues) -> None:
    """Warm-up that outlasts the run: a UserError if it was asked for, a line if it was not."""
    steps, warmup = values.num_train_steps, values.num_warmup_steps
    if warmup < steps:
        return
    is_given = values["num_warmup_steps"].present
    message = (
        f"--num_warmup_steps={warmup}{'' if is_given else ' (the default)'} but "
        f"--num_train_steps={steps}: the learning rate only rises, to {100 * steps / warmup:.3g} % "
        f"of --learning_rate at the end; pass fewer, such as --num_warmup_steps={steps // 10}"
    )
    if is_given and warmup > steps:
        raise UserError(f"{message}.")
    logging.warning("WARNING: %s.", message)
