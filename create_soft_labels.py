"""Lets a fine-tuned teacher label a transfer set, for `run_distill.py`.

Unlabelled text, one text per line (.txt) or single/pair columns (.tsv), plain, .gz or .xz:
  python create_soft_labels.py --init_checkpoint=teacher --input_file='reviews*.txt.xz' \
    --output_dir=soft_labels
Pairs from a table with a header:
  python create_soft_labels.py --init_checkpoint=teacher --input_file=pairs.tsv \
    --text_a=premise --text_b=hypothesis --output_dir=soft_labels
The labelled training set itself (its labels are kept for --hard_label_weight), with more text:
  python create_soft_labels.py --init_checkpoint=teacher --task_name=SST-2 --data_dir=glue/SST-2 \
    --input_file=reviews.txt --output_dir=soft_labels
"""

from collections.abc import Iterator, Sequence

from absl import flags

from common.errors import UserError
from training import cli
from training.flags import (
    define_device_flags,
    define_model_flags,
    define_task_flags,
    define_text_flags,
    device_options,
    flag_values,
)

FLAGS = flags.FLAGS

## The teacher
define_model_flags()

## The transfer set
flags.DEFINE_string(
    "input_file", None, "Unlabelled text: .txt or .tsv, also .gz and .xz (comma-separated globs)."
)
define_task_flags()
define_text_flags()

## The output
flags.DEFINE_integer("examples_per_shard", 10000, "Examples per output file.", lower_bound=1)
flags.DEFINE_list(
    "hidden_state_layers",
    None,
    "Teacher layers, counted from 1, whose [CLS] states are stored too, for --patience_weight of "
    "run_distill.py; 2,4,6,8,10 for a teacher of 12 layers and a student of 6.",
)
flags.DEFINE_integer("predict_batch_size", 32, "Examples per teacher batch.", lower_bound=1)

## Devices
define_device_flags()

# What decides the content of the shards; a set is not continued with other values.
SET_FLAGS = [
    "input_file",
    "task_name",
    "data_dir",
    "text_a",
    "text_b",
    "label",
    "examples_per_shard",
    "precision",
]


def main(_: Sequence[str]) -> None:
    if not (FLAGS.input_file or FLAGS.task_name):
        raise UserError("no transfer set: pass --input_file, or --task_name with --data_dir.")
    if FLAGS.task_name and not FLAGS.data_dir:
        raise UserError(f"--task_name={FLAGS.task_name} needs --data_dir.")

    import logging

    from tqdm import tqdm

    from classification.tasks import get_task
    from common.files import expand_globs, make_folder
    from distillation.patience import parse_layers, teacher_outputs
    from distillation.soft_labels import (
        TransferExample,
        all_single_or_all_pairs,
        check_earlier_shards,
        is_finished,
        remove_manifest,
        shard_path,
        shards_of,
        write_manifest,
        write_shard,
    )
    from modeling.checkpoints import variable_values, weights_digest
    from modeling.heads import ClassifierModel
    from modeling.model_folder import check_labels, resolve_text_model
    from training.classifier_records import encode_rows
    from training.input import array_batches
    from training.loop import Predictor
    from training.run import load_trained_weights, software_versions
    from training.strategy import check_batch_size, chief_value, create_strategy, is_chief
    from training.tables import read_transfer_texts

    strategy = create_strategy(device_options(FLAGS))
    check_batch_size("predict_batch_size", FLAGS.predict_batch_size, strategy)

    # The teacher.
    sources = resolve_text_model(
        FLAGS.bert_config_file,
        FLAGS.vocab_file,
        FLAGS.init_checkpoint,
        FLAGS.do_lower_case,
        FLAGS.max_seq_length,
    )
    task = None
    if FLAGS.task_name:
        task = get_task(
            FLAGS.task_name, FLAGS.data_dir, FLAGS.text_a, FLAGS.text_b, FLAGS.label, FLAGS.labels
        )
        check_labels(sources.labels, task.labels, f"--init_checkpoint={FLAGS.init_checkpoint}")
    labels = sources.labels or (task.labels if task else FLAGS.labels)
    if not labels:
        raise UserError(
            f"--init_checkpoint={FLAGS.init_checkpoint} does not say which labels it predicts; pass "
            "--labels in the order of its outputs."
        )

    layers = parse_layers(FLAGS.hidden_state_layers, sources.config.num_hidden_layers)

    # The transfer set. Column flags belong to the task when there is one.
    paths = expand_globs(FLAGS.input_file, "input_file") if FLAGS.input_file else []
    columns = (None, None) if task else (FLAGS.text_a, FLAGS.text_b)

    def read_transfer_set() -> Iterator[TransferExample]:
        for file in task.train if task else ():
            assert task
            for example in task.read_examples(file, FLAGS.data_dir):
                label_id = task.labels.index(example.label or "")
                yield TransferExample(example.example_id, example.text_a, example.text_b, label_id)
        for example_id, text_a, text_b in read_transfer_texts(paths, *columns):
            yield TransferExample(example_id, text_a, text_b)

    def transfer_set() -> Iterator[TransferExample]:
        return all_single_or_all_pairs(read_transfer_set())

    # A first pass over the text finds every error in it before any labelling.
    num_examples = num_labelled = 0
    for example in transfer_set():
        num_examples += 1
        num_labelled += example.label_id is not None
    if not num_examples:
        raise UserError(f"--input_file={FLAGS.input_file}: no text in these files.")

    with strategy.scope():
        teacher = ClassifierModel(sources.config, len(labels), FLAGS.precision)
    load_trained_weights(teacher, FLAGS.init_checkpoint)

    chief = is_chief(strategy)
    if chief:
        make_folder(FLAGS.output_dir)
    description = {
        "labels": list(labels),
        "hidden_state_layers": layers,
        "max_seq_length": FLAGS.max_seq_length,
        "do_lower_case": sources.tokenizer.do_lower_case,
        "vocab_sha256": sources.tokenizer.sha256,
        "teacher_config": sources.config.to_dict(),
        "teacher_weights_sha256": weights_digest(variable_values(teacher.trainable_variables)),
        "flags": flag_values(FLAGS, SET_FLAGS),
    }
    check_earlier_shards(FLAGS.output_dir, description)
    predictor = Predictor(teacher_outputs(teacher, layers), strategy)
    counts = []
    with tqdm(total=num_examples, unit=" examples", desc="Soft labels") as progress:
        for index, examples in enumerate(shards_of(transfer_set(), FLAGS.examples_per_shard)):
            path = shard_path(FLAGS.output_dir, index)
            # Asked of the chief: another worker may see a file that the chief has just finished.
            if not chief_value(strategy, is_finished(path, examples)):
                if chief:
                    remove_manifest(FLAGS.output_dir)
                rows = [(e.text_a, e.text_b) for e in examples]
                features = encode_rows(sources.tokenizer, rows, FLAGS.max_seq_length)
                batches = array_batches(features, FLAGS.predict_batch_size)
                outputs = predictor(batches, len(examples))
                if chief:
                    write_shard(path, examples, features, outputs, description)
            counts.append(len(examples))
            progress.update(len(examples))
    if chief:
        write_manifest(FLAGS.output_dir, counts, num_labelled, description, software_versions())
    logging.info("%d examples in %d shards in %s.", num_examples, len(counts), FLAGS.output_dir)


if __name__ == "__main__":
    flags.mark_flags_as_required(["init_checkpoint", "output_dir"])
    cli.run(main)
