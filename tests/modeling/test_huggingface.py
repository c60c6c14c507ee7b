"""Reading folders of the Hugging Face library."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
from safetensors.numpy import save_file
from scripts import run_script

from common.errors import UserError
from modeling.checkpoints import CheckpointReader
from modeling.huggingface import read_huggingface

WIDTH, FEED_FORWARD, VOCAB = 6, 10, 27


def huggingface_folder(folder: pathlib.Path, prefix: str = "bert.") -> dict[str, np.ndarray]:
    """A one-layer classifier as the library saves it; every matrix but q, k, v is not square."""
    rng = np.random.default_rng(0)
    layer = f"{prefix}encoder.layer.0."
    shapes = {
        f"{prefix}embeddings.word_embeddings.weight": (VOCAB, WIDTH),
        f"{prefix}embeddings.position_embeddings.weight": (16, WIDTH),
        f"{prefix}embeddings.token_type_embeddings.weight": (2, WIDTH),
        f"{prefix}embeddings.LayerNorm.weight": (WIDTH,),
        f"{prefix}embeddings.LayerNorm.bias": (WIDTH,),
        **{
            f"{layer}attention.{part}.{kind}": (WIDTH, WIDTH) if kind == "weight" else (WIDTH,)
            for part in ("self.query", "self.key", "self.value", "output.dense")
            for kind in ("weight", "bias")
        },
        f"{layer}attention.output.LayerNorm.weight": (WIDTH,),
        f"{layer}attention.output.LayerNorm.bias": (WIDTH,),
        f"{layer}intermediate.dense.weight": (FEED_FORWARD, WIDTH),
        f"{layer}intermediate.dense.bias": (FEED_FORWARD,),
        f"{layer}output.dense.weight": (WIDTH, FEED_FORWARD),
        f"{layer}output.dense.bias": (WIDTH,),
        f"{layer}output.LayerNorm.weight": (WIDTH,),
        f"{layer}output.LayerNorm.bias": (WIDTH,),
        f"{prefix}pooler.dense.weight": (WIDTH, WIDTH),
        f"{prefix}pooler.dense.bias": (WIDTH,),
        "classifier.weight": (3, WIDTH),
        "classifier.bias": (3,),
    }
    tensors = {name: rng.normal(size=s).astype(np.float32) for name, s in shapes.items()}
    ids = {f"{prefix}embeddings.position_ids": np.arange(16)[np.newaxis]}
    save_file({**tensors, **ids}, folder / "model.safetensors")
    config = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": WIDTH,
        "num_hidden_layers": 1,
        "num_attention_heads": 3,
        "intermediate_size": FEED_FORWARD,
        "max_position_embeddings": 16,
        "type_vocab_size": 2,
        "vocab_size": VOCAB,
        "id2label": {"0": "entailment", "1": "neutral", "2": "contradiction"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return tensors


@pytest.mark.parametrize("prefix", ["bert.", ""])
def test_names_and_layouts(tmp_path: pathlib.Path, prefix: str) -> None:
    tensors = huggingface_folder(tmp_path, prefix)
    config, weights, labels = read_huggingface(str(tmp_path))
    assert config.hidden_act == "gelu_erf"
    assert labels == ["entailment", "neutral", "contradiction"]
    assert len(weights) == 5 + 16 + 2 + 2
    kernel = weights["bert/encoder/layer_0/intermediate/dense/kernel"]
    np.testing.assert_array_equal(
        kernel, tensors[f"{prefix}encoder.layer.0.intermediate.dense.weight"].T
    )
    query = weights["bert/encoder/layer_0/attention/self/query/kernel"]
    np.testing.assert_array_equal(
        query, tensors[f"{prefix}encoder.layer.0.attention.self.query.weight"].T
    )
    gamma = weights["bert/encoder/layer_0/attention/output/LayerNorm/gamma"]
    np.testing.assert_array_equal(
        gamma, tensors[f"{prefix}encoder.layer.0.attention.output.LayerNorm.weight"]
    )
    np.testing.assert_array_equal(weights["output_weights"], tensors["classifier.weight"])
    np.testing.assert_array_equal(
        weights["bert/embeddings/word_embeddings"],
        tensors[f"{prefix}embeddings.word_embeddings.weight"],
    )


def test_conversion_leaves_a_model_folder(tmp_path: pathlib.Path, vocab_file: str) -> None:
    source, target = tmp_path / "hf", tmp_path / "model"
    source.mkdir()
    huggingface_folder(source)
    entries = pathlib.Path(vocab_file).read_text().split()[:VOCAB]
    (source / "vocab.txt").write_text("\n".join(entries) + "\n")
    run_script("convert_checkpoint", input_path=source, output_dir=target)
    _, weights, _ = read_huggingface(str(source))
    reader = CheckpointReader(str(target / "bert_model.ckpt"))
    assert set(reader.shapes) == set(weights)
    for name, value in weights.items():
        np.testing.assert_array_equal(reader.read(name), value)
    info = json.loads((target / "model_info.json").read_text())
    assert info["labels"] == ["entailment", "neutral", "contradiction"]
    (source / "vocab.txt").write_text("\n".join(entries[:-1]) + "\n")
    with pytest.raises(UserError, match=f"{VOCAB - 1} entries.*vocab_size {VOCAB}"):
        run_script("convert_checkpoint", input_path=source, output_dir=tmp_path / "other")


def test_what_is_no_bert_model(tmp_path: pathlib.Path) -> None:
    tensors = huggingface_folder(tmp_path)
    save_file(
        {**tensors, "bert.adapter.up": np.zeros(2, np.float32)}, tmp_path / "model.safetensors"
    )
    with pytest.raises(UserError, match="tensor bert.adapter.up has no place"):
        read_huggingface(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"hello")
    with pytest.raises(UserError, match="not a readable safetensors file"):
        read_huggingface(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(UserError, match='model_type is "gpt2"'):
        read_huggingface(str(tmp_path))
