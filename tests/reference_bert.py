"""Pre-training as google-research/bert defines it, in NumPy: loss, gradients and optimizer.

Sources: `modeling.py`, `run_pretraining.py` and `optimization.py` of google-research/bert; Devlin et
al. (2018). Everything is float64 and written out by hand, without automatic differentiation, so that
it shares nothing with the code under test. There is no dropout.

Every function of a layer returns its output and a function that maps the gradient of the output to
that of the input and adds those of the weights on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Weights = dict[str, np.ndarray]
Backward = Callable[[np.ndarray], np.ndarray]

LAYER_NORM_EPSILON = 1e-12
MASKED_SCORE = -10000.0
LOSS_EPSILON = 1e-5


def variable_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a released checkpoint, for the content of a `bert_config.json`."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {}

    def dense(scope: str, in_size: int, out_size: int) -> None:
        shapes[f"{scope}/kernel"] = (in_size, out_size)
        shapes[f"{scope}/bias"] = (out_size,)

    def layer_norm(scope: str) -> None:
        shapes[f"{scope}/LayerNorm/beta"] = shapes[f"{scope}/LayerNorm/gamma"] = (hidden,)

    shapes["bert/embeddings/word_embeddings"] = (config["vocab_size"], hidden)
    shapes["bert/embeddings/token_type_embeddings"] = (config["type_vocab_size"], hidden)
    shapes["bert/embeddings/position_embeddings"] = (config["max_position_embeddings"], hidden)
    layer_norm("bert/embeddings")
    for i in range(config["num_hidden_layers"]):
        layer = f"bert/encoder/layer_{i}"
        for part in ("query", "key", "value"):
            dense(f"{layer}/attention/self/{part}", hidden, hidden)
        dense(f"{layer}/attention/output/dense", hidden, hidden)
        layer_norm(f"{layer}/attention/output")
        dense(f"{layer}/intermediate/dense", hidden, inner)
        dense(f"{layer}/output/dense", inner, hidden)
        layer_norm(f"{layer}/output")
    dense("bert/pooler/dense", hidden, hidden)
    dense("cls/predictions/transform/dense", hidden, hidden)
    layer_norm("cls/predictions/transform")
    shapes["cls/predictions/output_bias"] = (config["vocab_size"],)
    shapes["cls/seq_relationship/output_weights"] = (2, hidden)
    shapes["cls/seq_relationship/output_bias"] = (2,)
    return shapes


def random_weights(config: Mapping[str, Any], deviation: float, seed: int) -> Weights:
    """float32 weights far from their initial values, so that no bias is 0 and no scale is 1."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(float(name.endswith("gamma")), deviation, shape).astype(np.float32)
        for name, shape in variable_shapes(config).items()
    }


