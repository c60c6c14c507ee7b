"""Identity of a run: everything its result depends on, and its check against an output folder.

A run is what its result depends on: the values of flags, and the content of data and weights by
digest. How many rows there are, what a file is called and where it lies say nothing about it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import re
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from checkpoints.formats import model_file_names
from checkpoints.model_sources import ModelSources
from checkpoints.weights import (
    VariableValues,
    WeightReader,
    stored_weights_digest,
    variable_name,
    weights_digest,
)
from common.content import Content
from common.errors import UserError
from common.files import exists, is_folder, list_folder, remove, remove_folder
from common.json_objects import Kind, read_object, write_object
from training.run_state import saved_steps
from training.strategy import chief_first

RUN_CONFIG_FILE = "run_config.json"
BEST_FOLDER = "best"

# What a run writes into its folder. Whatever else is there stays when a run is discarded.
_FILES_OF_A_RUN = re.compile(
    r"(run_config|model_info|bert_config|input_facts)\.json|vocab\.txt|checkpoint|(metrics|speed)\.jsonl|labels\.txt"
    r"|model\.ckpt-\d+\..+|bert_model\.ckpt\..+|events\.out\.tfevents\..+"
    r"|(eval_results|test_results)(_\w+)?\.(txt|tsv|json)"
    r"|(confusion|reliability)(_\w+)?\.png|disagreements\.csv|agreement\.json"
    r"|\.?(train|eval|predict)(_\w+)?\.tf_record(\.json)?"
)
_FOLDERS_OF_A_RUN = (BEST_FOLDER, "eval")
# Those of them that hold weights.
_WEIGHTS_OF_A_RUN = re.compile(r"(model\.ckpt-\d+|bert_model\.ckpt)\.index")
# Those of them that are there before the training begins.
_FILES_BEFORE_TRAINING = re.compile(
    r"(run_config|bert_config|input_facts)\.json|vocab\.txt|\.?(train|eval|predict)(_\w+)?\.tf_record(\.json)?"
)


# Flags that came later -> how runs behaved before them. A flag that is added to a run's identity
# gets an entry here, so that a run begun with an earlier version can be finished with this one.
BEFORE_THE_FLAG: Mapping[str, Any] = {"adam_bias_correction": False, "dropout_prob": None}


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a run that has an identity of its own.

    Attributes:
      values: Name -> value, such as a flag; must be JSON.
      contents: Description -> the content.
      earlier: Name -> what earlier versions recorded, where that differs from `values`; as good in a
        comparison, so that their runs can be finished, and not written.
    """

    values: Mapping[str, Any]
    contents: Mapping[str, Content]
    earlier: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        contents = {name: content._asdict() for name, content in self.contents.items()}
        return json.loads(json.dumps({"values": self.values, "contents": contents}))


@dataclasses.dataclass(frozen=True)
class Identity:
    """Everything that the result of a run depends on.

    Attributes:
      training: Decides the weights.
      evaluation: Decides which model is the best and when training stops early; None without
        evaluations. It may be added to a run that had none.
    """

    training: Part
    evaluation: Part | None = None


def check_identity(
    output_dir: str, identity: Identity, strategy: tf.distribute.Strategy, start_over: bool = False
) -> None:
    """Keeps a run from being continued as another one, and workers from running different ones.

    Args:
      output_dir: Folder of the run.
      identity: Of the run that is asked for. Written when nothing in the folder was trained yet, else
        compared with what was written then.
      strategy: Of whose workers only the chief writes; the others compare theirs with it.
      start_over: Whether another run in the folder is discarded.

    Raises:
      UserError: The folder holds another run, or a model that no run has made in it, or the file that
        tells is damaged.
    """
    with chief_first(strategy) as chief:
        if chief:
            _check_as_chief(output_dir, identity, start_over)
        else:
            _check_as_worker(output_dir, identity)


def _check_as_chief(output_dir: str, identity: Identity, start_over: bool) -> None:
    path = os.path.join(output_dir, RUN_CONFIG_FILE)
    own, others = _models(output_dir)
    # Their configuration and vocabulary have the names of ours, and would be overwritten or removed.
    if others and (start_over or not own):
        raise UserError(
            f"--output_dir={output_dir} holds a model that was not trained there ({others[0]}); use "
            "another folder."
        )
    if not own:
        _write(path, identity)  # Nothing has been trained there yet.
        return
    if not exists(path):
        if saved_steps(output_dir):
            raise UserError(
                f"{path} is missing, so it is not known what the run in --output_dir={output_dir} "
                "is; put it back or use another folder."
            )
        raise UserError(
            f"--output_dir={output_dir} holds a model that was not trained there, and a new one "
            "would take its place; use another folder."
        )
    try:
        before = read_run_config(output_dir)
        difference = _difference(before, identity)
    except UserError:
        if not start_over:
            raise
        difference = "another run"
    if not difference:
        if identity.evaluation and not before.get("evaluation"):
            _write(path, identity)
        return
    if not start_over:
        raise UserError(
            f"--output_dir={output_dir} holds {difference}; use another folder, or --start_over to "
            "discard the run that is there."
        )
    logging.warning("--output_dir=%s held %s; it is discarded.", output_dir, difference)
    discard_run(output_dir)
    _write(path, identity)


def _check_as_worker(output_dir: str, identity: Identity) -> None:
    if not exists(os.path.join(output_dir, RUN_CONFIG_FILE)):
        raise UserError(
            f"--output_dir={output_dir}: the chief has written {RUN_CONFIG_FILE}, this worker does "
            "not find it; all workers need the same --output_dir, on a file system that they share."
        )
    if difference := _difference(read_run_config(output_dir), identity):
        raise UserError(
            f"--output_dir={output_dir} holds {difference}; all workers must run the same command on "
            "the same data."
        )


