"""Fine-tuning a classifier or regression model on a task, evaluating it, and predicting with it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from checkpoints.model_sources import ModelSources
from classification.class_weights import (
    check_class_weights,
    class_weights,
    complete_class_weights,
)
from classification.evaluation import (
    TaskSet,
    evaluate_task,
    evaluation_part,
    task_content,
    write_eval_results,
    write_task_sets,
    write_test_results,
)
from classification.glue_submission import GlueSubmission
from classification.objective import ClassificationObjective, RegressionObjective
from classification.task import Task
from classification.tasks import get_task
from common.outputs import check_folder_apart
from data.record_sets import value_limits
from data.texts import columns_in_words
from modeling.heads import ClassifierModel
from training.evaluation import RecordPredictor
from training.options import TASK_FLAGS, EpochOptions, TaskOptions
from training.run import Evaluation
from training.session import Session
from training.strategy import chief_first


@dataclasses.dataclass(frozen=True)
class FineTuningOptions(EpochOptions, TaskOptions):
    """The flags of `run_classifier.py`."""

    make_glue_submission: bool = False
    submission_dir: str | None = None
    class_weights: Sequence[str] | None = None

    DECISIVE = (*EpochOptions.DECISIVE, "class_weights")
    RECORDED = (*TASK_FLAGS, *EpochOptions.MODEL_SOURCES, *DECISIVE, *EpochOptions.LENGTH)


class FineTuned(NamedTuple):
    """Result of `run`.

    Attributes:
      step: Updates that the model has had.
      evaluations: On each development set, with `do_eval`.
      predictions: For each test set, with `do_predict`: class probabilities, float32 [N, num_labels],
        or the scores of a regression, float32 [N, 1].
    """

    step: int
    evaluations: list[Evaluation]
    predictions: list[np.ndarray]


def run(options: FineTuningOptions) -> FineTuned:
    """Trains, evaluates and predicts, as far as the options ask for it.

    Raises:
      UserError: Options, files or devices that the user has to change.
    """
    with Session(options) as session:
        sources = session.text_model_sources()
        known_labels = None if options.do_train else sources.labels
        task = get_task(known_labels=known_labels, **options.values(TASK_FLAGS))
        task = task.with_best_metric(options.best_metric)
        check_class_weights(options.class_weights, task)
        if not options.do_train:
            sources.check_labels(task.labels, f"the model {session.start}")
        model = session.build(ClassifierModel, sources.config, task.num_outputs)
        weights = session.initial_classifier_weights(sources, task.labels)

        data_dir = options.data_dir or ""
        session.claim_output_dir(options.task_inputs())
        task.check_has(options.do_train, options.do_eval, options.do_predict)
        if not options.do_train:
            _check_pairs(options, task, sources, f"the model {session.start}")
        if options.do_train:
            session.check_run(
                sources,
                model,
                weights,
                {
                    "labels": task.labels,
                    "class_weights": complete_class_weights(options.class_weights, task.labels),
                },
                {"training data": task_content(task, task.train, data_dir)},
                evaluation_part(task, data_dir) if options.do_eval else None,
            )

        # The records, and what a submission needs, before any training.
        with chief_first(session.strategy) as chief:
            sets = write_task_sets(
                task,
                data_dir,
                options.output_dir,
                sources.tokenizer,
                session.max_seq_length,
                value_limits(sources.config, len(task.labels)),
                train=options.do_train,
                dev=options.do_eval,
                test=options.do_predict,
                reuse=not chief,
            )
        submission = _open_submission(options, task)

        predictor = RecordPredictor(model, session.strategy, session.programs)

        def evaluate(dev_set: TaskSet) -> Evaluation:
            return evaluate_task(predictor, task, dev_set, options.eval_batch_size)

        train_set = sets.train[0] if sets.train else None
        info: dict[str, Any] = {"task_name": task.name, "labels": list(task.labels)}
        if train_set:
            info["pairs"] = task.has_pairs(train_set.file, data_dir)
        records = train_set.records if train_set else None
        step, final = session.train_or_load(
            _objective(options, task, model, train_set),
            sources,
            records,
            weights,
            info,
            options.RECORDED,
            functools.partial(evaluate, sets.dev[0]) if options.do_eval else None,
        )
        # Training ends with an evaluation on the first development set; it is not repeated.
        evaluations = [final] if final else []
        evaluations += [evaluate(dev_set) for dev_set in sets.dev[len(evaluations) :]]
        if session.is_chief:
            write_eval_results(
                sets.dev, evaluations, options.output_dir, step, session.evaluated_model
            )
        predictions = write_test_results(
            predictor, task, sets.test, options.predict_batch_size, options.output_dir
        )
        if submission and session.is_chief:
            submission.write(predictions)
        return FineTuned(step, evaluations, predictions)


def _check_pairs(options: FineTuningOptions, task: Task, sources: ModelSources, model: str) -> None:
    """Raises a UserError for sets of pairs and a model of single texts, or the other way round."""
    data_dir = options.data_dir or ""
    for file in (*task.dev * options.do_eval, *task.test * options.do_predict):
        title, _ = file.open(data_dir, task.name)
        if options.text_a:
            title += columns_in_words(title, [options.text_a, options.text_b])
        sources.check_pairs(task.has_pairs(file, data_dir), model, title)


def _objective(
    options: FineTuningOptions, task: Task, model: ClassifierModel, train_set: TaskSet | None
) -> ClassificationObjective:
    if task.is_regression:
        return RegressionObjective(model)
    weights = None
    if train_set and options.class_weights:
        weights = class_weights(options.class_weights, task.labels, train_set.labels)
    return ClassificationObjective(model, weights)


def _open_submission(options: FineTuningOptions, task: Task) -> GlueSubmission | None:
    if not options.make_glue_submission or not options.submission_dir:
        return None
    check_folder_apart("submission_dir", options.submission_dir, {"data_dir": options.data_dir})
    return GlueSubmission(options.submission_dir, task, options.data_dir or "")
