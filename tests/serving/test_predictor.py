"""Predictor: texts, pairs and ids in, what the model says of each by itself out."""

from __future__ import annotations

import pathlib
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from conftest import review
from models import write_classifier

from checkpoints.model_folder import write_model_folder
from checkpoints.weights import variable_values
from common.errors import UserError
from modeling.config import load_config
from modeling.heads import ClassifierModel
from modeling.tokenization import FullTokenizer
from serving import Predictor, engine_choice
from serving.cpu_engines import BFLOAT16, FLOAT32
from serving.engine_choice import AUTO, TENSORFLOW
from serving.predictor import Prediction

LENGTH = 12
LABELS = ["bad", "fine", "good"]


@pytest.fixture(scope="module")
def write_student(
    write_config: Callable[..., str], vocab_file: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[str, ClassifierModel]]:
    """Writes the folder of a model with random weights; with the model itself."""

    config = load_config(write_config(num_hidden_layers=2, initializer_range=0.3))

    def write(num_outputs: int = 3, **info: Any) -> tuple[str, ClassifierModel]:
        folder = str(tmp_path_factory.mktemp("student"))
        info = {"labels": LABELS, "flags": {"max_seq_length": LENGTH}, **info}
        return folder, write_classifier(folder, config, vocab_file, num_outputs, **info)

    return write


