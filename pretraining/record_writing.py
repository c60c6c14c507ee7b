"""Masked sentence pairs as TFRecords, feature for feature those of google-research/bert.

Source: `write_instance_to_example_files` in `create_pretraining_data.py`. With S = max_seq_length
and P = max_predictions_per_seq, every record holds

    input_ids, input_mask, segment_ids   int64 [S]    [CLS] A [SEP] B [SEP], then zeros
    masked_lm_positions, masked_lm_ids   int64 [P]    places in input_ids and the original tokens
    masked_lm_weights                    float32 [P]  1.0 for predictions, 0.0 for padding
    next_sentence_labels                 int64 [1]    1 if B comes from another document
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from common.errors import UserError
from common.processes import ordered_map
from data.tfrecords import RecordWriter, serialize_examples
from modeling.tokenization import FullTokenizer
from pretraining.corpus import StoreReader, TokenStore
from pretraining.instances import SegmentPairs, make_pairs
from pretraining.masking import NUM_SPECIAL_TOKENS, MaskingOptions, mask_tokens

# Tokens of the corpus in one task: the share of a pass that is shuffled as a whole. Bounds memory,
# too.
_TASK_TOKENS = 1 << 19
# Positions (rows times S) that are masked and encoded at a time.
_BATCH_POSITIONS = 1 << 19


@dataclasses.dataclass(frozen=True)
class InstanceOptions:
    """Settings of pre-training records; every attribute is the flag of that name.

    Raises:
      UserError: A value is out of range.
    """

    max_seq_length: int = 128
    max_predictions_per_seq: int = 20
    masked_lm_prob: float = 0.15
    short_seq_prob: float = 0.1
    dupe_factor: int = 10
    random_seed: int = 12345
    do_whole_word_mask: bool = False

    def __post_init__(self) -> None:
        shortest = NUM_SPECIAL_TOKENS + 2
        if self.max_seq_length < shortest:
            raise UserError(
                f"--max_seq_length is {self.max_seq_length}; it must be at least {shortest}, for "
                "[CLS], one token, [SEP], one token, [SEP]."
            )
        most = self.max_seq_length - NUM_SPECIAL_TOKENS
        if not 1 <= self.max_predictions_per_seq <= most:
            raise UserError(
                f"--max_predictions_per_seq is {self.max_predictions_per_seq}; it must be from 1 "
                f"to {most}, what --max_seq_length={self.max_seq_length} leaves beside [CLS] and "
                "two [SEP]; max_seq_length * masked_lm_prob is usual."
            )
        if not 0.0 < self.masked_lm_prob < 1.0:
            raise UserError(f"--masked_lm_prob is {self.masked_lm_prob}; it must be in (0, 1).")
        if not 0.0 <= self.short_seq_prob <= 1.0:
            raise UserError(f"--short_seq_prob is {self.short_seq_prob}; it must be in [0, 1].")
        if self.dupe_factor < 1:
            raise UserError(f"--dupe_factor is {self.dupe_factor}; it must be at least 1.")
        usual = self.max_seq_length * self.masked_lm_prob
        if self.max_predictions_per_seq < round(usual):
            logging.warning(
                "--max_predictions_per_seq=%d is less than max_seq_length * masked_lm_prob = %g, "
                "so long sequences get fewer predictions than masked_lm_prob asks for.",
                self.max_predictions_per_seq,
                usual,
            )


class Task(NamedTuple):
    """Units of one pass that are packed, shuffled and masked together.

    Attributes:
      pass_index: Index of the pass, below `dupe_factor`.
      task_index: Position of the task in its pass.
      units: Indices of the units.
    """

    pass_index: int
    task_index: int
    units: np.ndarray


class TaskRecords(NamedTuple):
    """Records of one task.

    Attributes:
      records: Serialized examples.
      num_tokens: Tokens of the corpus the task has gone through.
      first: Features of the first examples of all; None from all but the first task.
    """

    records: list[bytes]
    num_tokens: int
    first: dict[str, np.ndarray] | None


def write_records(
    store: TokenStore,
    tokenizer: FullTokenizer,
    options: InstanceOptions,
    writers: Sequence[RecordWriter],
    num_processes: int | None,
) -> None:
    """Makes all instances and writes them to the writers in turn, one pass after the other.

    Every pass goes through the whole corpus once, in a new random order; so reading the files in
    order visits every document before any document is visited again. Instances are shuffled within
    a task, which is some hundred thousand tokens from all over the corpus. The records do not
    depend on `num_processes`.
    """
    tasks = plan_tasks(store, options)
    total = options.dupe_factor * store.num_tokens
    num_records = 0
    with tqdm(total=total, desc="Writing", unit="tok", unit_scale=True, mininterval=1) as bar:
        for made in ordered_map(TaskRunner, (store, tokenizer, options), tasks, num_processes):
            for i in range(len(writers)):
                turn = (num_records + i) % len(writers)
                writers[turn].write_many(made.records[i :: len(writers)])
            num_records += len(made.records)
            bar.update(made.num_tokens)
            if made.first is not None:
                with bar.external_write_mode():
                    log_example(made.first, tokenizer)


class TaskRunner:
    """Worker that turns tasks into records, or into the arrays that records are made of."""

    def __init__(self, store: TokenStore, tokenizer: FullTokenizer, options: InstanceOptions):
        self._store, self._tokenizer, self._options = store, tokenizer, options
        self._reader = StoreReader(store)
        continues = np.array([token.startswith("##") for token in tokenizer.tokens])
        self._masking = MaskingOptions(
            masked_lm_prob=options.masked_lm_prob,
            max_predictions_per_seq=options.max_predictions_per_seq,
            mask_id=tokenizer.mask_id,
            vocab_size=tokenizer.vocab_size,
            is_continuation=continues if options.do_whole_word_mask else None,
        )

    def __call__(self, task: Task) -> TaskRecords:
        records: list[bytes] = []
        first = None
        for features in self.features(task):
            if task.pass_index == task.task_index == len(records) == 0:
                first = features
            records += serialize_examples(features)
        ends = self._store.units[:, 1]
        return TaskRecords(records, int((ends[task.units + 1] - ends[task.units]).sum()), first)

    def features(self, task: Task) -> Iterator[dict[str, np.ndarray]]:
        """Features of the task's records by name, [N, ...] for some of the records at a time."""
        options = self._options
        rng = _generator(options, task.pass_index, 1 + task.task_index)
        pairs = make_pairs(
            self._store,
            self._reader,
            task.units,
            options.max_seq_length,
            options.short_seq_prob,
            rng,
        )
        pairs = pairs.take(rng.permutation(len(pairs)))
        batch = max(1, _BATCH_POSITIONS // options.max_seq_length)
        for start in range(0, len(pairs), batch):
            yield self._masked(pairs.take(slice(start, start + batch)), rng)

    def _masked(self, pairs: SegmentPairs, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Reads the tokens of N pairs, joins them to sequences and masks them."""
        positions = np.arange(self._options.max_seq_length)
        first_sep = pairs.lengths_a + 1
        last_sep = first_sep + pairs.lengths_b + 1
        is_real = positions <= last_sep[:, None]
        is_sep = (positions == first_sep[:, None]) | (positions == last_sep[:, None])
        is_text = is_real & ~is_sep & (positions > 0)

        ids = np.zeros(is_real.shape, np.int32)
        ids[:, 0] = self._tokenizer.cls_id
        ids[is_sep] = self._tokenizer.sep_id
        ids[is_text] = self._text(pairs)
        predictions = mask_tokens(ids, is_text, self._masking, rng)
        return {
            "input_ids": ids,
            "input_mask": is_real,
            "segment_ids": is_real & (positions > first_sep[:, None]),
            "masked_lm_positions": predictions.positions,
            "masked_lm_ids": predictions.ids,
            "masked_lm_weights": predictions.weights,
            "next_sentence_labels": pairs.is_random[:, None],
        }

    def _text(self, pairs: SegmentPairs) -> np.ndarray:
        """The tokens of all segments, A and B of each pair in turn."""
        starts = np.stack([pairs.starts_a, pairs.starts_b], axis=1).ravel().tolist()
        lengths = np.stack([pairs.lengths_a, pairs.lengths_b], axis=1).ravel().tolist()
        packed = b"".join(map(self._reader.packed_tokens, starts, lengths))
        return np.frombuffer(packed, self._store.typecode)


def plan_tasks(store: TokenStore, options: InstanceOptions) -> Iterator[Task]:
    """For every pass, a new order of all units, cut into tasks of about equal size."""
    # A document makes one sequence at least, however short it is.
    sizes = np.maximum(np.diff(store.units[:, 1]), options.max_seq_length)
    for pass_index in range(options.dupe_factor):
        order = _generator(options, pass_index, 0).permutation(len(sizes))
        task_of_unit = (np.cumsum(sizes[order]) - 1) // _TASK_TOKENS
        cuts = np.flatnonzero(np.diff(task_of_unit)) + 1
        for task_index, units in enumerate(np.split(order, cuts)):
            yield Task(pass_index, task_index, units)


def _generator(options: InstanceOptions, pass_index: int, purpose: int) -> np.random.Generator:
    # The seed may be any integer, as in the original, but NumPy takes no negative ones.
    return np.random.default_rng([options.random_seed % (1 << 64), pass_index, purpose])


def log_example(features: dict[str, np.ndarray], tokenizer: FullTokenizer) -> None:
    """Logs the first of some examples, without its padding."""
    example = {name: values[0] for name, values in features.items()}
    real = int(example["input_mask"].sum())
    masked = int(example["masked_lm_weights"].sum())
    ids = example["input_ids"][:real].tolist()
    words = example["masked_lm_ids"][:masked].tolist()
    is_random = bool(example["next_sentence_labels"][0])
    logging.info("*** Example ***")
    logging.info("  tokens: %s", " ".join(tokenizer.convert_ids_to_tokens(ids)))
    logging.info("  ids: %s", " ".join(map(str, ids)))
    logging.info("  masked words: %s", " ".join(tokenizer.convert_ids_to_tokens(words)))
    logging.info("  second segment: %s", "random" if is_random else "the next one of the text")
