"""Layers streamed through slots: against serial copies, against the limit, and over the batch.

The copies of the CPU device are as fast as its memory; `bytes_per_s` slows them down to a bus that
takes as long for a layer as the computation does, which is where overlapping them counts most. A
layer of a prompt of 32 tokens takes long enough that waking a thread on a busy machine does not.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.engine.models import shipped_model
from benchmarks.engine.settings import Settings, median
from benchmarks.engine.table import Row
from benchmarks.engine.yardsticks import Yardsticks
from lmx.engine import _core

_LAYERS = 30
_BATCHES = (1, 4, 16)
_PROMPT = 32  # tokens
_N_CTX = 1280
_GOAL_OVERLAP = 1.3
_GOAL_LIMIT = 0.9


def measure(settings: Settings, _yardsticks: Yardsticks) -> list[Row]:
    return [_overlap(settings), _limit(settings), *_batches(settings)]


class _Lab:
    """A model whose context decodes `tokens` of each of `batch` sequences, again and again."""

    def __init__(
        self,
        settings: Settings,
        resident: int | None,
        *,
        batch: int = 1,
        tokens: int = 1,
        slots: int = 2,
        bytes_per_s: float = 0.0,
    ) -> None:
        self._lab = _core.StreamLab(
            str(shipped_model()), resident, slots=slots, bytes_per_s=bytes_per_s
        )
        spec = _core.ContextSpec(_N_CTX, batch, "f16", 64, "auto")
        self._context = self._lab.add_context(spec, settings.threads)
        self._batch, self._tokens = batch, tokens
        self._position = 0
        self.streamed_bytes = self._lab.plan.host_bytes

    def decode(self) -> float:
        """Seconds of one pass."""
        positions = range(self._position, self._position + self._tokens)
        self._position = positions.stop
        tokens = [
            (100 + s + at % 64, at, s, at + 1 == positions.stop)
            for s in range(self._batch)
            for at in positions
        ]
        began = time.perf_counter()
        self._lab.decode(self._context, tokens)
        return time.perf_counter() - began


def _side_by_side(settings: Settings, labs: Sequence[_Lab]) -> list[list[float]]:
    """Seconds of the decodes of each, in turns, without the first two."""
    rounds = 2 + max(8, 4 * settings.rounds)
    taken: list[list[float]] = [[] for _ in labs]
    for number in range(rounds):
        for lab, seconds in zip(labs, taken, strict=True):
            took = lab.decode()
            if number >= 2:
                seconds.append(took)
    return taken


def _overlap(settings: Settings) -> Row:
    """All layers streamed, copies as long as the computation; one slot cannot overlap them."""
    settings.say("copies as long as the computation: two slots against one")
    rate = _balanced(settings, 0)
    labs = [_Lab(settings, 0, tokens=_PROMPT, slots=slots, bytes_per_s=rate) for slots in (1, 2)]
    serial, overlapped = _side_by_side(settings, labs)
    ratios = [one / two for one, two in zip(serial, overlapped, strict=True)]
    return Row(
        "streaming against copying and computing in turn",
        median(ratios),
        at_least=_GOAL_OVERLAP,
        detail=f"{median(overlapped) * 1000:.0f} ms against {median(serial) * 1000:.0f} ms a pass"
        f" of {_PROMPT} tokens, {rate / 1e9:.2f} GB/s",
        samples=ratios,
    )


def _limit(settings: Settings) -> Row:
    """Half of the layers resident: how near to what the slower one of both allows."""
    settings.say("half of the layers resident against max(copy, compute)")
    half = _LAYERS // 2
    rate = _balanced(settings, half)
    streamed = _Lab(settings, half, tokens=_PROMPT, bytes_per_s=rate)
    took, compute = _side_by_side(settings, [streamed, _Lab(settings, None, tokens=_PROMPT)])
    copy_s = streamed.streamed_bytes / rate
    ratios = [max(copy_s, alone) / whole for alone, whole in zip(compute, took, strict=True)]
    return Row(
        "streaming with half of the layers resident against max(copy, compute)",
        median(ratios),
        at_least=_GOAL_LIMIT,
        detail=f"a pass takes {median(took) * 1000:.0f} ms: computing {median(compute) * 1000:.0f},"
        f" copying {copy_s * 1000:.0f}",
        samples=ratios,
    )


def _balanced(settings: Settings, resident: int) -> float:
    """The rate at which copying takes as long as computing, in bytes/s."""
    whole = _Lab(settings, None, tokens=_PROMPT)
    compute_s = median(_side_by_side(settings, [whole])[0])
    return _Lab(settings, resident).streamed_bytes / compute_s


def _batches(settings: Settings) -> list[Row]:
    """A slow bus: the copies decide, and each pass serves the whole batch."""
    settings.say(f"tokens for each streamed byte at batches of {_BATCHES}")
    rate = 4.0 * _Lab(settings, 0).streamed_bytes  # a quarter of a second for a pass
    labs = [_Lab(settings, 0, batch=batch, bytes_per_s=rate) for batch in _BATCHES]
    taken = _side_by_side(settings, labs)
    gigabytes = [lab.streamed_bytes / 1e9 for lab in labs]
    speeds = [
        batch / median(seconds) / size
        for batch, seconds, size in zip(_BATCHES, taken, gigabytes, strict=True)
    ]
    return [
        Row(
            f"tokens/s for each GB streamed in a pass, {batch} sequences",
            speed,
            unit="tok/s/GB",
            at_least=None if number == 0 else speeds[number - 1],
            detail=f"{batch / median(seconds):.1f} tok/s, {median(seconds) * 1000:.0f} ms a pass",
        )
        for number, (batch, speed, seconds) in enumerate(zip(_BATCHES, speeds, taken, strict=True))
    ]
