"""A row at a time by an exported program, by its folder's runner, or by Hugging Face's PyTorch.

    --loop=ids            a .tflite or .onnx file, or a SavedModel; ids in
    --loop=text           a folder of export_model.py, with its runner; or a SavedModel; text in
    --loop=hugging_face   a folder of convert_checkpoint.py --output_format=hf, eager; ids in

For `benchmarks.export_speed`; one thread.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.serving import arguments, serve


def prepare(args: argparse.Namespace) -> tuple[Callable[[], int], Mapping[str, Any]]:
    """See `benchmarks.serving.serve`."""
    makers = {"ids": _ids, "text": _text, "hugging_face": _hugging_face}
    call = makers[args.loop](args.model, args.max_seq_length)

    def work() -> int:
        for _ in range(args.batches):
            call()
        return args.batches

    work()
    return work, {}


def _ids(path: str, length: int) -> Callable[[], object]:
    import numpy as np

    runtime = os.path.join(os.path.dirname(__file__), "..", "..", "serving", "runtime")
    sys.path.insert(0, os.path.abspath(runtime))
    from programs import open_program

    program = open_program(path, 1)
    ids = np.full([1, length], 5, np.int32)
    mask, segments = np.ones_like(ids), np.zeros_like(ids)
    return lambda: program(ids, mask, segments)


def _text(path: str, length: int) -> Callable[[], object]:
    text = "film " * (length - 2)
    if os.path.exists(os.path.join(path, "predict.py")):
        sys.path.insert(0, path)
        classifier = importlib.import_module("predict").Classifier(path)
        assert len(classifier.tokenizer.encode(text)) == length - 2
        return lambda: classifier.predict([text])
    import tensorflow as tf
    import tensorflow_text  # noqa: F401

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    loaded = tf.saved_model.load(path)
    serve_text = loaded.signatures["serving_default"]
    return lambda: (loaded, serve_text(text=tf.constant([text]))["probabilities"].numpy())


def _hugging_face(path: str, length: int) -> Callable[[], object]:
    import torch
    import transformers

    torch.set_num_threads(1)
    model = transformers.BertForSequenceClassification.from_pretrained(path).eval()
    ids = torch.full([1, length], 5)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def call() -> object:
        with torch.inference_mode():
            return torch.softmax(model(**inputs).logits, dim=-1).numpy()

    return call


if __name__ == "__main__":
    serve(prepare, arguments())
