"""Distils a teacher's soft labels into a student (Turc et al. 2019, section 3).

The records come from `create_soft_labels.py`. A labelled task is only needed to evaluate or predict.

Pre-trained Distillation, evaluated on the task every 500 updates:
  python run_distill.py --input_file='soft_labels/*.tfrecord' --init_checkpoint=tiny \\
    --output_dir=tiny_pd --do_train --do_eval --task_name=SST-2 --data_dir=glue/SST-2 \\
    --learning_rate=3e-4 --num_train_epochs=3 --evaluate_steps=500
Distillation into random weights, at another temperature and with a share of true labels:
  python run_distill.py --input_file='soft_labels/*.tfrecord' --bert_config_file=6/512 \\
    --vocab_file=vocab.txt --output_dir=kd --do_train --temperature=2 --hard_label_weight=0.3
Predictions of the student:
  python run_distill.py --input_file='soft_labels/*.tfrecord' --init_checkpoint=tiny_pd \\
    --output_dir=predictions --do_predict --task_name=SST-2 --data_dir=glue/SST-2
"""

from collections.abc import Sequence

from absl import flags

from common.errors import UserError
from training import cli
from training.flags import (
    FINE_TUNING_FLAGS,
    MODEL_SOURCE_FLAGS,
    TASK_FLAGS,
    claim_output_dir,
    define_device_flags,
    define_epoch_flags,
    define_head_flag,
    define_initialization_flags,
    define_model_flags,
    define_optimization_flags,
    define_task_flags,
    define_text_flags,
    device_options,
    flag_values,
    initial_classifier_weights,
    run_options,
)
from training.help import group

FLAGS = flags.FLAGS

group("The soft labels")
flags.DEFINE_string(
    "input_file",
    None,
    "Soft-label TFRecords to train on: files, globs and folders, separated by commas.",
)
flags.DEFINE_string(
    "eval_file",
    None,
    "Held-out soft-label TFRecords, on which --do_eval also measures the student's agreement with "
    "the teacher: files, globs and folders, separated by commas.",
)
flags.DEFINE_float(
    "temperature",
    1.0,
    "Temperature of the softmax over the logits of teacher and student; the paper uses 1.",
)
flags.DEFINE_float(
    "hard_label_weight",
    0.0,
    "Weight of the loss on true labels, between 0 and 1, where the records hold them; the loss on "
    "soft labels has the rest. The paper uses 0.",
    lower_bound=0.0,
    upper_bound=1.0,
)

flags.DEFINE_float(
    "patience_weight",
    0.0,
    "Weight of the distance between the [CLS] hidden states of teacher and student (Patient "
    "Knowledge Distillation). The records must hold the teacher's states (--hidden_state_layers of "
    "create_soft_labels.py). 0 leaves the distance out, as the paper does.",
    lower_bound=0.0,
)
flags.DEFINE_enum(
    "patience_layers",
    "skip",
    ["skip", "last"],
    "Layers of the teacher whose hidden states the student follows with --patience_weight: skip, "
    "every k-th; last, the topmost ones below the last.",
)

group("The student")
define_model_flags()
define_initialization_flags()
define_head_flag()
define_text_flags()

group("The task the student is evaluated on")
define_task_flags()

group("What to do")
flags.DEFINE_bool("do_train", False, "Train the student on the soft labels.")
flags.DEFINE_bool(
    "do_eval",
    False,
    "Evaluate the student on the development set of the task, and on --eval_file; writes "
    "eval_results.txt.",
)
flags.DEFINE_bool(
    "do_predict", False, "Predict the labels of the task's test set; writes test_results.tsv."
)

group("Training")
define_optimization_flags()
define_epoch_flags()

group("Devices")
define_device_flags()

# What decides the weights of a run, with its data and model.
LOSS_FLAGS = ["temperature", "hard_label_weight", "patience_weight", "patience_layers"]
# What the model folder records.
RECORDED_FLAGS = ["input_file", *MODEL_SOURCE_FLAGS, *LOSS_FLAGS, *FINE_TUNING_FLAGS]


