"""Conversion between all forms, by flags."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from models import ODD_CONFIG, random_weights
from runs import contents, filled
from scripts import run_script

from checkpoints.formats import find_weights, open_weights
from checkpoints.hugging_face import write_huggingface
from checkpoints.lineage import lineage_of
from checkpoints.model_folder import write_model_folder
from checkpoints.weights import CheckpointReader, write_checkpoint
from common.errors import UserError
from modeling.config import BertConfig, named_config
from modeling.heads import ClassifierModel, PretrainingModel
from modeling.optimization import AdamWeightDecay, WarmupLinearDecay
from modeling.tokenization import FullTokenizer
from training.run_state import RunState

PATH = ["hf", "model_garden", "tf1"]
# What is made a SavedModel is traced layer by layer, and takes seconds for each.
ONE_LAYER = dataclasses.replace(ODD_CONFIG, num_hidden_layers=1)


@pytest.fixture(scope="module")
def odd_vocab_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """As many words as the odd configuration has."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words += [f"w{i}" for i in range(ODD_CONFIG.vocab_size - len(words))]
    path = tmp_path_factory.mktemp("odd") / "vocab.txt"
    path.write_text("\n".join(words) + "\n")
    return str(path)


def write_model(
    folder: pathlib.Path,
    weights: dict[str, np.ndarray],
    vocab_file: str | None,
    config: BertConfig = ODD_CONFIG,
    **info: Any,
) -> str:
    write_model_folder(str(folder), weights, config, vocab_file, info)
    return str(folder)


def pretrained_weights(config: BertConfig) -> dict[str, np.ndarray]:
    return random_weights(PretrainingModel(config))


def classifier_weights(config: BertConfig) -> dict[str, np.ndarray]:
    return random_weights(ClassifierModel(config, 3))


def regression_weights(config: BertConfig) -> dict[str, np.ndarray]:
    return random_weights(ClassifierModel(config, 1))


def assert_same_weights(folder: str, weights: dict[str, np.ndarray]) -> None:
    reader = open_weights(find_weights(folder))
    assert set(reader.shapes) == set(weights)
    for name, value in weights.items():
        np.testing.assert_array_equal(reader.read(name), value, err_msg=name)


@pytest.mark.parametrize(
    ("make", "labels"),
    [
        (pretrained_weights, None),
        (classifier_weights, ["no", "maybe", "yes"]),
        (regression_weights, []),
    ],
)
def test_round_trip_through_all_forms(
    tmp_path: pathlib.Path, odd_vocab_file: str, make: Any, labels: list[str] | None
) -> None:
    weights = make(ODD_CONFIG)
    config = dataclasses.replace(ODD_CONFIG, hidden_act="gelu_erf", extra={"pooler_type": "first"})
    info = {} if labels is None else {"labels": labels}
    start = write_model(
        tmp_path / "start", weights, odd_vocab_file, config, do_lower_case=False, **info
    )
    folder = start
    for form in PATH:
        target = str(tmp_path / form)
        run_script("convert_checkpoint", input_path=folder, output_format=form, output_dir=target)
        assert find_weights(target).form == form
        assert_same_weights(target, weights)
        folder = target
    before, after = (
        json.loads((pathlib.Path(path) / "bert_config.json").read_text())
        for path in (start, folder)
    )
    assert before == after
    description = json.loads((tmp_path / "tf1" / "model_info.json").read_text())
    assert description.get("labels") == labels
    assert description["do_lower_case"] is False
    assert description["vocab_sha256"] == FullTokenizer(odd_vocab_file, False).sha256
    assert (tmp_path / "tf1" / "vocab.txt").read_text() == pathlib.Path(odd_vocab_file).read_text()


def test_round_trip_of_tiny(tmp_path: pathlib.Path) -> None:
    config = named_config("tiny")
    assert config
    weights = pretrained_weights(config)
    folder = write_model(tmp_path / "start", weights, None, config)
    for form in PATH:
        target = str(tmp_path / form)
        run_script("convert_checkpoint", input_path=folder, output_format=form, output_dir=target)
        folder = target
    assert_same_weights(folder, weights)