class ReferencePretraining:
    """Encoder with masked LM and next-sentence heads.

    Args:
      config: The content of a `bert_config.json`.
      weights: Name -> float64 array; looked up anew for every batch.
    """

    def __init__(self, config: Mapping[str, Any], weights: Weights):
        self.config, self.weights = config, weights
        self._gradients: Weights = {}

    def loss_and_gradients(
        self, batch: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, float], Weights]:
        """The losses of a batch by the names of `metrics.jsonl`, and the gradients of `loss`.

        Args:
          batch: The features of pre-training records.
        """
        self._gradients = {name: np.zeros_like(value) for name, value in self.weights.items()}
        sequence, sequence_backward = self._encoder(batch)
        masked_lm_loss, masked_lm_gradient = self._masked_lm(sequence, batch)
        next_sentence_loss, next_sentence_gradient = self._next_sentence(sequence, batch)
        sequence_backward(masked_lm_gradient + next_sentence_gradient)
        losses = {
            "masked_lm_loss": masked_lm_loss,
            "next_sentence_loss": next_sentence_loss,
            "loss": masked_lm_loss + next_sentence_loss,
        }
        return losses, self._gradients

    def _encoder(self, batch: Mapping[str, np.ndarray]) -> tuple[np.ndarray, Backward]:
        x, embeddings_backward = self._embeddings(batch["input_ids"], batch["segment_ids"])
        scores_mask = (1.0 - batch["input_mask"][:, np.newaxis, np.newaxis, :]) * MASKED_SCORE
        backwards = [embeddings_backward]
        for i in range(self.config["num_hidden_layers"]):
            x, layer_backward = self._layer(f"bert/encoder/layer_{i}", x, scores_mask)
            backwards.append(layer_backward)

        def backward(gradient: np.ndarray) -> np.ndarray:
            for function in reversed(backwards):
                gradient = function(gradient)
            return gradient

        return x, backward

    def _embeddings(
        self, input_ids: np.ndarray, segment_ids: np.ndarray
    ) -> tuple[np.ndarray, Backward]:
        positions = np.broadcast_to(np.arange(input_ids.shape[1]), input_ids.shape)
        rows = {"word": input_ids, "token_type": segment_ids, "position": positions}
        total = sum(self.weights[f"bert/embeddings/{k}_embeddings"][i] for k, i in rows.items())
        y, norm_backward = self._layer_norm("bert/embeddings", total)

        def backward(gradient: np.ndarray) -> np.ndarray:
            gradient = norm_backward(gradient)
            for kind, ids in rows.items():
                np.add.at(self._gradients[f"bert/embeddings/{kind}_embeddings"], ids, gradient)
            return gradient

        return y, backward

    def _layer(
        self, scope: str, x: np.ndarray, scores_mask: np.ndarray
    ) -> tuple[np.ndarray, Backward]:
        context, attention_backward = self._attention(f"{scope}/attention/self", x, scores_mask)
        attended, dense_backward = self._dense(f"{scope}/attention/output/dense", context)
        middle, middle_backward = self._layer_norm(f"{scope}/attention/output", attended + x)
        inner, inner_backward = self._dense(f"{scope}/intermediate/dense", middle)
        active, gelu_backward = _gelu(inner)
        outer, outer_backward = self._dense(f"{scope}/output/dense", active)
        y, output_backward = self._layer_norm(f"{scope}/output", outer + middle)

        def backward(gradient: np.ndarray) -> np.ndarray:
            gradient = output_backward(gradient)
            gradient = gradient + inner_backward(gelu_backward(outer_backward(gradient)))
            gradient = middle_backward(gradient)
            return gradient + attention_backward(dense_backward(gradient))

        return y, backward

    def _attention(
        self, scope: str, x: np.ndarray, scores_mask: np.ndarray
    ) -> tuple[np.ndarray, Backward]:
        heads = self.config["num_attention_heads"]
        scale = 1.0 / np.sqrt(x.shape[-1] // heads)

        def split(y: np.ndarray) -> np.ndarray:  # [batch, heads, seq, head_size]
            return y.reshape(*y.shape[:2], heads, -1).transpose(0, 2, 1, 3)

        def merge(y: np.ndarray) -> np.ndarray:
            return y.transpose(0, 2, 1, 3).reshape(x.shape)

        query, query_backward = self._dense(f"{scope}/query", x)
        key, key_backward = self._dense(f"{scope}/key", x)
        value, value_backward = self._dense(f"{scope}/value", x)
        query, key, value = split(query), split(key), split(value)
        probs = np.exp(_log_softmax(query @ key.swapaxes(-1, -2) * scale + scores_mask))

        def backward(gradient: np.ndarray) -> np.ndarray:
            gradient = split(gradient)
            of_probs = gradient @ value.swapaxes(-1, -2)
            mean = np.sum(of_probs * probs, axis=-1, keepdims=True)
            of_scores = probs * (of_probs - mean) * scale
            return (
                query_backward(merge(of_scores @ key))
                + key_backward(merge(of_scores.swapaxes(-1, -2) @ query))
                + value_backward(merge(probs.swapaxes(-1, -2) @ gradient))
            )

        return merge(probs @ value), backward

    def _masked_lm(
        self, sequence: np.ndarray, batch: Mapping[str, np.ndarray]
    ) -> tuple[float, np.ndarray]:
        """The loss and its gradient with respect to the encoder's output."""
        rows, positions = np.arange(len(sequence))[:, np.newaxis], batch["masked_lm_positions"]
        ids, weights = batch["masked_lm_ids"].ravel(), batch["masked_lm_weights"].ravel()
        embeddings = self.weights["bert/embeddings/word_embeddings"]
        hidden = sequence[rows, positions].reshape(len(ids), -1)
        hidden, dense_backward = self._dense("cls/predictions/transform/dense", hidden)
        hidden, gelu_backward = _gelu(hidden)
        hidden, norm_backward = self._layer_norm("cls/predictions/transform", hidden)
        logits = hidden @ embeddings.T + self.weights["cls/predictions/output_bias"]
        weights = weights / (weights.sum(dtype=np.float64) + LOSS_EPSILON)
        loss, of_logits = _cross_entropy(logits, ids, weights)
        self._gradients["cls/predictions/output_bias"] += of_logits.sum(axis=0)
        self._gradients["bert/embeddings/word_embeddings"] += of_logits.T @ hidden
        of_hidden = dense_backward(gelu_backward(norm_backward(of_logits @ embeddings)))
        of_sequence = np.zeros_like(sequence)
        np.add.at(of_sequence, (rows, positions), of_hidden.reshape(*positions.shape, -1))
        return loss, of_sequence

    def _next_sentence(
        self, sequence: np.ndarray, batch: Mapping[str, np.ndarray]
    ) -> tuple[float, np.ndarray]:
        """The loss and its gradient with respect to the encoder's output."""
        dense, dense_backward = self._dense("bert/pooler/dense", sequence[:, 0])
        pooled = np.tanh(dense)
        scope = "cls/seq_relationship"
        output_weights = self.weights[f"{scope}/output_weights"]
        logits = pooled @ output_weights.T + self.weights[f"{scope}/output_bias"]
        mean = np.full(len(logits), 1.0 / len(logits))
        loss, of_logits = _cross_entropy(logits, batch["next_sentence_labels"].ravel(), mean)
        self._gradients[f"{scope}/output_weights"] += of_logits.T @ pooled
        self._gradients[f"{scope}/output_bias"] += of_logits.sum(axis=0)
        of_sequence = np.zeros_like(sequence)
        of_sequence[:, 0] = dense_backward(of_logits @ output_weights * (1.0 - pooled**2))
        return loss, of_sequence

    def _dense(self, scope: str, x: np.ndarray) -> tuple[np.ndarray, Backward]:
        kernel = self.weights[f"{scope}/kernel"]

        def backward(gradient: np.ndarray) -> np.ndarray:
            rows, row_gradients = (y.reshape(-1, y.shape[-1]) for y in (x, gradient))
            self._gradients[f"{scope}/kernel"] += rows.T @ row_gradients
            self._gradients[f"{scope}/bias"] += row_gradients.sum(axis=0)
            return gradient @ kernel.T

        return x @ kernel + self.weights[f"{scope}/bias"], backward

    def _layer_norm(self, scope: str, x: np.ndarray) -> tuple[np.ndarray, Backward]:
        gamma, beta = (self.weights[f"{scope}/LayerNorm/{name}"] for name in ("gamma", "beta"))
        deviation = np.sqrt(x.var(axis=-1, keepdims=True) + LAYER_NORM_EPSILON)
        normal = (x - x.mean(axis=-1, keepdims=True)) / deviation

        def backward(gradient: np.ndarray) -> np.ndarray:
            of_normal = gradient * gamma
            all_rows = tuple(range(x.ndim - 1))
            self._gradients[f"{scope}/LayerNorm/gamma"] += np.sum(gradient * normal, axis=all_rows)
            self._gradients[f"{scope}/LayerNorm/beta"] += np.sum(gradient, axis=all_rows)
            along = np.mean(of_normal * normal, axis=-1, keepdims=True)
            return (of_normal - of_normal.mean(axis=-1, keepdims=True) - along * normal) / deviation

        return normal * gamma + beta, backward


def _gelu(x: np.ndarray) -> tuple[np.ndarray, Backward]:
    """x * Phi(x) with the tanh approximation of Phi."""
    factor = np.sqrt(2.0 / np.pi)
    tanh = np.tanh(factor * (x + 0.044715 * x**3))

    def backward(gradient: np.ndarray) -> np.ndarray:
        slope = (1.0 - tanh**2) * factor * (1.0 + 3.0 * 0.044715 * x**2)
        return gradient * 0.5 * (1.0 + tanh + x * slope)

    return 0.5 * x * (1.0 + tanh), backward


def _log_softmax(x: np.ndarray) -> np.ndarray:
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _cross_entropy(
    logits: np.ndarray, ids: np.ndarray, weights: np.ndarray
) -> tuple[float, np.ndarray]:
    """sum_n weights_n * -log softmax(logits_n)[ids_n], and its gradient with respect to `logits`."""
    log_probs = _log_softmax(logits)
    rows = np.arange(len(ids))
    error = np.exp(log_probs)
    error[rows, ids] -= 1.0
    return -float(np.sum(weights * log_probs[rows, ids])), error * weights[:, np.newaxis]


class ReferenceAdamWeightDecay:
    """`AdamWeightDecayOptimizer` and `create_optimizer`, in the order of the original's lines.

    Args:
      learning_rate: Peak rate.
      num_train_steps: Where the decay ends.
      num_warmup_steps: Updates of warm-up, at least 1.
    """

    def __init__(self, learning_rate: float, num_train_steps: int, num_warmup_steps: int):
        self.peak = learning_rate
        self.num_train_steps, self.num_warmup_steps = num_train_steps, num_warmup_steps
        self.step = 0
        self.first_moments: Weights = {}
        self.second_moments: Weights = {}

    @property
    def learning_rate(self) -> float:
        """The rate of the next update."""
        if self.step < self.num_warmup_steps:
            return self.peak * self.step / self.num_warmup_steps
        return self.peak * (1.0 - self.step / self.num_train_steps)

    def apply_gradients(self, weights: Weights, gradients: Weights) -> float:
        """Updates `weights` in place; returns the norm of all gradients before clipping to 1."""
        norm = float(np.sqrt(sum(np.sum(g**2) for g in gradients.values())))
        for name, gradient in gradients.items():
            gradient = gradient / max(norm, 1.0)
            m = 0.9 * self.first_moments.get(name, 0.0) + 0.1 * gradient
            v = 0.999 * self.second_moments.get(name, 0.0) + 0.001 * gradient**2
            self.first_moments[name], self.second_moments[name] = m, v
            update = m / (np.sqrt(v) + 1e-6)
            if not any(part in name for part in ("LayerNorm", "layer_norm", "bias")):
                update = update + 0.01 * weights[name]
            weights[name] = weights[name] - self.learning_rate * update
        self.step += 1
        return norm