def main(_: Sequence[str]) -> None:
    if not (FLAGS.do_train or FLAGS.do_eval or FLAGS.do_predict):
        raise UserError("nothing to do: pass --do_train, --do_eval or --do_predict.")
    if FLAGS.temperature <= 0:
        raise UserError(f"--temperature={FLAGS.temperature} must be above 0.")
    if FLAGS.do_predict and not FLAGS.task_name:
        raise UserError("--do_predict needs the task to predict: pass --task_name and --data_dir.")
    if FLAGS.do_eval and not (FLAGS.task_name or FLAGS.eval_file):
        raise UserError("--do_eval needs --task_name with --data_dir, or --eval_file.")
    if FLAGS.task_name and not FLAGS.data_dir:
        raise UserError(f"--task_name={FLAGS.task_name} needs --data_dir.")

    import functools
    import os

    from classification.evaluation import (
        TaskSet,
        TaskSets,
        evaluate_task,
        evaluation_part,
        write_eval_results,
        write_task_sets,
        write_test_results,
    )
    from classification.tasks import get_task
    from distillation.objective import DistillationObjective, RegressionDistillationObjective
    from distillation.patience import make_patience
    from distillation.soft_labels import check_pairs, feature_spec, read_manifest
    from modeling.heads import ClassifierModel
    from modeling.model_folder import check_labels, resolve_text_model
    from training.classifier_records import num_outputs
    from training.identity import Part, check_identity
    from training.input import (
        damage_named,
        evaluation_batches,
        open_records,
        read_feature,
        record_files,
        value_limits,
    )
    from training.loop import Predictor
    from training.reporting import write_results
    from training.run import (
        TRAIN_OR_LEAVE_OUT,
        Evaluation,
        load_trained_weights,
        run_identity,
        run_training,
        trained_checkpoint,
        write_trained_model,
    )
    from training.strategy import (
        check_batch_size,
        chief_first,
        create_strategy,
        is_chief,
        lengths_may_vary,
    )

    strategy = create_strategy(device_options(FLAGS))
    check_batch_size("eval_batch_size", FLAGS.eval_batch_size, strategy)
    check_batch_size("predict_batch_size", FLAGS.predict_batch_size, strategy)
    input_files = record_files(FLAGS.input_file, "input_file")

    # The soft labels, the student and the task.
    manifest = read_manifest(input_files)
    labels = manifest["labels"]
    if not labels and FLAGS.temperature != 1:
        raise UserError(
            f"--temperature={FLAGS.temperature}, but --input_file={FLAGS.input_file} has scores of a "
            "regression, which are no distribution that a temperature could smooth; leave it out."
        )
    if FLAGS.hard_label_weight and not manifest["num_labelled"]:
        raise UserError(
            f"--hard_label_weight={FLAGS.hard_label_weight}, but --input_file={FLAGS.input_file} has "
            "no true labels; give create_soft_labels.py the labelled task (--task_name) as well."
        )
    start = FLAGS.init_checkpoint
    if not FLAGS.do_train:
        start = trained_checkpoint(FLAGS.output_dir, FLAGS.init_checkpoint)
    sources = resolve_text_model(
        FLAGS.bert_config_file, FLAGS.vocab_file, start, FLAGS.do_lower_case, FLAGS.max_seq_length
    )
    if not FLAGS.do_train:
        sources.check_labels(labels, f"the model {start}")
    patience, states_shape = None, None
    if FLAGS.patience_weight:
        patience, states_shape = make_patience(
            FLAGS.patience_weight, FLAGS.patience_layers, manifest, sources.config
        )
    spec = feature_spec(FLAGS.max_seq_length, labels, states_shape)
    expected = {
        "labels": labels,
        "max_seq_length": FLAGS.max_seq_length,
        "do_lower_case": sources.tokenizer.do_lower_case,
        "tokenizer_settings": sources.tokenizer.settings.of_common_text(),
        "vocab_sha256": sources.tokenizer.sha256,
    }
    limits = value_limits(sources.config, len(labels))
    records = open_records(input_files, "input_file", spec, expected, limits)
    eval_records = None
    if FLAGS.eval_file and FLAGS.do_eval:
        eval_files = record_files(FLAGS.eval_file, "eval_file")
        held_out_set = read_manifest(eval_files)
        check_labels(held_out_set["labels"], labels, f"--eval_file={FLAGS.eval_file}")
        eval_records = open_records(eval_files, "eval_file", spec, expected, limits)
    with strategy.scope():
        student = ClassifierModel(
            sources.config, num_outputs(labels), FLAGS.precision, FLAGS.random_seed
        )
    predictor = Predictor(student, strategy)
    other_losses = FLAGS.hard_label_weight, patience
    objective = (
        DistillationObjective(student, FLAGS.temperature, *other_losses)
        if labels
        else RegressionDistillationObjective(student, *other_losses)
    )

    task = None
    if FLAGS.task_name:
        task = get_task(**flag_values(FLAGS, TASK_FLAGS))
        soft_labels = f"--input_file={FLAGS.input_file}"
        check_labels(labels, task.labels, soft_labels)
        for file in (*task.dev * FLAGS.do_eval, *task.test * FLAGS.do_predict):
            pairs = task.has_pairs(file, FLAGS.data_dir)
            check_pairs(manifest.get("are_pairs"), pairs, soft_labels, f"task {task.name}")
    weights = initial_classifier_weights(FLAGS, sources, labels) if FLAGS.do_train else None

    # The run, which must be the one that the folder holds if it holds any.
    claim_output_dir(FLAGS, strategy, FLAGS.do_train, input_files)
    if FLAGS.do_train:
        evaluation = None
        if FLAGS.do_eval:
            evaluation = evaluation_part(task, FLAGS.data_dir) if task else Part({}, {})
            if eval_records:
                held_out = {"held-out soft labels": eval_records.content("eval_file")}
                evaluation = Part(evaluation.values, {**evaluation.contents, **held_out})
        identity = run_identity(
            sources,
            student,
            weights,
            {"labels": labels, **flag_values(FLAGS, [*LOSS_FLAGS, *FINE_TUNING_FLAGS])},
            {"soft labels": records.content("input_file")},
            evaluation,
        )
        check_identity(FLAGS.output_dir, identity, strategy, FLAGS.start_over)

    sets = TaskSets()
    if task:
        with chief_first(strategy) as chief:
            sets = write_task_sets(
                task,
                FLAGS.data_dir,
                FLAGS.output_dir,
                sources.tokenizer,
                FLAGS.max_seq_length,
                dev=FLAGS.do_eval,
                test=FLAGS.do_predict,
                reuse=not chief,
            )

    def evaluate_student(dev_set: TaskSet | None) -> Evaluation:
        """On a labelled set, and on held-out soft labels where there are any."""
        metrics: dict[str, float] = {}
        if eval_records:
            batches = evaluation_batches(
                eval_records, spec, FLAGS.eval_batch_size, lengths_may_vary(strategy)
            )
            with damage_named(eval_records):
                metrics = objective.agreement(
                    read_feature(eval_records, spec, "teacher_logits"),
                    predictor(batches, eval_records.num_examples),
                )
        if task is None or dev_set is None:
            return Evaluation(metrics, score=-metrics[objective.distance])
        on_task = evaluate_task(predictor, task, dev_set, FLAGS.eval_batch_size)
        return Evaluation({**on_task.metrics, **metrics}, on_task.score)

    def write_model(folder: str, step: int) -> None:
        info = {
            "labels": labels,
            "teacher_weights_sha256": manifest["teacher_weights_sha256"],
        }
        recorded = flag_values(FLAGS, RECORDED_FLAGS)
        write_trained_model(folder, student, sources, step, recorded, identity, info)

    first_dev_set = sets.dev[0] if sets.dev else None
    final = None
    if FLAGS.do_train:
        num_steps = int(records.num_examples / FLAGS.train_batch_size * FLAGS.num_train_epochs)
        step, final = run_training(
            objective,
            strategy,
            records,
            spec,
            run_options(
                FLAGS,
                num_steps,
                int(num_steps * FLAGS.warmup_proportion),
                FLAGS.early_stopping_patience,
            ),
            weights,
            write_model,
            functools.partial(evaluate_student, first_dev_set) if FLAGS.do_eval else None,
        )
    else:
        step = load_trained_weights(student, start, TRAIN_OR_LEAVE_OUT)
    # Training ends with an evaluation; it is not repeated.
    if FLAGS.do_eval and final is None:
        final = evaluate_student(first_dev_set)
    evaluated = FLAGS.output_dir if FLAGS.do_train else start
    if final and task is None and is_chief(strategy):
        results = {"global_step": step, **final.metrics}
        write_results(os.path.join(FLAGS.output_dir, "eval_results.txt"), results, evaluated)
    if task is not None:
        evaluations = [final, *map(evaluate_student, sets.dev[1:])] if final else []
        if is_chief(strategy):
            write_eval_results(sets.dev, evaluations, FLAGS.output_dir, step, evaluated)
        write_test_results(predictor, task, sets.test, FLAGS.predict_batch_size, FLAGS.output_dir)


if __name__ == "__main__":
    flags.mark_flags_as_required(["input_file", "output_dir"])
    cli.run(main)
