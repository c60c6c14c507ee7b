"""The Hugging Face library on the folders written here, and its own folders read here."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from checkpoints.hugging_face import HuggingFaceReader, write_huggingface
from checkpoints.hugging_face_config import read_huggingface_config
from checkpoints.weights import load_weights, variable_name
from modeling.config import BertConfig
from modeling.heads import ClassifierModel, PretrainingModel
from modeling.tokenization import SPECIAL_TOKENS, FullTokenizer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

# Largest difference of an output, over the largest magnitude of the library's.
TOLERANCE = 1e-5
CONFIG = BertConfig(
    vocab_size=99,
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=37,
    max_position_embeddings=21,
    type_vocab_size=3,
)
NUM_INPUTS, LENGTH, NUM_LABELS = 64, 21, 3
# Weights of this deviation bring the activation functions to where they are not linear.
STDDEV = 0.2

Outputs = dict[str, np.ndarray]


def random_batch() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shape = (NUM_INPUTS, LENGTH)
    mask = np.arange(LENGTH) < rng.integers(1, LENGTH + 1, (NUM_INPUTS, 1))
    return {
        "input_ids": rng.integers(0, CONFIG.vocab_size, shape).astype(np.int32) * mask,
        "input_mask": mask.astype(np.int32),
        "segment_ids": rng.integers(0, CONFIG.type_vocab_size, shape).astype(np.int32) * mask,
    }


BATCH = random_batch()
REAL = BATCH["input_mask"].astype(bool)


@functools.cache
def our_models(hidden_act: str) -> tuple[PretrainingModel, ClassifierModel]:
    config = dataclasses.replace(CONFIG, hidden_act=hidden_act)
    return PretrainingModel(config), ClassifierModel(config, NUM_LABELS)


def our_outputs(hidden_act: str, folder: str) -> tuple[Outputs, set[str]]:
    """Our models with the weights of a folder, and the names of those that found no place."""
    pretraining, classifier = models = our_models(hidden_act)
    reader = HuggingFaceReader(folder)
    reports = [load_weights(model.trainable_variables, reader) for model in models]
    batch = {name: tf.constant(value, tf.int32) for name, value in BATCH.items()}
    batch["masked_lm_positions"] = tf.constant([list(range(LENGTH))] * NUM_INPUTS)
    encoded = pretraining.encoder(batch["input_ids"], batch["input_mask"], batch["segment_ids"])
    masked_lm, next_sentence = pretraining(batch)
    outputs = {
        "sequence_output": encoded.sequence_output.numpy()[REAL],
        "pooled_output": encoded.pooled_output.numpy(),
        "masked_lm": masked_lm.numpy().reshape(NUM_INPUTS, LENGTH, -1)[REAL],
        "next_sentence": next_sentence.numpy(),
        "classifier": classifier(batch).numpy(),
    }
    return outputs, set.intersection(*(set(report.left_over) for report in reports))


def library_outputs(model: Any) -> Outputs:
    """All outputs a model of the library has, at real tokens."""
    inputs = {
        "input_ids": BATCH["input_ids"],
        "attention_mask": BATCH["input_mask"],
        "token_type_ids": BATCH["segment_ids"],
    }
    with torch.no_grad():
        result = model.eval()(
            **{name: torch.tensor(value, dtype=torch.long) for name, value in inputs.items()},
            output_hidden_states=True,
        )
    logits = "masked_lm" if type(model).__name__ == "BertForMaskedLM" else "classifier"
    outputs = {"sequence_output": result.hidden_states[-1].numpy()[REAL]}
    for ours, theirs in (
        ("pooled_output", "pooler_output"),
        ("masked_lm", "prediction_logits"),
        ("next_sentence", "seq_relationship_logits"),
        (logits, "logits"),
    ):
        if theirs in result:
            value = result[theirs].numpy()
            outputs[ours] = value[REAL] if ours == "masked_lm" else value
    return outputs


def assert_same(ours: Outputs, theirs: Outputs, names: set[str]) -> None:
    assert set(theirs) == names
    for name, expected in theirs.items():
        assert ours[name].shape == expected.shape
        difference = np.max(np.abs(ours[name] - expected)) / np.max(np.abs(expected))
        assert difference <= TOLERANCE, name


def random_weights(*heads: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    variables = {variable_name(v): v for model in our_models("gelu") for v in model.variables}
    return {
        name: rng.normal(scale=STDDEV, size=variable.shape).astype(np.float32)
        for name, variable in variables.items()
        if name.startswith(("bert/embeddings/", "bert/encoder/", *heads))
    }


POOLER, MASKED_LM, NEXT_SENTENCE, CLASSIFIER = (
    "bert/pooler/",
    "cls/predictions/",
    "cls/seq_relationship/",
    "output_",
)
MODELS = [
    ("BertModel", (POOLER,), {"pooled_output"}),
    ("BertForMaskedLM", (MASKED_LM,), {"masked_lm"}),
    ("BertForPreTraining", (POOLER, MASKED_LM, NEXT_SENTENCE), {"masked_lm", "next_sentence"}),
    ("BertForSequenceClassification", (POOLER, CLASSIFIER), {"classifier"}),
]


@pytest.mark.parametrize("hidden_act", ["gelu", "gelu_erf"])
@pytest.mark.parametrize("architecture, heads, names", MODELS)
def test_the_library_on_our_folders(
    tmp_path: pathlib.Path,
    architecture: str,
    heads: tuple[str, ...],
    names: set[str],
    hidden_act: str,
) -> None:
    config = dataclasses.replace(CONFIG, hidden_act=hidden_act)
    weights = random_weights(*heads)
    folder = str(tmp_path / "model")
    write_huggingface(folder, weights, config, None, True, ["a", "b", "c"])
    model, report = getattr(transformers, architecture).from_pretrained(
        folder, output_loading_info=True
    )
    assert not any(report.values()), report
    assert model.config.architectures == [architecture]
    if architecture == "BertForSequenceClassification":
        assert model.config.id2label == {0: "a", 1: "b", 2: "c"}
    # The folder has these weights bit for bit (test_huggingface.py).
    ours, _ = our_outputs(hidden_act, folder)
    assert_same(ours, library_outputs(model), names | {"sequence_output"})


@pytest.mark.parametrize("form", ["safetensors", "zip", "legacy"])
@pytest.mark.parametrize("architecture, heads, names", MODELS)
def test_folders_of_the_library(
    tmp_path: pathlib.Path,
    architecture: str,
    heads: tuple[str, ...],
    names: set[str],
    form: str,
) -> None:
    config = {**CONFIG.to_dict(), "hidden_act": "gelu", "num_labels": NUM_LABELS}
    torch.manual_seed(0)
    model = getattr(transformers, architecture)(transformers.BertConfig(**config))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=STDDEV)
    model.save_pretrained(tmp_path)
    if form != "safetensors":
        (tmp_path / "model.safetensors").unlink()
        is_zip = form == "zip"
        path = tmp_path / "pytorch_model.bin"
        torch.save(model.state_dict(), path, _use_new_zipfile_serialization=is_zip)
    found = read_huggingface_config(str(tmp_path))
    assert found.labels is None
    assert found.config == dataclasses.replace(CONFIG, hidden_act="gelu_erf")
    assert set(HuggingFaceReader(str(tmp_path)).shapes) == set(random_weights(*heads))
    ours, left_over = our_outputs("gelu_erf", str(tmp_path))
    assert not left_over
    assert_same(ours, library_outputs(model), names | {"sequence_output"})


TEXTS = [
    "",
    "The quick brown fox.",
    "don't  pay $5.00,\tnow!\r\nOr \x00else\x7f\u200b",
    "na\u00efve caf\u00e9 cafe\u0301 \u00c5ngstr\u00f6m \u1e9e stra\u00dfe",
    "\u4f60\u597d\u4e16\u754c abc\u4f60def \u65e5\u672c\u8a9e\u30c6\u30ad \ud55c\uad6d",
    "\u0130stanbul \u041c\u043e\u0441\u043a\u0432\u0430 \u1f08\u03b8\u1fc6\u03bd\u03b1\u03b9",
    "\ufb01ne \ufffd \u00a0nbsp\u3000wide \u2028line \u2026 \u201cquoted\u201d \u2014 #hash_tag @x",
    "a" * 100 + " " + "ab" * 101 + " x\u00ady",
    "\U0001f600 \U0001d400 \U00020000x  ##ing [unused1] unaffable UNAFFABLE",
]


@pytest.mark.parametrize("do_lower_case", [True, False])
def test_ids_of_the_library(tmp_path: pathlib.Path, do_lower_case: bool) -> None:
    """The same ids wherever both see the same text.

    By its nature the library differs on: words of 101 to 200 characters ([UNK] there), the names of
    special tokens in the text (one id there), a capital sigma at the end of a word, and characters
    younger than its Unicode tables.
    """
    letters = sorted({char for text in TEXTS for char in text.lower() + text if char.isalnum()})
    words = ["the", "quick", "un", "##aff", "##able", "caf", "##\u00e9", "##e", "Stra", "##\u00dfe"]
    marks = list(".,!$'#_@[]\u2026\u201c\u201d\u2014")
    entries = dict.fromkeys(
        [*SPECIAL_TOKENS, *words, *marks, *letters, *(f"##{c}" for c in letters)]
    )
    vocab_file = tmp_path / "words.txt"
    vocab_file.write_text("".join(f"{entry}\n" for entry in entries), encoding="utf-8")
    folder = str(tmp_path / "model")
    config = dataclasses.replace(CONFIG, max_position_embeddings=512)
    write_huggingface(folder, random_weights(), config, str(vocab_file), do_lower_case, None)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    ours = FullTokenizer(str(vocab_file), do_lower_case)
    assert theirs.model_max_length == 512
    assert (theirs.pad_token_id, theirs.mask_token_id) == (ours.pad_id, ours.mask_id)
    for text in TEXTS:
        assert theirs(text, add_special_tokens=False)["input_ids"] == ours.encode(text), text
    pair = theirs("the fox", "quick")
    assert pair["input_ids"] == [
        ours.cls_id,
        *ours.encode("the fox"),
        ours.sep_id,
        *ours.encode("quick"),
        ours.sep_id,
    ]
    assert sum(pair["token_type_ids"]) == len(ours.encode("quick")) + 1
