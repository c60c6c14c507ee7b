"""Soft labels of a transfer set, for students: by fine-tuned teachers, or from files."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tqdm import tqdm

from common.chunks import chunks
from common.errors import UserError
from common.outputs import lock_folder
from common.overlap import in_background
from distillation.labelling_jobs import Job, LabellingOptions, job_of_file, job_of_teachers
from distillation.soft_labels import (
    TransferExample,
    check_earlier_shards,
    examples_digest,
    is_finished,
    remove_manifest,
    shard_path,
    unfinished_shards,
    write_manifest,
    write_shard,
)
from distillation.teachers import Features
from training.options import TASK_FLAGS
from training.reporting import log_summary
from training.strategy import ahead_if_alone, chief_value, is_chief
from training.trained_models import software_versions

# Where the texts come from and how they are cut into files, for the record.
_RECORDED = ("input_file", "from_file", *TASK_FLAGS, "examples_per_shard", "engine", "precision")


def run(options: LabellingOptions) -> None:
    """Labels what is not labelled yet, and completes the set if this process ends last.

    Raises:
      UserError: Options, files or devices that the user has to change.
    """
    shard_index = parse_shard_index(options.shard_index, options.num_shards)
    job = job_of_file(options) if options.from_file else job_of_teachers(options)
    transfer_set = job.transfer_set
    log_summary(
        "Labelling",
        {
            **job.summary,
            "Transfer set": f"{transfer_set.num_examples:,} rows, {transfer_set.num_labelled:,} of "
            "them with a true label",
            "Output": options.output_dir,
        },
    )

    chief = is_chief(job.strategy)
    if chief:
        part = f"{shard_index}-of-{options.num_shards}" if options.num_shards > 1 else None
        lock_folder("output_dir", options.output_dir, part)
    description = {
        **job.description,
        **job.records.facts(),
        "transfer_set_sha256": transfer_set.sha256,
        "examples_per_shard": options.examples_per_shard,
    }
    check_earlier_shards(options.output_dir, description, options.start_over)
    on_dev_set = job.assess()
    counts, digests = _label(options, shard_index, job, description)

    # Others may have begun after this process looked for shards made in another way.
    check_earlier_shards(options.output_dir, description)
    if missing := unfinished_shards(options.output_dir, digests) if chief else []:
        logging.info(
            "%d of %d shards are missing or hold other texts; the first is %s, the work of "
            "--shard_index=%d; the process that ends last completes the set.",
            len(missing),
            len(counts),
            shard_path(options.output_dir, missing[0]),
            missing[0] % options.num_shards,
        )
        return
    if chief:
        write_manifest(
            options.output_dir,
            counts,
            transfer_set.num_labelled,
            transfer_set.are_pairs,
            {**description, **on_dev_set, "flags": options.values(_RECORDED)},
            software_versions(),
        )
    logging.info(
        "%d examples in %d shards in %s.",
        transfer_set.num_examples,
        len(counts),
        options.output_dir,
    )


class _Shard(NamedTuple):
    """A shard: its file and texts, and their features if it is this process's and not finished."""

    path: str
    examples: list[TransferExample]
    digest: str
    features: Features | None


def _shards(options: LabellingOptions, shard_index: int, job: Job) -> Iterator[_Shard]:
    for index, examples in enumerate(
        chunks(job.transfer_set.examples(), options.examples_per_shard)
    ):
        path, digest = shard_path(options.output_dir, index), examples_digest(examples)
        # Asked of the chief: another worker may see a file that the chief has just finished.
        is_ours = index % options.num_shards == shard_index
        is_open = is_ours and not chief_value(job.strategy, is_finished(path, digest))
        features = job.records.features(examples) if is_open else None
        yield _Shard(path, examples, digest, features)


def _label(
    options: LabellingOptions, shard_index: int, job: Job, description: Mapping[str, Any]
) -> tuple[list[int], list[str]]:
    """Labels this process's shards that are not finished; numbers and digests of all shards.

    While a teacher computes one shard, the next is read and the last is written.
    """
    counts, digests = [], []
    chief = is_chief(job.strategy)
    shards = ahead_if_alone(_shards(options, shard_index, job), job.strategy)
    total = job.transfer_set.num_examples
    with (
        tqdm(total=total, unit=" examples", desc="Soft labels") as progress,
        in_background() as later,
    ):
        for path, examples, digest, features in shards:
            if features is not None:
                if chief:
                    remove_manifest(options.output_dir)
                outputs = job.outputs(examples, features)
                if chief:
                    later(write_shard, path, examples, features, outputs, description)
            counts.append(len(examples))
            digests.append(digest)
            progress.update(len(examples))
    return counts, digests


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
