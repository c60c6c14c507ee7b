"""Soft-label records: the classifier record plus what the teacher says about its text.

A set without labels is that of a regression.

    input_ids, input_mask, segment_ids, label_ids, is_real_example    as in classifier records
    teacher_logits   float32 [num_labels]   unscaled, so probabilities follow at any temperature;
                                            the teacher's score, [1], in a regression
    teacher_states   float32 [layers * H]   [CLS] states of chosen layers, with --hidden_state_layers
    has_label        int64 []               1 where `label_ids` is a true label
    example_id       bytes []               file and line of the text

Records are written in shards `soft_labels-00000.tfrecord`, each complete or absent, so an
interrupted run goes on with the next one. `soft_labels.json` comes last and makes the set whole.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from checkpoints.model_sources import KINDS_OF_TEXTS
from common.errors import UserError
from common.files import exists, list_folder, remove
from common.json_objects import BOOLEAN, COUNT, COUNTS, TEXT, TEXTS, Kind, read_object, write_object
from data import sidecars
from data.classifier_records import feature_spec as classifier_feature_spec
from data.classifier_records import num_outputs
from data.sidecars import read_sidecar, sidecar_path, write_sidecar
from data.tfrecords import RecordWriter, serialize_examples

MANIFEST = "soft_labels.json"
# What distillation reads of the manifest.
_MANIFEST_KINDS = {
    "num_examples": COUNT,
    "num_labelled": COUNT,
    "shards": COUNTS,
    "labels": TEXTS,
    "teacher_weights_sha256": TEXT,
    "transfer_set_sha256": TEXT,
    "are_pairs": BOOLEAN,
    "hidden_state_layers": Kind(
        "a list of numbers of layers",
        lambda value: isinstance(value, list) and all(map(COUNT.fits, value)),
    ),
    "teacher_config": Kind(
        "a configuration with num_hidden_layers and hidden_size",
        lambda value: (
            isinstance(value, dict)
            and COUNT.fits(value.get("num_hidden_layers"))
            and COUNT.fits(value.get("hidden_size"))
        ),
    ),
}
# Of these, what not every set has.
_MAY_LACK = ("transfer_set_sha256", "are_pairs", "hidden_state_layers", "teacher_config")
# What sets have in common that are used together.
_ALIKE = ("labels", "teacher_weights_sha256", "teacher_text", "hidden_state_layers", "are_pairs")


# Facts that sidecars of earlier versions do not name, because there was no other value.
_DEFAULTS = {"engine": "tensorflow"}


@dataclasses.dataclass(frozen=True)
class TransferExample:
    """A text or pair of the transfer set.

    Attributes:
      example_id: `<file>:<line>` of a text, `<split>-<row>` of a task's example.
      text_a: The first text.
      text_b: The second text of a pair, or None.
      label_id: Position of the true label, or the true score; None for unlabelled text.
    """

    example_id: str
    text_a: str
    text_b: str | None
    label_id: int | float | None = None


@dataclasses.dataclass(frozen=True)
class ScoredExample(TransferExample):
    """A text or pair that comes with its soft label.

    Attributes:
      outputs: Logits, one for each label; or the score.
    """

    outputs: tuple[float, ...] = ()


def feature_spec(
    max_seq_length: int, labels: Sequence[str], states_shape: tuple[int, int] | None = None
) -> dict[str, tf.io.FixedLenFeature]:
    """Features that distillation reads from a soft-label record.

    Args:
      max_seq_length: Length of the inputs.
      labels: Labels of the logits, in order; none in a regression.
      states_shape: (layers, hidden size) of the teacher's states; None leaves them unread.
    """
    spec = {
        **classifier_feature_spec(max_seq_length, is_regression=not labels),
        "teacher_logits": tf.io.FixedLenFeature([num_outputs(labels)], tf.float32),
        "has_label": tf.io.FixedLenFeature([], tf.int64),
    }
    if states_shape:
        spec["teacher_states"] = tf.io.FixedLenFeature(states_shape, tf.float32)
    return spec


def shard_path(output_dir: str, index: int) -> str:
    return os.path.join(output_dir, f"soft_labels-{index:05d}.tfrecord")


def check_same_kind(recorded: bool | None, wanted: bool, source: str, other: str) -> None:
    """Raises a UserError when single texts would stand beside pairs, or be evaluated as pairs.

    Args:
      recorded: Whether `source` holds pairs; None where it is not recorded.
      wanted: Whether `other` does.
      source: Path of the transfer set, for the message.
      other: Path of the model or set that it is used with, for the message.
    """
    if recorded not in (None, wanted):
        raise UserError(
            f"{source} holds {KINDS_OF_TEXTS[not wanted]}, {other} {KINDS_OF_TEXTS[wanted]}; use "
            "single texts in both, or pairs in both."
        )


def write_shard(
    path: str,
    examples: Sequence[TransferExample],
    features: Mapping[str, np.ndarray],
    outputs: np.ndarray,
    description: Mapping[str, Any],
) -> None:
    """Writes one shard and its sidecar.

    Args:
      path: From `shard_path`.
      examples: N of them.
      features: Classifier features of the examples, [N, ...].
      outputs: The teacher's logits or score, and behind it any hidden states, float32
        [N, num_outputs + ...].
      description: Settings that the set is made with, for the sidecar; `labels` in it are those
        of the logits, none in a regression.

    Raises:
      UserError: An output is not finite.
    """
    if not np.isfinite(outputs).all():
        row = int(np.nonzero(~np.isfinite(outputs).all(axis=1))[0][0])
        raise UserError(
            f"the teacher's outputs for {examples[row].example_id} are not finite; nothing was "
            f"written to {path}. Check the teacher, or label in --precision=float32."
        )
    width = num_outputs(description["labels"])
    label_type = np.int32 if description["labels"] else np.float32
    rows = {
        **features,
        "label_ids": np.array([e.label_id or 0 for e in examples], label_type),
        "has_label": np.array([e.label_id is not None for e in examples], np.int32),
        "teacher_logits": outputs[:, :width].astype(np.float32),
        "example_id": np.array([e.example_id.encode() for e in examples], object),
    }
    if description["hidden_state_layers"]:
        rows["teacher_states"] = outputs[:, width:].astype(np.float32)
    with RecordWriter(path) as writer:
        writer.write_many(serialize_examples(rows))
    info = {
        "num_examples": len(examples),
        "num_labelled": sum(e.label_id is not None for e in examples),
        "examples_sha256": examples_digest(examples),
    }
    write_sidecar(path, {**description, **info})


def examples_digest(examples: Sequence[TransferExample]) -> str:
    """SHA-256 of texts, ids and labels."""
    digest = hashlib.sha256()
    for example in examples:
        # `dataclasses.astuple` gives the same in ten times the time.
        fields = tuple(vars(example).values())
        digest.update(repr(fields).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def check_earlier_shards(
    output_dir: str, description: Mapping[str, Any], start_over: bool = False
) -> None:
    """Looks at the shards of an earlier run before anything is written beside them.

    Those whose sidecar is damaged are of no use, whatever they were, and are written again.

    Args:
      output_dir: Folder of the shards; need not exist.
      description: Everything that decides the texts and the teacher's logits.
      start_over: Whether a set that was made otherwise is removed.

    Raises:
      UserError: A shard belongs to another teacher, text or setting.
    """
    for path, info in _earlier_sidecars(output_dir):
        other = [key for key, value in description.items() if info.get(key) != value]
        if other and start_over:
            remove_manifest(output_dir)
            sidecars.remove_records(path)
        elif other:
            key = other[0]
            raise UserError(
                f"{path} was made with {key} = {info.get(key)}, this run has {description[key]}; use "
                "another --output_dir, or --start_over to replace the set that is there."
            )


def _earlier_sidecars(output_dir: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Paths of the shards that are there, and what their sidecars say; none of damaged ones."""
    for name in sorted(list_folder(output_dir)) if exists(output_dir) else ():
        path = os.path.join(output_dir, name)
        try:
            info = read_sidecar(path) if name.endswith(".tfrecord") else None
        except UserError:
            continue
        if info:
            yield path, {**_DEFAULTS, **info}


