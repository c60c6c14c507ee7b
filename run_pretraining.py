"""Pre-trains a BERT model on masked words and next sentences.

Records come from `create_pretraining_data.py`, or from the original's script of that name.

A minute on a CPU:
  python run_pretraining.py --bert_config_file=tiny --vocab_file=vocab.txt \\
    --input_file=records.tfrecord --output_dir=tiny --do_train --do_eval \\
    --num_train_steps=100 --num_warmup_steps=10 --precision=bfloat16
Continue pre-training a released model on text of your own:
  python run_pretraining.py --init_checkpoint=uncased_L-4_H-256_A-4 --input_file='records*' \\
    --output_dir=adapted --do_train --learning_rate=2e-5 --num_train_steps=10000
The setting of Devlin et al. (2018), on a TPU:
  python run_pretraining.py --bert_config_file=small --vocab_file=vocab.txt \\
    --input_file='gs://bucket/records*' --output_dir=gs://bucket/small --do_train \\
    --train_batch_size=256 --learning_rate=1e-4 --num_train_steps=1000000 --use_tpu --tpu_name=NAME
DistilBERT (Sanh et al. 2019), every other layer of the teacher as a start:
  python run_pretraining.py --teacher=bert_base --init_checkpoint=bert_base \\
    --bert_config_file=6/768 --init_strategy=truncate_every_other --input_file='records*' \\
    --output_dir=distilbert --do_train
"""

from collections.abc import Sequence

from absl import flags

from common.errors import UserError
from training import cli
from training.flags import (
    MODEL_SOURCE_FLAGS,
    RUN_FLAGS,
    claim_output_dir,
    define_casing_flag,
    define_device_flags,
    define_initialization_flags,
    define_model_flags,
    define_optimization_flags,
    device_options,
    flag_values,
    initial_weights,
    run_options,
)
from training.help import group

FLAGS = flags.FLAGS

group("The model and the data")
define_model_flags()
define_initialization_flags()
flags.DEFINE_string(
    "input_file", None, "Pre-training TFRecords: files, globs and folders, separated by commas."
)
flags.DEFINE_string(
    "eval_file",
    None,
    "Held-out pre-training TFRecords for --do_eval: files, globs and folders, separated by commas. "
    "Default: --input_file, as in the original.",
)
flags.DEFINE_string(
    "vocab_file",
    None,
    "WordPiece vocabulary of the records; it is compared with theirs and copied into the model "
    "folder. Default: that of --init_checkpoint.",
)
define_casing_flag()
flags.DEFINE_integer(
    "max_seq_length",
    128,
    "Length of the records' sequences in WordPieces. Must be that of create_pretraining_data.py.",
    lower_bound=4,
)
flags.DEFINE_integer(
    "max_predictions_per_seq",
    20,
    "Masked positions per record. Must be that of create_pretraining_data.py.",
    lower_bound=1,
)

group("A teacher, as in DistilBERT")
flags.DEFINE_string(
    "teacher",
    None,
    "Pre-trained model to distil during pre-training, in any form that --init_checkpoint takes; "
    "the loss becomes DistilBERT's.",
)
flags.DEFINE_float(
    "teacher_temperature",
    2.0,
    "Temperature of the softmax of teacher and student in the soft masked LM loss. Only with "
    "--teacher.",
    lower_bound=1e-3,
)
flags.DEFINE_float(
    "soft_masked_lm_weight",
    5.0,
    "Weight of the soft masked LM loss, the cross entropy with the teacher's predictions of masked "
    "words. Only with --teacher.",
    lower_bound=0.0,
)
flags.DEFINE_float(
    "masked_lm_weight",
    2.0,
    "Weight of the masked LM loss, the cross entropy with the true masked words. Only with "
    "--teacher; without one it is the loss, beside next-sentence prediction.",
    lower_bound=0.0,
)
flags.DEFINE_float(
    "cosine_weight",
    1.0,
    "Weight of the cosine distance between the last hidden states of teacher and student. Only "
    "with --teacher; above 0 the student must have the teacher's width.",
    lower_bound=0.0,
)

group("What to do")
flags.DEFINE_bool("do_train", False, "Pre-train the model on --input_file.")
flags.DEFINE_bool("do_eval", False, "Evaluate the model on --eval_file; writes eval_results.txt.")

group("Training")
define_optimization_flags()
flags.DEFINE_integer("num_train_steps", 100000, "Length of training in updates.", lower_bound=1)
flags.DEFINE_integer(
    "num_warmup_steps",
    10000,
    "Number of updates during which the learning rate rises from 0 to --learning_rate.",
    lower_bound=0,
)
flags.DEFINE_integer(
    "eval_batch_size", 8, "Records per batch in evaluation (--do_eval).", lower_bound=1
)
flags.DEFINE_integer(
    "max_eval_steps", 100, "Largest number of batches in one evaluation.", lower_bound=1
)

group("Devices")
define_device_flags()

TEACHER_FLAGS = [
    "teacher_temperature",
    "soft_masked_lm_weight",
    "masked_lm_weight",
    "cosine_weight",
]
# What decides the weights of a run, with its data and model.
TRAINING_FLAGS = ["max_predictions_per_seq", "num_warmup_steps", *RUN_FLAGS]
# What the model folder records.
RECORDED_FLAGS = ["input_file", "teacher", *MODEL_SOURCE_FLAGS, *TEACHER_FLAGS, *TRAINING_FLAGS]


