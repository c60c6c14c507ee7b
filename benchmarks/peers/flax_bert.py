"""BERT classifiers in JAX (transformers' Flax models), for `benchmarks.compare`.

What its example (`run_flax_glue.py`) does: an update is one XLA program, and AdamW is that of optax.
Gradients are clipped to norm 1 as everywhere here. Batches are cut to their longest row, rounded up
to 32, since every length is compiled anew. Transformers has these models up to version 4.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.peers.hugging_face import batch_starts, bert_config, repeated
from benchmarks.serving import arguments, serve

LENGTH_MULTIPLE = 32


def prepare(args: argparse.Namespace) -> tuple[Callable[[], int], Mapping[str, Any]]:
    """See `benchmarks.serving.serve`."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax
    import transformers

    model = transformers.FlaxBertForSequenceClassification(
        bert_config(args.model),
        dtype={"bfloat16": jnp.bfloat16, "float32": jnp.float32}[args.precision],
    )
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-4, weight_decay=0.01))
    state = model.params, optimizer.init(model.params), jax.random.PRNGKey(0)
    rows = dict(np.load(args.input))
    starts = batch_starts(len(rows["input_ids"]), args.batch_size)

    def mean_loss(params: Any, batch: Mapping[str, Any], key: Any) -> Any:
        logits = model(
            batch["input_ids"],
            batch["input_mask"],
            batch["segment_ids"],
            params=params,
            dropout_rng=key,
            train=True,
        ).logits.astype(jnp.float32)
        if args.loop == "distillation":
            targets = jax.nn.softmax(batch["teacher_logits"])
            return optax.softmax_cross_entropy(logits, targets).mean()
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch["label_ids"]).mean()

    def update(state: Any, batch: Mapping[str, Any]) -> Any:
        params, moments, key = state
        key, used = jax.random.split(key)
        loss, gradients = jax.value_and_grad(mean_loss)(params, batch, used)
        changes, moments = optimizer.update(gradients, moments, params)
        return (optax.apply_updates(params, changes), moments, key), loss

    compiled = jax.jit(update, donate_argnums=0)

    def train_batch() -> int:
        nonlocal state
        start = next(starts)
        batch = {k: v[start : start + args.batch_size] for k, v in rows.items()}
        longest = int(batch["input_mask"].sum(axis=1).max())
        length = -(-longest // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
        for name in ("input_ids", "input_mask", "segment_ids"):
            batch[name] = batch[name][:, :length]
        state, loss = compiled(state, batch)
        float(loss)
        return args.batch_size

    facts = {"versions": f"transformers {transformers.__version__}, jax {jax.__version__}"}
    return repeated(train_batch, args.batches), facts


if __name__ == "__main__":
    serve(prepare, arguments())
