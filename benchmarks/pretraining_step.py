"""Times a pre-training step beside Model Garden's, in turn and in one process.

Both get the same batch (sequence length 128, 20 predictions), the same precision and their own
optimizer; the figure is the median over the repetitions, the ratio that of the medians.

  python -m benchmarks.pretraining_step --sizes=tiny,small --precisions=bfloat16,float32
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from benchmarks.timing import interleaved_medians
from training import cli

FLAGS = flags.FLAGS

flags.DEFINE_list("sizes", ["tiny", "small"], "Sizes of the model, by name.")
flags.DEFINE_list("precisions", ["bfloat16", "float32"], "Precisions of the matrix products.")
flags.DEFINE_integer("batch_size", 32, "Sequences per step.", lower_bound=1)
flags.DEFINE_integer("repetitions", 10, "Timed steps of each.", lower_bound=1)

SEQ_LENGTH, NUM_PREDICTIONS = 128, 20


def main(_: Sequence[str]) -> None:
    print("| Size | Precision | ours, tokens/s | Model Garden, tokens/s | ratio |")
    print("|---|---|---|---|---|")
    for size in FLAGS.sizes:
        for precision in FLAGS.precisions:
            batch = random_batch(FLAGS.batch_size)
            steps = (our_step(size, precision, batch), garden_step(size, precision, batch))
            ours, theirs = interleaved_medians(steps, FLAGS.repetitions)
            tokens = FLAGS.batch_size * SEQ_LENGTH
            print(
                f"| {size} | {precision} | {tokens / ours:,.0f} | {tokens / theirs:,.0f} | "
                f"{theirs / ours:.2f} |",
                flush=True,
            )


def random_batch(batch_size: int) -> dict[str, Any]:
    """A batch of full records, by our feature names."""
    import numpy as np
    import tensorflow as tf

    rng = np.random.default_rng(0)
    shape, predictions = (batch_size, SEQ_LENGTH), (batch_size, NUM_PREDICTIONS)
    arrays = {
        "input_ids": rng.integers(1000, 30000, shape),
        "input_mask": np.ones(shape),
        "segment_ids": np.zeros(shape),
        "masked_lm_positions": np.sort(rng.integers(1, SEQ_LENGTH, predictions), axis=1),
        "masked_lm_ids": rng.integers(1000, 30000, predictions),
        "next_sentence_labels": rng.integers(0, 2, (batch_size, 1)),
    }
    batch = {name: tf.constant(value, tf.int32) for name, value in arrays.items()}
    batch["masked_lm_weights"] = tf.ones(predictions)
    return batch


def our_step(size: str, precision: str, batch: dict[str, Any]) -> Callable[[], float]:
    """The step of `run_pretraining.py`."""
    import tensorflow as tf

    from modeling.config import load_config
    from modeling.heads import PretrainingModel
    from modeling.optimization import AdamWeightDecay, WarmupLinearDecay
    from pretraining.objective import PretrainingObjective
    from training.loop import TrainOptions, compiled_steps

    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope():
        model = PretrainingModel(load_config(size), precision)
        optimizer = AdamWeightDecay(WarmupLinearDecay(1e-4, 1000, 10))
        optimizer.build(model.trainable_variables)
    steps = compiled_steps(PretrainingObjective(model), optimizer, strategy, TrainOptions(1000))
    batches = tf.data.Dataset.from_tensors(batch).repeat()
    iterator = iter(strategy.experimental_distribute_dataset(batches))
    return lambda: float(steps(iterator, tf.constant(1))[0]["loss"])


def garden_step(size: str, precision: str, batch: dict[str, Any]) -> Callable[[], float]:
    """The step of Model Garden's masked LM task, with `BertPretrainerV2`."""
    import tensorflow as tf
    import tf_keras
    from official.nlp import optimization
    from official.nlp.configs import bert, encoders
    from official.nlp.data import pretrain_dataloader
    from official.nlp.tasks import masked_lm

    from modeling.config import load_config

    config = load_config(size)
    tf_keras.mixed_precision.set_global_policy(
        {"bfloat16": "mixed_bfloat16", "float32": "float32"}[precision]
    )
    encoder = encoders.BertEncoderConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        num_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        intermediate_size=config.intermediate_size,
    )
    head = bert.ClsHeadConfig(
        inner_dim=config.hidden_size, num_classes=2, dropout_rate=0.1, name="next_sentence"
    )
    pretrainer = bert.PretrainerConfig(
        encoder=encoders.EncoderConfig(type="bert", bert=encoder), cls_heads=[head]
    )
    data = pretrain_dataloader.BertPretrainDataConfig()
    task = masked_lm.MaskedLMTask(masked_lm.MaskedLMConfig(model=pretrainer, train_data=data))
    model = task.build_model()
    optimizer = optimization.create_optimizer(1e-4, 1000, 10)
    metrics = task.build_metrics()
    renamed = {"input_ids": "input_word_ids", "segment_ids": "input_type_ids"}
    garden_batch = {renamed.get(name, name): value for name, value in batch.items()}

    @tf.function
    def step() -> dict[str, Any]:
        return task.train_step(garden_batch, model, optimizer, metrics)

    return lambda: float(step()["loss"])


if __name__ == "__main__":
    cli.run(main)
