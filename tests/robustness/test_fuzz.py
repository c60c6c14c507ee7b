"""Damaged inputs: each is read cleanly, or refused with one line that names the file.

FUZZ_CASES in the environment is the number of mutated inputs (300 without it), FUZZ_SEED draws them.
A target is a folder of good files and a reader of all of them; a case damages one file. What a reader
returns is compared with what stands in the files, so that nothing is left out silently.
"""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import json
import lzma
import os
import pathlib
import random
import shutil
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from conftest import NEGATIVE, NEUTRAL, PIECES, POSITIVE, SPECIAL

from checkpoints.formats import find_weights, open_weights
from checkpoints.hugging_face import write_huggingface
from checkpoints.model_folder import read_model_folder, write_model_folder
from checkpoints.weights import variable_values, write_checkpoint
from classification.tasks import get_task
from common import files, input_files
from common.errors import UserError
from common.files import read_json
from data.batches import evaluation_batches
from data.classifier_records import encode_rows, feature_spec
from data.record_sets import explain_damaged_record, open_records, value_limits
from data.tables import read_json_lines, read_transfer_texts
from data.tfrecords import (
    RecordWriter,
    read_sidecar,
    serialize_examples,
    sidecar_path,
    write_sidecar,
)
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

CASES = int(os.environ.get("FUZZ_CASES", "300"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
# Longer than any reader needs for files this small, on a busy machine (seconds).
_HANG = 120

CONFIG = BertConfig(
    vocab_size=len(SPECIAL + POSITIVE + NEGATIVE + NEUTRAL + PIECES),
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
    path.write_text("\n".join(SPECIAL + POSITIVE + NEGATIVE + NEUTRAL + PIECES) + "\n")
    return str(path)


# What packs a file, and unpacks it, by the ending of its name.
PACKERS = {
    ".gz": (gzip.compress, gzip.decompress),
    ".xz": (lzma.compress, lzma.decompress),
    ".bz2": (bz2.compress, bz2.decompress),
}
if files.zstd:
    PACKERS[".zst"] = (files.zstd.compress, files.zstd.decompress)


def write_packed(folder: pathlib.Path, text: str) -> None:
    """One file packed in each way."""
    for letter, (suffix, (pack, _)) in zip("bcde", PACKERS.items(), strict=False):
        (folder / f"{letter}.txt{suffix}").write_bytes(pack(text.encode()))


def lines_of(path: pathlib.Path) -> list[str]:
    """Lines as an independent reader sees them."""
    _, unpack = PACKERS.get(path.suffix, (None, bytes))
    data = unpack(path.read_bytes())
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
        rows = list(read_json_lines(str(path), ["text", "label"]))
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
        batches = list(evaluation_batches(records, spec, 5))
    rows = np.concatenate([b["row"].numpy()[b["is_real_row"].numpy() > 0] for b in batches])
    assert sorted(rows.tolist()) == list(range(records.num_examples))


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
        num_batches = sum(1 for _ in evaluation_batches(records, spec, 4))
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

_WORDS = [
    *("", "0", "-1", "1.5", "1e309", "NaN", "null", "true", '"text"', "[]", "{}", '{"a": [1]}'),
    *("\t", "\n", "\n\n", "\r\n", "\ufeff", "\u2028", "\x00", '"', "\\", "\\ud800", "'", ","),
    *("9" * 30, "9" * 5000, "[" * 2000, "é", "[PAD]", "../../etc/passwd"),
]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One to three random changes."""
    for _ in range(rng.randint(1, 3)):
        place, end = sorted(rng.randint(0, len(data)) for _ in range(2))
        kind = rng.randrange(9)
        if kind == 0 and data:
            place = min(place, len(data) - 1)
            data = data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]
        elif kind == 1:
            data = data[:place]
        elif kind == 2:
            data = data[:place] + data[end:]
        elif kind == 3:
            data = data[:end] + data[place:]
        elif kind == 4:
            data = data[:place] + rng.randbytes(rng.randint(1, 20)) + data[place:]
        elif kind == 5:
            data = data[:place] + bytes(min(end - place, 50)) + data[min(end, place + 50) :]
        elif kind == 6:
            data = data[:place] + rng.choice(_WORDS).encode() + data[place:]
        elif kind == 7:
            # In place of a number, a word or a value in quotes.
            stops = [i for i, byte in enumerate(data) if byte in b'\t\n ,:[]{}"']
            if len(stops) > 1:
                i = rng.randrange(len(stops) - 1)
                word = rng.choice(_WORDS).encode()
                data = data[: stops[i] + 1] + word + data[stops[i + 1] :]
        else:
            lines = data.split(b"\n")
            i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[i], lines[j] = lines[j], lines[i]
            data = b"\n".join(lines)
    return data


_VALUES = [None, True, 0, -1, 3, 1.5, 10**30, "", "text", "0", [], [1], ["a"], {}, {"a": 1}]


def mutated_json(data: bytes, rng: random.Random) -> bytes:
    """Valid JSON in which a value is missing, called otherwise or another one."""
    value = json.loads(data)
    places = list(_places(value))
    container, key = rng.choice(places) if places else (None, None)
    kind = rng.randrange(4)
    if container is None or rng.random() < 0.02:
        value = rng.choice(_VALUES)
    elif kind == 0:
        del container[key]
    elif kind == 1 and isinstance(container, dict):
        container[rng.choice(["x", f"{key}s", ""])] = container.pop(key)
    else:
        container[key] = rng.choice(_VALUES)
    return json.dumps(value).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def _hangs(*_: object) -> None:
    raise TimeoutError("the reader hangs")


def run_case(target: Target, good: pathlib.Path, folder: pathlib.Path, seed: str) -> str | None:
    """Damages a file and reads it; returns what was wrong about the outcome, if anything."""
    rng = random.Random(seed)
    shutil.copytree(good, folder)
    path = rng.choice(sorted(p for p in folder.iterdir() if p.is_file()))
    is_json = path.suffix == ".json" and rng.random() < 2 / 3
    path.write_bytes((mutated_json if is_json else mutated)(path.read_bytes(), rng))
    signal.alarm(_HANG)
    try:
        target.read(folder)
    except UserError as error:
        message = str(error)
        if str(folder) not in message and path.name not in message:
            return f"{path.name}: the message names no file: {message}"
        if "Traceback" in message:
            return f"{path.name}: a traceback in the message: {message}"
    except Exception:
        return f"{path.name}: {traceback.format_exc()}"
    finally:
        signal.alarm(0)
        shutil.rmtree(folder)
    return None


def num_cases(target: Target) -> int:
    return -(-CASES * target.share // sum(other.share for other in TARGETS.values()))


@pytest.fixture
def alarm() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, _hangs)
    yield
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("name", TARGETS)
def test_damaged_input_is_read_or_refused(name: str, tmp_path: pathlib.Path) -> None:
    target = TARGETS[name]
    good = tmp_path / "good"
    good.mkdir()
    target.write(good)
    # The good files are good.
    shutil.copytree(good, tmp_path / "copy")
    target.read(tmp_path / "copy")
    problems = []
    for number in range(num_cases(target)):
        seed = f"{SEED} {name} {number}"
        problem = run_case(target, good, tmp_path / "case", seed)
        if problem:
            problems.append(f"case {seed!r}: {problem}")
    assert not problems, f"{len(problems)} cases:\n" + "\n".join(problems[:30])
