"""SavedModels against the models they were made from, loaded with and without our code."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from models import ODD_CONFIG, random_weights

from checkpoints.weights import CheckpointReader, variable_name
from common.errors import UserError
from data.classifier_records import encode_rows
from modeling.config import BertConfig
from modeling.heads import ClassifierModel
from modeling.tokenization import FullTokenizer
from serving.saved_model import write_classifier_saved_model, write_encoder_saved_model

LABELS = ["bad", "so so", "gut für mich"]
MAX_SEQ_LENGTH = 11
WORDS = ["un", "##aff", "##able", "the", "a", "b", "c", "naive", ".", "σ", "ς"]
TEXTS = ["", "The unaffable naïve a.b", "c", "a " * 40, "ΣΑΣ a\x01b", "the. " * 3]
OTHERS = ["b c", "", "the " * 30, "b " * 40, "un", "a b c a b c a"]


@pytest.fixture(scope="module")
def vocab_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    tokens += [f"[unused{i}]" for i in range(ODD_CONFIG.vocab_size - len(tokens))]
    path.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def config() -> BertConfig:
    return dataclasses.replace(ODD_CONFIG, num_hidden_layers=2)


@pytest.fixture(scope="module")
def classifier(config: BertConfig) -> ClassifierModel:
    return with_weights(ClassifierModel(config, len(LABELS)))


def weights_of(model: ClassifierModel) -> dict[str, np.ndarray]:
    """Weights with which logits depend on the input a lot."""
    return {
        name: value + 1 if name.endswith("gamma") else value
        for name, value in random_weights(model).items()
    }


def with_weights(model: ClassifierModel) -> ClassifierModel:
    values = weights_of(model)
    for variable in model.trainable_variables:
        variable.assign(values[variable_name(variable)])
    return model


@pytest.fixture(scope="module")
def encoder_path(
    tmp_path_factory: pytest.TempPathFactory,
    classifier: ClassifierModel,
    config: BertConfig,
    vocab_file: str,
) -> str:
    path = str(tmp_path_factory.mktemp("export") / "encoder")
    write_encoder_saved_model(path, weights_of(classifier), config, vocab_file, True)
    return path


@pytest.fixture(scope="module")
def classifier_paths(
    tmp_path_factory: pytest.TempPathFactory,
    classifier: ClassifierModel,
    config: BertConfig,
    vocab_file: str,
) -> dict[bool, str]:
    """A SavedModel for pairs (True) and one for single texts."""
    folder = tmp_path_factory.mktemp("export")
    tokenizer = FullTokenizer(vocab_file)
    paths = {pairs: str(folder / f"pairs_{pairs}") for pairs in (True, False)}
    for pairs, path in paths.items():
        write_classifier_saved_model(
            path, weights_of(classifier), config, tokenizer, LABELS, MAX_SEQ_LENGTH, pairs
        )
    return paths


def batch_of_ids(padding: int = 0) -> dict[str, tf.Tensor]:
    rng = np.random.default_rng(3)
    lengths = np.array([[1], [4], [9], [11]])
    mask = np.pad((np.arange(11) < lengths).astype(np.int32), [[0, 0], [0, padding]])
    ids = np.pad(rng.integers(0, ODD_CONFIG.vocab_size, [4, 11]), [[0, 0], [0, padding]])
    segments = np.pad(rng.integers(0, 2, [4, 11]), [[0, 0], [0, padding]])
    arrays = {"input_ids": ids * mask, "input_mask": mask, "segment_ids": segments * mask}
    return {name: tf.constant(value, tf.int32) for name, value in arrays.items()}


def hub_inputs(batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {
        "input_word_ids": batch["input_ids"],
        "input_mask": batch["input_mask"],
        "input_type_ids": batch["segment_ids"],
    }


def assert_close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("hidden_act", ["gelu", "gelu_erf"])
def test_encoder_outputs(
    tmp_path: pathlib.Path, config: BertConfig, hidden_act: str, vocab_file: str
) -> None:
    config = dataclasses.replace(config, hidden_act=hidden_act)
    model = with_weights(ClassifierModel(config, 2))
    write_encoder_saved_model(
        str(tmp_path / "encoder"), weights_of(model), config, None, do_lower_case=None
    )
    loaded = tf.saved_model.load(str(tmp_path / "encoder"))
    batch = batch_of_ids()
    expected = model.encoder(batch["input_ids"], batch["input_mask"], batch["segment_ids"])
    found = loaded(hub_inputs(batch))
    assert set(found) == {"default", "pooled_output", "sequence_output", "encoder_outputs"}
    assert_close(found["pooled_output"], expected.pooled_output)
    assert_close(found["default"], expected.pooled_output)
    assert_close(found["sequence_output"], expected.sequence_output)
    assert len(found["encoder_outputs"]) == config.num_hidden_layers
    for layer, output in zip(found["encoder_outputs"], expected.layer_outputs[1:], strict=True):
        assert_close(layer, output)
    served = loaded.signatures["serving_default"](**hub_inputs(batch))
    assert set(served) == {"default", "pooled_output", "sequence_output"}
    for name, value in served.items():
        assert_close(value, found[name])
    longer = loaded(hub_inputs(batch_of_ids(padding=6)))
    assert_close(longer["pooled_output"], expected.pooled_output)
    assert not hasattr(loaded, "vocab_file")
    assert not hasattr(loaded, "do_lower_case")


def test_encoder_interface_of_tf_hub(
    encoder_path: str, classifier: ClassifierModel, config: BertConfig, vocab_file: str
) -> None:
    loaded = tf.saved_model.load(encoder_path)
    of_encoder = {variable_name(v): v.numpy() for v in classifier.encoder.trainable_variables}
    trainable = {variable_name(v): v.numpy() for v in loaded.trainable_variables}
    assert set(trainable) == set(of_encoder)
    assert len(loaded.variables) == len(of_encoder) + 1
    asset = loaded.vocab_file.asset_path.numpy().decode()
    assert pathlib.Path(asset).read_bytes() == pathlib.Path(vocab_file).read_bytes()
    assert asset.startswith(encoder_path)
    assert bool(loaded.do_lower_case.numpy()) is True
    written = json.loads(pathlib.Path(encoder_path, "assets.extra/bert_config.json").read_text())
    assert BertConfig.from_dict(written) == config
    reader = CheckpointReader(os.path.join(encoder_path, "variables", "variables"))
    assert set(reader.shapes) == set(of_encoder)
    for name, value in of_encoder.items():
        np.testing.assert_array_equal(reader.read(name), value)
        np.testing.assert_array_equal(trainable[name], value)


def test_vocabulary_of_the_encoder_is_plain(
    tmp_path: pathlib.Path, classifier: ClassifierModel, config: BertConfig, vocab_file: str
) -> None:
    """Readers of the asset know no tokenizer.json and no byte order mark."""
    tokens = pathlib.Path(vocab_file).read_text(encoding="utf-8").split("\n")[:-1]
    source = tmp_path / "tokenizer.json"
    source.write_text(json.dumps({"model": {"vocab": {x: i for i, x in enumerate(tokens)}}}))
    path = str(tmp_path / "program")
    write_encoder_saved_model(path, weights_of(classifier), config, str(source), True)
    (asset,) = pathlib.Path(path, "assets").iterdir()
    assert (asset.name, asset.read_bytes()) == ("vocab.txt", pathlib.Path(vocab_file).read_bytes())


def test_model_garden_and_hub_keras_layer_train_it(encoder_path: str) -> None:
    import tensorflow_hub as hub
    from official.nlp.tasks import utils

    inputs = hub_inputs(batch_of_ids())
    garden = utils.get_encoder_from_hub(encoder_path)
    plain = tf.saved_model.load(encoder_path)(inputs)
    assert_close(garden(inputs)["sequence_output"], plain["sequence_output"])

    layer = hub.KerasLayer(encoder_path, trainable=True)
    symbolic = {
        name: tf_keras.Input([None], dtype=tf.int32, name=name)
        for name in ("input_word_ids", "input_mask", "input_type_ids")
    }
    encoded = layer(symbolic)
    assert encoded["sequence_output"].shape.as_list() == [None, None, ODD_CONFIG.hidden_size]
    model = tf_keras.Model(symbolic, tf_keras.layers.Dense(1)(encoded["pooled_output"]))
    assert_close(layer(inputs, training=False)["pooled_output"], plain["pooled_output"])
    # Dropout, and another one every time.
    first, second = (layer(inputs, training=True)["pooled_output"] for _ in range(2))
    for one, other in ((first, plain["pooled_output"]), (second, first)):
        assert np.max(np.abs(one - other)) > 1e-2
    before = {v.name: v.numpy() for v in model.trainable_variables}
    assert len(before) == len(layer.trainable_variables) + 2
    model.compile(optimizer=tf_keras.optimizers.legacy.SGD(0.1), loss="mse")
    model.fit(inputs, np.arange(4.0), batch_size=4, epochs=1, verbose=0)
    unchanged = [v.name for v in model.trainable_variables if np.all(v == before[v.name])]
    # Softmax does not see the biases of the keys, but for rounding.
    assert not [name for name in unchanged if "self/key/bias" not in name]


def expected_features(tokenizer: FullTokenizer, pairs: bool) -> dict[str, tf.Tensor]:
    others: Sequence[str | None] = OTHERS if pairs else [None] * len(TEXTS)
    features = encode_rows(tokenizer, list(zip(TEXTS, others, strict=True)), MAX_SEQ_LENGTH)
    return {name: tf.constant(value) for name, value in features.items()}


@pytest.mark.parametrize("pairs", [True, False])
def test_classifier_takes_raw_strings(
    classifier_paths: dict[bool, str], classifier: ClassifierModel, vocab_file: str, pairs: bool
) -> None:
    loaded = tf.saved_model.load(classifier_paths[pairs])
    features = expected_features(FullTokenizer(vocab_file), pairs)
    logits = classifier(features)
    texts = {"text_a": TEXTS, "text_b": OTHERS} if pairs else {"text": TEXTS}
    serve = loaded.signatures["serving_default"]
    found = serve(**{name: tf.constant(value) for name, value in texts.items()})
    assert set(found) == {"logits", "probabilities", "label"}
    assert np.ptp(logits, axis=0).max() > 0.1
    assert_close(found["logits"], logits)
    assert_close(found["probabilities"], tf.nn.softmax(logits))
    expected_labels = [LABELS[i].encode() for i in np.argmax(logits, axis=1)]
    assert found["label"].numpy().tolist() == expected_labels
    for i in range(len(TEXTS)):
        alone = serve(**{name: tf.constant(value[i : i + 1]) for name, value in texts.items()})
        assert_close(alone["logits"][0], logits[i])


def test_classifier_takes_ids(
    classifier_paths: dict[bool, str], classifier: ClassifierModel
) -> None:
    by_ids = tf.saved_model.load(classifier_paths[False]).signatures["ids"]
    logits = classifier(batch_of_ids())
    assert len(set(np.argmax(logits, axis=1))) > 1
    for padding in (0, 6):
        found = by_ids(**batch_of_ids(padding))
        assert_close(found["logits"], logits)
        assert_close(found["probabilities"], tf.nn.softmax(logits))
        expected_labels = [LABELS[i].encode() for i in np.argmax(logits, axis=1)]
        assert found["label"].numpy().tolist() == expected_labels


@pytest.mark.parametrize("pairs", [True, False])
def test_classifier_names_its_labels_and_settings(
    classifier_paths: dict[bool, str], config: BertConfig, vocab_file: str, pairs: bool
) -> None:
    path = classifier_paths[pairs]
    labels = tf.saved_model.load(path).signatures["labels"]()["labels"]
    assert [label.decode() for label in labels.numpy()] == LABELS
    extra = pathlib.Path(path, "assets.extra")
    assert (extra / "labels.txt").read_text(encoding="utf-8").splitlines() == LABELS
    assert (extra / "vocab.txt").read_bytes() == pathlib.Path(vocab_file).read_bytes()
    assert BertConfig.from_dict(json.loads((extra / "bert_config.json").read_text())) == config
    info = json.loads((extra / "model_info.json").read_text(encoding="utf-8"))
    assert info == {
        "labels": LABELS,
        "do_lower_case": True,
        "vocab_sha256": FullTokenizer(vocab_file).sha256,
        "vocab_unused": [[16, 83, 0]],
        "max_seq_length": MAX_SEQ_LENGTH,
        "pairs": pairs,
    }


LOAD_ALONE = """
import json, sys
for name in ("common", "modeling", "training"):
    sys.modules[name] = None  # Importing it is an error from here on.
