"""The model against Model Garden's encoder and against its own definition."""

import numpy as np
import pytest
import tensorflow as tf

from checkpoints.model_garden import build_model_garden_encoder
from checkpoints.weights import variable_values
from modeling.bert import BertEncoder, select_first, select_with_first
from modeling.config import BertConfig
from modeling.heads import ClassifierModel, PretrainingModel
from modeling.layers import Build

# Odd sizes, so that exchanged axes do not go unnoticed.
CONFIG = BertConfig(
    vocab_size=99,
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=37,
    max_position_embeddings=17,
    type_vocab_size=3,
)


def random_batch(batch_size: int = 13, seq_length: int = 11) -> dict[str, tf.Tensor]:
    rng = np.random.default_rng(1)
    lengths = rng.integers(2, seq_length + 1, size=[batch_size, 1])
    mask = (np.arange(seq_length) < lengths).astype(np.int32)
    ids = rng.integers(0, CONFIG.vocab_size, [batch_size, seq_length]) * mask
    types = rng.integers(0, CONFIG.type_vocab_size, [batch_size, seq_length]) * mask
    positions = rng.integers(0, seq_length, [batch_size, 3])
    arrays = {
        "input_ids": ids,
        "input_mask": mask,
        "segment_ids": types,
        "masked_lm_positions": positions,
    }
    return {name: tf.constant(value, tf.int32) for name, value in arrays.items()}


def randomize(variables: list[tf.Variable]) -> None:
    """Moves every weight away from its initial value; biases and norms would be 0 and 1."""
    rng = np.random.default_rng(2)
    for variable in variables:
        variable.assign_add(rng.normal(scale=0.1, size=variable.shape).astype(np.float32))


