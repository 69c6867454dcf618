"""Sixteen chats at once by the Python API beside llama-server with the same settings."""

from __future__ import annotations

from benchmarks.engine.llama_server import LlamaServer
from benchmarks.engine.models import endless, shipped_model
from benchmarks.engine.settings import Settings, Spent, interleave, median, timed
from benchmarks.engine.table import Row
from benchmarks.engine.yardsticks import Yardsticks
from lmx.engine import Engine, Sampling

N_CTX = 512
CHATS = 16
_GOAL = 1.0
_TEMPERATURE = 0.8  # with it the default samplers of both, which are the same chain
_BRIEF = "You are the keeper of a lighthouse."
_RULES = (
    "You are the keeper of a lighthouse and answer every letter politely, in full sentences, "
    "with a remark on the weather, without lists, and never more than asked for. Ships that pass "
    "at night are to be named; ships that do not pass are not. Mind the fog. "
)


def measure(settings: Settings, yardsticks: Yardsticks) -> list[Row]:
    rows = []
    for cache in (False, True):
        settings.say(f"{CHATS} chats, prompt cache {'on' if cache else 'off'}")
        rows.append(_compare(settings, yardsticks, cache=cache))
    return rows


def _conversations(number: int, *, cache: bool) -> list[list[dict[str, str]]]:
    """With a cache all rounds share their rules; without, no two prompts begin alike."""
    return [
        [
            {"role": "system", "content": _RULES if cache else f"Letter {number}.{i}. {_BRIEF}"},
            {"role": "user", "content": f"What did you see at hour {i} of day {number}?"},
        ]
        for i in range(CHATS)
    ]


def _compare(settings: Settings, yardsticks: Yardsticks, *, cache: bool) -> Row:
    model, clock = shipped_model(), settings.clock
    sampling = endless(model, _TEMPERATURE)
    n_tokens = settings.tokens
    options = {"n_ctx": N_CTX, "slots": CHATS, "threads": settings.threads, "cache": cache}
    with (
        LlamaServer(yardsticks.server, model, **options) as server,  # type: ignore[arg-type]
        Engine(device="cpu", threads=settings.threads, max_slots=CHATS) as engine,
    ):
        warm = _conversations(-1, cache=cache)
        _ask_engine(engine, sampling, warm, 2)
        server.chat(warm, 2)
        pairs = interleave(
            settings.rounds,
            lambda n: _ask_engine(engine, sampling, _conversations(n, cache=cache), n_tokens),
            lambda n: server.chat(_conversations(n, cache=cache), n_tokens),
        )
    ratios = [theirs.by(clock) / ours.by(clock) for ours, theirs in pairs]
    ours, theirs = (
        CHATS * n_tokens / median([pair[i].by(clock) for pair in pairs]) for i in (0, 1)
    )
    wall = median([pair[1].wall / pair[0].wall for pair in pairs])
    return Row(
        f"{CHATS} chats, cache {'on' if cache else 'off'}, against llama-server",
        median(ratios),
        at_least=_GOAL,
        detail=f"{ours:.0f} and {theirs:.0f} tokens per {clock} second; by the clock {wall:.2f}",
        samples=ratios,
    )


def _ask_engine(
    engine: Engine, sampling: Sampling, conversations: list[list[dict[str, str]]], n_tokens: int
) -> Spent:
    with timed() as spent:
        requests = [
            engine.submit(
                model=shipped_model(),
                messages=messages,
                max_tokens=n_tokens,
                n_ctx=N_CTX,
                sampling=sampling,
            )
            for messages in conversations
        ]
        results = [request.result() for request in requests]
    assert all(result.completion_tokens == n_tokens for result in results)
    return spent
