"""Flags for the data that several scripts share: tasks, the treatment of text, Apache Beam.

As `training.flags`, which has those of models, training and devices.
"""

from __future__ import annotations

from absl import flags


def define_casing_flag() -> None:
    """Defines --do_lower_case, for models whose files or vocabulary may record the casing."""
    flags.DEFINE_bool(
        "do_lower_case",
        None,
        "Lower-case the text and strip accents before it is cut into WordPieces; False for cased "
        "models. Default: the casing that the model or its records have recorded; if none is "
        "recorded, False for a cased vocabulary and True for others.",
    )


def define_text_flags(
    vocabulary: str = "WordPiece vocabulary of the model, one entry per line. Default: that of "
    "--init_checkpoint.",
) -> None:
    """Defines the flags for tokenization, which must be those of the model's pre-training.

    Args:
      vocabulary: Help of --vocab_file.
    """
    flags.DEFINE_string("vocab_file", None, vocabulary)
    define_casing_flag()
    flags.DEFINE_integer(
        "max_seq_length",
        None,
        "Length of the model's input in WordPieces, [CLS] and [SEP] included. Longer texts are "
        "cut. Default: that of the soft labels in distillation, else that of the earlier training "
        "of the model, or 128 where none is recorded.",
        lower_bound=4,
    )


def define_task_flags() -> None:
    """Defines the flags for a labelled task."""
    flags.DEFINE_string(
        "task_name",
        None,
        "Labelled task, by name: cola, sst-2, mrpc, sts-b, qqp, mnli, qnli, rte, wnli, ax "
        "(predictions only), snli, book-reviews; or tables of your own by their kind: csv, tsv "
        "(tabs, nothing quoted), jsonl (one JSON object per line) or parquet.",
    )
    flags.DEFINE_enum(
        "data_source",
        "files",
        ["files", "tfds"],
        "Source of the task's examples in --data_dir: files, the task's own files as they are "
        "distributed; tfds, data sets of tensorflow-datasets, which are downloaded to it as "
        "needed.",
    )
    flags.DEFINE_string(
        "data_dir",
        None,
        "Folder of the task's training, development and test sets; of tables of your own, "
        "train.csv, dev.csv and test.csv (or .tsv and so on), plain or compressed.",
    )
    flags.DEFINE_string(
        "text_a",
        None,
        "Column (key, in .jsonl) of the text, or of the first text of pairs. For tables of your "
        "own; tasks with a name of their own have fixed columns.",
    )
    flags.DEFINE_string(
        "text_b",
        None,
        "Column (key, in .jsonl) of the second text of pairs. For tables of your own.",
    )
    flags.DEFINE_string(
        "label",
        None,
        "Column (key, in .jsonl) of the label. For tables of your own; not needed to predict by a "
        "model that says its labels.",
    )
    flags.DEFINE_list(
        "labels",
        None,
        "All labels, in the order of the classifier's outputs. For tables of your own. Default: in "
        "training, the labels of the training set, sorted; else those recorded with the model or "
        "the soft labels.",
    )
    flags.DEFINE_bool(
        "regression",
        None,
        "Treat labels as scores to predict instead of classes. For tables of your own. "
        "--noregression treats them as classes even if they are numbers or very many. Default: "
        "classes, but labels that look like scores, or are too many to be classes, are refused.",
    )
    for name in ("train", "dev", "test"):
        kind = {"train": "training", "dev": "development", "test": "test"}[name]
        flags.DEFINE_string(
            f"{name}_file",
            None,
            f"Tables of the {kind} set: files, globs and folders, separated by commas. For tables of "
            f"your own. Default: {name}.csv (or .tsv and so on) of --data_dir.",
        )
    flags.DEFINE_float(
        "dev_share",
        0.0,
        "Share of the training set's rows that are held out as development set, such as 0.1: of "
        "each label the same share, and equal texts stay together. For tables of your own without "
        "a development set.",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    flags.DEFINE_integer("dev_seed", 12345, "Seed that decides which rows --dev_share holds out.")


def define_beam_flags() -> None:
    """Defines the flags for Apache Beam, for scripts that prepare data."""
    flags.DEFINE_string(
        "beam_runner",
        None,
        "Run on Apache Beam by this runner: DirectRunner (this machine), DataflowRunner, "
        "FlinkRunner, SparkRunner or another one. Workers must reach all files by the names given "
        "on the command line. The output is the same as without Beam.",
    )
    flags.DEFINE_string(
        "beam_options",
        "",
        "Options of Apache Beam and its runner, as on a command line: '--project=name "
        "--region=here --temp_location=gs://bucket/tmp'. Only with --beam_runner.",
    )
