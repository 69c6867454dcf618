"""What estimating models and exchanging one for another cost; nobody else offers the same."""

from __future__ import annotations

import time

from benchmarks.engine.models import shipped_model, variant
from benchmarks.engine.settings import Settings, median
from benchmarks.engine.table import Row
from benchmarks.engine.yardsticks import Yardsticks
from lmx.engine import Engine, estimate

_N_CTX = 512


def measure(settings: Settings, _yardsticks: Yardsticks) -> list[Row]:
    settings.say("estimating and exchanging models")
    models = [shipped_model(), variant("Q8_0")]
    began = time.perf_counter()
    needs = [estimate(model, n_ctx=_N_CTX).total_bytes for model in models]
    estimated = time.perf_counter() - began
    loads = []
    with Engine(device="cpu", threads=settings.threads, cap_bytes=max(needs)) as engine:
        for model in models * max(2, settings.rounds // 2):
            request = engine.submit(model=model, prompt="Hello", max_tokens=1, n_ctx=_N_CTX)
            loads.append(request.result().load_s)
    return [
        Row("estimates of two models, nothing loaded", estimated, "s"),
        Row(
            "another model under a cap for one",
            median(loads),
            "s",
            detail="evict, load from the page cache, make a context",
            samples=loads,
        ),
    ]
