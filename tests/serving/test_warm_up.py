"""Warm-up requests, as the classes of tensorflow-serving-api write and read them."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from serving.warm_up import prediction_log

# Of `PredictionLog.SerializeToString` in tensorflow-serving-api 2.20.0.
SERIALIZED = (
    "322e0a2c0a051a0369647312230a09696e7075745f6964731216080312081202080112020802"
    "22080100000001000000"
)


def test_bytes() -> None:
    assert prediction_log("ids", {"input_ids": np.ones([1, 2], np.int32)}).hex() == SERIALIZED


def test_read_by_the_package() -> None:
    protos = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    content = prediction_log("serving_default", {"text": ["x" * 300], "other": ["y"]})
    request = protos.PredictionLog.FromString(content).predict_log.request
    assert request.model_spec.signature_name == "serving_default"
    assert tf.make_ndarray(request.inputs["text"]).tolist() == [b"x" * 300]
    assert set(request.inputs) == {"text", "other"}


def test_requests_of_an_exported_model_are_answered(shipped: pathlib.Path) -> None:
    folder = shipped / "saved_model" / "1"
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    logs = [bytes(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]
    signatures = tf.saved_model.load(str(folder)).signatures
    expected = [
        prediction_log("ids", {name: np.ones([1, 8], np.int32) for name in IDS}),
        prediction_log("serving_default", {"text": ["warm up"]}),
    ]
    assert logs == expected
    assert signatures["serving_default"](text=tf.constant(["warm up"]))["label"].shape == (1,)


IDS = ("input_ids", "input_mask", "segment_ids")
