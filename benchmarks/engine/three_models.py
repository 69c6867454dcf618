"""Three agents on three models under a cap that holds one and a half of them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.engine.models import endless, shipped_model, variant
from benchmarks.engine.settings import Settings, Spent, interleave, median, timed
from benchmarks.engine.table import Row
from benchmarks.engine.yardsticks import Yardsticks
from lmx.engine import Engine, estimate

N_CTX = 512
_TURNS = 3
_GOAL = 1.5
_FORMATS = ("Q4_0", "Q5_0")  # of about the size of the shipped Q4_1


def measure(settings: Settings, _yardsticks: Yardsticks) -> list[Row]:
    settings.say("three agents on three models, with and without room")
    models = [shipped_model(), *(variant(name) for name in _FORMATS)]
    needs = [estimate(model, n_ctx=N_CTX).total_bytes for model in models]
    cap = sum(needs) // 2
    evictions: list[int] = []
    pairs = interleave(
        max(3, settings.rounds // 2),
        lambda _: _run(settings, models, cap, evictions),
        lambda _: _run(settings, models, None, []),
    )
    ratios = [capped.wall / roomy.wall for capped, roomy in pairs]
    cpu = median([capped.cpu / roomy.cpu for capped, roomy in pairs])
    capped, roomy = (median([pair[i].wall for pair in pairs]) for i in (0, 1))
    return [
        Row(
            "three agents, three models, room for 1.5",
            median(ratios),
            at_most=_GOAL,
            detail=f"{capped:.1f} and {roomy:.1f} s by the clock, {median(evictions):.0f} evictions"
            f" under {cap / 2**20:.0f} MiB; by processor time {cpu:.2f}",
            samples=ratios,
        )
    ]


def _run(settings: Settings, models: list[Path], cap: int | None, evictions: list[int]) -> Spent:
    """All agents' conversations, from an empty engine to the last answer."""
    with Engine(device="cpu", threads=settings.threads, cap_bytes=cap) as engine:
        start = threading.Barrier(len(models))
        with timed() as spent, ThreadPoolExecutor(len(models)) as agents:
            list(agents.map(lambda model: _converse(engine, model, settings, start), models))
        evictions.append(engine.snapshot()["totals"]["evictions"])
    return spent


def _converse(engine: Engine, model: Path, settings: Settings, start: threading.Barrier) -> None:
    """A few turns, each upon the ones before; fails when a turn does."""
    sampling = endless(model)
    text = f"A letter to {model.stem}: "
    start.wait()
    for turn in range(_TURNS):
        text += f"\nQuestion {turn}: what comes next?\nAnswer:"
        request = engine.submit(
            model=model, prompt=text, max_tokens=settings.tokens, n_ctx=N_CTX, sampling=sampling
        )
        answer = request.result()
        assert answer.completion_tokens == settings.tokens
        text += answer.text