def _is_part(value: Any) -> bool:
    """Whether a value is what `Part.to_json` makes."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("values"), dict)
        and isinstance(value.get("contents"), dict)
        and all(
            isinstance(content, dict) and all(isinstance(content.get(k), str) for k in _CONTENT)
            for content in value["contents"].values()
        )
    )


_CONTENT = Content._fields
_PART = Kind("a part of a run's identity, with its values and contents", _is_part)


def read_run_config(output_dir: str) -> dict[str, Any]:
    """Reads the identity that `check_identity` has written into a run's folder.

    Raises:
      UserError: The file is missing, damaged, or of an earlier version.
    """
    path = os.path.join(output_dir, RUN_CONFIG_FILE)
    return read_object(
        path,
        {"training": _PART, "evaluation": _PART},
        required=True,
        remedy="put the file back as it was, or use another --output_dir",
        may_lack=("evaluation",),
    )


def _write(path: str, identity: Identity) -> None:
    evaluation = identity.evaluation.to_json() if identity.evaluation else None
    write_object(path, {"training": identity.training.to_json(), "evaluation": evaluation})


def _difference(before: Mapping[str, Any], identity: Identity) -> str | None:
    """Difference between the run in the folder and the requested one, in words; None for none."""
    pairs = [(before["training"], identity.training)]
    if before.get("evaluation") and identity.evaluation:
        pairs.append((before["evaluation"], identity.evaluation))
    for then, part in pairs:
        now, earlier = part.to_json(), json.loads(json.dumps(part.earlier))
        for name in sorted({*then["contents"], *now["contents"]}):
            old, new = then["contents"].get(name), now["contents"].get(name)
            if (old and old["sha256"]) != (new and new["sha256"]):
                return f"a run with another {name}: {_described(old)}, now it is {_described(new)}"
        for name in sorted({*then["values"], *now["values"]}):
            before_flag = BEFORE_THE_FLAG.get(name)
            old, new = (found["values"].get(name, before_flag) for found in (then, now))
            if old not in (new, earlier.get(name, new)):
                new = new if name in now["values"] else earlier.get(name)
                return f"a run with {name}={old}, this command has {name}={new}"
    return None


def _described(content: Mapping[str, str] | None) -> str:
    if content is None:
        return "none"
    return f"{content['source']} with the digest {content['sha256'][:12]}..."


def _models(output_dir: str) -> tuple[list[str], list[str]]:
    """Files of models in the folder and in `best/`: those a run may have written, and others."""
    names = model_file_names(output_dir)
    best = model_file_names(os.path.join(output_dir, BEST_FOLDER))
    names += [os.path.join(BEST_FOLDER, name) for name in best]
    own = [name for name in names if _WEIGHTS_OF_A_RUN.fullmatch(os.path.basename(name))]
    return own, [name for name in names if name not in own]


def discard_run(output_dir: str, keep_inputs: bool = False) -> None:
    """Removes what a run has written into its folder, and nothing else.

    Args:
      output_dir: The folder.
      keep_inputs: Leave the records of the run and its identity there.
    """
    for name in list_folder(output_dir):
        path = os.path.join(output_dir, name)
        if keep_inputs and _FILES_BEFORE_TRAINING.fullmatch(name):
            continue
        if name in _FOLDERS_OF_A_RUN and is_folder(path):
            remove_folder(path)
        elif _FILES_OF_A_RUN.fullmatch(name) and not is_folder(path):
            remove(path)


def run_identity(
    sources: ModelSources,
    model: tf_keras.Model,
    weights: WeightReader | None,
    values: Mapping[str, Any],
    contents: Mapping[str, Content],
    evaluation: Part | None = None,
    earlier: Mapping[str, Any] | None = None,
) -> Identity:
    """The identity of a run that trains a model.

    Args:
      sources: The model's architecture, vocabulary and casing.
      model: The model; of the starting weights, only what it takes counts.
      weights: Initial weights; None for random ones.
      values: Flags and the like that decide the result.
      contents: The data.
      evaluation: Data and metrics that select the best model.
      earlier: As in `Part`, for `values`.

    Raises:
      UserError: The stored weights are damaged.
    """
    architecture = {
        k: v for k, v in sources.config.to_dict().items() if k not in sources.config.extra
    }
    of_tokenizer = {k: v for k, v in sources.tokenizer_info().items() if k != "vocab_sha256"}
    of_model: dict[str, Content] = {}
    if sources.tokenizer:
        of_model["vocabulary"] = Content(sources.tokenizer.sha256, sources.tokenizer.vocab_file)
    if weights:
        of_model["start"] = weights_content(weights, model)
    return Identity(
        Part(
            {**architecture, **of_tokenizer, **values},
            {**of_model, **contents},
            earlier or {},
        ),
        evaluation,
    )


def weights_content(reader: WeightReader, model: tf_keras.Model) -> Content:
    """Digest of the stored weights that a model takes, as part of a run's identity.

    Raises:
      UserError: The stored data is damaged.
    """
    names = [name for v in model.trainable_variables if (name := variable_name(v)) in reader.shapes]
    return Content(stored_weights_digest(reader, names), reader.source)


def model_content(model: tf_keras.Model, source: str) -> Content:
    """A model with all that its outputs depend on, as a part of a run's identity.

    Args:
      model: Its weights are loaded.
      source: Path that it was read from.
    """
    config = json.dumps(model.encoder.config.to_dict(), sort_keys=True)
    weights = weights_digest(VariableValues(model.trainable_variables))
    return Content(hashlib.sha256(f"{config} {weights}".encode()).hexdigest(), source)
