"""Folders of the Hugging Face library: names, layouts, files, both directions."""

from __future__ import annotations

import json
import logging
import pathlib

import ml_dtypes
import numpy as np
import pytest
from hugging_face_folders import (
    ENCODER_SHAPES,
    HEADS,
    ODD,
    ONE_LAYER,
    config_values,
    library_tensors,
    random_weights,
    write_folder,
)
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from checkpoints import hugging_face as huggingface
from checkpoints import hugging_face_config
from checkpoints.hugging_face import HuggingFaceReader, is_huggingface_folder, write_huggingface
from checkpoints.hugging_face_config import read_huggingface_config
from checkpoints.tokenizer_files import read_tokenizer_files
from common.errors import UserError


@pytest.mark.parametrize("prefix", ["bert.", ""])
@pytest.mark.parametrize("old_names", [False, True])
def test_names_and_layouts(tmp_path: pathlib.Path, prefix: str, old_names: bool) -> None:
    tensors = library_tensors(prefix)
    named = {
        name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta")
        if old_names
        else name: value
        for name, value in tensors.items()
    }
    named[f"{prefix}embeddings.position_ids"] = np.arange(21)[np.newaxis]
    reader = HuggingFaceReader(write_folder(tmp_path / "model", named))
    assert reader.source == str(tmp_path / "model" / "model.safetensors")
    weights = random_weights(ONE_LAYER, *HEADS)
    assert reader.shapes == {name: value.shape for name, value in weights.items()}
    layer, ours = f"{prefix}encoder.layer.0.", "bert/encoder/layer_0/"
    same_layout = {
        "bert/embeddings/word_embeddings": f"{prefix}embeddings.word_embeddings.weight",
        "bert/embeddings/LayerNorm/gamma": f"{prefix}embeddings.LayerNorm.weight",
        "bert/embeddings/LayerNorm/beta": f"{prefix}embeddings.LayerNorm.bias",
        ours + "attention/output/LayerNorm/gamma": layer + "attention.output.LayerNorm.weight",
        ours + "attention/self/key/bias": layer + "attention.self.key.bias",
        ours + "output/LayerNorm/beta": layer + "output.LayerNorm.bias",
        "output_weights": "classifier.weight",
        "output_bias": "classifier.bias",
        "cls/seq_relationship/output_weights": "cls.seq_relationship.weight",
        "cls/predictions/output_bias": "cls.predictions.bias",
        "cls/squad/output_weights": "qa_outputs.weight",
    }
    transposed = {
        ours + "attention/self/query/kernel": layer + "attention.self.query.weight",
        ours + "attention/self/key/kernel": layer + "attention.self.key.weight",
        ours + "attention/self/value/kernel": layer + "attention.self.value.weight",
        ours + "attention/output/dense/kernel": layer + "attention.output.dense.weight",
        ours + "intermediate/dense/kernel": layer + "intermediate.dense.weight",
        ours + "output/dense/kernel": layer + "output.dense.weight",
        "bert/pooler/dense/kernel": f"{prefix}pooler.dense.weight",
        "cls/predictions/transform/dense/kernel": "cls.predictions.transform.dense.weight",
    }
    for name, library_name in same_layout.items():
        np.testing.assert_array_equal(reader.read(name), tensors[library_name], err_msg=name)
    for name, library_name in transposed.items():
        np.testing.assert_array_equal(reader.read(name), tensors[library_name].T, err_msg=name)