import tensorflow as tf, tensorflow_text
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
texts = {name: tf.constant(value) for name, value in json.loads(sys.argv[2]).items()}
print(json.dumps(serve(**texts)["logits"].numpy().tolist()))
"""


def test_classifier_runs_without_our_code(
    tmp_path: pathlib.Path,
    classifier_paths: dict[bool, str],
    classifier: ClassifierModel,
    vocab_file: str,
) -> None:
    texts = json.dumps({"text_a": TEXTS, "text_b": OTHERS})
    elsewhere = shutil.copytree(classifier_paths[True], tmp_path / "elsewhere")
    result = subprocess.run(
        # -I: no PYTHONPATH, and the working directory is not searched.
        [sys.executable, "-I", "-c", LOAD_ALONE, str(elsewhere), texts],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    logits = classifier(expected_features(FullTokenizer(vocab_file), pairs=True))
    assert_close(json.loads(result.stdout), logits)


def test_classifier_without_tokenizer(
    tmp_path: pathlib.Path, classifier: ClassifierModel, config: BertConfig
) -> None:
    path = str(tmp_path / "ids")
    # A length that the model has no positions for is of no account without texts.
    write_classifier_saved_model(path, weights_of(classifier), config, None, LABELS, 99, False)
    signatures = tf.saved_model.load(path).signatures
    for name in ("serving_default", "ids"):
        assert_close(signatures[name](**batch_of_ids())["logits"], classifier(batch_of_ids()))
    extra = pathlib.Path(path, "assets.extra")
    assert json.loads((extra / "model_info.json").read_text(encoding="utf-8")) == {"labels": LABELS}
    assert not (extra / "vocab.txt").exists()


@pytest.mark.parametrize("labels", [None, []])
def test_regression_has_a_score(
    tmp_path: pathlib.Path, config: BertConfig, vocab_file: str, labels: list[str] | None
) -> None:
    model = with_weights(ClassifierModel(config, 1))
    path = str(tmp_path / "regression")
    write_classifier_saved_model(
        path, weights_of(model), config, FullTokenizer(vocab_file), labels, MAX_SEQ_LENGTH, True
    )
    loaded = tf.saved_model.load(path)
    expected = model(expected_features(FullTokenizer(vocab_file), pairs=True))[:, 0]
    found = loaded.signatures["serving_default"](
        text_a=tf.constant(TEXTS), text_b=tf.constant(OTHERS)
    )
    assert set(found) == {"score"}
    assert_close(found["score"], expected)
    assert set(loaded.signatures) == {"serving_default", "ids"}
    assert not os.path.exists(os.path.join(path, "assets.extra", "labels.txt"))


QUERY = "bert/encoder/layer_1/attention/self/query/kernel"


@pytest.mark.parametrize(
    ("changes", "labels", "message"),
    [
        ({QUERY: None, "output_bias": None}, LABELS, rf"needs the variables {QUERY}, output_bias,"),
        ({QUERY: np.zeros([32, 31])}, LABELS, rf"{QUERY} has shape \[32, 31\].*\[32, 32\]"),
        ({"output_weights": None}, LABELS, r"no classifier \(output_weights"),
        ({}, LABELS[:2], r"3 outputs, but there are 2 labels \(bad, so so\)"),
        ({}, None, "3 outputs and no label list"),
    ],
)
def test_classifier_that_does_not_fit(
    tmp_path: pathlib.Path,
    classifier: ClassifierModel,
    config: BertConfig,
    vocab_file: str,
    changes: dict[str, Any],
    labels: list[str] | None,
    message: str,
) -> None:
    weights = {**weights_of(classifier), **changes}
    weights = {name: value for name, value in weights.items() if value is not None}
    tokenizer = FullTokenizer(vocab_file)
    with pytest.raises(UserError, match=message):
        write_classifier_saved_model(
            str(tmp_path / "out"), weights, config, tokenizer, labels, MAX_SEQ_LENGTH, False
        )
    assert os.listdir(tmp_path) == []


def test_too_few_positions(
    tmp_path: pathlib.Path, classifier: ClassifierModel, config: BertConfig, vocab_file: str
) -> None:
    tokenizer = FullTokenizer(vocab_file)
    with pytest.raises(UserError, match="--max_seq_length=18 is more than.* 17"):
        write_classifier_saved_model(
            str(tmp_path / "out"), weights_of(classifier), config, tokenizer, LABELS, 18, False
        )
    assert os.listdir(tmp_path) == []


def test_too_few_segments(tmp_path: pathlib.Path, config: BertConfig, vocab_file: str) -> None:
    one_segment = dataclasses.replace(config, type_vocab_size=1)
    weights = weights_of(ClassifierModel(one_segment, 3))
    write = functools.partial(
        write_classifier_saved_model,
        *(str(tmp_path / "out"), weights, one_segment, FullTokenizer(vocab_file), LABELS),
    )
    with pytest.raises(UserError, match="--pairs: found a pair .* one segment only"):
        write(MAX_SEQ_LENGTH, True)
    assert os.listdir(tmp_path) == []


def test_encoder_without_pooler_and_a_folder_in_use(
    tmp_path: pathlib.Path, classifier: ClassifierModel, config: BertConfig
) -> None:
    weights = weights_of(classifier)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="used exists already and is not empty"):
        write_encoder_saved_model(str(tmp_path / "used"), weights, config, None, None)
    del weights["bert/pooler/dense/kernel"]
    with pytest.raises(UserError, match="needs the variables bert/pooler/dense/kernel,"):
        write_encoder_saved_model(str(tmp_path / "new"), weights, config, None, None)
    assert sorted(os.listdir(tmp_path)) == ["used"]
    assert os.listdir(tmp_path / "used") == ["notes.txt"]
