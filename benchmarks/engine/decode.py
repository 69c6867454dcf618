"""Batched decoding beside a bare loop over llama_decode, and beside llama-batched-bench."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from benchmarks.engine.bare_loop import BareLoop
from benchmarks.engine.models import endless, shipped_model
from benchmarks.engine.settings import Settings, Spent, interleave, median, timed
from benchmarks.engine.table import Row
from benchmarks.engine.yardsticks import Yardsticks
from lmx.engine import Engine, Sampling

N_CTX = 512
_SEQUENCES = (1, 4, 16)
_GOAL = 0.97
_PROMPT_TOKENS = 16  # of llama-batched-bench; about as many as _prompt() has


def measure(settings: Settings, yardsticks: Yardsticks) -> list[Row]:
    rows = []
    for n_seq in _SEQUENCES:
        settings.say(f"decoding {n_seq} at once")
        rows.append(_compare(settings, yardsticks, n_seq))
        rows.append(_batched_bench(settings, yardsticks, n_seq))
    return rows


def _prompt(number: int) -> str:
    """A new one for each round, so that no cached prefix saves anybody its work."""
    return f"{number + 10} years ago there was a small village by the sea, and"


def _compare(settings: Settings, yardsticks: Yardsticks, n_seq: int) -> Row:
    model, clock = shipped_model(), settings.clock
    sampling = endless(model)
    tokens = n_seq * settings.tokens
    with (
        BareLoop(yardsticks.bare_loop, model, N_CTX, n_seq, settings.threads) as loop,
        Engine(device="cpu", threads=settings.threads, max_slots=n_seq) as engine,
    ):
        generate(engine, model, sampling, "Hello", n_seq, 2)
        loop.run("Hello", 2)
        pairs = interleave(
            settings.rounds,
            lambda n: generate(engine, model, sampling, _prompt(n), n_seq, settings.tokens),
            lambda n: loop.run(_prompt(n), settings.tokens).whole,
        )
    ratios = [theirs.by(clock) / ours.by(clock) for ours, theirs in pairs]
    ours, theirs = (tokens / median([pair[i].by(clock) for pair in pairs]) for i in (0, 1))
    wall = median([pair[1].wall / pair[0].wall for pair in pairs])
    return Row(
        f"decode, {n_seq} at once, against the bare loop",
        median(ratios),
        at_least=_GOAL,
        detail=f"{ours:.0f} and {theirs:.0f} tokens per {clock} second; by the clock {wall:.2f}",
        samples=ratios,
    )


def generate(
    engine: Engine, model: Path, sampling: Sampling, prompt: str, n_seq: int, n_tokens: int
) -> Spent:
    """``n_seq`` requests at once; what they took together."""
    with timed() as spent:
        requests = [
            engine.submit(
                model=model, prompt=prompt, max_tokens=n_tokens, n_ctx=N_CTX, sampling=sampling
            )
            for _ in range(n_seq)
        ]
        results = [request.result() for request in requests]
    assert all(result.completion_tokens == n_tokens for result in results)
    return spent


def _batched_bench(settings: Settings, yardsticks: Yardsticks, n_seq: int) -> Row:
    """llama-batched-bench knows only the clock, so the bare loop runs beside it by the clock."""
    model = shipped_model()
    with BareLoop(yardsticks.bare_loop, model, N_CTX, n_seq, settings.threads) as loop:
        loop.run("Hello", 2)
        pairs = interleave(
            min(settings.rounds, 3),
            # It decodes each token, the bare loop has the first one from its prompt.
            lambda n: loop.run(_prompt(n), settings.tokens + 1).decode.wall,
            lambda _: _run_batched_bench(settings, yardsticks.batched_bench, n_seq),
        )
    ratios = [theirs / ours for ours, theirs in pairs]
    speed = n_seq * settings.tokens / median([theirs for _, theirs in pairs])
    return Row(
        f"  the bare loop against llama-batched-bench, {n_seq}",
        median(ratios),
        detail=f"llama-batched-bench: {speed:.0f} tokens per second of the clock",
        samples=ratios,
    )


def _run_batched_bench(settings: Settings, program: Path, n_seq: int) -> float:
    """Seconds of the clock for the tokens, without the prompts."""
    options = {
        "-m": shipped_model(),
        "-c": N_CTX * n_seq,
        "-b": N_CTX,
        "-ub": N_CTX,
        "-npp": _PROMPT_TOKENS,
        "-ntg": settings.tokens,
        "-npl": n_seq,
        "-t": settings.threads,
        "-tb": settings.threads,
        "--output-format": "jsonl",
    }
    command = [program, *(part for option in options.items() for part in option)]
    done = subprocess.run(
        [str(part) for part in command], check=True, capture_output=True, text=True
    )
    [line] = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return float(json.loads(line)["t_tg"])
