"""Lets a fine-tuned teacher label a transfer set, for `run_distill.py`.

Unlabelled text, one text per line (.txt) or single/pair columns (.tsv), maybe compressed:
  python create_soft_labels.py --init_checkpoint=teacher --input_file='reviews*.txt.xz' \\
    --output_dir=soft_labels
Pairs from a table with a header:
  python create_soft_labels.py --init_checkpoint=teacher --input_file=pairs.tsv \\
    --text_a=premise --text_b=hypothesis --output_dir=soft_labels
The labelled training set itself (its labels are kept for --hard_label_weight), with more text:
  python create_soft_labels.py --init_checkpoint=teacher --task_name=SST-2 --data_dir=glue/SST-2 \\
    --input_file=reviews.txt --output_dir=soft_labels
On four machines that share a file system, this is the first; whichever ends last completes the set:
  python create_soft_labels.py --init_checkpoint=teacher --input_file=reviews.txt \\
    --output_dir=soft_labels --num_shards=4 --shard_index=0
"""

from collections.abc import Iterator, Sequence

from absl import flags

from common.errors import UserError
from training import cli
from training.flags import (
    TASK_FLAGS,
    define_device_flags,
    define_model_flags,
    define_start_over_flag,
    define_task_flags,
    define_text_flags,
    device_options,
    flag_values,
    input_folders,
)
from training.help import group

FLAGS = flags.FLAGS

group("The teacher")
define_model_flags()

group("The transfer set")
flags.DEFINE_string(
    "input_file",
    None,
    "Unlabelled text: files, globs and folders, separated by commas. One text per line (.txt), "
    "tables (.tsv) or JSON Lines (.jsonl), plain or compressed.",
)
define_task_flags()
define_text_flags()

group("The output")
flags.DEFINE_integer(
    "examples_per_shard",
    10000,
    "Examples per output file. Labelling that was interrupted goes on with the first unfinished "
    "file.",
    lower_bound=1,
)
define_start_over_flag(
    "Replace soft labels in --output_dir that were made from other text, by another teacher or "
    "with other settings. By default such a command is refused."
)
flags.DEFINE_list(
    "hidden_state_layers",
    None,
    "Layers of the teacher, counted from 1, whose [CLS] hidden states are stored as well, for "
    "--patience_weight of run_distill.py: 2,4,6,8,10 for a teacher of 12 layers and a student of "
    "6.",
)
flags.DEFINE_integer("predict_batch_size", 32, "Examples per batch of the teacher.", lower_bound=1)

group("Devices")
flags.DEFINE_integer(
    "num_shards",
    1,
    "Number of processes that share the labelling, on one machine or on several.",
    lower_bound=1,
)
flags.DEFINE_integer(
    "shard_index",
    None,
    "Number of this process among --num_shards, counted from 0. It labels every --num_shards-th "
    "output file.",
)
define_device_flags()

# Where the texts come from and how they are cut into files, for the record.
SET_FLAGS = [
    "input_file",
    *TASK_FLAGS,
    "examples_per_shard",
    "precision",
]


