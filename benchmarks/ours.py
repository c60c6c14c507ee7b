"""Our own loops, for `benchmarks.compare`: the step and the predictions of the scripts."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.serving import arguments, read_texts, serve
from common.quiet import prepare_libraries


def training(args: argparse.Namespace) -> tuple[Callable[[], int], Mapping[str, Any]]:
    """The update of `run_pretraining.py`, `run_classifier.py` or `run_distill.py`."""
    import numpy as np
    import tensorflow as tf

    from benchmarks.inputs import length_quantiles
    from classification.objective import ClassificationObjective
    from distillation.objective import DistillationObjective
    from modeling.config import load_config
    from modeling.heads import ClassifierModel, PretrainingModel
    from modeling.optimization import AdamWeightDecay, WarmupLinearDecay
    from pretraining.objective import PretrainingObjective
    from training.loop import steps_within_a_call
    from training.strategy import distribute
    from training.updates import Objective, compiled_steps

    config = load_config(args.model.replace(",", "/"))
    rows = dict(np.load(args.input))
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope():
        objective: Objective
        if args.loop == "pretraining":
            objective = PretrainingObjective(PretrainingModel(config, args.precision))
            batches = tf.data.Dataset.from_tensor_slices(rows)
            batches = batches.batch(args.batch_size, drop_remainder=True)
        else:
            model = ClassifierModel(config, 2, args.precision)
            objective = (
                ClassificationObjective(model)
                if args.loop == "finetuning"
                else DistillationObjective(model)
            )
            batches = length_quantiles(rows, args.batch_size, args.batches)
        optimizer = AdamWeightDecay(WarmupLinearDecay(1e-4, 1000, 10))
        optimizer.build(objective.model.trainable_variables)
    steps = compiled_steps(objective, optimizer, strategy)
    iterator = iter(distribute(batches.cache().repeat().prefetch(2), strategy))
    units = args.batch_size * (rows["input_ids"].shape[1] if args.loop == "pretraining" else 1)

    per_call = 1

    def work() -> int:
        nonlocal per_call
        start, done = time.perf_counter(), 0
        while done < args.batches:
            count = min(per_call, args.batches - done)
            float(steps(iterator, tf.constant(count))[0]["loss"])
            done += count
        per_call = steps_within_a_call((time.perf_counter() - start) / args.batches)
        return args.batches * units

    work()  # Compiles.
    work()  # Finds its pace.
    return work, {"parameters": sum(int(np.prod(v.shape)) for v in optimizer.first_moments)}


def labelling(args: argparse.Namespace) -> tuple[Callable[[], int], Mapping[str, Any]]:
    """The labelling of `create_soft_labels.py`, from text to logits."""
    import numpy as np
    import tensorflow as tf

    from data.classifier_records import encode_rows
    from modeling.config import load_config
    from modeling.heads import ClassifierModel
    from modeling.tokenization import FullTokenizer
    from training.engine import Engine, compiled, fastest_tokens

    tokenizer = FullTokenizer(args.vocab_file)
    texts = [(text, None) for text in read_texts(args.input)]
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    config = load_config(args.model.replace(",", "/"))

    def engine(precision: str) -> Engine:
        with strategy.scope():
            model = ClassifierModel(config, 2, precision)
        most_tokens = fastest_tokens(config, strategy)
        return Engine(compiled(model, strategy), strategy, args.batch_size, most_tokens)

    label = engine(args.precision)

    def logits_of(texts: list[tuple[str, None]], engine: Engine) -> np.ndarray:
        return engine(encode_rows(tokenizer, texts, args.max_seq_length))

    def work() -> int:
        return len(logits_of(texts, label))

    facts = {}
    if args.precision != "float32":
        few = texts[: args.batch_size]
        difference = np.abs(logits_of(few, label) - logits_of(few, engine("float32"))).max()
        facts["largest difference of logits from float32"] = round(float(difference), 5)
    work()
    return work, facts


def engines(args: argparse.Namespace) -> tuple[Callable[[], int], Mapping[str, Any]]:
    """The same with a trained model and any engine (`serving.engine_choice`)."""
    from serving import Predictor

    texts = read_texts(args.input)
    predictor = Predictor.load(
        args.model,
        max_seq_length=args.max_seq_length,
        batch_size=args.batch_size,
        engine=args.engine,
        precision=args.precision,
    )

    def work() -> int:
        return len(predictor.logits(texts))

    work()
    return work, {"engine": " ".join(predictor.logits_engine().choice or ())}


def product(args: argparse.Namespace) -> tuple[Callable[[], int], Mapping[str, Any]]:
    """A matrix product of 2048 x 2048; the unit is a floating-point operation."""
    import tensorflow as tf

    size = 2048
    matrix = tf.cast(tf.random.stateless_normal([size, size], [0, 0]), args.precision)

    @tf.function
    def square(x: tf.Tensor) -> tf.Tensor:
        return tf.matmul(x, x)

    def work() -> int:
        for _ in range(args.batches):
            square(matrix)[0, 0].numpy()
        return args.batches * 2 * size**3

    work()
    return work, {}


def copy(args: argparse.Namespace) -> tuple[Callable[[], int], Mapping[str, Any]]:
    """A copy of 256 MB by one thread; the unit is a byte copied."""
    import numpy as np

    source = np.ones(1 << 28, np.uint8)
    target = np.empty_like(source)

    def work() -> int:
        for _ in range(args.batches):
            np.copyto(target, source)
        return args.batches * source.size

    work()
    return work, {}


if __name__ == "__main__":
    prepare_libraries()
    logging.disable(logging.INFO)
    args = arguments()
    others = {"labelling": labelling, "engines": engines, "product": product, "copy": copy}
    serve(others.get(args.loop, training), args)
