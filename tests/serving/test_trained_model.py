"""Trained models of all kinds, read and described."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from models import ODD_CONFIG, random_model, write_classifier, write_student
from scipy.special import softmax

from checkpoints.model_folder import write_model_folder
from common.errors import UserError
from serving.trained_model import TrainedModel, network_outputs, read_trained_model


@pytest.mark.parametrize(
    ("labels", "has_classifier", "output", "known"),
    [
        (("bad", "good", "fair"), True, "probabilities", ["bad", "good", "fair"]),
        ((), True, "score", []),
        ((), False, "pooled_output", []),
    ],
)
def test_kinds_of_models(
    odd_vocab_file: str,
    tmp_path: pathlib.Path,
    labels: tuple[str, ...],
    has_classifier: bool,
    output: str,
    known: list[str],
) -> None:
    model = random_model(odd_vocab_file, labels, has_classifier=has_classifier)
    found = read_trained_model(write_student(tmp_path / "model", model))
    assert (found.output, found.known_labels, found.labels) == (output, known, labels)
    assert found.is_regression == (output == "score")
    assert found.max_seq_length == ODD_CONFIG.max_position_embeddings
    assert found.num_parameters == sum(value.size for value in model.weights.values())
    assert set(found.weights) == set(model.weights)
    for name, value in model.weights.items():
        np.testing.assert_array_equal(found.weights[name], value, err_msg=name)


def test_outputs_by_name(odd_vocab_file: str, padded_batch: dict[str, np.ndarray]) -> None:
    inputs = [tf.constant(value) for value in padded_batch.values()]
    classifier = random_model(odd_vocab_file)
    network = classifier.network()
    logits = network(padded_batch).numpy()
    (probabilities,) = network_outputs(classifier, network, *inputs).values()
    np.testing.assert_allclose(probabilities, softmax(logits, axis=1), rtol=1e-5)
    scores = dataclasses.replace(classifier, labels=())
    assert list(network_outputs(scores, network, *inputs)) == ["score"]
    np.testing.assert_array_equal(network_outputs(scores, network, *inputs)["score"], logits)
    encoder = random_model(odd_vocab_file, has_classifier=False)
    found = network_outputs(encoder, encoder.network(), *inputs)
    assert {name: value.shape for name, value in found.items()} == {
        "pooled_output": (4, 32),
        "sequence_output": (4, 11, 32),
    }


@pytest.fixture
def model(odd_vocab_file: str) -> TrainedModel:
    return random_model(odd_vocab_file, ("0", "1"))


def test_other_names_for_labels(model: TrainedModel) -> None:
    unknown = dataclasses.replace(model, labels_are_known=False)
    assert unknown.known_labels is None
    assert unknown.renamed(None) is unknown
    assert unknown.renamed(["bad", "good"]).known_labels == ["bad", "good"]


@pytest.mark.parametrize("names", [["bad"], ["bad", ""], ["a", "b", "c"]])
def test_names_that_do_not_fit(model: TrainedModel, names: list[str]) -> None:
    with pytest.raises(UserError, match=r"^--label_names=.*: expected 2 different names"):
        model.renamed(names)
    with pytest.raises(
        UserError, match='--label_names=bad,bad: the label "bad" is that of the outputs 0, 1'
    ):
        model.renamed(["bad", "bad"])


@pytest.mark.parametrize(
    ("has_classifier", "kind"), [(True, "a regression"), (False, "an encoder")]
)
def test_names_where_there_are_no_labels(
    odd_vocab_file: str, has_classifier: bool, kind: str
) -> None:
    model = random_model(odd_vocab_file, (), has_classifier=has_classifier)
    with pytest.raises(UserError, match=f"student is {kind}, which has no labels"):
        model.renamed(["a", "b"])


def test_labels_that_are_not_recorded(odd_vocab_file: str, tmp_path: pathlib.Path) -> None:
    """Numbers; a single output may be a regression."""
    for number, labels in ((3, ("0", "1", "2")), (1, ())):
        folder = str(tmp_path / str(number))
        write_classifier(folder, ODD_CONFIG, odd_vocab_file, number, do_lower_case=True)
        found = read_trained_model(folder, max_seq_length=9)
        assert (found.labels, found.known_labels) == (labels, None)
        assert found.max_seq_length == 9


def test_refusals(odd_vocab_file: str, tmp_path: pathlib.Path) -> None:
    model = random_model(odd_vocab_file)
    one_segment = dataclasses.replace(model.config, type_vocab_size=1)
    embeddings = "bert/embeddings/token_type_embeddings"
    weights = {**model.weights, embeddings: model.weights[embeddings][:1]}
    write_model_folder(str(tmp_path / "one"), weights, one_segment, odd_vocab_file, {})
    with pytest.raises(UserError, match="--pairs: .*one has one segment only"):
        read_trained_model(str(tmp_path / "one"), pairs=True)
    info = {"pairs": True}
    write_model_folder(str(tmp_path / "pairs"), weights, one_segment, odd_vocab_file, info)
    with pytest.raises(UserError, match="its training: .*pairs has one segment only"):
        read_trained_model(str(tmp_path / "pairs"))
    without = {name: value for name, value in model.weights.items() if "pooler" not in name}
    write_model_folder(str(tmp_path / "poolless"), without, model.config, odd_vocab_file, {})
    with pytest.raises(UserError, match="pooler"):
        read_trained_model(str(tmp_path / "poolless"))
    write_model_folder(str(tmp_path / "wordless"), model.weights, model.config, None, {})
    with pytest.raises(UserError, match="there is no vocab.txt or tokenizer.json beside"):
        read_trained_model(str(tmp_path / "wordless"))
