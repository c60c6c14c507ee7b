"""Options of a run as frozen objects: the flags that scripts share, in groups.

Every attribute is the flag of that name (`training.flags`), with the same default; what it means
stands in the help of the flag. The options of a script are its groups put together
(`classification.fine_tuning.FineTuningOptions`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, TypeVar

from absl import flags

from common.errors import UserError

SomeOptions = TypeVar("SomeOptions", bound="Options")


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of a script, or a group of them."""

    def values(self, names: Iterable[str]) -> dict[str, Any]:
        """Name -> value, for records of how something was made."""
        return {name: getattr(self, name) for name in names}

    def refuse(self, names: Iterable[str], reason: str) -> None:
        """Raises a UserError if one of these flags was given; for what only the input files say."""
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for name, value in self.values(names).items():
            if value != defaults[name]:
                flag = f"--{name}" if value is True else f"--{name}={value}"
                raise UserError(f"{flag} has no effect: {reason}; leave it out.")


def from_flags(kind: type[SomeOptions], values: flags.FlagValues) -> SomeOptions:
    """The options of that kind that the flags of a script hold."""
    return kind(**{field.name: values[field.name].value for field in dataclasses.fields(kind)})


@dataclasses.dataclass(frozen=True)
class DeviceOptions(Options):
    """Devices and precision (`training.flags.define_device_flags`)."""

    use_tpu: bool = False
    tpu_name: str | None = None
    tpu_zone: str | None = None
    gcp_project: str | None = None
    master: str | None = None
    num_tpu_cores: int = 8
    worker_timeout: float = 1800.0
    precision: str = "float32"


@dataclasses.dataclass(frozen=True)
class BeamFlags(Options):
    """Many machines, for scripts that prepare data (`define_beam_flags`)."""

    beam_runner: str | None = None
    beam_options: str = ""


@dataclasses.dataclass(frozen=True)
class ModelOptions(Options):
    """The model and its text (`define_model_flags`, `define_text_flags`)."""

    bert_config_file: str | None = None
    init_checkpoint: str | None = None
    vocab_file: str | None = None
    do_lower_case: bool | None = None
    max_seq_length: int | None = None


@dataclasses.dataclass(frozen=True)
class TrainingOptions(DeviceOptions, ModelOptions):
    """Training a model in a folder (`define_optimization_flags`, `define_initialization_flags`)."""

    output_dir: str = ""
    do_train: bool = False
    do_eval: bool = False
    init_strategy: str = "full"
    init_layers: Sequence[str] | None = None
    train_batch_size: int = 32
    learning_rate: float = 5e-5
    adam_bias_correction: bool = False
    dropout_prob: float | None = None
    gradient_accumulation_steps: int = 1
    random_seed: int = 12345
    save_checkpoints_steps: int = 1000
    keep_checkpoint_max: int = 2
    evaluate_steps: int = 0
    start_over: bool = False
    log_steps: int = 100
    iterations_per_loop: int = 1000
    eval_batch_size: int = 8

    # Names of flags whose values decide, with data and model, the weights of every run.
    DECISIVE: ClassVar[tuple[str, ...]] = (
        "max_seq_length",
        "train_batch_size",
        "learning_rate",
        "adam_bias_correction",
        "dropout_prob",
        "gradient_accumulation_steps",
        "random_seed",
        "precision",
    )
    # Where the model comes from: recorded with the result. What decides is the content behind it.
    MODEL_SOURCES: ClassVar[tuple[str, ...]] = (
        "bert_config_file",
        "init_checkpoint",
        "init_strategy",
        "init_layers",
        "vocab_file",
    )


@dataclasses.dataclass(frozen=True)
class EpochOptions(TrainingOptions):
    """Training in passes over a set of examples (`define_epoch_flags`, `define_head_flag`)."""

    do_predict: bool = False
    init_head: str = "auto"
    predict_batch_size: int = 8
    num_train_epochs: float = 3.0
    early_stopping_patience: int = 0
    best_metric: str | None = None
    warmup_proportion: float = 0.1

    DECISIVE = (*TrainingOptions.DECISIVE, "init_head", "warmup_proportion")
    # It decides, but a run may be made longer: recorded with the result.
    LENGTH: ClassVar[tuple[str, ...]] = ("num_train_epochs",)


@dataclasses.dataclass(frozen=True)
class TaskOptions(Options):
    """A labelled task (`define_task_flags`), in the words of `classification.tasks.get_task`."""

    task_name: str | None = None
    data_source: str = "files"
    data_dir: str | None = None
    text_a: str | None = None
    text_b: str | None = None
    label: str | None = None
    labels: Sequence[str] | None = None
    regression: bool | None = None
    train_file: str | None = None
    dev_file: str | None = None
    test_file: str | None = None
    dev_share: float = 0.0
    dev_seed: int = 12345

    def task_inputs(self) -> dict[str, list[str]]:
        """Files and folders that the task is read from, by flag."""
        names = ("data_dir", "train_file", "dev_file", "test_file")
        given = {name: value for name, value in self.values(names).items() if value}
        return {n: v.split(",") if n != "data_dir" else [v] for n, v in given.items()}


# All of them; they are the arguments of `get_task`.
TASK_FLAGS = tuple(field.name for field in dataclasses.fields(TaskOptions))
