"""extract_features.py against the original's mathematics (`reference_bert`) and file format."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from reference_bert import ReferencePretraining, random_weights
from scripts import run_script

from checkpoints.model_folder import write_model_folder
from common.errors import UserError
from modeling.config import BertConfig
from serving import features as features_module
from training.engine import Engine

LENGTH = 12
# The lines of the input, and the tokens that the original makes of them.
LINES = {
    "The good film": "[CLS] the good film [SEP]",
    "good films . ||| a bad scene": "[CLS] good film ##s . [SEP] a bad scene [SEP]",
    "": "[CLS] [SEP]",
    "the plot was very dull and the actor is poor , very very poor": (
        "[CLS] the plot was very dull [UNK] the actor is poor [SEP]"
    ),
    "  a ||| dull plot ||| is awful ": "[CLS] a [UNK] [UNK] [UNK] dull plot [SEP] is awful [SEP]",
    "story |||": "[CLS] story [UNK] [UNK] [UNK] [SEP]",
    "fine": "[CLS] fine [SEP]",
}
TOLERANCE = 2e-5  # float32 against float64; numbers are up to 3.


@pytest.fixture(scope="module")
def model(
    write_config: Callable[..., str], vocab_file: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[pathlib.Path, ReferencePretraining]:
    config = json.loads(pathlib.Path(write_config(num_hidden_layers=3)).read_text())
    weights = random_weights(config, 0.2, seed=1)
    folder = tmp_path_factory.mktemp("model")
    architecture = BertConfig.from_dict(config)
    write_model_folder(str(folder), weights, architecture, vocab_file, {"do_lower_case": True})
    exact = {name: value.astype(np.float64) for name, value in weights.items()}
    return folder, ReferencePretraining(config, exact)


@pytest.fixture(scope="module")
def expected(
    model: tuple[pathlib.Path, ReferencePretraining], vocab_file: str
) -> list[tuple[list[str], np.ndarray]]:
    """Tokens of each line, and float64 [layers, tokens, hidden_size]; padded as in the original."""
    words = {word: i for i, word in enumerate(pathlib.Path(vocab_file).read_text().split())}
    found = []
    for text in LINES.values():
        tokens = text.split()
        padding = [0] * (LENGTH - len(tokens))
        ids = [words[token] for token in tokens] + padding
        segments = np.cumsum([token == "[SEP]" for token in tokens])
        second = [int(i > 0 and segments[i - 1] > 0) for i in range(len(tokens))] + padding
        x, _ = model[1]._embeddings(np.array([ids]), np.array([second]))
        mask = np.array([[1] * len(tokens) + padding])
        scores_mask = (1.0 - mask[:, np.newaxis, np.newaxis, :]) * -10000.0
        layers = []
        for i in range(3):
            x, _ = model[1]._layer(f"bert/encoder/layer_{i}", x, scores_mask)
            layers.append(x[0, : len(tokens)])
        found.append((tokens, np.array(layers)))
    return found


@pytest.fixture(scope="module")
def flags(
    model: tuple[pathlib.Path, ReferencePretraining], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    texts = tmp_path_factory.mktemp("texts") / "texts.txt"
    texts.write_text("\n".join(LINES) + "\n")
    return {
        "init_checkpoint": model[0],
        "input_file": texts,
        "max_seq_length": LENGTH,
        "batch_size": 2,
    }


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_file_of_the_original(
    flags: dict[str, Any], expected: list[tuple[list[str], np.ndarray]], tmp_path: pathlib.Path
) -> None:
    out = tmp_path / "features.jsonl"
    run_script("extract_features", **flags, output_file=out, layers="-1,-2,0")
    rows = read(out)
    assert [row["linex_index"] for row in rows] == list(range(len(LINES)))
    for row, (tokens, layers) in zip(rows, expected, strict=True):
        assert list(row) == ["linex_index", "features"]
        assert [list(entry) for entry in row["features"]] == [["token", "layers"]] * len(tokens)
        assert [entry["token"] for entry in row["features"]] == tokens
        for i, entry in enumerate(row["features"]):
            assert [list(layer) for layer in entry["layers"]] == [["index", "values"]] * 3
            assert [layer["index"] for layer in entry["layers"]] == [-1, -2, 0]
            values = [layer["values"] for layer in entry["layers"]]
            np.testing.assert_allclose(values, layers[[-1, -2, 0], i], atol=TOLERANCE)
            assert values == [[round(value, 6) for value in layer] for layer in values]


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_one_vector_a_line(
    flags: dict[str, Any],
    expected: list[tuple[list[str], np.ndarray]],
    tmp_path: pathlib.Path,
    pooling: str,
) -> None:
    layers = [layers[[-1, 0]] for _, layers in expected]
    wanted = np.array([x[:, 0] if pooling == "cls" else x.mean(axis=1) for x in layers])
    flags = {**flags, "pooling": pooling}
    run_script("extract_features", **flags, output_file=tmp_path / "a.jsonl", layers="-1,0")
    rows = read(tmp_path / "a.jsonl")
    found = [[layer["values"] for layer in row["layers"]] for row in rows]
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE)
    run_script("extract_features", **flags, output_file=tmp_path / "a.npy", layers="-1,0")
    array = np.load(tmp_path / "a.npy")
    assert array.dtype == np.float32
    np.testing.assert_allclose(array, wanted, atol=TOLERANCE)
    run_script("extract_features", **flags, output_file=tmp_path / "b.npy", layers="-1")
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), array[:, 0])


def test_killed_run_goes_on(
    flags: dict[str, Any], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole.npy", tmp_path / "out.npy"
    flags = {**flags, "pooling": "mean"}
    run_script("extract_features", **flags, output_file=whole)
    monkeypatch.setattr(features_module, "WINDOW_ROWS", 2)
    calls: list[int] = []
    compute = Engine.__call__

    def until_killed(engine: Engine, features: Any) -> np.ndarray:
        calls.append(len(features["input_ids"]))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return compute(engine, features)

    monkeypatch.setattr(Engine, "__call__", until_killed)
    with pytest.raises(KeyboardInterrupt):
        run_script("extract_features", **flags, output_file=out)
    assert not out.exists()
    run_script("extract_features", **flags, output_file=out)
    assert calls == [2, 2, 2, 2, 1]  # The first two windows were not computed again.
    assert np.load(out).shape == (len(LINES), 3, 24)  # All layers, since there are no four.
    np.testing.assert_allclose(np.load(out), np.load(whole), atol=1e-6)
    assert {path.name for path in tmp_path.iterdir()} == {"whole.npy", "out.npy"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": "-1,3"}, "--layers=-1,3: expected numbers from 0 to 2, or from -1, .* to -3"),
        ({"layers": "last"}, "--layers=last: expected numbers"),
        ({"output_file": "a.npy"}, "a.npy holds one vector a line, so say which with --pooling"),
        ({"input_file": "none.txt"}, '--input_file: no file matches "none.txt"'),
        ({"output_file": "{input_file}"}, "texts.txt. is an input file as well"),
        ({"max_seq_length": 41}, "max_seq_length=41 is more than"),
    ],
)
def test_bad_input(
    flags: dict[str, Any],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    changes = {
        name: value.format(**flags) if isinstance(value, str) else value
        for name, value in changes.items()
    }
    with pytest.raises(UserError, match=message):
        run_script("extract_features", **{**flags, "output_file": "out.jsonl", **changes})
    assert not list(tmp_path.iterdir())