def test_a_run_with_its_optimizer(tmp_path: pathlib.Path) -> None:
    model = ClassifierModel(ODD_CONFIG, 3)
    optimizer = AdamWeightDecay(WarmupLinearDecay(1e-3, 10, 0))
    state = RunState(str(tmp_path / "run"), model.trainable_variables, optimizer, keep=1)
    for variable, moment in zip(model.trainable_variables, optimizer.first_moments, strict=True):
        moment.assign(tf.random.stateless_normal(variable.shape, [1, 2]))
    state.step_variable.assign(7)
    state.save()
    config_file = tmp_path / "bert_config.json"
    config_file.write_text(ODD_CONFIG.to_json())
    arguments = {
        "input_path": tmp_path / "run",
        "input_format": "run",
        "bert_config_file": config_file,
        "labels": "no,maybe,yes",
    }
    with_optimizer, without = tmp_path / "with", tmp_path / "without"
    run_script("convert_checkpoint", **arguments, include_optimizer=True, output_dir=with_optimizer)
    run_script("convert_checkpoint", **arguments, output_dir=without)
    # What an Estimator asks for: the name in `checkpoint`, three arrays per variable and the step.
    assert tf.train.latest_checkpoint(str(with_optimizer)) == str(
        with_optimizer / "bert_model.ckpt"
    )
    written = tf.train.load_checkpoint(str(with_optimizer))
    names = [v.name.removesuffix(":0") for v in model.trainable_variables]
    assert set(written.get_variable_to_shape_map()) == {
        "global_step",
        *names,
        *(f"{name}/adam_m" for name in names),
        *(f"{name}/adam_v" for name in names),
    }
    assert written.get_tensor("global_step") == 7
    assert written.get_variable_to_dtype_map()["global_step"] == tf.int64
    for name, moment in zip(names, optimizer.first_moments, strict=True):
        np.testing.assert_array_equal(written.get_tensor(f"{name}/adam_m"), moment.numpy())
    assert set(CheckpointReader(str(without / "bert_model.ckpt")).shapes) == set(names)
    assert tf.train.latest_checkpoint(str(without)) is None


def test_labels_are_put_in_order(tmp_path: pathlib.Path, odd_vocab_file: str) -> None:
    weights = classifier_weights(ODD_CONFIG)
    labels = ["entailment", "neutral", "contradiction"]
    source = write_model(tmp_path / "a", weights, odd_vocab_file, labels=labels)
    target = tmp_path / "b"
    run_script(
        "convert_checkpoint",
        input_path=source,
        output_dir=target,
        output_format="hf",
        labels="contradiction,entailment,neutral",
    )
    assert json.loads((target / "config.json").read_text())["id2label"] == {
        "0": "contradiction",
        "1": "entailment",
        "2": "neutral",
    }
    moved = open_weights(find_weights(str(target))).read("output_weights")
    np.testing.assert_array_equal(moved, weights["output_weights"][[2, 0, 1]])


def test_saved_model_of_a_classifier(tmp_path: pathlib.Path, odd_vocab_file: str) -> None:
    weights = classifier_weights(ONE_LAYER)
    source = write_model(
        tmp_path / "student",
        weights,
        odd_vocab_file,
        ONE_LAYER,
        labels=["no", "maybe", "yes"],
        do_lower_case=True,
    )
    common = {"input_path": source, "output_format": "saved_model", "max_seq_length": 17}
    run_script("convert_checkpoint", **common, output_dir=tmp_path / "text")
    run_script("convert_checkpoint", **common, pairs=True, output_dir=tmp_path / "pairs")
    run_script("convert_checkpoint", **common, include_tokenizer=False, output_dir=tmp_path / "ids")
    text, pairs, ids = (
        tf.saved_model.load(str(tmp_path / name)).signatures for name in ("text", "pairs", "ids")
    )
    assert set(ids) == {"serving_default", "ids", "labels"}
    of_text = text["serving_default"](text=tf.constant(["W3 w7", "w50"]))
    assert of_text["probabilities"].shape == (2, 3)
    tokens = tf.constant([[2, 8, 12, 3], [2, 55, 3, 0]])
    inputs = {
        "input_ids": tokens,
        "input_mask": tf.cast(tokens > 0, tf.int32),
        "segment_ids": tf.zeros_like(tokens),
    }
    of_ids = ids["serving_default"](**inputs)
    np.testing.assert_allclose(of_text["logits"], of_ids["logits"], rtol=1e-5)
    of_pairs = pairs["serving_default"](text_a=tf.constant(["w3"]), text_b=tf.constant(["w7"]))
    assert not np.allclose(of_pairs["logits"][0], of_text["logits"][0])
    assert text["labels"]()["labels"].numpy().tolist() == [b"no", b"maybe", b"yes"]
    with pytest.raises(UserError, match="holds saved_model.pb, a finished program"):
        run_script("convert_checkpoint", input_path=tmp_path / "text", output_dir=tmp_path / "x")
    unknown = write_model(
        tmp_path / "unknown", weights, odd_vocab_file, ONE_LAYER, labels=["a", "b", "c"]
    )
    with pytest.raises(UserError, match="--do_lower_case is not recorded"):
        run_script(
            "convert_checkpoint",
            input_path=unknown,
            output_format="saved_model",
            output_dir=tmp_path / "x",
        )


