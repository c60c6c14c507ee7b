"""Hugging Face transformers with PyTorch, for `benchmarks.compare`.

What its examples do: AdamW (fused), gradients clipped to norm 1, padding to the longest row of the
batch, rows in the order of the file.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks.serving import arguments, read_texts, serve


def prepare(args: argparse.Namespace) -> tuple[Callable[[], int], Mapping[str, Any]]:
    """See `benchmarks.serving.serve`."""
    import numpy as np
    import torch
    import transformers

    is_pretraining = args.loop == "pretraining"
    model = new_model(args.loop, bert_config(args.model))
    called = torch.compile(model, dynamic=not is_pretraining) if args.compile else model
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bfloat16")
    facts = {"versions": f"transformers {transformers.__version__}, torch {torch.__version__}"}

    if args.loop == "labelling":
        texts = read_texts(args.input)
        with open(args.vocab_file, encoding="utf-8-sig") as file:
            vocab = {line.strip(): i for i, line in enumerate(file)}
        tokenizer = transformers.BertTokenizerFast(vocab=vocab, do_lower_case=True)
        # Version 5 ignores the former argument `vocab_file` and then knows no word at all.
        first = tokenizer(texts[0])["input_ids"]
        if first.count(vocab["[UNK]"]) * 2 > len(first):
            raise RuntimeError(f"the tokenizer knows no words: {first[:10]}")
        model.eval()
        starts = itertools.cycle(range(0, len(texts), args.batch_size))

        def label_batch() -> int:
            start = next(starts)
            encoded = tokenizer(
                texts[start : start + args.batch_size],
                truncation=True,
                max_length=args.max_seq_length,
                padding=True,
                return_tensors="pt",
            )
            with torch.inference_mode(), autocast:
                logits = called(**encoded).logits
            return len(logits.float().numpy())

        return repeated(label_batch, args.batches), facts

    model.train()
    optimizer = new_optimizer(model)
    rows = {k: torch.from_numpy(v) for k, v in np.load(args.input).items()}
    whole_batches = batch_starts(len(rows["input_ids"]), args.batch_size)

    def train_batch() -> int:
        start = next(whole_batches)
        batch = {k: v[start : start + args.batch_size] for k, v in rows.items()}
        inputs = inputs_of(args.loop, batch)
        with autocast:
            output = called(**inputs)
        if args.loop == "distillation":
            targets = torch.softmax(batch["teacher_logits"], dim=-1)
            loss = torch.nn.functional.cross_entropy(output.logits.float(), targets)
        else:
            loss = output.loss
        update(model, optimizer, loss)
        loss.item()
        return args.batch_size * (batch["input_ids"].shape[1] if is_pretraining else 1)

    return repeated(train_batch, args.batches), facts


def new_model(loop: str, config: Any) -> Any:
    """A model of random weights: with the heads of pre-training, or with a classifier."""
    import torch
    import transformers

    torch.manual_seed(0)
    if loop == "pretraining":
        return transformers.BertForPreTraining(config)
    return transformers.BertForSequenceClassification(config)


def new_optimizer(model: Any) -> Any:
    import torch

    return torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01, fused=True)


def update(model: Any, optimizer: Any, loss: Any) -> None:
    """One step down the clipped gradient of a loss."""
    import torch

    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


def inputs_of(loop: str, batch: Mapping[str, Any]) -> dict[str, Any]:
    """Our features as its models take them.

    Args:
      loop: "pretraining" and "finetuning" have labels, other ones none.
      batch: Tensors of PyTorch on any device; cut to the longest row.
    """
    import torch

    length = int(batch["input_mask"].sum(dim=1).max())
    inputs = {
        "input_ids": batch["input_ids"][:, :length].long(),
        "attention_mask": batch["input_mask"][:, :length],
        "token_type_ids": batch["segment_ids"][:, :length].long(),
    }
    if loop == "pretraining":
        labels = torch.full_like(inputs["input_ids"], -100)
        row, slot = torch.nonzero(batch["masked_lm_weights"], as_tuple=True)
        positions = batch["masked_lm_positions"][row, slot].long()
        labels[row, positions] = batch["masked_lm_ids"][row, slot].long()
        inputs |= {
            "labels": labels,
            "next_sentence_label": batch["next_sentence_labels"][:, 0].long(),
        }
    elif loop == "finetuning":
        inputs["labels"] = batch["label_ids"].long()
    return inputs


def bert_config(model: str, vocab_size: int = 30522) -> Any:
    """The library's configuration of a model of L,H."""
    import transformers

    layers, width = map(int, model.split(","))
    return transformers.BertConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        intermediate_size=4 * width,
    )


def batch_starts(num_rows: int, batch_size: int) -> Iterator[int]:
    """First rows of whole batches in the order of the file, again and again."""
    return itertools.cycle(range(0, num_rows - batch_size + 1, batch_size))


def repeated(work_of_batch: Callable[[], int], batches: int) -> Callable[[], int]:
    """Work on some batches at a time, once of which is done at once, as a warm-up."""

    def work() -> int:
        return sum(work_of_batch() for _ in range(batches))

    work()
    return work


if __name__ == "__main__":
    serve(prepare, arguments())