@pytest.fixture(scope="module")
def student(write_student: Callable[..., Any]) -> tuple[Predictor, ClassifierModel]:
    folder, model = write_student()
    return Predictor.load(folder, batch_size=4), model


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Of many lengths, two of them beyond `LENGTH`, in no order."""
    rng = random.Random(5)
    texts = [review(rng, i % 2) for i in range(40)]
    return [*texts, "", " ".join(texts[:3]), "good"]


def alone(
    vocab_file: str, text_a: str, text_b: str | None = None, length: int = LENGTH
) -> dict[str, tf.Tensor]:
    """A batch of one row without padding."""
    tokenizer = FullTokenizer(vocab_file)
    ids_a = tokenizer.encode(text_a)
    ids_b = tokenizer.encode(text_b) if text_b else []
    if not ids_b:
        ids_a = ids_a[: length - 2]
    first = [tokenizer.cls_id, *ids_a, tokenizer.sep_id]
    second = [*ids_b, tokenizer.sep_id] if ids_b else []
    ids = first + second
    return {
        "input_ids": tf.constant([ids]),
        "input_mask": tf.ones([1, len(ids)], tf.int32),
        "segment_ids": tf.constant([[0] * len(first) + [1] * len(second)]),
    }


def test_predictions_are_those_of_each_text_alone(
    student: tuple[Predictor, ClassifierModel], texts: list[str], vocab_file: str
) -> None:
    predictor, model = student
    expected = np.concatenate([model(alone(vocab_file, text)) for text in texts])
    np.testing.assert_allclose(predictor.logits(texts), expected, atol=1e-5)
    assert predictor.max_seq_length == LENGTH  # As recorded.
    predictions = predictor.predict(texts)
    assert [p.label for p in predictions] == [LABELS[i] for i in expected.argmax(axis=1)]
    assert len({p.label for p in predictions}) > 1
    found = [list((p.probabilities or {}).values()) for p in predictions]
    np.testing.assert_allclose(found, tf.nn.softmax(expected), atol=1e-6)
    assert all(p.probability == max((p.probabilities or {}).values()) for p in predictions)
    assert list(predictions[0].probabilities or {}) == LABELS


def test_pairs_beside_single_texts(
    student: tuple[Predictor, ClassifierModel], vocab_file: str
) -> None:
    predictor, model = student
    rows = [("good film", "bad plot"), "good film", ["a", "very dull scene ."]]
    batches = [
        alone(vocab_file, "good film", "bad plot"),
        alone(vocab_file, "good film"),
        alone(vocab_file, "a", "very dull scene ."),
    ]
    expected = np.concatenate([model(batch) for batch in batches])
    np.testing.assert_allclose(predictor.logits(rows), expected, atol=1e-5)  # type: ignore[arg-type]


def test_pairs_need_a_model_of_two_segments(
    write_config: Callable[..., str], vocab_file: str, tmp_path: pathlib.Path
) -> None:
    config = load_config(write_config(num_hidden_layers=1, type_vocab_size=1))
    write_classifier(str(tmp_path), config, vocab_file, 3, labels=LABELS)
    predictor = Predictor.load(str(tmp_path))
    assert len(predictor.predict(["good film", ("bad plot", "")])) == 2
    for use in (predictor.predict, predictor.embed):
        with pytest.raises(UserError, match="the input: found a pair .* has one segment only"):
            use(["good film", ("good film", "bad plot")])


def test_ids_are_taken_as_they_are(
    student: tuple[Predictor, ClassifierModel], vocab_file: str
) -> None:
    predictor, _ = student
    rows = ["good film", "the story was very dull", ("bad actor", "fine plot")]
    pairs = [row if isinstance(row, tuple) else (row,) for row in rows]
    batches = [alone(vocab_file, *row) for row in pairs]
    ids = {k: [b[k][0].numpy() for b in batches] for k in ("input_ids", "segment_ids")}
    np.testing.assert_allclose(predictor.logits(ids), predictor.logits(rows), atol=1e-6)
    # Beyond the length that texts are cut to, and padded by the user.
    long = np.array([[2, *range(5, 28), 5, 6, 3, 0, 0]])
    mask = np.array([[1] * 27 + [0] * 2])
    padded = predictor.logits({"input_ids": long, "input_mask": mask})
    np.testing.assert_allclose(padded, predictor.logits({"input_ids": long[:, :27]}), atol=1e-6)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_vectors(
    student: tuple[Predictor, ClassifierModel], texts: list[str], vocab_file: str, pooling: str
) -> None:
    predictor, model = student
    expected = []
    for text in texts:
        states = model.encoder(*alone(vocab_file, text).values()).sequence_output[0].numpy()
        expected.append(states[0] if pooling == "cls" else states.mean(axis=0))
    np.testing.assert_allclose(predictor.embed(texts, pooling), expected, atol=1e-5)


def test_model_without_classifier_makes_vectors(
    student: tuple[Predictor, ClassifierModel], vocab_file: str, tmp_path: pathlib.Path
) -> None:
    values = variable_values(student[1].encoder.trainable_variables)
    write_model_folder(str(tmp_path), values, student[1].encoder.config, vocab_file, {})
    encoder = Predictor.load(str(tmp_path), max_seq_length=LENGTH)
    texts = ["good film", "dull"]
    np.testing.assert_allclose(encoder.embed(texts), student[0].embed(texts), atol=1e-6)
    with pytest.raises(UserError, match="holds no classifier"):
        encoder.predict(texts)


def test_regression(write_student: Callable[..., Any], vocab_file: str) -> None:
    folder, model = write_student(num_outputs=1, labels=[])
    expected = float(model(alone(vocab_file, "good film"))[0, 0])
    (found,) = Predictor.load(folder).predict(["good film"])
    assert found == Prediction(score=pytest.approx(expected, abs=1e-6))


def test_nothing_in_nothing_out(student: tuple[Predictor, ClassifierModel]) -> None:
    predictor, _ = student
    assert predictor.predict([]) == []
    assert predictor.embed([]).shape == (0, 24)


def test_unknown_labels(write_student: Callable[..., Any]) -> None:
    folder, _ = write_student(labels=None, flags=None)
    predictor = Predictor.load(folder)
    assert predictor.max_seq_length == 40  # All positions, fewer than the default of 128.
    assert predictor.logits(["good"]).shape == (1, 3)
    with pytest.raises(UserError, match="does not say which labels it predicts; pass labels in"):
        predictor.predict(["good"])
    assert Predictor.load(folder, labels="abc").predict(["good"])[0].label in "abc"
    with pytest.raises(UserError, match='labels=x,x,y: the label "x" is that of the outputs 0, 1'):
        Predictor.load(folder, labels=["x", "x", "y"])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("good film", r"found one text \('good film'\), expected a list of texts"),
        ({"input_ids": [[1, 99]]}, "input_ids of input 0 has numbers from 1 to 99, expected 0 to"),
    ],
)
def test_bad_input(student: tuple[Predictor, ClassifierModel], inputs: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        student[0].predict(inputs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": ["a", "b", "c"]}, "made for the labels bad, fine, good, this run has a, b, c"),
        ({"max_seq_length": 41}, "max_seq_length=41 is more than .* 40"),
        ({"max_seq_length": 2}, "max_seq_length=2 is less than the 3 tokens of the shortest input"),
        ({"max_seq_length": 0}, "max_seq_length=0 is less than the 3 tokens"),
        ({"threads": 7}, "threads is 7, but TensorFlow computes in this process already"),
        ({"do_lower_case": False}, "do_lower_case=False"),
        ({"precision": "int8"}, "engine=tensorflow computes in float32 or bfloat16"),
    ],
)
def test_bad_arguments(
    write_student: Callable[..., Any], arguments: dict[str, Any], message: str
) -> None:
    folder, _ = write_student()
    with pytest.raises(UserError, match=message):
        Predictor.load(folder, **arguments)


def test_no_model(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="no checkpoint found"):
        Predictor.load(str(tmp_path))


def test_outputs_that_are_no_numbers(write_student: Callable[..., Any]) -> None:
    predictor = Predictor.load(write_student()[0])
    embeddings = predictor.encoder.embeddings.word_embeddings
    embeddings.assign(tf.tensor_scatter_nd_update(embeddings, [[5]], [[np.nan] * 24]))
    with pytest.raises(UserError, match="not a number for some rows, first for row 2 of these 3"):
        predictor.predict(["bad", "good", "dull"])


def test_engine_that_was_asked_for_computes_the_logits(
    write_student: Callable[..., Any],
) -> None:
    """Texts, pairs and ids; what it computes is part of its identity, vectors are TensorFlow's."""
    folder, _ = write_student()
    plain = Predictor.load(folder)
    rows = ["good film", ("bad plot", "a dull scene"), "", "the story was very good"]
    expected = plain.logits(rows)
    assert plain.logits_engine().choice == (TENSORFLOW, FLOAT32)
    found = Predictor.load(folder, engine="onnxruntime")
    assert found.logits_engine().choice is None
    np.testing.assert_allclose(found.logits(rows), expected, atol=1e-5)
    np.testing.assert_allclose(
        found.logits({"input_ids": [[2, 5, 3], [2, 6, 7, 3]]}),
        plain.logits({"input_ids": [[2, 5, 3], [2, 6, 7, 3]]}),
        atol=1e-5,
    )
    assert found.logits_engine().choice == ("onnxruntime", FLOAT32)
    assert found.identity(found.logits_engine()) != plain.identity(plain.logits_engine())
    np.testing.assert_array_equal(found.embed(rows), plain.embed(rows))


