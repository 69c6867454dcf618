"""What the engine takes per decode beside the library, with sixteen sessions.

Measured twice: by the engine's own clock around each decode and choice of tokens; and from outside,
with a model so tiny that its decodes hardly count, as the difference to the bare loop.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.engine.bare_loop import BareLoop
from benchmarks.engine.decode import N_CTX, generate
from benchmarks.engine.models import endless
from benchmarks.engine.settings import Settings, interleave, median
from benchmarks.engine.table import Row
from benchmarks.engine.yardsticks import Yardsticks
from lmx.engine import Engine
from tests.support.tiny import tiny_model

_SESSIONS = 16
_GOAL_US = 50.0
_TOKENS = 400
_KIND = "llama"


def measure(settings: Settings, yardsticks: Yardsticks) -> list[Row]:
    settings.say("the scheduler's own time")
    with tempfile.TemporaryDirectory() as folder:
        model = tiny_model(Path(folder), _KIND)
        return _compare(settings, yardsticks, model)


def _compare(settings: Settings, yardsticks: Yardsticks, model: Path) -> list[Row]:
    sampling = endless(model)
    inside: list[float] = []
    with (
        BareLoop(yardsticks.bare_loop, model, N_CTX, _SESSIONS, settings.threads) as loop,
        Engine(device="cpu", threads=settings.threads, max_slots=_SESSIONS) as engine,
    ):
        generate(engine, model, sampling, "Hello", _SESSIONS, 2)
        loop.run("Hello", 2)

        def ours(number: int) -> float:
            before = engine.snapshot()["totals"]
            spent = generate(engine, model, sampling, f"{number} is", _SESSIONS, _TOKENS)
            after = engine.snapshot()["totals"]
            decodes = after["decodes"] - before["decodes"]
            inside.append((after["overhead_s"] - before["overhead_s"]) / decodes * 1e6)
            return spent.cpu / decodes

        rounds = max(settings.rounds, 5)
        pairs = interleave(rounds, ours, lambda n: loop.run(f"{n} is", _TOKENS).whole.cpu / _TOKENS)
    outside = [(engine - bare) * 1e6 for engine, bare in pairs]
    bare_us = median([bare for _, bare in pairs]) * 1e6
    return [
        Row(
            f"scheduler per decode, {_SESSIONS} sessions",
            median(inside),
            "µs",
            at_most=_GOAL_US,
            detail="by the engine's clock: beside decoding and the choice of tokens",
            samples=inside,
        ),
        Row(
            f"  engine less bare loop per decode, {_SESSIONS} sessions",
            median(outside),
            "µs",
            detail=f"processor time of the whole process, samplers and consumers included;"
            f" a bare decode of this tiny model takes {bare_us:.0f} µs",
            samples=outside,
        ),
    ]