def main(_: Sequence[str]) -> None:
    if not (FLAGS.do_train or FLAGS.do_eval):
        raise UserError("nothing to do: pass --do_train, --do_eval or both.")

    import os

    from modeling.heads import PretrainingModel
    from modeling.model_folder import check_max_seq_length, resolve_model
    from modeling.tokenization import check_casing
    from pretraining.distillation_objective import MaskedLmDistillationObjective, TripleLoss
    from pretraining.objective import PretrainingObjective, feature_spec
    from training.identity import Part, check_identity
    from training.input import (
        damage_named,
        evaluation_batches,
        open_records,
        record_files,
        value_limits,
    )
    from training.loop import evaluate
    from training.reporting import write_results
    from training.run import (
        TRAIN_OR_LEAVE_OUT,
        Evaluation,
        load_trained_weights,
        model_content,
        run_identity,
        run_training,
        trained_checkpoint,
        write_trained_model,
    )
    from training.strategy import check_batch_size, create_strategy, is_chief

    strategy = create_strategy(device_options(FLAGS))
    check_batch_size("eval_batch_size", FLAGS.eval_batch_size, strategy)
    input_files = record_files(FLAGS.input_file, "input_file")

    # The model and its vocabulary.
    start = FLAGS.init_checkpoint
    if not FLAGS.do_train:
        start = trained_checkpoint(FLAGS.output_dir, FLAGS.init_checkpoint)
    sources = resolve_model(FLAGS.bert_config_file, FLAGS.vocab_file, start, FLAGS.do_lower_case)
    check_max_seq_length(sources.config, FLAGS.max_seq_length)

    # The records.
    spec = feature_spec(FLAGS.max_seq_length, FLAGS.max_predictions_per_seq)
    expected = {
        "max_seq_length": FLAGS.max_seq_length,
        "max_predictions_per_seq": FLAGS.max_predictions_per_seq,
        "vocab_size": sources.config.vocab_size,
        "vocab_sha256": sources.vocab_sha256,
        "do_lower_case": sources.do_lower_case,
        "tokenizer_settings": sources.tokenizer and sources.tokenizer.settings.of_common_text(),
    }
    limits = value_limits(sources.config)
    records = open_records(input_files, "input_file", spec, expected, limits)
    eval_records = records
    if FLAGS.eval_file:
        eval_records = open_records(FLAGS.eval_file, "eval_file", spec, expected, limits)
    casing = sources.do_lower_case
    if casing is None and "do_lower_case" in records.info:
        casing = records.info["do_lower_case"]
        if sources.tokenizer:
            check_casing(sources.tokenizer, casing)

    with strategy.scope():
        model = PretrainingModel(sources.config, FLAGS.precision, FLAGS.random_seed)
        objective = PretrainingObjective(model)
        values = flag_values(FLAGS, TRAINING_FLAGS)
        contents = {"training records": records.content("input_file")}
        if FLAGS.teacher and FLAGS.do_train:
            of_teacher = resolve_model(
                None, sources.vocab_file, FLAGS.teacher, sources.do_lower_case
            )
            check_max_seq_length(of_teacher.config, FLAGS.max_seq_length)
            teacher = PretrainingModel(of_teacher.config, FLAGS.precision)
            load_trained_weights(teacher, FLAGS.teacher)
            loss = TripleLoss(
                FLAGS.teacher_temperature,
                FLAGS.soft_masked_lm_weight,
                FLAGS.masked_lm_weight,
                FLAGS.cosine_weight,
            )
            objective = MaskedLmDistillationObjective(model, teacher, loss)
            values.update(flag_values(FLAGS, TEACHER_FLAGS))
            contents["teacher"] = model_content(teacher, FLAGS.teacher)

    def evaluate_model() -> Evaluation:
        batches = evaluation_batches(eval_records, spec, FLAGS.eval_batch_size)
        with damage_named(eval_records):
            metrics = evaluate(objective.metrics, strategy, batches.take(FLAGS.max_eval_steps))
        metrics["loss"] = metrics["masked_lm_loss"] + metrics["next_sentence_loss"]
        return Evaluation(metrics, score=-metrics["loss"])

    def write_model(folder: str, step: int) -> None:
        info = {"do_lower_case": casing, "training_data": records.info}
        if "vocab_sha256" in records.info:
            info["vocab_sha256"] = records.info["vocab_sha256"]
        recorded = flag_values(FLAGS, RECORDED_FLAGS)
        write_trained_model(folder, model, sources, step, recorded, identity, info)

    # The run, which must be the one that the folder holds if it holds any.
    claim_output_dir(FLAGS, strategy, FLAGS.do_train, input_files)
    final = None
    if FLAGS.do_train:
        weights = initial_weights(FLAGS, sources.config)
        evaluation = None
        if FLAGS.do_eval:
            evaluation = Part(
                flag_values(FLAGS, ["eval_batch_size", "max_eval_steps"]),
                {"evaluation records": eval_records.content("eval_file")},
            )
        identity = run_identity(sources, model, weights, values, contents, evaluation)
        check_identity(FLAGS.output_dir, identity, strategy, FLAGS.start_over)
        step, final = run_training(
            objective,
            strategy,
            records,
            spec,
            run_options(FLAGS, FLAGS.num_train_steps, FLAGS.num_warmup_steps),
            weights,
            write_model,
            evaluate_model if FLAGS.do_eval else None,
            group_by_length=False,
        )
    else:
        step = load_trained_weights(model, start, TRAIN_OR_LEAVE_OUT)
    if FLAGS.do_eval:
        # Training ends with an evaluation; it is not repeated.
        final = final or evaluate_model()
        checkpoint = FLAGS.output_dir if FLAGS.do_train else start
        results = {"global_step": step, **final.metrics}
        if is_chief(strategy):
            write_results(os.path.join(FLAGS.output_dir, "eval_results.txt"), results, checkpoint)


if __name__ == "__main__":
    flags.mark_flags_as_required(["input_file", "output_dir"])
    cli.run(main)
