"""Writes the tiny models, each kind with the metadata that its architecture must have."""

import hashlib
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np

from tests.support.tiny import vocabulary, weights
from tests.support.tiny.vocabulary import Vocabulary
from tests.support.tiny.weights import Shape, is_recurrent, tensors, values

#: What differs from an ordinary model, by kind; `architecture` is the kind unless it is named.
_KINDS: Final[dict[str, dict[str, Any]]] = {
    "llama": {},
    "llama-tied": {"architecture": "llama", "tied": True},
    "mixtral": {"architecture": "llama", "experts": 4, "experts_used": 2},
    "qwen2": {},
    "qwen3": {"tied": True},
    "qwen3moe": {"experts": 4, "experts_used": 2},
    "gemma3": {"tied": True, "window": 128},
    "phi3": {},
    "mamba": {"tied": True},
    "jamba": {},
    "bert": {"kv_heads": 2, "context": 512},
    "nomic-bert": {"kv_heads": 2, "context": 512},
}

#: So that a token does not mostly predict itself where both ends share their weights.
_TIED: Final = {"token_embd.weight": 0.25, "output_norm.weight": 4.0}

KINDS: Final = tuple(_KINDS)
ENCODERS: Final = ("bert", "nomic-bert")
GENERATORS: Final = tuple(kind for kind in KINDS if kind not in ENCODERS)

#: The generator's own text: files of another version of it are not taken for its own.
_VERSION: Final = hashlib.sha256(
    b"".join(
        Path(str(part)).read_bytes() for part in (__file__, vocabulary.__file__, weights.__file__)
    )
).hexdigest()[:8]


def tiny_model(folder: Path, kind: str) -> Path:
    """The tiny model of this kind in `folder`, made if it is not there; safe to ask in parallel."""
    target = folder / f"tiny-{kind}-{_VERSION}.gguf"
    if not target.exists():
        handle, name = tempfile.mkstemp(dir=folder, prefix=".tiny-")
        os.close(handle)
        write_tiny_model(Path(name), kind)
        Path(name).replace(target)
    return target


def write_tiny_model(
    path: Path, kind: str, *, seed: int = 1, chat_template: str | None = None, **sizes: Any
) -> Path:
    """Writes a model of this kind; `sizes` are fields of Shape, such as layers=8 or tied=True."""
    options = dict(_KINDS[kind])
    architecture = str(options.pop("architecture", kind))
    tokens = _vocabulary(architecture)
    shape = replace(Shape(vocabulary=len(tokens.tokens), **options), **sizes)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(f"tiny {kind}")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    _describe(writer, architecture, shape)
    tokens.write(writer, chat_template)
    chance = np.random.default_rng(seed)
    written = "token_embd.weight" if shape.tied else "output.weight"
    for name, dimensions, role in tensors(architecture, shape):
        numbers = values(role, dimensions, chance)
        if name == written:
            numbers[list(tokens.unlikely)] *= 0.1
        if shape.tied and name in _TIED:
            numbers *= _TIED[name]
        exact = role in weights.EXACT
        writer.add_tensor(name, numbers if exact else numbers.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _vocabulary(architecture: str) -> Vocabulary:
    if architecture in ENCODERS:
        return vocabulary.word_pieces()
    spm = architecture in ("gemma3", "phi3")
    return vocabulary.sentence_pieces() if spm else vocabulary.byte_pairs()


def _describe(writer: gguf.GGUFWriter, architecture: str, shape: Shape) -> None:
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(0 if architecture == "mamba" else shape.feed)
    writer.add_layer_norm_rms_eps(1e-6)
    if architecture == "mamba":
        writer.add_head_count(0)
    else:
        _describe_attention(writer, architecture, shape)
    if architecture in ("mamba", "jamba"):
        writer.add_ssm_conv_kernel(shape.kernel)
        writer.add_ssm_inner_size(2 * shape.width)
        writer.add_ssm_state_size(shape.state)
        writer.add_ssm_time_step_rank(shape.step_rank)
    if shape.experts:
        writer.add_expert_count(shape.experts)
        writer.add_expert_used_count(shape.experts_used)
        writer.add_expert_feed_forward_length(shape.feed)
    if architecture in ENCODERS:
        writer.add_layer_norm_eps(1e-12)
        writer.add_causal_attention(False)
        writer.add_pooling_type(gguf.PoolingType.MEAN)
        writer.add_token_type_count(2)


def _describe_attention(writer: gguf.GGUFWriter, architecture: str, shape: Shape) -> None:
    writer.add_head_count(shape.heads)
    if architecture == "jamba":
        layers = range(shape.layers)
        writer.add_head_count_kv(
            [0 if is_recurrent("jamba", n) else shape.kv_heads for n in layers]
        )
        return
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head)
    writer.add_value_length(shape.head)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(shape.head)
    if shape.window:
        writer.add_sliding_window(shape.window)
