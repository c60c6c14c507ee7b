"""Folders of good files of every kind that is read, and their readers."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import json
import lzma
import os
import pathlib
import threading
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tiny_data import NEGATIVE, POSITIVE, WORDS

from checkpoints.formats import find_weights, open_weights
from checkpoints.hugging_face import write_huggingface
from checkpoints.model_folder import read_model_folder, write_model_folder
from checkpoints.weights import variable_values, write_checkpoint
from classification.tasks import get_task
from common import files, input_files
from common.files import read_json
from data.batches import evaluation_batches
from data.classifier_records import encode_rows, feature_spec
from data.record_sets import explain_damaged_record, open_records, value_limits
from data.rows import read_rows
from data.sidecars import read_sidecar, sidecar_path, write_sidecar
from data.texts import read_transfer_texts
from data.tfrecords import RecordWriter, serialize_examples
from distillation.soft_labels import (
    TransferExample,
    read_manifest,
    shard_path,
    write_manifest,
    write_shard,
)
from distillation.soft_labels import feature_spec as soft_label_spec
from modeling.config import BertConfig, load_config
from modeling.heads import ClassifierModel
from modeling.optimization import AdamWeightDecay, WarmupLinearDecay
from modeling.tokenization import FullTokenizer
from pretraining.corpus import TEXT, build_token_store
from training.identity import Content, Identity, Part, check_identity
from training.reporting import Reporter
from training.run_state import RunState

CONFIG = BertConfig(
    vocab_size=len(WORDS),
    hidden_size=4,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=5,
    max_position_embeddings=8,
)
TEXTS = [f"{word} film {i}" for i, word in enumerate(POSITIVE + NEGATIVE)]
LABELS = ["0", "1"]


@dataclasses.dataclass(frozen=True)
class Target:
    """What is damaged and read.

    Attributes:
      write: Writes the good files to a folder.
      read: Reads the files of a folder; fails if it leaves something out.
      share: Of the cases, relative to other targets; readers that build data sets are slow.
    """

    write: Callable[[pathlib.Path], object]
    read: Callable[[pathlib.Path], None]
    share: int = 12


def write_vocab(folder: pathlib.Path) -> str:
    path = folder / "vocab.txt"
    path.write_text("\n".join(WORDS) + "\n")
    return str(path)


# What packs a file, and a maker of what unpacks one stream of it, by the ending of its name.
PACKERS: dict[str, tuple[Callable[[bytes], bytes], Callable[[], Any]]] = {
    ".gz": (gzip.compress, lambda: zlib.decompressobj(zlib.MAX_WBITS | 16)),
    ".xz": (lzma.compress, lzma.LZMADecompressor),
    ".bz2": (bz2.compress, bz2.BZ2Decompressor),
}
if files.zstd:
    PACKERS[".zst"] = (files.zstd.compress, files.zstd.ZstdDecompressor)


def write_packed(folder: pathlib.Path, text: str) -> None:
    """One file packed in each way, in two streams."""
    data, half = text.encode(), len(text.encode()) // 2
    for letter, (suffix, (pack, _)) in zip("bcde", PACKERS.items(), strict=False):
        (folder / f"{letter}.txt{suffix}").write_bytes(pack(data[:half]) + pack(data[half:]))


def unpacked(path: pathlib.Path) -> bytes:
    """What all streams of a file hold; an error for what follows one and is none."""
    rest = path.read_bytes()
    if path.suffix not in PACKERS:
        return rest
    data = b""
    while rest:
        unpacker = PACKERS[path.suffix][1]()
        data += unpacker.decompress(rest)
        assert unpacker.eof
        rest = unpacker.unused_data.lstrip(b"\0")
    return data


def lines_of(path: pathlib.Path) -> list[str]:
    """Lines as an independent reader sees them."""
    data = unpacked(path)
    lines = data.decode().split("\n")
    return lines[:-1] if lines[-1] == "" else lines


# Configurations and vocabularies.


def write_config_file(folder: pathlib.Path) -> None:
    (folder / "bert_config.json").write_text(CONFIG.to_json())


def read_config_file(folder: pathlib.Path) -> None:
    config = load_config(str(folder / "bert_config.json"))
    assert config.hidden_size % config.num_attention_heads == 0


def read_vocab(folder: pathlib.Path) -> None:
    tokenizer = FullTokenizer(str(folder / "vocab.txt"))
    assert tokenizer.vocab_size == len(lines_of(folder / "vocab.txt"))
    assert set(tokenizer.encode("good films were bad.")) <= set(range(tokenizer.vocab_size))


# Tables, JSON Lines, text.


def write_tables(folder: pathlib.Path) -> None:
    rows = "".join(f"{text}\t{i % 2}\n" for i, text in enumerate(TEXTS))
    for name in ("train", "dev"):
        (folder / f"{name}.tsv").write_text("sentence\tlabel\n" + rows)
    (folder / "test.tsv").write_text(
        "index\tsentence\n" + "".join(f"{i}\t{text}\n" for i, text in enumerate(TEXTS))
    )


def read_tables(folder: pathlib.Path) -> None:
    task = get_task("sst-2", str(folder))
    for file in (*task.train, *task.dev, *task.test):
        examples = list(task.read_examples(file, str(folder)))
        assert len(examples) == len(lines_of(folder / f"{file.name}.tsv")) - 1


def write_json_lines(folder: pathlib.Path) -> None:
    for name in ("train", "dev", "test"):
        lines = (json.dumps({"text": t, "label": i % 2}) + "\n" for i, t in enumerate(TEXTS))
        (folder / f"{name}.jsonl").write_text("".join(lines))


def read_json_lines_of_task(folder: pathlib.Path) -> None:
    for name in ("train", "dev", "test"):
        path = folder / f"{name}.jsonl"
        rows = [(row.text("text"), row.text("label")) for row in read_rows(str(path))]
        assert len(rows) == sum(bool(line.strip()) for line in lines_of(path))
    task = get_task("jsonl", str(folder), "text", None, "label")
    for file in (*task.train, *task.dev, *task.test):
        list(task.read_examples(file, str(folder)))


def write_transfer_texts(folder: pathlib.Path) -> None:
    text = "".join(line + "\n" for line in TEXTS)
    (folder / "a.txt").write_text(text)
    write_packed(folder, text)
    (folder / "f.tsv").write_text(text)


def read_transfer(folder: pathlib.Path) -> None:
    paths = sorted(folder.iterdir())
    found = list(read_transfer_texts(list(map(str, paths))))
    lines = [line for path in paths for line in lines_of(path)]
    assert len(found) == sum(bool(line.strip("\ufeff").strip()) for line in lines)


def write_corpus(folder: pathlib.Path) -> None:
    write_vocab(folder)
    text = "\n".join(TEXTS[:4]) + "\n\n" + "\n".join(TEXTS[4:]) + "\n"
    (folder / "a.txt").write_text(text)
    write_packed(folder, text)


def read_corpus(folder: pathlib.Path) -> None:
    tokenizer = FullTokenizer(str(folder / "vocab.txt"))
    (folder / "store").mkdir()
    paths = sorted(folder.glob("?.txt*"))
    store = build_token_store(
        list(map(str, paths)), tokenizer, str(folder / "store"), False, 1, TEXT
    )
    sentences = [tokenizer.encode(line) for path in paths for line in lines_of(path)]
    assert store.num_tokens == sum(map(len, sentences))
    assert store.num_sentences == sum(map(bool, sentences))


def write_piped(folder: pathlib.Path) -> None:
    text = "".join(line + "\n" for line in TEXTS)
    (folder / "a.txt").write_text(text)
    write_packed(folder, text)


def read_piped(folder: pathlib.Path) -> None:
    """The same files, but each comes through a pipe of its name."""
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    (folder / "pipes").mkdir()
    input_files._copied_pipe.cache_clear()  # The cases have the same paths.
    for path in paths:
        pipe = folder / "pipes" / path.name
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=(path.read_bytes(),), daemon=True)
        writer.start()
        [copy] = input_files.expand_globs(str(pipe), "input_file")
        writer.join()
        found = list(files.read_lines(copy))
        lines = lines_of(path)
        assert len(found) == len(lines)
        os.remove(copy)


# Records and what stands beside them.


def write_records(folder: pathlib.Path) -> None:
    tokenizer = FullTokenizer(write_vocab(folder))
    features = encode_rows(tokenizer, [(text, None) for text in TEXTS], 8)
    for name, compress in (("a.tfrecord", False), ("b.tfrecord", True)):
        with RecordWriter(str(folder / name), gzip_compress=compress) as writer:
            writer.write_many(serialize_examples(features))
    write_sidecar(str(folder / "a.tfrecord"), {"num_examples": len(TEXTS)})
    (folder / "vocab.txt").unlink()


def read_records(folder: pathlib.Path) -> None:
    spec = feature_spec(8)
    limits = value_limits(CONFIG, len(LABELS))
    records = open_records(
        f"{folder}/*.tfrecord", "input_file", spec, {"max_seq_length": 8}, limits
    )
    with explain_damaged_record(records):
        batches = list(evaluation_batches(records, 5))
    is_real = np.concatenate([batch["is_real_row"] for batch in batches])
    assert is_real.sum() == records.num_examples


def write_soft_labels(folder: pathlib.Path) -> None:
    tokenizer = FullTokenizer(write_vocab(folder))
    description = {
        "labels": LABELS,
        "hidden_state_layers": [],
        "max_seq_length": 8,
        "vocab_sha256": tokenizer.sha256,
        "teacher_weights_sha256": "0" * 64,
    }
    (folder / "vocab.txt").unlink()
    for index in range(2):
        examples = [TransferExample(f"a.txt:{i}", text, None) for i, text in enumerate(TEXTS)]
        features = encode_rows(tokenizer, [(e.text_a, None) for e in examples], 8)
        outputs = np.zeros([len(examples), 2], np.float32)
        write_shard(shard_path(str(folder), index), examples, features, outputs, description)
    write_manifest(str(folder), [len(TEXTS)] * 2, 0, False, description, {})


def read_soft_labels(folder: pathlib.Path) -> None:
    files = sorted(map(str, folder.glob("*.tfrecord")))
    manifest = read_manifest(files)
    spec = soft_label_spec(8, manifest["labels"])
    expected = {"labels": manifest["labels"], "max_seq_length": 8}
    records = open_records(",".join(files), "input_file", spec, expected)
    assert records.num_examples == manifest["num_examples"]
    with explain_damaged_record(records):
        num_batches = sum(1 for _ in evaluation_batches(records, 4))
    assert num_batches == -(-records.num_examples // 4)


# Models and states of runs.


def write_model(folder: pathlib.Path) -> None:
    values = variable_values(ClassifierModel(CONFIG, 2).trainable_variables)
    vocab = write_vocab(folder)
    info = {"labels": LABELS, "do_lower_case": True, "global_step": 3}
    write_model_folder(str(folder), values, CONFIG, vocab, info)


def read_model(folder: pathlib.Path) -> None:
    stored = find_weights(str(folder))
    reader = open_weights(stored)
    for name, shape in reader.shapes.items():
        assert reader.read(name).shape == shape
    model = read_model_folder(stored)
    assert model is None or model.labels is None or all(isinstance(x, str) for x in model.labels)


def write_plain_checkpoint(folder: pathlib.Path) -> None:
    values = {"bert/embeddings/word_embeddings": np.ones([3, 2], np.float32)}
    write_checkpoint(str(folder / "model.ckpt-7"), values)
    tf.compat.v1.train.update_checkpoint_state(str(folder), "model.ckpt-7")


def write_hf(folder: pathlib.Path) -> None:
    values = variable_values(ClassifierModel(CONFIG, 2).trainable_variables)
    vocab = write_vocab(folder)
    write_huggingface(str(folder / "hf"), values, CONFIG, vocab, True, LABELS)
    for path in (folder / "hf").iterdir():
        path.replace(folder / path.name)
    (folder / "hf").rmdir()


def run_state(folder: pathlib.Path) -> RunState:
    variables = [tf.Variable([1.0, 2.0], name="bert/x")]
    optimizer = AdamWeightDecay(WarmupLinearDecay(1e-3, 10, 0))
    return RunState(str(folder), variables, optimizer, keep=2, loss_names=["loss"])


RUN = Identity(Part({"learning_rate": 0.1, "labels": LABELS}, {"start": Content("0" * 64, "m")}))


def write_run(folder: pathlib.Path) -> None:
    check_identity(str(folder), RUN, tf.distribute.get_strategy())
    reporter = Reporter(str(folder), 10, 1, 0)
    state = run_state(folder)
    for step in (3, 6):
        state.step_variable.assign(step)
        state.best_step.assign(step)
        reporter.scalars(step, {"loss": 1.0})
        state.save()


def read_run(folder: pathlib.Path) -> None:
    check_identity(str(folder), RUN, tf.distribute.get_strategy())
    state = run_state(folder)
    state.restore()
    assert state.step == (state.best_step.numpy() if state.step else 0)
    Reporter(str(folder), 10, 1, state.step)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert all(json.loads(line)["step"] <= state.step for line in lines)


SIDECAR = {"num_examples": 3, "labels": LABELS}


def read_json_files(folder: pathlib.Path) -> None:
    read_json(sidecar_path(str(folder / "a.tfrecord")))
    sidecar = read_sidecar(str(folder / "a.tfrecord")) or {}
    assert all(sidecar.get(key, value) == value for key, value in SIDECAR.items())


def write_json_files(folder: pathlib.Path) -> None:
    (folder / "a.tfrecord").write_bytes(b"")
    write_sidecar(str(folder / "a.tfrecord"), SIDECAR)


TARGETS = {
    "config": Target(write_config_file, read_config_file),
    "vocabulary": Target(write_vocab, read_vocab),
    "table": Target(write_tables, read_tables),
    "json_lines": Target(write_json_lines, read_json_lines_of_task),
    "transfer_texts": Target(write_transfer_texts, read_transfer),
    "pipes": Target(write_piped, read_piped),
    "corpus": Target(write_corpus, read_corpus),
    "records": Target(write_records, read_records, share=2),
    "sidecar": Target(write_json_files, read_json_files),
    "soft_labels": Target(write_soft_labels, read_soft_labels, share=2),
    "model_folder": Target(write_model, read_model, share=5),
    "checkpoint": Target(write_plain_checkpoint, read_model),
    "huggingface": Target(write_hf, read_model),
    "run": Target(write_run, read_run, share=3),
}
