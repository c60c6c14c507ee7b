"""Session of a training command: the work that all of them share.

It finds its devices, opens the model it starts from, makes the output folder its own, checks that the
run in it is the one that is asked for, trains or loads, and writes the model. What differs between
pre-training, fine-tuning and distillation, the data, the head and the loss, comes from their modules.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import tf_keras

from checkpoints.formats import find_weights, open_weights, weights_exist
from checkpoints.initialization import RANDOM, check_width, select_head, select_weights
from checkpoints.model_sources import (
    ModelSources,
    TextModelSources,
    resolve_model,
    resolve_text_model,
)
from checkpoints.weights import WeightReader
from common.content import Content
from common.errors import UserError
from common.file_facts import FileFacts
from common.files import exists, is_folder
from common.outputs import Inputs, check_folder_apart, checkpoint_file, lock_folder
from data.record_sets import RecordSet
from modeling.config import BertConfig
from training.identity import Identity, Part, check_identity, run_identity
from training.kept_models import KeptModel, Programs, keep_model, take_model
from training.options import EpochOptions, TrainingOptions
from training.run import Evaluation, Schedule, Trained, run_training
from training.strategy import check_batch_size, create_strategy, is_chief
from training.trained_models import load_trained_weights, write_trained_model
from training.updates import Objective

Model = TypeVar("Model", bound=tf_keras.Model)

_NO_TRAINED_MODEL_ADVICE = (
    "train one (--do_train), or name a trained model with --init_checkpoint; without that flag, "
    "the model in --output_dir is used"
)


class Session:
    """One training command; its methods are called in the order in which they stand here.

    As a context manager it leaves the model, with what was compiled for it, to further runs of this
    process (`training.kept_models`), however the run ends.

    Attributes:
      options: Of the command.
      input_facts: Facts about input files, known since an earlier start of the run.
      strategy: The devices.
      is_chief: Whether this process writes.
      start: Path of the weights: --init_checkpoint or, where nothing is trained, the model
        in --output_dir if no other is named; None for random weights.

    Raises:
      UserError: A device does not answer, a batch cannot be divided over the devices, or there is
        nothing trained to use.
    """

    def __init__(self, options: TrainingOptions):
        self.options = options
        self.input_facts = FileFacts(options.output_dir)
        self.strategy = create_strategy(options)
        self.is_chief = is_chief(self.strategy)
        sizes = {"eval_batch_size": options.eval_batch_size}
        if isinstance(options, EpochOptions):
            sizes["predict_batch_size"] = options.predict_batch_size
        for flag, size in sizes.items():
            check_batch_size(flag, size, self.strategy)
        self.start = options.init_checkpoint
        if not options.do_train:
            self.start = trained_checkpoint(options.output_dir, options.init_checkpoint)
        self._used: KeptModel | None = None
        self._is_kept = False
        self._identity: Identity | None = None
        self._length: int | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        if self._used and self._is_kept:
            keep_model(self._used)

    @property
    def evaluated_model(self) -> str:
        """The model that results are of, for the record."""
        return self.options.output_dir if self.options.do_train else self.start or ""

    def model_sources(self) -> ModelSources:
        """The model's architecture, vocabulary and labels; UserError where the flags contradict."""
        options = self.options
        sources = resolve_model(
            options.bert_config_file, options.vocab_file, self.start, options.do_lower_case
        )
        self._check_start(sources)
        return sources

    def text_model_sources(self, of_records: int | None = None) -> TextModelSources:
        """`model_sources` of a model that reads text; from here on `max_seq_length` is known.

        Args:
          of_records: Length of records that are there already.
        """
        options = self.options
        sources = resolve_text_model(
            options.bert_config_file, options.vocab_file, self.start, options.do_lower_case
        )
        self._check_start(sources)
        self._length = sources.input_length(options.max_seq_length, of_records)
        return sources

    @property
    def max_seq_length(self) -> int:
        """Length of the inputs, given or not."""
        assert self._length
        return self._length

    def _values(self, names: Sequence[str]) -> dict[str, Any]:
        """Values of options, for records of the run."""
        values = self.options.values(names)
        if self._length and "max_seq_length" in values:
            values["max_seq_length"] = self._length
        return values

    def _check_start(self, sources: ModelSources) -> None:
        """Refuses weights of another width early: before data is read and the model is built."""
        if self.start and self.options.init_strategy != RANDOM:
            check_width(open_weights(find_weights(self.start)), sources.config)

    def build(
        self,
        make_model: Callable[..., Model],
        config: BertConfig,
        *outputs: Hashable,
        is_kept: bool = True,
    ) -> Model:
        """A model with random weights on the devices; see `training.kept_models`.

        Args:
          make_model: Its class.
          config: Its architecture, whose dropout `dropout_prob` replaces.
          outputs: Arguments of the class between architecture and precision.
          is_kept: Whether further runs may use the model and what was compiled for it.
        """
        options = self.options
        if options.dropout_prob is not None:
            config = config.with_dropout(options.dropout_prob)
        architecture = (config, *outputs, options.precision)
        used = take_model(self.strategy, make_model, architecture, options.random_seed)
        self._used, self._is_kept = used, is_kept
        return used.model

    @property
    def programs(self) -> Programs:
        """Compiled functions of the model."""
        assert self._used
        return self._used.programs

    def initial_weights(self, sources: ModelSources) -> WeightReader | None:
        """Weights that training starts from, checked against the model before anything is written.

        Returns:
          The weights; None for random ones, and where nothing is trained.

        Raises:
          UserError: The checkpoint does not fit.
        """
        options = self.options
        if not options.do_train or not self.start or options.init_strategy == RANDOM:
            return None
        reader = open_weights(find_weights(self.start))
        layers = _layer_numbers(options.init_layers)
        return select_weights(reader, sources.config, options.init_strategy, layers)

    def initial_classifier_weights(
        self, sources: ModelSources, labels: Sequence[str]
    ) -> WeightReader | None:
        """`initial_weights` for a classifier of these labels, none for a regression."""
        options = self.options
        assert isinstance(options, EpochOptions)
        reader = self.initial_weights(sources)
        has_head = reader is not None and options.init_strategy != "embeddings_only"
        if options.do_train and options.init_head == "keep" and not has_head:
            raise UserError(
                "--init_head=keep needs a classifier to keep, but there is none in "
                f"--init_checkpoint={options.init_checkpoint} with "
                f"--init_strategy={options.init_strategy}."
            )
        if reader is None:
            return None
        return select_head(reader, options.init_head, sources.labels, labels, sources.other_head)

    def claim_output_dir(self, data: Inputs) -> None:
        """Makes --output_dir this process's own: apart from the inputs, and locked.

        Without training no model is written, so results may go into the folder of the model.

        Args:
          data: Files and folders of data that are read.

        Raises:
          UserError: An input would be written to, or another process works in the folder.
        """
        options = self.options
        inputs = dict(data)
        if options.do_train:
            for name in ("init_checkpoint", "teacher"):
                if path := getattr(options, name, None):
                    inputs[name] = checkpoint_file(path)
            for name in ("vocab_file", "bert_config_file"):
                path = getattr(options, name)
                # The name of a size is no file, and may be that of the folder of such a model.
                if path and exists(path) and not is_folder(path):
                    inputs[name] = path
        check_folder_apart("output_dir", options.output_dir, inputs)
        if self.is_chief:
            lock_folder("output_dir", options.output_dir)

    def check_run(
        self,
        sources: ModelSources,
        model: tf_keras.Model,
        weights: WeightReader | None,
        values: Mapping[str, Any],
        contents: Mapping[str, Content],
        evaluation: Part | None,
    ) -> None:
        """Keeps the run in the folder from being continued as another one; see `check_identity`.

        Args:
          sources: The model's architecture, vocabulary and casing.
          model: The model; of the starting weights, only what it takes counts.
          weights: Initial weights; None for random ones.
          values: Other values that decide the result, beside the model and `options.DECISIVE`.
          contents: The data.
          evaluation: Data and metrics that select the best model; None without evaluation.

        Raises:
          UserError: The folder holds another run.
        """
        options = self.options
        flags = self._values(options.DECISIVE)
        of_run = {**flags, **values}
        of_run.pop("init_head", None)  # The digest of the weights that it chooses says more.
        rate = options.dropout_prob
        if rate is not None and sources.config.with_dropout(rate) == sources.config:
            of_run["dropout_prob"] = None  # The model has these rates without the flag.
        self._identity = run_identity(
            sources, model, weights, of_run, contents, evaluation, earlier=flags
        )
        check_identity(options.output_dir, self._identity, self.strategy, options.start_over)
        if self.is_chief:
            self.input_facts.save()

    def train_or_load(
        self,
        objective: Objective,
        sources: ModelSources,
        records: RecordSet | None,
        weights: WeightReader | None,
        info: Mapping[str, Any],
        recorded: Sequence[str],
        evaluate: Callable[[], Evaluation] | None,
        schedule: Schedule | None = None,
        group_by_length: bool = True,
    ) -> Trained:
        """Trains to the end and writes the model, or loads the one that is trained already.

        Args:
          objective: Model and loss.
          sources: The model's architecture and vocabulary.
          records: The training set; None where nothing is trained.
          weights: From `initial_weights`.
          info: Further entries of `model_info.json`.
          recorded: Names of the options that it is to hold.
          evaluate: Measures the model while training and at its end; None for no evaluation.
          schedule: Length of the run; by default `num_train_epochs`.
          group_by_length: Whether batches are formed of examples of similar lengths.

        Raises:
          UserError: See `run_training` and `load_trained_weights`.
        """
        options = self.options
        if not options.do_train or records is None:
            assert self.start
            step = load_trained_weights(objective.model, self.start, _NO_TRAINED_MODEL_ADVICE)
            return Trained(step, None)
        if schedule is None:
            assert isinstance(options, EpochOptions)
            epoch_steps = records.num_examples / options.train_batch_size
            num_steps = int(epoch_steps * options.num_train_epochs)
            schedule = Schedule(
                num_steps,
                int(num_steps * options.warmup_proportion),
                options.early_stopping_patience,
            )

        identity = self._identity
        assert identity
        if weights and sources.lineage:
            info = {**info, "lineage": sources.lineage}

        def write_model(folder: str, step: int) -> None:
            values = self._values(recorded)
            write_trained_model(folder, objective.model, sources, step, values, identity, info)

        return run_training(
            objective,
            self.strategy,
            records,
            options,
            schedule,
            weights,
            identity,
            write_model,
            self.programs,
            evaluate,
            group_by_length,
        )


def trained_checkpoint(output_dir: str, init_checkpoint: str | None) -> str:
    """Checkpoint to evaluate and predict with when nothing is trained; names it in the log.

    Args:
      output_dir: Folder of a run; its model is used where no other one is asked for.
      init_checkpoint: The model that is asked for, None where none is.

    Raises:
      UserError: There are no weights.
    """
    if init_checkpoint:
        logging.info("The model is that of --init_checkpoint=%s.", init_checkpoint)
        return init_checkpoint
    if weights_exist(output_dir):
        logging.info("The model is that of --output_dir=%s.", output_dir)
        return output_dir
    raise UserError(
        f"--output_dir={output_dir} holds no trained model; train first (--do_train), or say with "
        "--init_checkpoint which model to use."
    )


def _layer_numbers(texts: Sequence[str] | None) -> tuple[int, ...] | None:
    if texts is None:
        return None
    try:
        return tuple(map(int, texts))
    except ValueError:
        raise UserError(
            f"--init_layers={','.join(texts)}: expected numbers of layers such as 0,2,4."
        ) from None
