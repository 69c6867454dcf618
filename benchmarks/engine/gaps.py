"""How long a running stream falls silent while the engine does something for somebody else.

The yardstick is a chunk: 512 tokens of a prompt, decoded at once. Whoever takes whole chunks beside
a stream, or loads a model on the thread that decodes, makes it wait for that long or longer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path

from benchmarks.engine.models import endless, shipped_model, variant
from benchmarks.engine.settings import Settings, median
from benchmarks.engine.table import Row
from benchmarks.engine.yardsticks import Yardsticks
from lmx.engine import Cancelled, Engine, Request, Sampling, tokenize

N_CTX = 2048
_CHUNK = 512
_PROMPT = 1500
_GOAL = 1.0


def measure(settings: Settings, _yardsticks: Yardsticks) -> list[Row]:
    model, other = shipped_model(), variant("Q8_0")
    chunk_s = _chunk_s(settings, model)
    long_one = _words(model, 0, _PROMPT)
    cases = (
        ("another model loads", other, "Hello"),
        ("a long prompt begins", model, long_one),
        ("another model takes a long prompt", other, long_one),
    )
    return [
        _case(settings, name, chunk_s, partial(_ask, model=asked, prompt=text))
        for name, asked, text in cases
    ]


def _case(
    settings: Settings, name: str, chunk_s: float, disturb: Callable[[Engine], Request]
) -> Row:
    settings.say(f"gaps of a stream while {name}")
    gaps, alone = [], []
    for _ in range(max(2, settings.rounds // 2)):
        with (
            Engine(device="cpu", threads=settings.threads, max_slots=2) as engine,
            _Stream(engine, shipped_model()) as stream,
        ):
            stream.wait_for(8)
            alone.append(stream.longest(since=0.0))
            began = time.perf_counter()
            disturb(engine).result()
            stream.wait_for(4)
            gaps.append(stream.longest(since=began))
    return Row(
        f"a stream's longest gap while {name}",
        median([gap / chunk_s for gap in gaps]),
        "chunks",
        at_most=_GOAL,
        detail=f"{median(gaps) * 1000:.0f} ms, {median(alone) * 1000:.0f} ms undisturbed;"
        f" a chunk of {_CHUNK} tokens takes {chunk_s * 1000:.0f} ms",
        samples=gaps,
    )


class _Stream:
    """A request read as it comes, with the moments of its pieces. Use it as a context manager."""

    def __init__(self, engine: Engine, model: Path) -> None:
        self._request = engine.submit(
            model=model,
            prompt="Once upon a time",
            max_tokens=N_CTX - 64,
            n_ctx=N_CTX,
            sampling=endless(model),
        )
        self._moments: list[float] = []
        self._came = threading.Condition()
        self._reader = threading.Thread(target=self._read)

    def __enter__(self) -> _Stream:
        self._reader.start()
        return self

    def _read(self) -> None:
        with suppress(Cancelled):
            for _ in self._request:
                with self._came:
                    self._moments.append(time.perf_counter())
                    self._came.notify_all()

    def wait_for(self, pieces: int) -> None:
        """Returns when so many more have come."""
        with self._came:
            wanted = len(self._moments) + pieces
            assert self._came.wait_for(lambda: len(self._moments) >= wanted, timeout=60)

    def longest(self, since: float) -> float:
        """The longest time between two pieces, of which the later one came after this moment."""
        with self._came:
            return max(b - a for a, b in pairwise(self._moments) if b > since)

    def __exit__(self, *_: object) -> None:
        self._request.cancel()
        self._reader.join()


def _ask(engine: Engine, model: Path, prompt: str) -> Request:
    greedy = Sampling(temperature=0)
    return engine.submit(model=model, prompt=prompt, max_tokens=1, n_ctx=N_CTX, sampling=greedy)


def _chunk_s(settings: Settings, model: Path) -> float:
    with Engine(device="cpu", threads=settings.threads) as engine:
        _ask(engine, model, "Hello").result()
        result = _ask(engine, model, _words(model, -1, _CHUNK)).result()
        return result.prefill_s * _CHUNK / result.prompt_tokens


def _words(model: Path, number: int, n_tokens: int) -> str:
    """About so many tokens, unlike those of another number."""
    words = [f"Letter {number}:", *["word"] * n_tokens]
    per_word = len(tokenize(model, prompt=" ".join(words))) / len(words)
    return " ".join(words[: int(n_tokens / per_word)])