def recorded_engines(output_dir: str, num_teachers: int) -> list[tuple[str, str]]:
    """Engine and precision of each teacher, as the shards that are there say; empty if none does."""
    for _, info in _earlier_sidecars(output_dir):
        names = [str(info.get(key)).split(", ") for key in ("engine", "precision")]
        if all(len(each) in (1, num_teachers) for each in names):
            engines, precisions = (each * (num_teachers // len(each)) for each in names)
            return list(zip(engines, precisions, strict=True))
    return []


class TransferDigest:
    """SHA-256 of all texts and labels of a transfer set, whatever the files are called.

    Attributes:
      hexdigest: Of texts and true labels.
      outputs_hexdigest: Of soft labels that come with the texts.
    """

    def __init__(self) -> None:
        self._digest, self._outputs = hashlib.sha256(), hashlib.sha256()
        self.hexdigest = self._digest.hexdigest
        self.outputs_hexdigest = self._outputs.hexdigest

    def add(self, example: TransferExample) -> None:
        content = (example.text_a, example.text_b, example.label_id)
        self._digest.update(repr(content).encode("utf-8", "surrogatepass"))
        if isinstance(example, ScoredExample):
            self._outputs.update(repr(example.outputs).encode())


def is_finished(path: str, digest: str) -> bool:
    """Whether a shard is complete and holds exactly the examples of this `examples_digest`."""
    return sidecars.is_finished(path, {"examples_sha256": digest})


def unfinished_shards(output_dir: str, digests: Sequence[str]) -> list[int]:
    """Indices of the shards that are missing, given the `examples_digest` of every shard."""
    return [i for i, d in enumerate(digests) if not is_finished(shard_path(output_dir, i), d)]


def remove_manifest(output_dir: str) -> None:
    """Deletes the manifest, without which a set counts as unfinished, before shards are written."""
    remove(os.path.join(output_dir, MANIFEST))


def write_manifest(
    output_dir: str,
    counts: Sequence[int],
    num_labelled: int,
    are_pairs: bool,
    description: Mapping[str, Any],
    versions: Any,
) -> None:
    """Writes the manifest over finished shards.

    Args:
      output_dir: Folder of the shards.
      counts: Examples of each shard.
      num_labelled: Examples with a true label, in all shards.
      are_pairs: Whether the examples are pairs of texts.
      description: Labels, lengths, casing, digests and flags.
      versions: Software versions.
    """
    shards = {os.path.basename(shard_path(output_dir, i)): n for i, n in enumerate(counts)}
    manifest = {
        "num_examples": sum(counts),
        "num_labelled": num_labelled,
        "are_pairs": are_pairs,
        "is_regression": not description["labels"],
        "shards": shards,
        **description,
        "versions": versions,
    }
    write_object(os.path.join(output_dir, MANIFEST), manifest)


def read_manifest(files: Sequence[str]) -> dict[str, Any]:
    """The manifest of a set of soft-label files, checked against them.

    Args:
      files: Shards of one set or of several that were made alike.

    Returns:
      The manifest of the first; `num_labelled` is that of all `files`, and `transfer_set_sha256` is
      None where they are of several transfer sets.

    Raises:
      UserError: A set is unfinished, a file is not part of it, or the sets differ in the teacher or
        in what their records hold.
    """
    manifest: dict[str, Any] = {}
    num_labelled = 0
    # By their paths; each names all shards beside it, so reading it for each of them would be
    # quadratic in their number.
    manifests: dict[str, dict[str, Any]] = {}
    for path in files:
        manifest_path = os.path.join(os.path.dirname(path), MANIFEST)
        if manifest_path not in manifests:
            manifests[manifest_path] = _read_manifest(manifest_path, path)
        found = manifests[manifest_path]
        name = os.path.basename(path)
        if name not in found["shards"]:
            raise UserError(f"{path} is not part of the set that {manifest_path} describes.")
        sidecar = read_sidecar(path, {"num_labelled": COUNT}, required=True)
        if sidecar is None:
            raise UserError(
                f"{path} has no sidecar; copy {os.path.basename(sidecar_path(path))} along with it, "
                "or create the soft labels again."
            )
        count = sidecar["num_examples"]
        if count != found["shards"][name]:
            raise UserError(
                f"{path} holds {count} examples by its sidecar, {found['shards'][name]} by "
                f"{manifest_path}; create the soft labels again."
            )
        for key in _ALIKE:
            if manifest and found.get(key) != manifest.get(key):
                raise UserError(
                    f"{path} has {key} {found.get(key)}, {files[0]} has {manifest.get(key)}; distill "
                    "from sets that one teacher labelled in the same way."
                )
        manifest = manifest or found
        num_labelled += sidecar["num_labelled"]
    transfer_sets = {found.get("transfer_set_sha256") for found in manifests.values()}
    transfer_set = transfer_sets.pop() if len(transfer_sets) == 1 else None
    return {**manifest, "num_labelled": num_labelled, "transfer_set_sha256": transfer_set}


def _read_manifest(manifest_path: str, path: str) -> dict[str, Any]:
    if not exists(manifest_path):
        raise UserError(
            f"{path}: no {MANIFEST} beside it, so the set is unfinished; run "
            "create_soft_labels.py again, it continues where it stopped."
        )
    return read_object(
        manifest_path,
        _MANIFEST_KINDS,
        required=True,
        remedy="create the soft labels again",
        may_lack=_MAY_LACK,
    )
