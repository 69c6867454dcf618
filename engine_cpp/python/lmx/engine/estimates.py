"""The bytes that a context of a model needs: foretold with nothing loaded, or measured."""

from __future__ import annotations

from dataclasses import dataclass

from lmx.engine import _core
from lmx.engine._log import forward_logs
from lmx.engine.errors import InvalidRequest
from lmx.engine.files import StrPath, inspect_model

N_UBATCH = 512  # prompt tokens of one decode


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes on the device for one context of a model; ``host_bytes`` are in RAM beside a GPU."""

    weights_bytes: int
    kv_bytes: int
    compute_bytes: int
    total_bytes: int
    host_bytes: int = 0


def estimate(
    path: StrPath,
    n_ctx: int = 2048,
    n_seq: int = 1,
    kv_type: str = "f16",
    *,
    n_ubatch: int = N_UBATCH,
    flash_attn: str = "auto",
    device: str = "auto",
    pooling: str = "",
) -> Estimate:
    """The exact bytes that ``n_seq`` sequences of ``n_ctx`` tokens need, with nothing loaded.

    With ``pooling`` ("mean", "cls", "last") those of a context that makes vectors of texts, as it
    always is for a model that does not generate.

    Raises ModelFileError or InvalidRequest.
    """
    info = inspect_model(path)
    if not info.generates and not pooling:
        pooling = info.pooling if info.pooling not in ("", "rank") else "mean"
    spec = context_spec(n_ctx, n_seq, kv_type, n_ubatch, flash_attn, pooling)
    footprint = _core.estimate(info.path, spec, device)
    forward_logs()
    return to_estimate(footprint)


def measure(
    path: StrPath,
    n_ctx: int = 2048,
    n_seq: int = 1,
    kv_type: str = "f16",
    *,
    n_ubatch: int = N_UBATCH,
    flash_attn: str = "auto",
    device: str = "auto",
) -> Estimate:
    """What `estimate` foretells, measured: loads the model, decodes a largest batch, frees it all.

    No ledger knows of it, so there must be room. Raises as `estimate` does, or EngineError when
    an allocation failed.
    """
    info = inspect_model(path)
    spec = context_spec(n_ctx, n_seq, kv_type, n_ubatch, flash_attn)
    footprint = _core.measure(info.path, spec, device)
    forward_logs()
    return to_estimate(footprint)


def context_spec(
    n_ctx: int, n_seq: int, kv_type: str, n_ubatch: int, flash_attn: str, pooling: str = ""
) -> _core.ContextSpec:
    """The compiled part's form; numbers that it cannot hold become ones that it refuses."""

    def held(name: str, number: int) -> int:
        if not isinstance(number, int) or isinstance(number, bool):
            raise InvalidRequest(f"{name} is {number!r} but must be a whole number")
        return min(max(number, 0), 2**32 - 1)

    for name, value in (("kv_type", kv_type), ("flash_attn", flash_attn), ("pooling", pooling)):
        if not isinstance(value, str):
            raise InvalidRequest(f"{name} is {value!r} but must be a word")
    tokens, batch = held("n_ctx", n_ctx), held("n_ubatch", n_ubatch)
    return _core.ContextSpec(tokens, held("n_seq", n_seq), kv_type, batch, flash_attn, pooling)


def to_estimate(footprint: _core.Footprint) -> Estimate:
    total = footprint.weights + footprint.kv + footprint.compute
    return Estimate(footprint.weights, footprint.kv, footprint.compute, total, footprint.host)
