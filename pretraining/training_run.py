"""Pre-training on masked words and next sentences, alone or (DistilBERT) under a teacher."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from checkpoints.model_sources import ModelSources, check_max_seq_length, resolve_model
from data.batches import evaluation_batches
from data.record_sets import (
    FeatureSpec,
    RecordSet,
    explain_damaged_record,
    open_records,
    record_files,
    value_limits,
)
from modeling.heads import PretrainingModel
from modeling.tokenization import check_casing
from pretraining.distillation_objective import MaskedLmDistillationObjective, TripleLoss
from pretraining.local_attention import LocalAttention
from pretraining.objective import PretrainingObjective, feature_spec
from training.evaluation import evaluate
from training.identity import Part, model_content
from training.options import TrainingOptions
from training.reporting import write_results
from training.run import Evaluation, Schedule
from training.session import Session
from training.strategy import num_workers
from training.trained_models import load_trained_weights

_LOSS_UNDER_A_TEACHER = (
    "teacher_temperature",
    "soft_masked_lm_weight",
    "masked_lm_weight",
    "cosine_weight",
)


@dataclasses.dataclass(frozen=True)
class PretrainingOptions(TrainingOptions):
    """The flags of `run_pretraining.py`."""

    input_file: str = ""
    eval_file: str | None = None
    shard_files: bool = False
    max_seq_length: int = 128
    max_predictions_per_seq: int = 20
    teacher: str | None = None
    teacher_temperature: float = 2.0
    soft_masked_lm_weight: float = 5.0
    masked_lm_weight: float = 2.0
    cosine_weight: float = 1.0
    num_train_steps: int = 100000
    num_warmup_steps: int = 10000
    init_local_attention: bool = False
    max_eval_steps: int = 100

    DECISIVE = (*TrainingOptions.DECISIVE, "max_predictions_per_seq", "num_warmup_steps")
    RECORDED = (
        "input_file",
        "teacher",
        "init_local_attention",
        *TrainingOptions.MODEL_SOURCES,
        *_LOSS_UNDER_A_TEACHER,
        *DECISIVE,
        "num_train_steps",  # It decides, but a run may be made longer.
    )


def run(options: PretrainingOptions) -> None:
    """Trains and evaluates, as far as the options ask for it.

    Raises:
      UserError: Options, files or devices that the user has to change.
    """
    with Session(options) as session:
        input_files = record_files(options.input_file, "input_file")
        sources = session.model_sources()
        check_max_seq_length(sources.config, options.max_seq_length)
        spec = feature_spec(options.max_seq_length, options.max_predictions_per_seq)
        records = _open_records(session, options, sources, input_files, "input_file", spec)
        eval_records = records
        if options.eval_file:
            eval_records = _open_records(
                session, options, sources, options.eval_file, "eval_file", spec
            )
        casing = _casing(sources, records)
        if options.shard_files:
            records = records.sharded(num_workers(session.strategy))

        # An update under a teacher holds the teacher, which is another object in every run.
        model = session.build(PretrainingModel, sources.config, is_kept=not options.teacher)
        objective = PretrainingObjective(model)
        values: dict[str, Any] = {}
        contents = {"training records": records.content("input_file")}
        if options.teacher and options.do_train:
            teacher = _load_teacher(session, options, sources)
            objective = MaskedLmDistillationObjective(
                model,
                teacher,
                TripleLoss(
                    options.teacher_temperature,
                    options.soft_masked_lm_weight,
                    options.masked_lm_weight,
                    options.cosine_weight,
                ),
            )
            values = options.values(_LOSS_UNDER_A_TEACHER)
            contents["teacher"] = model_content(teacher, options.teacher)

        session.claim_output_dir({"input_file": input_files, "eval_file": eval_records.files})
        weights = session.initial_weights(sources)
        if options.do_train:
            if options.init_local_attention:
                weights = LocalAttention(model.encoder)
            evaluation = None
            if options.do_eval:
                most = options.eval_batch_size * options.max_eval_steps
                evaluation = Part(
                    {"evaluated_records": min(eval_records.num_examples, most)},
                    {"evaluation records": eval_records.content("eval_file")},
                    earlier={
                        **options.values(("eval_batch_size", "max_eval_steps")),
                        "evaluated_records": None,
                    },
                )
            session.check_run(sources, model, weights, values, contents, evaluation)

        def evaluate_model() -> Evaluation:
            batches = evaluation_batches(eval_records, options.eval_batch_size)
            with explain_damaged_record(eval_records):
                batches = batches.take(options.max_eval_steps)
                metrics = evaluate(objective.metrics, session.strategy, batches, session.programs)
            metrics["loss"] = metrics["masked_lm_loss"] + metrics["next_sentence_loss"]
            return Evaluation(metrics, score=-metrics["loss"])

        info = {"do_lower_case": casing, "training_data": records.info}
        if "vocab_sha256" in records.info:
            info["vocab_sha256"] = records.info["vocab_sha256"]
        step, final = session.train_or_load(
            objective,
            sources,
            records,
            weights,
            info,
            options.RECORDED,
            evaluate_model if options.do_eval else None,
            Schedule(options.num_train_steps, options.num_warmup_steps),
            group_by_length=False,
        )
        if options.do_eval:
            # Training ends with an evaluation; it is not repeated.
            final = final or evaluate_model()
            if session.is_chief:
                path = os.path.join(options.output_dir, "eval_results.txt")
                write_results(path, {"global_step": step, **final.metrics}, session.evaluated_model)


def _open_records(
    session: Session,
    options: PretrainingOptions,
    sources: ModelSources,
    files: str | Sequence[str],
    flag: str,
    spec: FeatureSpec,
) -> RecordSet:
    expected = {
        "max_seq_length": options.max_seq_length,
        "max_predictions_per_seq": options.max_predictions_per_seq,
        "vocab_size": sources.config.vocab_size,
        "vocab_sha256": sources.vocab_sha256,
        "do_lower_case": sources.do_lower_case,
        "tokenizer_settings": sources.tokenizer and sources.tokenizer.settings.of_common_text(),
    }
    return open_records(
        files, flag, spec, expected, value_limits(sources.config), session.input_facts
    )


def _casing(sources: ModelSources, records: RecordSet) -> bool | None:
    """Casing of the model, or else of its records; None where neither records it."""
    casing = sources.do_lower_case
    if casing is None and "do_lower_case" in records.info:
        casing = records.info["do_lower_case"]
        if sources.tokenizer:
            check_casing(sources.tokenizer, casing)
    return casing


def _load_teacher(
    session: Session, options: PretrainingOptions, sources: ModelSources
) -> PretrainingModel:
    assert options.teacher
    of_teacher = resolve_model(None, sources.vocab_file, options.teacher, sources.do_lower_case)
    check_max_seq_length(of_teacher.config, options.max_seq_length)
    with session.strategy.scope():
        teacher = PretrainingModel(of_teacher.config, options.precision, seed=None)
    load_trained_weights(teacher, options.teacher)
    return teacher