@pytest.mark.parametrize(
    "heads, architecture, left_out",
    [
        (("pooler", "classifier"), "BertForSequenceClassification", ()),
        (("pooler", "masked_lm", "next_sentence"), "BertForPreTraining", ()),
        (("masked_lm",), "BertForMaskedLM", ()),
        (("pooler", "next_sentence"), "BertForNextSentencePrediction", ()),
        (("squad",), "BertForQuestionAnswering", ()),
        (("pooler",), "BertModel", ()),
        ((), "BertModel", ()),
        (("pooler", "squad"), "BertForQuestionAnswering", ("pooler",)),
        (("pooler", "masked_lm"), "BertForMaskedLM", ("pooler",)),
        (("pooler", "classifier", "masked_lm"), "BertForSequenceClassification", ("masked_lm",)),
    ],
)
def test_round_trip(
    tmp_path: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
    vocab_file: str,
    heads: tuple[str, ...],
    architecture: str,
    left_out: tuple[str, ...],
) -> None:
    weights = random_weights(ODD, *heads)
    folder = tmp_path / "model"
    with caplog.at_level(logging.INFO):
        write_huggingface(str(folder), weights, ODD, vocab_file, False, None)
    without = tuple(HEADS[head] for head in left_out)
    kept = {name for name in weights if not without or not name.startswith(without)}
    logged = set(caplog.text.replace(",", " ").split())
    assert logged & set(weights) == set(weights) - kept
    assert config_values(folder)["architectures"] == [architecture]
    assert is_huggingface_folder(str(folder))
    reader = HuggingFaceReader(str(folder))
    assert set(reader.shapes) == kept
    for name in kept:
        value = reader.read(name)
        assert value.dtype == np.float32
        assert value.tobytes() == weights[name].tobytes(), name
    found = read_huggingface_config(str(folder))
    assert found == hugging_face_config.HuggingFaceConfig(ODD, None, None)
    assert read_tokenizer_files(str(folder)).do_lower_case is False
    assert (folder / "vocab.txt").read_bytes() == pathlib.Path(vocab_file).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_written_names(tmp_path: pathlib.Path) -> None:
    classifier, encoder = tmp_path / "classifier", tmp_path / "encoder"
    weights = random_weights(ONE_LAYER, "pooler", "classifier")
    write_huggingface(str(classifier), weights, ONE_LAYER, None, None, None)
    write_huggingface(
        str(encoder), random_weights(ONE_LAYER, "pooler"), ONE_LAYER, None, None, None
    )
    shapes = {name: value.shape for name, value in load_file(encoder / "model.safetensors").items()}
    assert shapes == ENCODER_SHAPES
    tensors = load_file(classifier / "model.safetensors")
    assert {name: value.shape for name, value in tensors.items()} == {
        **{"bert." + name: shape for name, shape in ENCODER_SHAPES.items()},
        "classifier.weight": (4, 32),
        "classifier.bias": (4,),
    }
    np.testing.assert_array_equal(
        tensors["bert.encoder.layer.0.output.dense.weight"],
        weights["bert/encoder/layer_0/output/dense/kernel"].T,
    )
    with safe_open(classifier / "model.safetensors", "np") as file:
        assert file.metadata() == {"format": "pt"}
    assert not (classifier / "vocab.txt").exists()
    assert "do_lower_case" not in json.loads((classifier / "tokenizer_config.json").read_text())
    assert read_tokenizer_files(str(classifier)).do_lower_case is None


def test_half_precision_is_converted_exactly(tmp_path: pathlib.Path) -> None:
    tensors = library_tensors()
    half = np.array([1 / 3, 6.1e-5, 6e-8, 65504], np.float16)
    brain = np.array([1 / 3, 1e-38, -3e38, 1e-40], ml_dtypes.bfloat16)
    tensors["classifier.bias"] = half
    path = tmp_path / "model" / "model.safetensors"
    reader = HuggingFaceReader(write_folder(path.parent, tensors))
    assert reader.read("output_bias").dtype == np.float32
    np.testing.assert_array_equal(reader.read("output_bias").astype(np.float64), half)
    save_file({**tensors, "classifier.bias": brain}, path)
    found = HuggingFaceReader(str(path.parent)).read("output_bias")
    assert found.dtype == np.float32
    # A bfloat16 is the upper half of a float32.
    np.testing.assert_array_equal(found.view(np.uint32), brain.view(np.uint16).astype("u4") << 16)
    # Quantized weights show their shape, and are refused when they are read.
    save_file({**tensors, "classifier.bias": np.ones(4, np.int8)}, path)
    quantized = HuggingFaceReader(str(path.parent))
    assert quantized.shapes["output_bias"] == (4,)
    with pytest.raises(UserError, match="tensor of output_bias has the type int8"):
        quantized.read("output_bias")


