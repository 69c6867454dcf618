"""A deterministic request has the same bits whatever else runs, and wherever it runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lmx.engine import Engine, Request, Result, Sampling, estimate
from tests.engine.conftest import N_CTX, MakeEngine

MIB = 2**20
PROMPT = "The old lighthouse keeper counted the ships that passed by every night. " * 12
TOKENS = 12


def submit(
    engine: Engine, model: Path, session: str | None = None, max_unread: int = 65536
) -> Request:
    return engine.submit(
        model=model,
        prompt=PROMPT,
        max_tokens=TOKENS,
        n_ctx=N_CTX,
        n_ubatch=128,
        sampling=Sampling(temperature=0.9, seed=7),
        logprobs=3,
        mode="deterministic",
        session=session,
        max_unread=max_unread,
    )


@pytest.fixture(scope="module")
def alone(model: Path) -> Result:
    """What the request gives in an engine of its own."""
    with Engine(device="cpu", threads=1, max_slots=1) as engine:
        return submit(engine, model).result()


def same_bits(one: Result, other: Result) -> bool:
    return (one.text, one.logprobs) == (other.text, other.logprobs)


@contextmanager
def others(engine: Engine, model: Path, sampling: Sampling, n: int) -> Iterator[None]:
    """Streams that run beside it."""
    running = [
        engine.submit(
            model=model,
            prompt=f"{i}: {PROMPT[: 40 * i]}",
            max_tokens=400,
            n_ctx=N_CTX,
            n_ubatch=128,
            sampling=sampling,
        )
        for i in range(n)
    ]
    assert all(request.poll(timeout=60) for request in running)
    yield
    for request in running:
        request.cancel()


def test_it_is_the_same_beside_seven_others(
    model: Path, make_engine: MakeEngine, endless: Sampling, alone: Result
) -> None:
    engine = make_engine(host_bytes=256 * MIB)
    with others(engine, model, endless, 7):
        assert same_bits(submit(engine, model).result(), alone)


def test_it_is_the_same_beside_its_own_kind(
    model: Path, make_engine: MakeEngine, alone: Result
) -> None:
    engine = make_engine(host_bytes=256 * MIB)
    requests = [submit(engine, model) for _ in range(3)]
    assert all(same_bits(request.result(), alone) for request in requests)


def test_it_goes_on_from_whole_chunks_of_its_session_only(
    model: Path, make_engine: MakeEngine, alone: Result
) -> None:
    engine = make_engine(host_bytes=256 * MIB)
    submit(engine, model, "keeper").result()
    again = submit(engine, model, "keeper").result()
    assert same_bits(again, alone)
    assert again.cached_tokens == again.prompt_tokens // 128 * 128


def test_it_does_not_go_on_from_what_was_computed_otherwise(
    model: Path, make_engine: MakeEngine, endless: Sampling, alone: Result
) -> None:
    engine = make_engine(host_bytes=256 * MIB)
    with others(engine, model, endless, 1):
        engine.submit(
            model=model, prompt=PROMPT, max_tokens=1, n_ctx=N_CTX, n_ubatch=128, session="keeper"
        ).result()
    again = submit(engine, model, "keeper").result()
    assert again.cached_tokens == 0
    assert same_bits(again, alone)


def test_it_is_the_same_after_swaps_and_a_restart(
    model: Path, make_engine: MakeEngine, alone: Result, tmp_path: Path
) -> None:
    with make_engine(max_slots=1, host_bytes=256 * MIB, spill_dir=tmp_path) as engine:
        submit(engine, model, "keeper").result()
        engine.submit(model=model, prompt="Hello", max_tokens=1, n_ctx=N_CTX, n_ubatch=128).result()
        swapped = submit(engine, model, "keeper").result()
        assert engine.snapshot()["totals"]["swaps"]["into"] == 1
    assert swapped.cached_tokens > 0
    assert same_bits(swapped, alone)
    with make_engine(host_bytes=256 * MIB, spill_dir=tmp_path) as engine:
        restarted = submit(engine, model, "keeper").result()
    assert restarted.cached_tokens > 0
    assert same_bits(restarted, alone)


@pytest.mark.parametrize("host_bytes", [256 * MIB, 0])
def test_it_is_the_same_after_a_suspension(
    model: Path, make_engine: MakeEngine, alone: Result, host_bytes: int
) -> None:
    """With no room on the host its tokens are decoded again as they were the first time."""
    engine = make_engine(
        max_slots=1,
        patience_s=0.02,
        host_bytes=host_bytes,
        cap_bytes=estimate(model, n_ctx=N_CTX).total_bytes + MIB,
    )
    request = submit(engine, model, max_unread=8)  # held up until somebody reads
    text = request.poll(timeout=60) or ""
    engine.submit(model=model, prompt="Hello", max_tokens=1, n_ctx=N_CTX, n_ubatch=128).result()
    text += "".join(request)
    assert same_bits(request.result(), alone)
    assert text == alone.text
    assert engine.snapshot()["totals"]["suspensions"] >= 1
