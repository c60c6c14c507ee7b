"""Fine-tunes a classifier with transformers on given batches, and prints its accuracy as JSON.

What its examples do: AdamW with bias correction and weight decay 0.01 (none for biases and norms),
gradients clipped to norm 1, a linear schedule with warm-up. Imports nothing of this project: it runs
in an environment with PyTorch (`experiments.fine_tuning_accuracy`).
"""

from __future__ import annotations

import argparse
import json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="folder in Hugging Face's form")
    parser.add_argument("--rows", required=True, help=".npz of training and development rows")
    parser.add_argument("--order", required=True, help=".npy of training rows, [steps, batch]")
    parser.add_argument("--own_order", action="store_true", help="shuffle anew each epoch instead")
    parser.add_argument("--learning_rate", type=float, required=True)
    parser.add_argument("--warmup_steps", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    args = parser.parse_args()

    import numpy as np
    import torch
    import transformers

    torch.manual_seed(args.seed)
    rows = dict(np.load(args.rows))
    order = np.load(args.order)
    steps, batch_size = order.shape
    if args.own_order:
        count = len(rows["train_ids"])
        rng = np.random.default_rng(args.seed)
        passes = -(-order.size // count)
        shuffled = np.concatenate([rng.permutation(count) for _ in range(passes)])
        order = shuffled[: order.size].reshape(order.shape)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        args.model, num_labels=int(rows["train_labels"].max()) + 1
    )
    undecayed = ("bias", "LayerNorm.weight")
    named = list(model.named_parameters())
    groups = [
        {"params": [p for n, p in named if not n.endswith(undecayed)], "weight_decay": 0.01},
        {"params": [p for n, p in named if n.endswith(undecayed)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=args.learning_rate)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, args.warmup_steps, steps)

    def inputs(kind: str, chosen: np.ndarray) -> dict[str, torch.Tensor]:
        lengths = rows[f"{kind}_lengths"][chosen]
        width = int(lengths.max())
        return {
            "input_ids": torch.from_numpy(rows[f"{kind}_ids"][chosen, :width]).long(),
            "token_type_ids": torch.from_numpy(rows[f"{kind}_segments"][chosen, :width]).long(),
            "attention_mask": torch.from_numpy(
                (np.arange(width)[None, :] < lengths[:, None]).astype(np.int64)
            ),
        }

    model.train()
    for chosen in order:
        labels = torch.from_numpy(rows["train_labels"][chosen]).long()
        loss = model(**inputs("train", chosen), labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    model.eval()
    right = 0
    with torch.inference_mode():
        for chosen in np.array_split(np.arange(len(rows["dev_ids"])), 20):
            found = model(**inputs("dev", chosen)).logits.argmax(-1).numpy()
            right += int((found == rows["dev_labels"][chosen]).sum())
    print(json.dumps({"accuracy": right / len(rows["dev_ids"]), "loss": float(loss.detach())}))


if __name__ == "__main__":
    main()