def test_tied_weights(tmp_path: pathlib.Path) -> None:
    tensors = library_tensors()
    word = "bert.embeddings.word_embeddings.weight"
    decoder, bias = "cls.predictions.decoder.weight", "cls.predictions.decoder.bias"
    tied = {**tensors, decoder: tensors[word], bias: tensors["cls.predictions.bias"]}
    reader = HuggingFaceReader(write_folder(tmp_path, tied))
    assert not any("decoder" in name for name in reader.shapes)
    embeddings = reader.read("bert/embeddings/word_embeddings")
    np.testing.assert_array_equal(embeddings, tensors[word])
    # Some tools keep one of two equal tensors, and not always the same one.
    alone = {name: value for name, value in tied.items() if name != "cls.predictions.bias"}
    reader = HuggingFaceReader(write_folder(tmp_path, alone))
    np.testing.assert_array_equal(reader.read("cls/predictions/output_bias"), tied[bias])
    untied = tied[decoder].copy()
    untied[98, 31] += 1e-3
    reader = HuggingFaceReader(write_folder(tmp_path, {**tied, decoder: untied}))
    with pytest.raises(UserError, match=f"{decoder} has other values than {word}"):
        reader.read("bert/embeddings/word_embeddings")
    reader = HuggingFaceReader(write_folder(tmp_path, {**tied, bias: tied[bias] + 1}))
    reader.read("bert/embeddings/word_embeddings")
    with pytest.raises(UserError, match=f"{bias} has other values than cls.predictions.bias"):
        reader.read("cls/predictions/output_bias")


def test_what_an_original_has_no_place_for(tmp_path: pathlib.Path) -> None:
    extra = {"bert.adapter.up": np.zeros((2, 3), np.float32)}
    reader = HuggingFaceReader(write_folder(tmp_path, {**library_tensors(), **extra}))
    assert reader.shapes["bert.adapter.up"] == (2, 3)
    # This head is applied to every token, not to the pooled vector.
    token_classifier = write_folder(tmp_path, architectures=["BertForTokenClassification"])
    reader = HuggingFaceReader(token_classifier)
    assert reader.shapes["classifier.weight"] == (4, 32)
    assert "output_weights" not in reader.shapes
    # Configurations of 2019 do not name the class.
    reader = HuggingFaceReader(write_folder(tmp_path, architectures=None, model_type=None))
    assert reader.shapes["output_weights"] == (4, 32)
    twice = {**library_tensors(), "pooler.dense.bias": np.zeros(32, np.float32)}
    with pytest.raises(UserError, match="pooler.dense.bias is there under two names"):
        HuggingFaceReader(write_folder(tmp_path, twice))


def test_nothing_is_left_of_a_failure(
    tmp_path: pathlib.Path, vocab_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = random_weights(ONE_LAYER, "pooler", "classifier")
    folder = tmp_path / "model"
    with pytest.raises(UserError, match="4 outputs, but 2 labels are given: no, yes"):
        write_huggingface(str(folder), weights, ONE_LAYER, vocab_file, True, ["no", "yes"])
    with pytest.raises(UserError, match="missing.txt"):
        missing = str(tmp_path / "missing.txt")
        write_huggingface(str(folder), weights, ONE_LAYER, missing, True, None)

    def full_disk(path: str, value: object) -> None:
        assert pathlib.Path(path).with_name("model.safetensors").exists()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(huggingface, "write_json", full_disk)
        write_huggingface(str(folder), weights, ONE_LAYER, vocab_file, True, None)
    assert list(tmp_path.iterdir()) == []
    folder.mkdir()
    (folder / "mine.txt").touch()
    with pytest.raises(UserError, match="model exists already and is not empty"):
        write_huggingface(str(folder), weights, ONE_LAYER, vocab_file, True, None)
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_tokenizer_files(tmp_path: pathlib.Path) -> None:
    words = ["a", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocab_file = tmp_path / "words.txt"
    vocab_file.write_text("\n".join(words) + "\n")
    write_huggingface(str(tmp_path / "m"), random_weights(ODD), ODD, str(vocab_file), True, None)
    assert config_values(tmp_path / "m")["pad_token_id"] == 1
    tokenizer = json.loads((tmp_path / "m" / "tokenizer_config.json").read_text())
    assert tokenizer["do_lower_case"] is True
    assert tokenizer["model_max_length"] == 21


def test_file_systems_of_tensorflow(tmp_path: pathlib.Path, vocab_file: str) -> None:
    weights = random_weights(ONE_LAYER, "pooler")
    folder = f"file://{tmp_path}/model"
    write_huggingface(folder, weights, ONE_LAYER, vocab_file, True, None)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ]
    assert is_huggingface_folder(folder)
    reader = HuggingFaceReader(folder)
    for name, value in weights.items():
        np.testing.assert_array_equal(reader.read(name), value)
