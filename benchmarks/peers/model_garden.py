"""Model Garden's pre-training and fine-tuning steps, for `benchmarks.compare`.

Its own tasks, models and optimizer, as its documentation starts them; batches are of full length,
which is what its data loaders make.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.peers.hugging_face import batch_starts, repeated
from benchmarks.serving import arguments, serve

RENAMED = {"input_ids": "input_word_ids", "segment_ids": "input_type_ids"}


def prepare(args: argparse.Namespace) -> tuple[Callable[[], int], Mapping[str, Any]]:
    """See `benchmarks.serving.serve`."""
    import numpy as np
    import tensorflow as tf
    import tf_keras
    from official.nlp import optimization
    from official.nlp.configs import bert, encoders
    from official.nlp.data import pretrain_dataloader, sentence_prediction_dataloader
    from official.nlp.tasks import masked_lm, sentence_prediction

    tf_keras.mixed_precision.set_global_policy(
        {"bfloat16": "mixed_bfloat16", "float32": "float32"}[args.precision]
    )
    layers, width = map(int, args.model.split(","))
    encoder = encoders.EncoderConfig(
        type="bert",
        bert=encoders.BertEncoderConfig(
            vocab_size=30522,
            hidden_size=width,
            num_layers=layers,
            num_attention_heads=width // 64,
            intermediate_size=4 * width,
        ),
    )
    if args.loop == "pretraining":
        head = bert.ClsHeadConfig(
            inner_dim=width, num_classes=2, dropout_rate=0.1, name="next_sentence"
        )
        task = masked_lm.MaskedLMTask(
            masked_lm.MaskedLMConfig(
                model=bert.PretrainerConfig(encoder=encoder, cls_heads=[head]),
                train_data=pretrain_dataloader.BertPretrainDataConfig(),
            )
        )
    else:
        task = sentence_prediction.SentencePredictionTask(
            sentence_prediction.SentencePredictionConfig(
                model=sentence_prediction.ModelConfig(num_classes=2, encoder=encoder),
                train_data=sentence_prediction_dataloader.SentencePredictionDataConfig(),
            )
        )
    model = task.build_model()
    optimizer = optimization.create_optimizer(1e-4, 1000, 10)
    metrics = task.build_metrics()
    rows = dict(np.load(args.input))
    if args.loop != "pretraining":
        rows["label_ids"] = rows["label_ids"][:, np.newaxis]
    starts = batch_starts(len(rows["input_ids"]), args.batch_size)

    @tf.function
    def step(batch: Any) -> Any:
        return task.train_step(batch, model, optimizer, metrics)

    def train_batch() -> int:
        start = next(starts)
        batch = {
            RENAMED.get(k, k): tf.constant(v[start : start + args.batch_size])
            for k, v in rows.items()
        }
        float(step(batch)["loss"])
        count, length = batch["input_word_ids"].shape
        return count * (length if args.loop == "pretraining" else 1)

    return repeated(train_batch, args.batches), {}


if __name__ == "__main__":
    serve(prepare, arguments())