def test_encoder_equals_model_garden() -> None:
    encoder = BertEncoder(CONFIG, Build(stddev=0.02))
    randomize(encoder.trainable_variables)
    batch = random_batch()
    ours = encoder(batch["input_ids"], batch["input_mask"], batch["segment_ids"])
    garden = build_model_garden_encoder(CONFIG, variable_values(encoder.trainable_variables))
    theirs = garden([batch["input_ids"], batch["input_mask"], batch["segment_ids"]])
    real = batch["input_mask"].numpy().astype(bool)
    np.testing.assert_allclose(
        ours.sequence_output.numpy()[real],
        theirs["sequence_output"].numpy()[real],
        rtol=1e-4,
        atol=2e-5,
    )
    np.testing.assert_allclose(ours.pooled_output, theirs["pooled_output"], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("head", ["classifier", "pre-training"])
def test_last_layer_at_some_positions_is_what_it_is_among_all(head: str) -> None:
    encoder = BertEncoder(CONFIG, Build(stddev=0.02))
    randomize(encoder.trainable_variables)
    batch = random_batch()
    positions, inputs = batch.pop("masked_lm_positions"), list(batch.values())
    select = select_first if head == "classifier" else select_with_first(positions)
    wanted = (
        np.pad(positions, [(0, 0), (1, 0)]) if head == "pre-training" else np.zeros([13, 1], int)
    )
    with tf.GradientTape() as of_all:
        everywhere = encoder(*inputs)
        chosen = tf.gather(everywhere.sequence_output, wanted, batch_dims=1)
        sum_of_all = tf.reduce_sum(tf.sin(chosen)) + tf.reduce_sum(everywhere.pooled_output)
    with tf.GradientTape() as of_some:
        some = encoder(*inputs, select=select)
        sum_of_some = tf.reduce_sum(tf.sin(some.sequence_output)) + tf.reduce_sum(
            some.pooled_output
        )
    np.testing.assert_allclose(some.sequence_output, chosen, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(some.pooled_output, everywhere.pooled_output, rtol=1e-4, atol=1e-5)
    for below, same in zip(some.layer_outputs[:-1], everywhere.layer_outputs, strict=False):
        np.testing.assert_array_equal(below, same)
    variables = encoder.trainable_variables
    for variable, one, other in zip(
        variables,
        of_some.gradient(sum_of_some, variables),
        of_all.gradient(sum_of_all, variables),
        strict=True,
    ):
        one, other = tf.convert_to_tensor(one), tf.convert_to_tensor(other)
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3, err_msg=variable.name)


def test_padding_does_not_change_real_positions() -> None:
    model = PretrainingModel(CONFIG)
    randomize(model.trainable_variables)
    batch = random_batch()
    longer = {
        name: tf.pad(value, [[0, 0], [0, 6]]) if name != "masked_lm_positions" else value
        for name, value in batch.items()
    }
    for short, long in zip(model(batch), model(longer), strict=True):
        np.testing.assert_allclose(short, long, rtol=1e-4, atol=1e-5)


def test_variable_names_and_shapes_are_the_originals() -> None:
    model = PretrainingModel(CONFIG)
    shapes = {v.name.removesuffix(":0"): tuple(v.shape) for v in model.trainable_variables}
    assert len(shapes) == 5 + 16 * CONFIG.num_hidden_layers + 2 + 7
    assert shapes["bert/embeddings/word_embeddings"] == (99, 32)
    assert shapes["bert/embeddings/token_type_embeddings"] == (3, 32)
    assert shapes["bert/encoder/layer_2/attention/self/query/kernel"] == (32, 32)
    assert shapes["bert/encoder/layer_2/intermediate/dense/kernel"] == (32, 37)
    assert shapes["cls/predictions/transform/LayerNorm/gamma"] == (32,)
    assert shapes["cls/predictions/output_bias"] == (99,)
    assert shapes["cls/seq_relationship/output_weights"] == (2, 32)
    classifier = {v.name: v.shape for v in ClassifierModel(CONFIG, 4).trainable_variables}
    assert classifier["output_weights:0"] == (4, 32)
    assert classifier["output_bias:0"] == (4,)


def test_initial_values_follow_seed_and_name() -> None:
    first, second, other = (
        ClassifierModel(CONFIG, 2, seed=s).trainable_variables for s in (1, 1, 2)
    )
    pretraining = {v.name: v.numpy() for v in PretrainingModel(CONFIG, seed=1).trainable_variables}
    kernels = [i for i, v in enumerate(first) if "kernel" in v.name or "embeddings" in v.name[-11:]]
    for i in kernels:
        np.testing.assert_array_equal(first[i], second[i])
        np.testing.assert_array_equal(first[i], pretraining[first[i].name])
        assert not np.array_equal(first[i], other[i])
    values = np.concatenate([first[i].numpy().ravel() for i in kernels])
    # A normal distribution cut at two deviations has .88 of its deviation.
    assert np.std(values) == pytest.approx(0.02 * 0.8796, rel=0.03)
    assert np.abs(values).max() <= 0.04


def test_bfloat16_stays_close_to_float32() -> None:
    full, half = (
        ClassifierModel(CONFIG, 3, precision, seed=4) for precision in ("float32", "bfloat16")
    )
    batch = random_batch()
    assert all(v.dtype == tf.float32 for v in half.trainable_variables)
    np.testing.assert_allclose(full(batch), half(batch), atol=0.02)


def test_gradients_in_bfloat16_are_those_in_float32() -> None:
    """Of every weight, over the 4,096 rows of a batch; TensorFlow sums biases in bfloat16."""
    batch = random_batch(batch_size=256, seq_length=16)
    gradients = []
    for precision in ("float32", "bfloat16"):
        model = ClassifierModel(CONFIG, 3, precision, seed=4)
        randomize(model.trainable_variables)
        labels = tf.one_hot(tf.range(256) % 3, 3)

        @tf.function
        def gradient(model: ClassifierModel = model, labels: tf.Tensor = labels) -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                logits = model(batch, seed=tf.constant([1, 2]))
                loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels, logits))
            return tape.gradient(loss, model.trainable_variables)

        gradients.append([tf.convert_to_tensor(g).numpy() for g in gradient()])
    for variable, full, half in zip(model.trainable_variables, *gradients, strict=True):
        # Softmax does not notice what is added to all keys: that gradient is zero.
        if "key/bias" not in variable.name:
            error = np.linalg.norm(half - full) / np.linalg.norm(full)
            assert error < 0.05, (variable.name, error)
