"""From a token store to record files, in this process."""

import logging

import numpy as np
import pytest

from common.errors import UserError
from modeling.tokenization import FullTokenizer
from pretraining import record_writing as records
from pretraining.corpus import build_token_store
from pretraining.record_writing import InstanceOptions, TaskRunner, write_records


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_seq_length": 4}, "--max_seq_length is 4; it must be at least 5"),
        ({"max_predictions_per_seq": 0}, "--max_predictions_per_seq is 0; .* from 1 to 125"),
        ({"max_predictions_per_seq": 126}, "--max_predictions_per_seq is 126; .* from 1 to 125"),
        ({"masked_lm_prob": 0.0}, r"--masked_lm_prob is 0.0; it must be in \(0, 1\)"),
        ({"masked_lm_prob": 1.5}, "--masked_lm_prob is 1.5"),
        ({"masked_lm_prob": float("nan")}, "--masked_lm_prob is nan"),
        ({"short_seq_prob": -0.1}, r"--short_seq_prob is -0.1; it must be in \[0, 1\]"),
        ({"short_seq_prob": 1.1}, "--short_seq_prob is 1.1"),
        ({"dupe_factor": 0}, "--dupe_factor is 0; it must be at least 1"),
    ],
)
def test_options_out_of_range(values, message):
    with pytest.raises(UserError, match=message):
        InstanceOptions(**values)


def test_warning_when_too_few_predictions_are_allowed(caplog):
    with caplog.at_level(logging.WARNING):
        InstanceOptions(max_seq_length=128, max_predictions_per_seq=20)
        assert not caplog.records
        InstanceOptions(max_seq_length=512, max_predictions_per_seq=20)
    assert "--max_predictions_per_seq=20 is less than" in caplog.text


@pytest.fixture
def tokenizer(tmp_path):
    words = [f"d{d}w{w}" for d in range(40) for w in range(100)]
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (tmp_path / "vocab.txt").write_text("\n".join(specials + words))
    return FullTokenizer(str(tmp_path / "vocab.txt"))


@pytest.fixture
def store(tmp_path, tokenizer):
    """40 documents of 20 sentences of 5 tokens; d3w17 is token 17 of document 3."""
    documents = (
        "\n".join(" ".join(f"d{d}w{5 * s + w}" for w in range(5)) for s in range(20))
        for d in range(40)
    )
    (tmp_path / "text").write_text("\n\n".join(documents))
    return build_token_store([str(tmp_path / "text")], tokenizer, str(tmp_path), False, 1)


class ListWriter:
    """Stands in for a RecordWriter."""

    def __init__(self):
        self.records = []

    def write_many(self, records):
        self.records += records


