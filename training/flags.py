"""Flags that several scripts share, with the names and defaults of the original scripts.

Each `define_` function defines one group; a script calls the groups it has, and its `main` reads them
all at once into a frozen object (`training.options`). Those for data: `training.data_flags`.
"""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

from training.data_flags import define_casing_flag

# Runtimes that compute a classifier (`serving.engine_choice`).
ENGINES = ("tensorflow", "openvino", "onnxruntime", "litert")
# Precisions of scripts that only ask a model; int8 is that of engines (`define_engine_flag`).
VECTOR_PRECISIONS = ("float32", "bfloat16", "auto")
ANSWER_PRECISIONS = ("float32", "bfloat16", "auto", "int8")
_PRECISION_HELP = {
    "auto": " auto is bfloat16 where the CPU or all GPUs have instructions for it and the outputs "
    "for the first rows are close to those in float32, else float32; the log says which and why.",
    "int8": " int8 is for the engines onnxruntime and litert, whose answers are refused where they "
    "differ too much from those in float32 on the first rows.",
}


def define_device_flags(precisions: Sequence[str] = ("float32", "bfloat16")) -> None:
    """Defines the flags for devices and precision; those for TPUs are the original's.

    Args:
      precisions: Values of --precision: those of training, or of a script that only asks a model.
    """
    flags.DEFINE_bool(
        "use_tpu",
        False,
        "Run on a Cloud TPU. Without it, on the workers of TF_CONFIG, on all GPUs of this machine, "
        "or on its CPU.",
    )
    flags.DEFINE_string(
        "tpu_name", None, "Name or grpc:// address of the Cloud TPU. Only with --use_tpu."
    )
    flags.DEFINE_string(
        "tpu_zone",
        None,
        "Google Cloud zone of the Cloud TPU; detected when not given. Only with --use_tpu.",
    )
    flags.DEFINE_string(
        "gcp_project",
        None,
        "Google Cloud project of the Cloud TPU; detected when not given. Only with --use_tpu.",
    )
    flags.DEFINE_string(
        "master",
        None,
        "Address of the TensorFlow master of the Cloud TPU, in place of --tpu_name. Only with "
        "--use_tpu.",
    )
    flags.DEFINE_integer(
        "num_tpu_cores",
        8,
        "Number of TPU cores the job is meant for; a TPU with another number is refused. Only with "
        "--use_tpu.",
        lower_bound=1,
    )
    flags.DEFINE_float(
        "worker_timeout",
        1800.0,
        "Seconds to wait at the start for the other workers of TF_CONFIG, before giving up.",
        lower_bound=0.0,
    )
    flags.DEFINE_enum(
        "precision",
        "float32",
        precisions,
        "Precision of matrix products. bfloat16 is about twice as fast on processors that multiply "
        "it, and the native precision of TPUs; weights and an optimizer's moments stay float32."
        + "".join(_PRECISION_HELP.get(precision, "") for precision in precisions),
    )


def define_engine_flag() -> None:
    """Defines --engine, for scripts that only ask a classifier (`serving.engine_choice`)."""
    flags.DEFINE_enum(
        "engine",
        "auto",
        ["auto", *ENGINES],
        "Runtime that computes the model. Runtimes other than TensorFlow run in one process on "
        "the CPU (pip install -e '.[openvino]' or '.[onnx]'), and only if their outputs for the "
        "first rows agree with TensorFlow's. auto takes the fastest that is installed and agrees, "
        "or TensorFlow where there are too few rows for another one to save time.",
    )


def define_optimization_flags() -> None:
    """Defines the flags for training, but for its length, which scripts count differently."""
    flags.DEFINE_integer(
        "train_batch_size",
        32,
        "Training examples per update, over all devices and hosts together.",
        lower_bound=1,
    )
    flags.DEFINE_float(
        "learning_rate",
        5e-5,
        "Peak learning rate of Adam with weight decay. After the warm-up it follows the straight "
        "line that falls from this value at the first update to 0 at the last.",
        lower_bound=0.0,
    )
    flags.DEFINE_bool(
        "adam_bias_correction",
        False,
        "Correct Adam's moments for having begun at zero, as Keras, PyTorch and Model Garden do. The "
        "original does not; its first updates are up to 6.5 times as large, which small training "
        "sets do not always survive (STS-B and a Tiny model: Pearson 0.15 without, 0.55 with it).",
    )
    flags.DEFINE_float(
        "dropout_prob",
        None,
        "Rate of all dropout in this training, 0 for none. The model's own rates, 0.1 in the "
        "original, are the default, and stay in its configuration. Without dropout, Tiny leaves the "
        "first plateau of pre-training sooner (docs/results.md).",
        lower_bound=0.0,
        upper_bound=0.99,
    )
    flags.DEFINE_integer(
        "gradient_accumulation_steps",
        1,
        "Number of parts in which the gradient of a batch is computed, to save memory. "
        "--train_batch_size stays the batch of an update.",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "random_seed", 12345, "Seed of initial weights, order of training data and dropout."
    )
    flags.DEFINE_integer(
        "save_checkpoints_steps",
        1000,
        "Number of updates between saved states, from which an interrupted run goes on.",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "keep_checkpoint_max",
        2,
        "Number of saved states to keep in --output_dir, the newest.",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "evaluate_steps",
        0,
        "Number of updates between evaluations during training (with --do_eval); the model with "
        "the best evaluation is kept in the folder best of --output_dir. 0 evaluates at the end "
        "only.",
        lower_bound=0,
    )
    define_start_over_flag(
        "If --output_dir holds a run with other data, initial weights or settings, discard that "
        "run and begin anew. By default such a command is refused. A run of the same data, weights "
        "and settings is continued in any case."
    )
    flags.DEFINE_integer(
        "log_steps",
        100,
        "Number of updates between lines of metrics.jsonl, the log of losses in --output_dir.",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "iterations_per_loop",
        1000,
        "Largest number of updates in one call of the compiled training function; a call ends "
        "earlier where logging, saving or evaluation is due. Only with --use_tpu; elsewhere a "
        "call makes as many updates as take half a second, or with TF_CONFIG one.",
        lower_bound=1,
    )