def main(_: Sequence[str]) -> None:
    if not (FLAGS.input_file or FLAGS.task_name):
        raise UserError("no transfer set: pass --input_file, or --task_name with --data_dir.")
    if FLAGS.task_name and not FLAGS.data_dir:
        raise UserError(f"--task_name={FLAGS.task_name} needs --data_dir.")

    shard_index = parse_shard_index(FLAGS.shard_index, FLAGS.num_shards)

    import logging

    from tqdm import tqdm

    from classification.tasks import check_label_flags, get_task
    from common.files import expand_globs
    from common.outputs import Input, check_folder_apart, lock_folder
    from distillation.patience import parse_layers, teacher_outputs
    from distillation.soft_labels import (
        TransferDigest,
        TransferExample,
        check_earlier_shards,
        check_pairs,
        examples_digest,
        is_finished,
        remove_manifest,
        shard_path,
        shards_of,
        unfinished_shards,
        write_manifest,
        write_shard,
    )
    from modeling.checkpoints import variable_values, weights_digest
    from modeling.heads import ClassifierModel
    from modeling.model_folder import check_labels, resolve_text_model
    from training.classifier_records import encode_rows, num_outputs
    from training.input import array_batches
    from training.loop import Predictor
    from training.run import load_trained_weights, software_versions
    from training.strategy import (
        check_batch_size,
        chief_value,
        create_strategy,
        is_chief,
        lengths_may_vary,
    )
    from training.tables import is_transfer_name, read_transfer_texts

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
        task = get_task(**flag_values(FLAGS, TASK_FLAGS))
        if not task.train:
            raise UserError(
                f"--task_name={FLAGS.task_name}: the task has no training set to label; pass its "
                "texts with --input_file alone."
            )
        check_labels(sources.labels, task.labels, f"--init_checkpoint={FLAGS.init_checkpoint}")
    sources.check_head(f"--init_checkpoint={FLAGS.init_checkpoint}")
    labels: Sequence[str] | None = sources.labels
    if task is None:
        is_regression = check_label_flags(FLAGS.labels, FLAGS.regression)
        given: Sequence[str] | None = [] if is_regression else FLAGS.labels
        if given is not None:
            check_labels(labels, given, f"--init_checkpoint={FLAGS.init_checkpoint}")
            labels = given
    elif labels is None:
        labels = task.labels
    if labels is None:
        raise UserError(
            f"--init_checkpoint={FLAGS.init_checkpoint} does not say which labels it predicts; pass "
            "--labels in the order of its outputs, or --regression."
        )

    layers = parse_layers(FLAGS.hidden_state_layers, sources.config.num_hidden_layers)

    # The transfer set. Column flags belong to the task when there is one.
    paths = (
        expand_globs(FLAGS.input_file, "input_file", is_transfer_name) if FLAGS.input_file else []
    )
    inputs = [Input("input_file", path) for path in paths]
    inputs += input_folders(FLAGS, ("init_checkpoint", "data_dir"))
    check_folder_apart("output_dir", FLAGS.output_dir, inputs)
    columns = (None, None) if task else (FLAGS.text_a, FLAGS.text_b)

    def transfer_set() -> Iterator[TransferExample]:
        for file in task.train if task else ():
            assert task
            for example in task.read_examples(file, FLAGS.data_dir):
                label_id = task.label_value(example.label or "")
                yield TransferExample(example.example_id, example.text_a, example.text_b, label_id)
        for example_id, text_a, text_b in read_transfer_texts(paths, *columns):
            yield TransferExample(example_id, text_a, text_b)

    # A first pass over the text finds every error in it before any labelling.
    num_examples = num_labelled = 0
    are_pairs = False
    digest = TransferDigest()
    for example in transfer_set():
        is_pair = example.text_b is not None
        if num_examples:
            # Files alone are of one kind, or `read_transfer_texts` refuses them.
            check_pairs(is_pair, are_pairs, f"--input_file, {example.example_id}", "the task")
        are_pairs = is_pair
        num_examples += 1
        num_labelled += example.label_id is not None
        digest.add(example)
    if not num_examples:
        raise UserError(f"--input_file={FLAGS.input_file}: no text in these files.")

    with strategy.scope():
        teacher = ClassifierModel(sources.config, num_outputs(labels), FLAGS.precision)
    load_trained_weights(teacher, FLAGS.init_checkpoint)

    chief = is_chief(strategy)
    if chief:
        part = f"{shard_index}-of-{FLAGS.num_shards}" if FLAGS.num_shards > 1 else None
        lock_folder("output_dir", FLAGS.output_dir, part)
    description = {
        "labels": list(labels),
        "hidden_state_layers": layers,
        "max_seq_length": FLAGS.max_seq_length,
        "do_lower_case": sources.tokenizer.do_lower_case,
        "tokenizer_settings": sources.tokenizer.settings.of_common_text(),
        "vocab_sha256": sources.tokenizer.sha256,
        "teacher_config": sources.config.to_dict(),
        "teacher_weights_sha256": weights_digest(variable_values(teacher.trainable_variables)),
        "transfer_set_sha256": digest.hexdigest(),
        "examples_per_shard": FLAGS.examples_per_shard,
        "precision": FLAGS.precision,
    }
    check_earlier_shards(FLAGS.output_dir, description, FLAGS.start_over)
    predictor = Predictor(teacher_outputs(teacher, layers), strategy)
    counts, digests = [], []
    with tqdm(total=num_examples, unit=" examples", desc="Soft labels") as progress:
        for index, examples in enumerate(shards_of(transfer_set(), FLAGS.examples_per_shard)):
            path = shard_path(FLAGS.output_dir, index)
            # Asked of the chief: another worker may see a file that the chief has just finished.
            is_ours = index % FLAGS.num_shards == shard_index
            if is_ours and not chief_value(strategy, is_finished(path, examples)):
                if chief:
                    remove_manifest(FLAGS.output_dir)
                rows = [(e.text_a, e.text_b) for e in examples]
                features = encode_rows(sources.tokenizer, rows, FLAGS.max_seq_length)
                batches = array_batches(
                    features, FLAGS.predict_batch_size, lengths_may_vary(strategy)
                )
                outputs = predictor(batches, len(examples))
                if chief:
                    write_shard(path, examples, features, outputs, description)
            counts.append(len(examples))
            digests.append(examples_digest(examples))
            progress.update(len(examples))

    # Others may have begun after this process looked for shards made in another way.
    check_earlier_shards(FLAGS.output_dir, description)
    if missing := unfinished_shards(FLAGS.output_dir, digests) if chief else []:
        logging.info(
            "%d of %d shards are missing or hold other texts, first of all %s, the work of "
            "--shard_index=%d; the process that ends last completes the set.",
            len(missing),
            len(counts),
            shard_path(FLAGS.output_dir, missing[0]),
            missing[0] % FLAGS.num_shards,
        )
        return
    if chief:
        described = {**description, "flags": flag_values(FLAGS, SET_FLAGS)}
        write_manifest(
            FLAGS.output_dir, counts, num_labelled, are_pairs, described, software_versions()
        )
    logging.info("%d examples in %d shards in %s.", num_examples, len(counts), FLAGS.output_dir)


def parse_shard_index(shard_index: int | None, num_shards: int) -> int:
    """The position of this process among those that share the work.

    Raises:
      UserError: It is out of range, or missing where there are several.
    """
    if shard_index is None and num_shards > 1:
        raise UserError(
            f"--num_shards={num_shards} needs --shard_index, from 0 to {num_shards - 1}: a different "
            "one for each process."
        )
    if shard_index is not None and not 0 <= shard_index < num_shards:
        raise UserError(
            f"--shard_index is {shard_index}; with --num_shards={num_shards}, it must be from 0 to "
            f"{num_shards - 1}."
        )
    return shard_index or 0


if __name__ == "__main__":
    flags.mark_flags_as_required(["init_checkpoint", "output_dir"])
    cli.run(main)
