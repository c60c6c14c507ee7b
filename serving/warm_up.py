"""Warm-up requests of a SavedModel: TensorFlow Serving answers them before it takes any of a client.

A record of `assets.extra/tf_serving_warmup_requests` is a `PredictionLog`. Its classes are in the
package tensorflow-serving-api; five fields of theirs are all that is needed here.

Source: "SavedModel Warmup" and `apis/prediction_log.proto` of tensorflow/serving.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from data.tfrecords import varint

WARM_UP_FILE = "tf_serving_warmup_requests"

# Numbers of fields: PredictionLog.predict_log, PredictLog.request, PredictRequest.model_spec and
# .inputs, ModelSpec.signature_name; and of a map's key and value.
_PREDICT_LOG, _REQUEST, _MODEL_SPEC, _INPUTS, _SIGNATURE_NAME = 6, 1, 1, 2, 3
_KEY, _VALUE = 1, 2
_LENGTH_DELIMITED = 2


def write_warm_up(path: str, requests: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Writes requests to a signature each: (its name, input name -> value)."""
    with tf.io.TFRecordWriter(path) as writer:
        for signature, inputs in requests:
            writer.write(prediction_log(signature, inputs))


def prediction_log(signature: str, inputs: Mapping[str, Any]) -> bytes:
    """A serialized `PredictionLog` of a request."""
    tensors = b"".join(
        _field(
            _INPUTS,
            _field(_KEY, name.encode())
            + _field(_VALUE, tf.make_tensor_proto(value).SerializeToString()),
        )
        for name, value in inputs.items()
    )
    spec = _field(_MODEL_SPEC, _field(_SIGNATURE_NAME, signature.encode()))
    return _field(_PREDICT_LOG, _field(_REQUEST, spec + tensors))


def _field(number: int, content: bytes) -> bytes:
    """A field with bytes, a string or a message in it, as Protocol Buffers write it."""
    return varint(number << 3 | _LENGTH_DELIMITED) + varint(len(content)) + content