def test_saved_model_of_an_encoder(tmp_path: pathlib.Path, odd_vocab_file: str) -> None:
    weights = pretrained_weights(ONE_LAYER)
    source = write_model(tmp_path / "model", weights, odd_vocab_file, ONE_LAYER, do_lower_case=True)
    target = tmp_path / "hub"
    run_script(
        "convert_checkpoint", input_path=source, output_format="saved_model", output_dir=target
    )
    names = ("input_word_ids", "input_mask", "input_type_ids")
    outputs = tf.saved_model.load(str(target))({name: tf.ones([2, 5], tf.int32) for name in names})
    assert set(outputs) == {"pooled_output", "sequence_output", "encoder_outputs", "default"}


@pytest.fixture(scope="module")
def bad_models(tmp_path_factory: pytest.TempPathFactory, odd_vocab_file: str) -> pathlib.Path:
    """A folder of a good model, and of some that are not."""
    tmp_path = tmp_path_factory.mktemp("bad_models")
    weights = pretrained_weights(ODD_CONFIG)
    write_model(tmp_path / "good", weights, odd_vocab_file)
    missing = dict(weights)
    del missing["bert/encoder/layer_3/output/dense/kernel"]
    write_model(tmp_path / "missing", missing, odd_vocab_file)
    transposed = dict(weights)
    name = "bert/encoder/layer_1/output/dense/kernel"
    transposed[name] = transposed[name].T
    write_model(tmp_path / "transposed", transposed, odd_vocab_file)
    other = dataclasses.replace(ODD_CONFIG, num_hidden_layers=4)
    write_model(tmp_path / "other", weights, odd_vocab_file, other)
    (tmp_path / "text").write_text("not a checkpoint")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("kept")
    write_checkpoint(str(tmp_path / "bare"), weights)
    for name, change in (
        ("heads", {"num_attention_heads": 8}),
        ("erf", {"hidden_act": "gelu_erf"}),
    ):
        config = dataclasses.replace(ODD_CONFIG, **change)
        (tmp_path / f"{name}.json").write_text(config.to_json())
    return tmp_path


@pytest.mark.parametrize(
    ("source", "message", "arguments"),
    [
        ("missing", r"layer_3/output/dense/kernel with shape \[37, 32\] is missing", {}),
        ("transposed", r"\[32, 37\].*\[37, 32\]; it is stored transposed", {}),
        ("other", "layer_4/... exist.*num_hidden_layers 4", {}),
        ("text", "--input_path=.*text: no checkpoint found", {}),
        ("bare", "--bert_config_file is missing", {}),
        ("good", "--input_format=hf, but .* has the form tf1", {"input_format": "hf"}),
        ("good", "names 2 labels, there is no classifier", {"labels": "no,yes"}),
        ("good", "holds no optimizer state", {"include_optimizer": True}),
        (
            "good",
            "--pairs has no effect: .*good.* holds no classifier",
            {"pairs": True, "output_format": "saved_model", "include_tokenizer": True},
        ),
        (
            "good",
            "--include_optimizer has no effect without --output_format=tf1; .* optimizer state",
            {"include_optimizer": True, "output_format": "hf"},
        ),
        (
            "good",
            "num_attention_heads 8, but the weights of .* were made with 4",
            {"bert_config_file": "{folder}/heads.json"},
        ),
        (
            "good",
            "hidden_act gelu_erf, but the weights of .* were made with gelu;",
            {"bert_config_file": "{folder}/erf.json"},
        ),
        ("good", "full exists already and is not empty", {"output_dir": "{folder}/full"}),
    ],
)
def test_bad_input_writes_nothing(
    bad_models: pathlib.Path, source: str, message: str, arguments: dict[str, Any]
) -> None:
    before = contents(bad_models)
    run = {"input_path": f"{{folder}}/{source}", "output_dir": "{folder}/out", **arguments}
    with pytest.raises(UserError, match=message):
        run_script("convert_checkpoint", **filled(run, folder=bad_models))
    assert contents(bad_models) == before


