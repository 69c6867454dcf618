"""Agents that take turns in one slot: their keys and values are swapped, not computed again."""

from __future__ import annotations

import ctypes
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.engine.models import shipped_model
from benchmarks.engine.settings import Settings, median
from benchmarks.engine.table import Row
from benchmarks.engine.yardsticks import Yardsticks
from lmx.engine import Engine, Sampling, tokenize
from tests.support.tiny import write_tiny_model

_PROMPT_TOKENS = 1500
_GOAL_SWITCH = 100.0
_GOAL_COPY = 0.5


@dataclass(frozen=True)
class _Switch:
    """One agent out of the slot and another one in."""

    out_s: float
    in_s: float
    out_bytes: int
    in_bytes: int
    copy_s: float  # that memcpy took for as many bytes, right behind it


def measure(settings: Settings, _yardsticks: Yardsticks) -> list[Row]:
    return [_against_prefill(settings), *_against_copying(settings)]


def _against_prefill(settings: Settings) -> Row:
    settings.say(f"two agents of {_PROMPT_TOKENS} tokens in one slot")
    prefills, switches = _alternate(settings, shipped_model(), 2048, _PROMPT_TOKENS)
    took = [switch.out_s + switch.in_s for switch in switches]
    ratios = [median(prefills) / seconds for seconds in took]
    return Row(
        f"agent switch against a prefill of {_PROMPT_TOKENS} tokens",
        median(ratios),
        at_least=_GOAL_SWITCH,
        detail=f"{median(took) * 1000:.1f} ms (out and in) against {median(prefills):.1f} s",
        samples=ratios,
    )


def _against_copying(settings: Settings) -> list[Row]:
    """A model with little to compute and much to keep: 16 KiB a token."""
    n_ctx = 2048 if settings.quick else 4096
    settings.say(f"swapping contexts of {n_ctx} tokens beside memcpy")
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "wide.gguf"
        write_tiny_model(model, "llama", layers=8, heads=8, kv_heads=8, head=64)
        _, switches = _alternate(settings, model, n_ctx, n_ctx - 64)
    size = switches[0].out_bytes
    rows = []
    for name, speeds in (
        ("out", [switch.out_bytes / switch.out_s for switch in switches]),
        ("in", [switch.in_bytes / switch.in_s for switch in switches]),
    ):
        ratios = [
            speed * switch.copy_s / size for speed, switch in zip(speeds, switches, strict=True)
        ]
        detail = f"{median(speeds) / 1e9:.1f} GB/s, {size / 2**20:.0f} MiB at a time"
        rows.append(
            Row(
                f"swap {name} against memcpy",
                median(ratios),
                at_least=_GOAL_COPY,
                detail=detail,
                samples=ratios,
            )
        )
    return rows


def _alternate(
    settings: Settings, model: Path, n_ctx: int, n_tokens: int
) -> tuple[list[float], list[_Switch]]:
    """Seconds of the first prefills, and what each later change of agents took."""
    agents = {name: _text(model, name, n_tokens) for name in ("first", "second")}
    prefills, switches = [], []
    memcpy = _Memcpy()
    options = {"threads": settings.threads, "max_slots": 1, "host_bytes": 2**30}
    with Engine(device="cpu", **options) as engine:  # type: ignore[arg-type]
        for name in list(agents) * (1 + max(3, settings.rounds)):
            before = engine.snapshot()["totals"]["swaps"]
            result = engine.submit(
                model=model,
                prompt=agents[name],
                session=name,
                n_ctx=n_ctx,
                max_tokens=1,
                sampling=Sampling(temperature=0),
            ).result()
            after = engine.snapshot()["totals"]["swaps"]
            if result.cached_tokens == 0:
                prefills.append(result.prefill_s)
            elif after["into"] > before["into"] and after["out"] > before["out"]:
                switches.append(
                    _Switch(
                        after["out_s"] - before["out_s"],
                        after["in_s"] - before["in_s"],
                        after["out_bytes"] - before["out_bytes"],
                        after["in_bytes"] - before["in_bytes"],
                        memcpy.seconds(after["out_bytes"] - before["out_bytes"]),
                    )
                )
    assert len(prefills) == len(agents), "each agent is prefilled once"
    return prefills, switches[1:]  # the first one still makes its buffers


def _text(model: Path, name: str, n_tokens: int) -> str:
    words = [f"{name} agent"] + ["word"] * n_tokens
    per_word = len(tokenize(model, prompt=" ".join(words))) / len(words)
    return " ".join(words[: int(n_tokens / per_word)])


class _Memcpy:
    """memcpy between two buffers that are there already."""

    def __init__(self) -> None:
        self._buffers: tuple[ctypes.Array[ctypes.c_char], ...] = ()

    def seconds(self, size: int) -> float:
        """Of one copy, the best of a few."""
        if not self._buffers or len(self._buffers[0]) < size:
            self._buffers = tuple(ctypes.create_string_buffer(size) for _ in range(2))
        source, target = self._buffers
        took = []
        for _ in range(4):
            began = time.perf_counter()
            ctypes.memmove(target, source, size)
            took.append(time.perf_counter() - began)
        return min(took)
