"""Fine-tunes and evaluates a BERT classifier or regression model, and predicts with it.

A GLUE task from its folder, starting from a pre-trained model folder:
  python run_classifier.py --task_name=SST-2 --data_dir=glue/SST-2 --init_checkpoint=tiny \\
    --output_dir=sst2_tiny --do_train --do_eval --train_batch_size=32 --learning_rate=3e-4 \\
    --num_train_epochs=4
Any table with a header, from random weights:
  python run_classifier.py --task_name=tsv --text_a=sentence --label=topic --data_dir=my_task \\
    --bert_config_file=mini --vocab_file=vocab.txt --output_dir=my_model --do_train --do_eval
Predictions of a trained model (test_results.tsv; its columns are named in labels.txt), and their part
of a GLUE submission; here those of the model for MNLI on the diagnostic set:
  python run_classifier.py --task_name=AX --data_dir=glue/diagnostic --init_checkpoint=mnli_tiny \\
    --output_dir=ax_predictions --do_predict --make_glue_submission --submission_dir=submission
"""

from collections.abc import Sequence

from absl import flags

from common.errors import UserError
from common.outputs import check_folder_apart
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
    input_folders,
    run_options,
)
from training.help import group

FLAGS = flags.FLAGS

group("The task and its text")
define_task_flags()
define_text_flags()

group("The model")
define_model_flags()
define_initialization_flags()
define_head_flag()

group("What to do")
flags.DEFINE_bool("do_train", False, "Fine-tune the model on the training set of the task.")
flags.DEFINE_bool(
    "do_eval", False, "Evaluate the model on the development set; writes eval_results.txt."
)
flags.DEFINE_bool(
    "do_predict", False, "Predict the labels of the test set; writes test_results.tsv."
)
flags.DEFINE_bool(
    "make_glue_submission",
    False,
    "With --do_predict, also write the predictions in the format of the GLUE server to "
    "--submission_dir, and glue_submission.zip once the files of all tasks are there.",
)
flags.DEFINE_string(
    "submission_dir",
    None,
    "Folder that gathers the files of all GLUE tasks, with --make_glue_submission.",
)

group("Training")
define_optimization_flags()
define_epoch_flags()

group("Devices")
define_device_flags()

# What the model folder records.
RECORDED_FLAGS = [*TASK_FLAGS, *MODEL_SOURCE_FLAGS, *FINE_TUNING_FLAGS]


def main(_: Sequence[str]) -> None:
    if not (FLAGS.do_train or FLAGS.do_eval or FLAGS.do_predict):
        raise UserError("nothing to do: pass --do_train, --do_eval or --do_predict.")

    import functools

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
    from classification.tasks import get_task
    from modeling.heads import ClassifierModel
    from modeling.model_folder import resolve_text_model
    from training.identity import check_identity
    from training.loop import Predictor
    from training.run import (
        TRAIN_OR_LEAVE_OUT,
        Evaluation,
        load_trained_weights,
        run_identity,
        run_training,
        trained_checkpoint,
        write_trained_model,
    )
    from training.strategy import check_batch_size, chief_first, create_strategy

    strategy = create_strategy(device_options(FLAGS))
    check_batch_size("eval_batch_size", FLAGS.eval_batch_size, strategy)
    check_batch_size("predict_batch_size", FLAGS.predict_batch_size, strategy)

    # The task and the model.
    task = get_task(**flag_values(FLAGS, TASK_FLAGS))
    start = FLAGS.init_checkpoint
    if not FLAGS.do_train:
        start = trained_checkpoint(FLAGS.output_dir, FLAGS.init_checkpoint)
    sources = resolve_text_model(
        FLAGS.bert_config_file, FLAGS.vocab_file, start, FLAGS.do_lower_case, FLAGS.max_seq_length
    )
    if not FLAGS.do_train:
        sources.check_labels(task.labels, f"the model {start}")
    with strategy.scope():
        model = ClassifierModel(
            sources.config, task.num_outputs, FLAGS.precision, FLAGS.random_seed
        )

    weights = initial_classifier_weights(FLAGS, sources, task.labels) if FLAGS.do_train else None

    # The run, which must be the one that the folder holds if it holds any.
    claim_output_dir(FLAGS, strategy, FLAGS.do_train)
    if FLAGS.do_train:
        task.check_has(FLAGS.do_train, FLAGS.do_eval, FLAGS.do_predict)
        identity = run_identity(
            sources,
            model,
            weights,
            {"labels": task.labels, **flag_values(FLAGS, FINE_TUNING_FLAGS)},
            {"training data": task_content(task, task.train, FLAGS.data_dir)},
            evaluation_part(task, FLAGS.data_dir) if FLAGS.do_eval else None,
        )
        check_identity(FLAGS.output_dir, identity, strategy, FLAGS.start_over)

    # The records, and what a submission needs, before any training.
    with chief_first(strategy) as chief:
        sets = write_task_sets(
            task,
            FLAGS.data_dir,
            FLAGS.output_dir,
            sources.tokenizer,
            FLAGS.max_seq_length,
            train=FLAGS.do_train,
            dev=FLAGS.do_eval,
            test=FLAGS.do_predict,
            reuse=not chief,
        )
    submission = None
    if FLAGS.make_glue_submission:
        data = input_folders(FLAGS, ("data_dir",))
        check_folder_apart("submission_dir", FLAGS.submission_dir, data)
        submission = GlueSubmission(FLAGS.submission_dir, task, FLAGS.data_dir)

    predictor = Predictor(model, strategy)

    def evaluate(dev_set: TaskSet) -> Evaluation:
        return evaluate_task(predictor, task, dev_set, FLAGS.eval_batch_size)

    def write_model(folder: str, step: int) -> None:
        info = {
            "task_name": task.name,
            "labels": list(task.labels),
        }
        recorded = flag_values(FLAGS, RECORDED_FLAGS)
        write_trained_model(folder, model, sources, step, recorded, identity, info)

    final = None
    if FLAGS.do_train:
        (train_set,) = sets.train
        num_examples = train_set.records.num_examples
        num_steps = int(num_examples / FLAGS.train_batch_size * FLAGS.num_train_epochs)
        objective = RegressionObjective if task.is_regression else ClassificationObjective
        step, final = run_training(
            objective(model),
            strategy,
            train_set.records,
            train_set.spec,
            run_options(
                FLAGS,
                num_steps,
                int(num_steps * FLAGS.warmup_proportion),
                FLAGS.early_stopping_patience,
            ),
            weights,
            write_model,
            functools.partial(evaluate, sets.dev[0]) if FLAGS.do_eval else None,
        )
    else:
        step = load_trained_weights(model, start, TRAIN_OR_LEAVE_OUT)
    # Training ends with an evaluation on the first development set; it is not repeated.
    evaluations = [final] if final else []
    evaluations += [evaluate(dev_set) for dev_set in sets.dev[len(evaluations) :]]
    if chief:
        evaluated = FLAGS.output_dir if FLAGS.do_train else start
        write_eval_results(sets.dev, evaluations, FLAGS.output_dir, step, evaluated)
    predictions = write_test_results(
        predictor, task, sets.test, FLAGS.predict_batch_size, FLAGS.output_dir
    )
    if submission and chief:
        submission.write(predictions)


if __name__ == "__main__":
    flags.mark_flags_as_required(["data_dir", "task_name", "output_dir"])
    cli.run(main)
