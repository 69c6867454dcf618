"""Cancelling, deadlines and closing end a request soon, and give back what it held."""

from pathlib import Path

import pytest

from lmx.engine import Cancelled, DeadlineExceeded, Sampling
from tests.engine.conftest import N_CTX, MakeEngine


def test_cancelling_ends_a_stream(model: Path, make_engine: MakeEngine, endless: Sampling) -> None:
    engine = make_engine()
    request = engine.submit(
        model=model, prompt="Once", max_tokens=400, n_ctx=N_CTX, sampling=endless
    )
    pieces = iter(request)
    text = next(pieces)
    request.cancel()
    with pytest.raises(Cancelled):
        for piece in pieces:
            text += piece
    with pytest.raises(Cancelled):
        request.result()
    assert text
    assert engine.snapshot()["totals"]["completion_tokens"] < 400
    assert engine.snapshot()["contexts"][0]["active"] == 0


def test_cancelling_during_a_long_prompt_does_not_wait_for_its_end(
    model: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine()
    warm = engine.submit(model=model, prompt="a", max_tokens=1, n_ctx=8192)
    warm.result()
    request = engine.submit(model=model, prompt="word " * 8000, max_tokens=1, n_ctx=8192)
    while request.phase in ("queued", "loading"):
        request.poll(timeout=0.01)
    request.cancel()
    with pytest.raises(Cancelled):
        request.result()
    assert engine.snapshot()["totals"]["prefill_tokens"] < 8000


def test_a_queued_request_can_be_cancelled(model: Path, make_engine: MakeEngine) -> None:
    engine = make_engine()
    engine.hold("everything", engine.snapshot()["free"])
    request = engine.submit(model=model, prompt="Once", n_ctx=N_CTX)
    request.cancel()
    with pytest.raises(Cancelled):
        request.result()
    assert engine.snapshot()["requests"] == []


def test_cancelling_one_request_leaves_its_neighbours_alone(
    model: Path, make_engine: MakeEngine, endless: Sampling
) -> None:
    engine = make_engine()

    def ask(max_tokens: int) -> str:
        request = engine.submit(
            model=model, prompt="Once", max_tokens=max_tokens, n_ctx=N_CTX, sampling=endless
        )
        return request.result().text

    alone = ask(24)
    doomed = engine.submit(
        model=model, prompt="Twice", max_tokens=400, n_ctx=N_CTX, sampling=endless
    )
    neighbour = engine.submit(
        model=model, prompt="Once", max_tokens=24, n_ctx=N_CTX, sampling=endless
    )
    assert neighbour.poll(timeout=60)
    doomed.cancel()
    assert neighbour.result().text == alone


def test_a_deadline_ends_a_running_request(
    model: Path, make_engine: MakeEngine, endless: Sampling
) -> None:
    engine = make_engine()
    request = engine.submit(
        model=model,
        prompt="Once",
        max_tokens=8000,
        n_ctx=8192,
        sampling=endless,
        deadline_s=0.8,
    )
    with pytest.raises(DeadlineExceeded, match="while generating"):
        request.result()


def test_a_deadline_during_a_long_prompt_does_not_wait_for_its_end(
    model: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine()
    prompt = "word " * 4000  # of one decode, which takes many seconds
    request = engine.submit(model=model, prompt=prompt, n_ctx=8192, n_ubatch=8192, deadline_s=1.0)
    with pytest.raises(DeadlineExceeded, match="while generating"):
        request.result()
    assert engine.snapshot()["totals"]["prefill_tokens"] == 0


def test_a_deadline_ends_a_waiting_request(model: Path, make_engine: MakeEngine) -> None:
    engine = make_engine()
    engine.hold("everything", engine.snapshot()["free"])
    request = engine.submit(model=model, prompt="Once", n_ctx=N_CTX, deadline_s=0.05)
    with pytest.raises(DeadlineExceeded, match="waiting for memory"):
        request.result()


def test_closing_ends_everything(model: Path, make_engine: MakeEngine, endless: Sampling) -> None:
    engine = make_engine()
    requests = [
        engine.submit(model=model, prompt="Once", max_tokens=400, n_ctx=N_CTX, sampling=endless)
        for _ in range(3)
    ]
    assert requests[0].poll(timeout=60)
    engine.close()
    for request in requests:
        with pytest.raises(Cancelled):
            request.result()
    assert engine.snapshot()["used"] == 0