def define_sharding_flag() -> None:
    """Defines the flag for the reading of records by several workers."""
    flags.DEFINE_bool(
        "shard_files",
        False,
        "With several workers (TF_CONFIG, TPU pods): each reads files of its own, every n-th. By "
        "default all read all files and take their rows of each batch. Files should hold about "
        "equally many records, and there must be at least one per worker. The batches then depend "
        "on the number of workers, which must stay the same for the whole run.",
    )


def define_start_over_flag(meaning: str) -> None:
    """Defines --start_over, with the given help."""
    flags.DEFINE_bool("start_over", False, meaning)


def define_epoch_flags() -> None:
    """Defines the flags for training in epochs, and the batches of evaluation and prediction."""
    flags.DEFINE_integer(
        "eval_batch_size", 8, "Examples per batch in evaluation (--do_eval).", lower_bound=1
    )
    flags.DEFINE_integer(
        "predict_batch_size", 8, "Examples per batch in prediction (--do_predict).", lower_bound=1
    )
    flags.DEFINE_float(
        "num_train_epochs",
        3.0,
        "Length of training in passes over the training set; fractions are allowed.",
        lower_bound=0.0,
    )
    flags.DEFINE_integer(
        "early_stopping_patience",
        0,
        "Stop training after this number of evaluations in a row without a new best (with "
        "--do_eval and --evaluate_steps). 0 trains to the end.",
        lower_bound=0,
    )
    flags.DEFINE_enum(
        "best_metric",
        None,
        ["accuracy", "macro_f1", "f1", "matthews_correlation", "pearson", "spearman", "loss"],
        "Metric on the development set that decides which model is the best, when early stopping "
        "ends training, and which setting a grid search chooses. f1 is the F1 of the second of "
        "two classes; of loss, lower values are better. Default: the task's official metric, or "
        "the mean of its two; for tables of your own, accuracy, or with --regression the mean of "
        "Pearson's and Spearman's correlation.",
    )
    flags.DEFINE_float(
        "warmup_proportion",
        0.1,
        "Fraction of all updates during which the learning rate rises from 0 to --learning_rate.",
        lower_bound=0.0,
        upper_bound=1.0,
    )


def define_model_flags(
    stored_model: str = "Model to start from",
    default: str = " Default: random weights; where nothing is trained, the model in --output_dir.",
) -> None:
    """Defines the flags for the model, its initial weights and the output folder.

    Args:
      stored_model: Beginning of the help of --init_checkpoint.
      default: End of that help.
    """
    flags.DEFINE_string(
        "bert_config_file",
        None,
        "Architecture of the model: a bert_config.json, a size by name (tiny, mini, small, medium, "
        "base, large), or number of layers and width as in the paper (6/512), and of heads where "
        "they are not 64 wide (2/384/12). Default: that of --init_checkpoint.",
    )
    flags.DEFINE_string(
        "init_checkpoint",
        None,
        f"{stored_model}, in any form that convert_checkpoint.py reads: model folder, prefix of a "
        f"checkpoint, output folder of a run, Hugging Face or Model Garden checkpoint.{default}",
    )
    flags.DEFINE_string(
        "output_dir", None, "Folder for all output: model, saved states, logs, results or records."
    )


def define_initialization_flags() -> None:
    """Defines the flags for the weights to take from --init_checkpoint (Turc et al. 2019, 6.1)."""
    flags.DEFINE_enum(
        "init_strategy",
        "full",
        ["full", "random", "embeddings_only", "truncate_bottom", "truncate_every_other"],
        "Weights to take from --init_checkpoint: full, all of them; random, none, only its "
        "configuration; embeddings_only; truncate_bottom, the bottom layers of a deeper model; "
        "truncate_every_other, every other layer of a deeper model.",
    )
    flags.DEFINE_list(
        "init_layers",
        None,
        "Layers of --init_checkpoint that the layers of the model start from, bottom to top, "
        "counted from 0, such as 0,2,4,7,9,11. In place of --init_strategy.",
    )


def define_head_flag() -> None:
    """Defines --init_head, the use of the classifier that --init_checkpoint may have."""
    flags.DEFINE_enum(
        "init_head",
        "auto",
        ["auto", "keep", "new"],
        "Classifier to start training from: auto, that of --init_checkpoint where its labels are "
        "those of this run in the same order, and else a new one; keep, that of --init_checkpoint, "
        "or the run is refused; new, always a new one.",
    )


def define_trained_model_flags() -> None:
    """Defines the flags for what a trained model in use may not say of itself."""
    flags.DEFINE_string(
        "bert_config_file", None, "Architecture of the model, where none is beside the checkpoint."
    )
    flags.DEFINE_string(
        "vocab_file",
        None,
        "WordPiece vocabulary of the model, where none is beside the checkpoint.",
    )
    define_casing_flag()
    flags.DEFINE_integer(
        "max_seq_length",
        None,
        "Length of the model's input in WordPieces, [CLS] and [SEP] included. Longer texts are cut. "
        "Default: that of the model's training, or 128 where it is not recorded.",
        lower_bound=4,
    )