def test_settings_of_an_imported_model_are_kept(
    tmp_path: pathlib.Path, odd_vocab_file: str
) -> None:
    """From a folder with tokenizer.json alone, to our form and back to the library's."""
    config = dataclasses.replace(
        ONE_LAYER, hidden_act="gelu_erf", layer_norm_eps=1e-5, classifier_dropout=0.3
    )
    folder = tmp_path / "hf"
    labels = ["no", "maybe", "yes"]
    write_huggingface(str(folder), classifier_weights(config), config, odd_vocab_file, True, labels)
    (folder / "vocab.txt").unlink()
    (folder / "tokenizer_config.json").write_text("{}")
    tokens = pathlib.Path(odd_vocab_file).read_text().split()
    whole = {
        "normalizer": {"type": "BertNormalizer", "lowercase": True, "strip_accents": False},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {"type": "WordPiece", "vocab": {token: i for i, token in enumerate(tokens)}},
    }
    (folder / "tokenizer.json").write_text(json.dumps(whole))
    target = tmp_path / "tf1"
    run_script("convert_checkpoint", input_path=folder, output_dir=target)
    info = json.loads((target / "model_info.json").read_text())
    assert info["do_lower_case"] is True
    assert info["tokenizer_settings"] == {"strip_accents": False, "max_chars_per_word": 100}
    assert (target / "vocab.txt").read_text().split() == tokens
    written = json.loads((target / "bert_config.json").read_text())
    assert (written["layer_norm_eps"], written["classifier_dropout"]) == (1e-5, 0.3)
    back = tmp_path / "back"
    run_script("convert_checkpoint", input_path=target, output_format="hf", output_dir=back)
    said = json.loads((back / "tokenizer_config.json").read_text())
    assert (said["do_lower_case"], said["strip_accents"]) == (True, False)
    values = json.loads((back / "config.json").read_text())
    assert (values["layer_norm_eps"], values["classifier_dropout"]) == (1e-5, 0.3)
    with pytest.raises(UserError, match="layer_norm_eps is 1e-05, but Model Garden's encoder"):
        run_script(
            "convert_checkpoint",
            input_path=target,
            output_format="model_garden",
            output_dir=tmp_path / "garden",
        )
    served = tmp_path / "served"
    run_script(
        "convert_checkpoint",
        input_path=target,
        output_format="saved_model",
        output_dir=served,
        max_seq_length=16,
    )
    info = json.loads((served / "assets.extra" / "model_info.json").read_text())
    assert info["tokenizer_settings"]["strip_accents"] is False


def test_a_multi_label_classifier_is_not_converted(
    tmp_path: pathlib.Path, odd_vocab_file: str
) -> None:
    config = dataclasses.replace(ODD_CONFIG, hidden_act="gelu_erf")
    folder = tmp_path / "hf"
    write_huggingface(str(folder), classifier_weights(config), config, odd_vocab_file, True, None)
    values = json.loads((folder / "config.json").read_text())
    values["problem_type"] = "multi_label_classification"
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match='is for problem_type "multi_label_classification", which'):
        run_script("convert_checkpoint", input_path=folder, output_dir=tmp_path / "tf1")


@pytest.mark.parametrize("length", [16, ONE_LAYER.max_position_embeddings])
def test_card_and_length_of_a_hugging_face_folder(
    tmp_path: pathlib.Path, vocab_file: str, length: int
) -> None:
    """Labels, figures and lineage without a path; the length comes back, and an edited one wins."""
    folder, target, back = (tmp_path / name for name in ("student", "hf", "back"))
    config = dataclasses.replace(
        ONE_LAYER, vocab_size=len(pathlib.Path(vocab_file).read_text().split())
    )
    labels = ["not | good", "good"]
    contents_ = {"soft labels": {"sha256": "5" * 64, "source": f"{tmp_path}/labels"}}
    info = {
        "labels": labels,
        "do_lower_case": True,
        "flags": {"max_seq_length": length, "learning_rate": 3e-4, "input_file": f"{tmp_path}/x"},
        "teacher_weights_sha256": "7" * 64,
        "made_from": contents_,
    }
    weights = random_weights(ClassifierModel(config, 2))
    write_model_folder(str(folder), weights, config, vocab_file, info)
    results = {"eval_accuracy": 0.875, "eval_macro_f1": 0.75, "rows": 40, "checkpoint": "."}
    (folder / "eval_results.json").write_text(json.dumps(results))
    run_script("convert_checkpoint", input_path=folder, output_format="hf", output_dir=target)
    card = (target / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\npipeline_tag: text-classification\n")
    for line in (
        "license_name: to-be-chosen",
        "| 0 | not \\| good |",
        "On the development set of 40 rows:",
        "| accuracy | 0.8750 |",
        f"| teacher (SHA-256 of its weights) | {'7' * 64} |",
        f"| soft labels (SHA-256) | {'5' * 64} |",
        "| learning_rate | 0.0003 |",
        f"| max_seq_length | {length} |",
    ):
        assert line in card.splitlines(), line
    assert str(tmp_path) not in card
    assert (target / "tokenizer.json").exists()
    run_script("convert_checkpoint", input_path=target, output_dir=back)
    assert json.loads((back / "model_info.json").read_text())["max_seq_length"] == length
    settings = json.loads((target / "tokenizer_config.json").read_text())
    (target / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": 9}))
    run_script("convert_checkpoint", input_path=target, output_dir=tmp_path / "edited")
    edited = json.loads((tmp_path / "edited" / "model_info.json").read_text())
    recorded = json.loads((folder / "model_info.json").read_text())
    assert (edited["max_seq_length"], edited["lineage"]) == (9, lineage_of(recorded))
