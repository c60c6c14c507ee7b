"""Initial values with which attention looks at neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from models import ODD_CONFIG

from checkpoints.weights import load_weights
from modeling.heads import PretrainingModel
from pretraining.local_attention import SCALE, LocalAttention, sinusoids


@pytest.mark.parametrize("width", [128, 7])
def test_neighbours_have_similar_positions(width: int) -> None:
    table = sinusoids(512, width, 0.02).astype(np.float64)
    assert table.shape == (512, width)
    assert np.sqrt(np.mean(np.square(table))) == pytest.approx(0.02, rel=0.1)
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    likeness = unit @ unit.T
    np.testing.assert_allclose(np.diag(likeness), 1.0)
    # The nearer, the more alike, and everywhere in the same way.
    for i in (0, 50, 400):
        near = likeness[i, i : i + 4]
        assert (np.diff(near) < 0).all()
        if width % 2 == 0:
            np.testing.assert_allclose(near, likeness[0, :4], atol=1e-6)


def test_a_token_attends_to_itself_and_its_neighbours() -> None:
    model = PretrainingModel(ODD_CONFIG, seed=3)
    before = {v.name: v.numpy() for v in model.trainable_variables}
    start = LocalAttention(model.encoder)
    report = load_weights(model.trainable_variables, start)
    changed = {v.name for v in model.trainable_variables if not np.array_equal(v, before[v.name])}
    depth = ODD_CONFIG.num_hidden_layers
    assert len(changed) == len(report.matched) == len(start.shapes) == 1 + 2 * depth
    assert all("position" in name or "query" in name or "key" in name for name in changed)
    for layer in model.encoder.transformer_layers:
        np.testing.assert_array_equal(layer.key.kernel, layer.query.kernel)
        np.testing.assert_array_equal(layer.query.kernel, SCALE * before[layer.query.kernel.name])

    # The product of query and key is largest with the token itself, and falls with the distance.
    layer = model.encoder.transformer_layers[0]
    ids = tf.constant([[5] * 16])
    x = model.encoder.embeddings(ids, tf.zeros_like(ids), None)[0].numpy()
    products = (x @ layer.query.kernel.numpy()) @ (x @ layer.key.kernel.numpy()).T
    means = [np.diagonal(products, distance).mean() for distance in (0, 1, 2, 8)]
    assert (np.diff(means) < 0).all()
