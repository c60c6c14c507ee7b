"""The released Tiny through our reader, tokenizer and encoder, against outputs printed by others.

Needs the 16.5 MB of `ARCHIVE`, unpacked into a folder that the environment variable names.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

FOLDER_VARIABLE = "PRETRAINED_TINY_DIR"
ARCHIVE = "https://storage.googleapis.com/bert_models/2020_02_20/uncased_L-2_H-128_A-2.zip"

# By text and max_seq_length: the first numbers of the pooled output and of the [CLS] position.
# What TF-Hub's small_bert/bert_en_uncased_L-2_H-128_A-2/2 answered in the KerasHub notebook
# tools/checkpoint_conversion/bert_tiny_uncased_en.ipynb:
LONG_INPUT = ("the quick brown fox.", 512)
LONG_POOLED = [
    *(-0.99999917, 0.019914754, -0.99978238, 0.79896498, -0.99987376),
    *(0.33006763, -0.95627844, 0.27981082, 0.16647406, -0.00077268836),
]
# What KerasHub's bert_backbone_test.py expects for the ids 101, 1996, 4248, 102:
SHORT_INPUT = ("The quick", 4)
SHORT_POOLED = [-0.99999, 0.07777, -0.99955, -0.00982, -0.99967]
SHORT_SEQUENCE = [-1.38173, 0.16598, -2.92788, -2.66958, -0.61556]


@pytest.fixture(scope="module")
def released_tiny() -> str:
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        pytest.skip(f"{FOLDER_VARIABLE} is not set; unpack {ARCHIVE} and set it to that folder")
    return folder


def outputs(folder: str, text: str, max_seq_length: int) -> tuple[np.ndarray, np.ndarray]:
    """The pooled output [H] and the output at [CLS] [H]."""
    import tensorflow as tf

    from checkpoints.formats import find_weights, open_weights
    from checkpoints.model_sources import resolve_text_model
    from checkpoints.weights import load_weights
    from data.classifier_records import encode_rows
    from modeling.bert import BertEncoder
    from modeling.layers import Build

    sources = resolve_text_model(None, None, folder, True)
    encoder = BertEncoder(sources.config, Build(sources.config.initializer_range))
    report = load_weights(encoder.trainable_variables, open_weights(find_weights(folder)))
    assert not report.new
    row = encode_rows(sources.tokenizer, [(text, None)], max_seq_length)
    features = ("input_ids", "input_mask", "segment_ids")
    output = encoder(*(tf.constant(row[name]) for name in features))
    return output.pooled_output[0].numpy(), output.sequence_output[0, 0].numpy()


def test_padded_sentence(released_tiny: str) -> None:
    pooled, _ = outputs(released_tiny, *LONG_INPUT)
    np.testing.assert_allclose(pooled[: len(LONG_POOLED)], LONG_POOLED, rtol=0, atol=2e-5)


def test_two_words(released_tiny: str) -> None:
    pooled, sequence = outputs(released_tiny, *SHORT_INPUT)
    # Printed with five decimals, by another implementation.
    np.testing.assert_allclose(pooled[: len(SHORT_POOLED)], SHORT_POOLED, rtol=0, atol=1e-4)
    np.testing.assert_allclose(sequence[: len(SHORT_SEQUENCE)], SHORT_SEQUENCE, rtol=0, atol=1e-4)