def test_auto_decides_by_the_first_call(
    write_student: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small calls stay with TensorFlow, whatever comes later."""
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(engine_choice, "MIN_ROWS", 3)
    monkeypatch.setattr(engine_choice, "FASTEST", {FLOAT32: ("onnxruntime",)})
    folder, _ = write_student()
    for first, name in ((["good"], TENSORFLOW), (["good", "bad", "dull"], "onnxruntime")):
        student = Predictor.load(folder, engine=AUTO)
        for texts in (first, ["good", "bad", "dull"], ["good"]):
            assert len(student.predict(texts)) == len(texts)
            assert student.logits_engine().choice == (name, FLOAT32)


def test_bfloat16_where_it_is_multiplied_and_close(
    write_student: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logits and vectors have engines of their own choice."""
    folder, _ = write_student()
    rows = ["good film", ("bad plot", "a dull scene"), "the story was very good"]
    plain, rounded = (Predictor.load(folder, precision=name) for name in (FLOAT32, BFLOAT16))
    vectors = rounded.embed(rows)
    assert np.abs(vectors - plain.embed(rows)).max() > 1e-4
    for multiplies, bound, like in ((True, 9, rounded), (True, 0, plain), (False, 9, plain)):
        monkeypatch.setattr("training.devices.multiplies_bfloat16", lambda is_so=multiplies: is_so)
        monkeypatch.setitem(engine_choice.BOUNDS, BFLOAT16, bound)
        found = Predictor.load(folder, precision=AUTO)
        np.testing.assert_array_equal(found.logits(rows), like.logits(rows))
        np.testing.assert_array_equal(found.embed(rows), like.embed(rows))
        assert found.logits_engine().choice == like.logits_engine().choice


def test_texts_that_the_classifier_was_not_trained_on(write_student: Callable[..., Any]) -> None:
    """Its vectors are of whatever is given."""
    folder, _ = write_student(pairs=True)
    student = Predictor.load(folder)
    assert len(student.predict([("good", "bad")])) == 1
    message = f"{folder} was trained on pairs of texts, but input 1 has single texts"
    with pytest.raises(UserError, match=message):
        student.predict([("good", ""), "good"])
    assert student.embed(["good"]).shape[0] == 1
