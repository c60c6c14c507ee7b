"""Fine-tunes a classifier with transformers on given batches, and prints its accuracy as JSON.

What its examples do: AdamW with bias correction and weight decay 0.01 (none for biases and norms),
gradients clipped to norm 1, a linear schedule with warm-up. Imports nothing of this project: it runs
in an environment with PyTorch (`experiments.fine_tuning_accuracy`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch

_UNDECAYED = ("bias", "LayerNorm.weight")
_DEV_BATCHES = 20


def main() -> None:
    args = _arguments().parse_args()

    import numpy as np
    import torch
    import transformers

    torch.manual_seed(args.seed)
    rows = dict(np.load(args.rows))
    order = np.load(args.order)
    if args.own_order:
        order = shuffled(order.shape, len(rows["train_ids"]), args.seed)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        args.model, num_labels=int(rows["train_labels"].max()) + 1
    )
    loss = train(model, rows, order, args.learning_rate, args.warmup_steps)
    print(json.dumps({"accuracy": accuracy(model, rows), "loss": loss}))


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="folder in Hugging Face's form")
    parser.add_argument("--rows", required=True, help=".npz of training and development rows")
    parser.add_argument("--order", required=True, help=".npy of training rows, [steps, batch]")
    parser.add_argument("--own_order", action="store_true", help="shuffle anew each epoch instead")
    parser.add_argument("--learning_rate", type=float, required=True)
    parser.add_argument("--warmup_steps", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    return parser


def shuffled(shape: tuple[int, int], count: int, seed: int) -> np.ndarray:
    """Numbers of rows, [steps, batch], each pass over `count` rows in an order of its own."""
    import numpy as np

    rng = np.random.default_rng(seed)
    size = shape[0] * shape[1]
    passes = [rng.permutation(count) for _ in range(-(-size // count))]
    return np.concatenate(passes)[:size].reshape(shape)


def train(
    model: Any,
    rows: Mapping[str, np.ndarray],
    order: np.ndarray,
    learning_rate: float,
    warmup_steps: int,
) -> float:
    """Fine-tunes the model on the rows in that order, [steps, batch]; the loss of the last step."""
    import torch
    import transformers

    named = list(model.named_parameters())
    groups = [
        {"params": [p for n, p in named if not n.endswith(_UNDECAYED)], "weight_decay": 0.01},
        {"params": [p for n, p in named if n.endswith(_UNDECAYED)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, warmup_steps, len(order))
    model.train()
    for chosen in order:
        labels = torch.from_numpy(rows["train_labels"][chosen]).long()
        loss = model(**_inputs(rows, "train", chosen), labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return float(loss.detach())


def accuracy(model: Any, rows: Mapping[str, np.ndarray]) -> float:
    """Share of the development rows for which the model is right."""
    import numpy as np
    import torch

    model.eval()
    right = 0
    with torch.inference_mode():
        for chosen in np.array_split(np.arange(len(rows["dev_ids"])), _DEV_BATCHES):
            found = model(**_inputs(rows, "dev", chosen)).logits.argmax(-1).numpy()
            right += int((found == rows["dev_labels"][chosen]).sum())
    return right / len(rows["dev_ids"])


def _inputs(
    rows: Mapping[str, np.ndarray], kind: str, chosen: np.ndarray
) -> dict[str, torch.Tensor]:
    """A batch of "train" or "dev" rows, cut to its longest."""
    import numpy as np
    import torch

    lengths = rows[f"{kind}_lengths"][chosen]
    width = int(lengths.max())
    mask = np.arange(width)[None, :] < lengths[:, None]
    return {
        "input_ids": torch.from_numpy(rows[f"{kind}_ids"][chosen, :width]).long(),
        "token_type_ids": torch.from_numpy(rows[f"{kind}_segments"][chosen, :width]).long(),
        "attention_mask": torch.from_numpy(mask.astype(np.int64)),
    }


if __name__ == "__main__":
    main()
