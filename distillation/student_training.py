"""Training a student on a teacher's soft labels, evaluating it on a task, and predicting with it."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Sequence
from typing import Any

from checkpoints.model_sources import TextModelSources, check_labels
from classification.evaluation import (
    TaskSet,
    TaskSets,
    evaluate_task,
    evaluation_part,
    write_eval_results,
    write_task_sets,
    write_test_results,
)
from classification.task import THE_TEACHER, Task
from classification.tasks import get_task
from common.atomic import write_json
from common.errors import UserError
from data.batches import read_feature
from data.classifier_records import num_outputs
from data.record_sets import (
    FeatureSpec,
    RecordSet,
    explain_damaged_record,
    open_records,
    record_files,
    value_limits,
)
from distillation.agreement import write_agreement
from distillation.objective import DistillationObjective, RegressionDistillationObjective
from distillation.patience import make_patience
from distillation.soft_labels import check_same_kind, feature_spec, read_manifest
from modeling.heads import ClassifierModel
from training.evaluation import RecordPredictor
from training.identity import Part
from training.options import TASK_FLAGS, EpochOptions, TaskOptions
from training.reporting import write_results
from training.run import Evaluation
from training.session import Session
from training.strategy import chief_first, num_workers

_LOSS = ("temperature", "hard_label_weight", "patience_weight", "patience_layers")


@dataclasses.dataclass(frozen=True)
class DistillationOptions(EpochOptions, TaskOptions):
    """The flags of `run_distill.py`."""

    input_file: str = ""
    eval_file: str | None = None
    shard_files: bool = False
    temperature: float = 1.0
    hard_label_weight: float = 0.0
    patience_weight: float = 0.0
    patience_layers: str = "skip"

    DECISIVE = (*EpochOptions.DECISIVE, *_LOSS)
    RECORDED = ("input_file", *EpochOptions.MODEL_SOURCES, *DECISIVE, *EpochOptions.LENGTH)


def run(options: DistillationOptions) -> None:
    """Trains, evaluates and predicts, as far as the options ask for it.

    Raises:
      UserError: Options, files or devices that the user has to change.
    """
    with Session(options) as session:
        input_files = record_files(options.input_file, "input_file")
        manifest = read_manifest(input_files)
        labels = manifest["labels"]
        _check_losses(options, manifest)
        sources = session.text_model_sources(manifest["max_seq_length"])
        if not options.do_train:
            sources.check_labels(labels, f"the model {session.start}")
            if (pairs := manifest.get("are_pairs")) is not None:
                soft_labels = f"--input_file={options.input_file}"
                model = f"the model {session.start}"
                sources.check_pairs(pairs, model, soft_labels, "pass other soft labels")
        patience, states_shape = None, None
        if options.patience_weight:
            patience, states_shape = make_patience(
                options.patience_weight, options.patience_layers, manifest, sources.config
            )
        spec = feature_spec(session.max_seq_length, labels, states_shape)
        records = _open_soft_labels(session, input_files, "input_file", spec, sources, labels)
        if options.shard_files:
            records = records.sharded(num_workers(session.strategy))
        eval_records = None
        if options.eval_file and options.do_eval:
            held_out = record_files(options.eval_file, "eval_file")
            check_labels(
                read_manifest(held_out)["labels"], labels, f"--eval_file={options.eval_file}"
            )
            eval_records = _open_soft_labels(session, held_out, "eval_file", spec, sources, labels)
        student = session.build(ClassifierModel, sources.config, num_outputs(labels))
        objective = (
            DistillationObjective(student, options.temperature, options.hard_label_weight, patience)
            if labels
            else RegressionDistillationObjective(student, options.hard_label_weight, patience)
        )
        task = _open_task(options, manifest)
        weights = session.initial_classifier_weights(sources, labels)

        eval_files = eval_records.files if eval_records else ()
        session.claim_output_dir(
            {"input_file": input_files, "eval_file": eval_files, **options.task_inputs()}
        )
        if options.do_train:
            session.check_run(
                sources,
                student,
                weights,
                {"labels": labels},
                {"soft labels": records.content("input_file")},
                _evaluation_part(options, task, eval_records) if options.do_eval else None,
            )
        sets = TaskSets()
        if task:
            with chief_first(session.strategy) as chief:
                sets = write_task_sets(
                    task,
                    options.data_dir or "",
                    options.output_dir,
                    sources.tokenizer,
                    session.max_seq_length,
                    value_limits(sources.config, len(labels)),
                    dev=options.do_eval,
                    test=options.do_predict,
                    reuse=not chief,
                )

        predictor = RecordPredictor(student, session.strategy, session.programs)

        def evaluate(dev_set: TaskSet | None) -> Evaluation:
            """Evaluates on a labelled set, and on held-out soft labels where there are any."""
            metrics: dict[str, float] = {}
            if eval_records:
                with explain_damaged_record(eval_records):
                    metrics = objective.agreement(
                        read_feature(eval_records, "teacher_logits"),
                        predictor(eval_records, options.eval_batch_size),
                    )
            if task is None or dev_set is None:
                return Evaluation(metrics, score=-metrics[objective.distance])
            on_task = evaluate_task(predictor, task, dev_set, options.eval_batch_size)
            return on_task._replace(metrics={**on_task.metrics, **metrics})

        first_dev_set = sets.dev[0] if sets.dev else None
        step, final = session.train_or_load(
            objective,
            sources,
            records if options.do_train else None,
            weights,
            {
                "labels": labels,
                "teacher_weights_sha256": manifest["teacher_weights_sha256"],
                "transfer_set_sha256": manifest["transfer_set_sha256"],
                "pairs": manifest.get("are_pairs"),
            },
            options.RECORDED,
            functools.partial(evaluate, first_dev_set) if options.do_eval else None,
        )
        # Training ends with an evaluation; it is not repeated.
        if options.do_eval and final is None:
            final = evaluate(first_dev_set)
        if options.do_eval and labels:
            write_agreement(
                options.output_dir,
                "--eval_file" if eval_records else "--input_file",
                eval_records or records,
                labels,
                sources.tokenizer,
                predictor.engine(options.eval_batch_size),
            )
        if final and task is None and session.is_chief:
            path = os.path.join(options.output_dir, "eval_results.txt")
            results = {"global_step": step, **final.metrics}
            written = write_results(path, results, session.evaluated_model)
            write_json(os.path.join(options.output_dir, "eval_results.json"), written)
        if task is not None:
            evaluations = [final, *map(evaluate, sets.dev[1:])] if final else []
            if session.is_chief:
                write_eval_results(
                    sets.dev, evaluations, options.output_dir, step, session.evaluated_model
                )
            write_test_results(
                predictor, task, sets.test, options.predict_batch_size, options.output_dir
            )


def _check_losses(options: DistillationOptions, manifest: dict[str, Any]) -> None:
    if not manifest["labels"] and options.temperature != 1:
        raise UserError(
            f"--temperature={options.temperature}, but --input_file={options.input_file} has scores "
            "of a regression, which are no distribution that a temperature could smooth; leave it "
            "out."
        )
    if options.hard_label_weight and not manifest["num_labelled"]:
        raise UserError(
            f"--hard_label_weight={options.hard_label_weight}, but "
            f"--input_file={options.input_file} has no true labels; give create_soft_labels.py the "
            "labelled task (--task_name) as well."
        )


def _open_soft_labels(
    session: Session,
    files: Sequence[str],
    flag: str,
    spec: FeatureSpec,
    sources: TextModelSources,
    labels: Sequence[str],
) -> RecordSet:
    expected = {
        "labels": labels,
        "max_seq_length": spec["input_ids"].shape[0],
        **sources.tokenizer.record_facts(),
    }
    limits = value_limits(sources.config, len(labels))
    return open_records(files, flag, spec, expected, limits, session.input_facts)


def _open_task(options: DistillationOptions, manifest: dict[str, Any]) -> Task | None:
    """The task, which must be the one of the soft labels."""
    if not options.task_name:
        return None
    labels = manifest["labels"]
    task = get_task(known_labels=labels, known_from=THE_TEACHER, **options.values(TASK_FLAGS))
    task = task.with_best_metric(options.best_metric)
    soft_labels = f"--input_file={options.input_file}"
    check_labels(manifest["labels"], task.labels, soft_labels)
    for file in (*task.dev * options.do_eval, *task.test * options.do_predict):
        pairs = task.has_pairs(file, options.data_dir or "")
        check_same_kind(manifest.get("are_pairs"), pairs, soft_labels, f"task {task.name}")
    return task


def _evaluation_part(
    options: DistillationOptions, task: Task | None, eval_records: RecordSet | None
) -> Part:
    part = evaluation_part(task, options.data_dir or "") if task else Part({}, {})
    if not eval_records:
        return part
    held_out = {"held-out soft labels": eval_records.content("eval_file")}
    return Part(part.values, {**part.contents, **held_out})
