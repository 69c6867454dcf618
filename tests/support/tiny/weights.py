"""The tensors of each architecture, named and shaped as llama.cpp expects them.

Shapes are numpy's: a matrix that takes n numbers to m has the shape (m, n).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Role = Literal["matrix", "kept", "norm", "bias", "decay", "step", "ones"]
Tensor = tuple[str, tuple[int, ...], Role]

#: Roles that stay in 32 bits whatever the format of the file: llama.cpp wants it so.
EXACT: Final = ("norm", "bias", "decay", "step", "ones", "kept")


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a model. A head has `head` numbers; ``width = heads * head``."""

    vocabulary: int = 0
    layers: int = 4
    heads: int = 2
    kv_heads: int = 1
    head: int = 32
    feed: int = 128
    context: int = 4096
    experts: int = 0
    experts_used: int = 0
    state: int = 16  # of a recurrent layer
    kernel: int = 4
    window: int = 0  # of sliding attention, in tokens
    tied: bool = False  # the embedding serves as output matrix too

    @property
    def width(self) -> int:
        return self.heads * self.head

    @property
    def kv_width(self) -> int:
        return self.kv_heads * self.head

    @property
    def step_rank(self) -> int:
        return max(1, self.width // 16)


def tensors(architecture: str, shape: Shape) -> Iterator[Tensor]:
    """All tensors of a model."""
    yield "token_embd.weight", (shape.vocabulary, shape.width), "matrix"
    if architecture in ("bert", "nomic-bert"):
        yield from _encoder_head(architecture, shape)
    else:
        yield "output_norm.weight", (shape.width,), "norm"
        if not shape.tied:
            yield "output.weight", (shape.vocabulary, shape.width), "matrix"
    for layer in range(shape.layers):
        for name, dimensions, role in _layer(architecture, shape, layer):
            yield f"blk.{layer}.{name}", dimensions, role


def is_recurrent(architecture: str, layer: int) -> bool:
    """Whether the layer keeps a state of fixed size instead of keys and values."""
    return architecture == "mamba" or (architecture == "jamba" and layer % 2 == 0)


def values(role: Role, shape: tuple[int, ...], chance: np.random.Generator) -> NDArray[np.float32]:
    """Random numbers that keep activations near 1 from layer to layer."""
    noise = chance.standard_normal(shape, dtype=np.float32)
    if role in ("matrix", "kept"):
        return np.asarray(noise / np.sqrt(shape[-1]), dtype=np.float32)
    if role == "decay":  # -1, -2, ... for the numbers of a state
        return np.broadcast_to(-np.arange(1, shape[-1] + 1, dtype=np.float32), shape).copy()
    offset = {"norm": 1.0, "bias": 0.0, "step": -3.0, "ones": 1.0}[role]
    return np.asarray(offset + 0.1 * noise, dtype=np.float32)


def _layer(architecture: str, shape: Shape, layer: int) -> Iterator[Tensor]:
    if architecture in ("bert", "nomic-bert"):
        yield from _encoder_layer(architecture, shape)
        return
    yield "attn_norm.weight", (shape.width,), "norm"
    if is_recurrent(architecture, layer):
        yield from _recurrence(architecture, shape)
    else:
        yield from _attention(architecture, shape)
    if architecture != "mamba":
        yield "ffn_norm.weight", (shape.width,), "norm"
        yield from _feed_forward(architecture, shape)


def _attention(architecture: str, shape: Shape) -> Iterator[Tensor]:
    width, kv_width = shape.width, shape.kv_width
    if architecture == "phi3":
        yield "attn_qkv.weight", (width + 2 * kv_width, width), "matrix"
    else:
        for name, rows in (("attn_q", width), ("attn_k", kv_width), ("attn_v", kv_width)):
            yield f"{name}.weight", (rows, width), "matrix"
            if architecture == "qwen2":
                yield f"{name}.bias", (rows,), "bias"
    yield "attn_output.weight", (width, width), "matrix"
    if architecture in ("qwen3", "qwen3moe", "gemma3"):
        yield "attn_q_norm.weight", (shape.head,), "norm"
        yield "attn_k_norm.weight", (shape.head,), "norm"
    if architecture == "gemma3":
        yield "post_attention_norm.weight", (width,), "norm"
        yield "post_ffw_norm.weight", (width,), "norm"


def _feed_forward(architecture: str, shape: Shape) -> Iterator[Tensor]:
    width, feed = shape.width, shape.feed
    if shape.experts:
        many = shape.experts
        yield "ffn_gate_inp.weight", (many, width), "kept"
        yield "ffn_gate_exps.weight", (many, feed, width), "matrix"
        yield "ffn_up_exps.weight", (many, feed, width), "matrix"
        yield "ffn_down_exps.weight", (many, width, feed), "matrix"
    elif architecture == "phi3":
        yield "ffn_up.weight", (2 * feed, width), "matrix"
        yield "ffn_down.weight", (width, feed), "matrix"
    else:
        yield "ffn_gate.weight", (feed, width), "matrix"
        yield "ffn_up.weight", (feed, width), "matrix"
        yield "ffn_down.weight", (width, feed), "matrix"


def _recurrence(architecture: str, shape: Shape) -> Iterator[Tensor]:
    inner, state, rank = 2 * shape.width, shape.state, shape.step_rank
    yield "ssm_in.weight", (2 * inner, shape.width), "matrix"
    yield "ssm_conv1d.weight", (inner, shape.kernel), "kept"
    yield "ssm_conv1d.bias", (inner,), "bias"
    yield "ssm_x.weight", (rank + 2 * state, inner), "matrix"
    yield "ssm_dt.weight", (inner, rank), "kept"
    yield "ssm_dt.bias", (inner,), "step"
    yield "ssm_a", (inner, state), "decay"
    yield "ssm_d", (inner,), "ones"
    yield "ssm_out.weight", (shape.width, inner), "matrix"
    if architecture == "jamba":
        yield "ssm_dt_norm.weight", (rank,), "norm"
        yield "ssm_b_norm.weight", (state,), "norm"
        yield "ssm_c_norm.weight", (state,), "norm"


def _encoder_head(architecture: str, shape: Shape) -> Iterator[Tensor]:
    yield "token_types.weight", (2, shape.width), "kept"
    if architecture == "bert":
        yield "position_embd.weight", (shape.context, shape.width), "kept"
    yield "token_embd_norm.weight", (shape.width,), "norm"
    yield "token_embd_norm.bias", (shape.width,), "bias"


def _encoder_layer(architecture: str, shape: Shape) -> Iterator[Tensor]:
    width, feed = shape.width, shape.feed
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        yield f"{name}.weight", (width, width), "matrix"
        yield f"{name}.bias", (width,), "bias"
    yield "ffn_up.weight", (feed, width), "matrix"
    yield "ffn_down.weight", (width, feed), "matrix"
    if architecture == "nomic-bert":
        yield "ffn_gate.weight", (feed, width), "matrix"
    else:
        yield "ffn_up.bias", (feed,), "bias"
        yield "ffn_down.bias", (width,), "bias"
    for name in ("attn_output_norm", "layer_output_norm"):
        yield f"{name}.weight", (width,), "norm"
        yield f"{name}.bias", (width,), "bias"