def test_every_pass_goes_through_all_units_once(store, monkeypatch):
    monkeypatch.setattr(records, "_TASK_TOKENS", 500)
    options = InstanceOptions(max_seq_length=32, max_predictions_per_seq=5, dupe_factor=3)
    tasks = list(records.plan_tasks(store, options))
    orders = [
        np.concatenate([task.units for task in tasks if task.pass_index == i]).tolist()
        for i in range(3)
    ]
    assert all(sorted(order) == list(range(40)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert [len(task.units) for task in tasks] == [5] * 8 * 3
    assert [task.pass_index for task in tasks] == sorted(task.pass_index for task in tasks)


def test_instances_hold_what_their_label_says(store, tokenizer):
    """Original tokens put back, segments are runs of consecutive tokens of the right documents."""
    options = InstanceOptions(max_seq_length=40, max_predictions_per_seq=10, dupe_factor=20)
    runner = TaskRunner(store, tokenizer, options)
    made = runner(records.Task(0, 0, np.tile(np.arange(40), 3)))
    assert made.num_tokens == 3 * 4000
    features = made.first
    seen = set()
    for i in range(len(features["input_ids"])):
        ids = features["input_ids"][i].copy()
        num = int(features["masked_lm_weights"][i].sum())
        ids[features["masked_lm_positions"][i, :num]] = features["masked_lm_ids"][i, :num]
        length = int(features["input_mask"][i].sum())
        assert not ids[length:].any() and not features["segment_ids"][i, length:].any()
        tokens = tokenizer.convert_ids_to_tokens(ids[:length])
        first_sep = tokens.index("[SEP]")
        assert tokens[0] == "[CLS]" and tokens[-1] == "[SEP]" and tokens.count("[SEP]") == 2
        assert features["segment_ids"][i, :length].tolist() == [0] * (first_sep + 1) + [1] * (
            length - first_sep - 1
        )
        a, b = (
            [tuple(map(int, token[1:].split("w"))) for token in part]
            for part in (tokens[1:first_sep], tokens[first_sep + 1 : -1])
        )
        for part in (a, b):
            assert part == [(part[0][0], part[0][1] + k) for k in range(len(part))]
        label = features["next_sentence_labels"][i, 0]
        if label:
            assert a[0][0] != b[0][0]
        else:
            assert a[0][0] == b[0][0] and b[0][1] > a[-1][1]
        seen.add(int(label))
    assert seen == {0, 1}


def test_instances_of_a_task_are_shuffled(store, tokenizer):
    options = InstanceOptions(max_seq_length=40, max_predictions_per_seq=1)
    made = TaskRunner(store, tokenizer, options)(records.Task(0, 0, np.arange(40)))
    # Most tokens of segment A are not masked and tell the document; the units were in order.
    is_a = (made.first["segment_ids"] == 0) & (made.first["input_ids"] >= 5)
    documents = [
        np.median(ids[mask]) // 100 for ids, mask in zip(made.first["input_ids"], is_a, strict=True)
    ]
    assert len(set(documents)) > 10


def test_records_go_to_the_files_in_turn(store, tokenizer, monkeypatch):
    monkeypatch.setattr(records, "_TASK_TOKENS", 500)
    options = InstanceOptions(max_seq_length=32, max_predictions_per_seq=5, dupe_factor=2)
    single, several = [ListWriter()], [ListWriter() for _ in range(3)]
    write_records(store, tokenizer, options, single, num_processes=1)
    write_records(store, tokenizer, options, several, num_processes=1)
    for i, writer in enumerate(several):
        assert writer.records == single[0].records[i::3]
    assert len(single[0].records) > 200


def test_batches_do_not_lose_or_repeat_instances(store, tokenizer, monkeypatch):
    options = InstanceOptions(max_seq_length=32, max_predictions_per_seq=5)
    task = records.Task(0, 0, np.arange(40))
    whole = TaskRunner(store, tokenizer, options)(task)
    monkeypatch.setattr(records, "_BATCH_POSITIONS", 32 * 7)
    parts = TaskRunner(store, tokenizer, options)(task)
    assert len(parts.records) == len(whole.records)
    # Masks differ, for they are drawn batch by batch; the first seven are one batch in both.
    assert len(parts.first["input_ids"]) == 7


def test_seeds(store, tokenizer):
    def made(seed, pass_index=0, task_index=0):
        options = InstanceOptions(max_seq_length=32, max_predictions_per_seq=5, random_seed=seed)
        task = records.Task(pass_index, task_index, np.arange(40))
        return TaskRunner(store, tokenizer, options)(task).records

    assert made(1) == made(1)
    different = [made(1), made(2), made(-1), made(1, pass_index=1), made(1, task_index=1)]
    assert len({b"".join(records) for records in different}) == 5


def test_first_example_is_logged_decoded(store, tokenizer, caplog):
    options = InstanceOptions(max_seq_length=32, max_predictions_per_seq=5, dupe_factor=2)
    with caplog.at_level(logging.INFO):
        write_records(store, tokenizer, options, [ListWriter()], num_processes=1)
    lines = [record.getMessage() for record in caplog.records]
    assert lines.count("*** Example ***") == 1
    tokens = next(line for line in lines if line.startswith("  tokens: ")).split()
    words = next(line for line in lines if line.startswith("  masked words: ")).split()
    assert tokens[1] == "[CLS]" and "[MASK]" in tokens and tokens[-1] == "[SEP]"
    assert len(words) - 2 == round(0.15 * (len(tokens) - 1))
    assert all(word.startswith("d") for word in words[2:])
    ids = next(line for line in lines if line.startswith("  ids: ")).split()[1:]
    assert tokenizer.convert_ids_to_tokens(map(int, ids)) == tokens[1:]
