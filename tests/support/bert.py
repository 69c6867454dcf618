"""The forward pass of a BERT model file in numpy, to hold embeddings to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EPSILON = 1e-12
HEADS = 2


def hidden_states(path: Path, tokens: Sequence[int]) -> Array:
    """The last layer's output, a row for each token."""
    weights = _weights(path)
    n_layers = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blk."))
    x = weights["token_embd.weight"][list(tokens)] + weights["token_types.weight"][0]
    x = x + weights["position_embd.weight"][: len(tokens)]
    x = _norm(x, weights, "token_embd_norm")
    for layer in range(n_layers):
        x = _layer(x, {name.removeprefix(f"blk.{layer}."): w for name, w in weights.items()})
    return x


def _layer(x: Array, weights: dict[str, Array]) -> Array:
    x = _norm(
        x + _linear(_attention(x, weights), weights, "attn_output"), weights, "attn_output_norm"
    )
    up = _linear(x, weights, "ffn_up")
    gelu = 0.5 * up * (1 + np.tanh(np.sqrt(2 / np.pi) * (up + 0.044715 * up**3)))
    return _norm(x + _linear(gelu, weights, "ffn_down"), weights, "layer_output_norm")


def _attention(x: Array, weights: dict[str, Array]) -> Array:
    def heads(name: str) -> Array:
        return _linear(x, weights, name).reshape(len(x), HEADS, -1).transpose(1, 0, 2)

    q, k, v = heads("attn_q"), heads("attn_k"), heads("attn_v")
    scores = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    mixed: Array = (shares @ v).transpose(1, 0, 2).reshape(len(x), -1)
    return mixed


def _linear(x: Array, weights: dict[str, Array], name: str) -> Array:
    product: Array = x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
    return product


def _norm(x: Array, weights: dict[str, Array], name: str) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt(centred.var(axis=-1, keepdims=True) + EPSILON)
    normed: Array = scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]
    return normed


def _weights(path: Path) -> dict[str, Array]:
    tensors: list[Any] = gguf.GGUFReader(path).tensors
    return {one.name: np.array(one.data, dtype=np.float64) for one in tensors}
