"""A request that runs for long gives way to one that waits, and then goes on as if it had not."""

from pathlib import Path

import pytest

from lmx.engine import Cancelled, Engine, Request, Sampling, estimate
from tests.engine.conftest import N_CTX, MakeEngine

MIB = 2**20
TOKENS = 90


@pytest.fixture
def one_slot(model: Path, make_engine: MakeEngine) -> Engine:
    """An engine with room for one sequence, that does not let it run for long."""
    return make_engine(
        max_slots=1,
        patience_s=0.05,
        quantum_s=0.1,
        host_bytes=256 * MIB,
        cap_bytes=estimate(model, n_ctx=N_CTX).total_bytes + MIB,
    )


def submit(engine: Engine, model: Path, sampling: Sampling, prompt: str, n: int) -> Request:
    return engine.submit(
        model=model, prompt=prompt, max_tokens=n, n_ctx=N_CTX, sampling=sampling, logprobs=0
    )


def test_a_long_request_is_suspended_for_one_that_waits_for_its_slot(
    model: Path, one_slot: Engine, make_engine: MakeEngine, endless: Sampling
) -> None:
    alone = submit(make_engine(), model, endless, "Once upon a time", TOKENS).result()
    engine = one_slot
    long = submit(engine, model, endless, "Once upon a time", TOKENS)
    text = long.poll(timeout=60) or ""
    short = submit(engine, model, endless, "Hello", 5)
    short.result()
    assert not long.done
    text += "".join(long)
    result = long.result()
    assert engine.snapshot()["totals"]["suspensions"] >= 1
    assert result.text == text == alone.text
    assert result.logprobs == alone.logprobs
    reasons = [e["reason"] for e in engine.snapshot()["events"] if e["kind"] == "suspend"]
    assert "has waited long enough" in reasons[0]


def test_models_that_do_not_fit_together_take_turns(
    model: Path,
    larger_model: Path,
    make_engine: MakeEngine,
    endless: Sampling,
    room_for_one: int,
) -> None:
    engine = make_engine(
        cap_bytes=room_for_one, patience_s=0.05, quantum_s=0.1, max_slots=1, host_bytes=256 * MIB
    )
    # Longer than a quantum, which is four times what loading the model took.
    long = submit(engine, model, endless, "Once upon a time", 4 * TOKENS)
    assert long.poll(timeout=60)
    other = submit(engine, larger_model, endless, "Once upon a time", 5)
    other.result()
    assert not long.done
    long.result()
    totals = engine.snapshot()["totals"]
    assert totals["suspensions"] >= 1
    assert totals["prefill_tokens"] == 2 * other.result().prompt_tokens


def test_a_reader_that_does_not_read_holds_up_only_itself(
    model: Path, one_slot: Engine, endless: Sampling
) -> None:
    engine = one_slot
    slow = engine.submit(
        model=model,
        prompt="Once upon a time",
        max_tokens=TOKENS,
        n_ctx=N_CTX,
        sampling=endless,
        max_unread=16,
    )
    pieces = [slow.poll(timeout=60) or ""]
    submit(engine, model, endless, "Hello", 5).result()
    assert not slow.done
    assert engine.snapshot()["requests"][0]["completion_tokens"] < TOKENS
    pieces += list(slow)
    assert slow.result().text == "".join(pieces)
    assert slow.result().completion_tokens == TOKENS


def test_a_stream_goes_on_while_another_model_is_loaded(
    model: Path, larger_model: Path, make_engine: MakeEngine, endless: Sampling
) -> None:
    engine = make_engine()
    stream = submit(engine, model, endless, "Once upon a time", 400)
    assert stream.poll(timeout=60)
    other = submit(engine, larger_model, endless, "Hello", 1)
    meanwhile = 0
    while other.phase in ("queued", "loading"):
        meanwhile += 1 if stream.poll(timeout=0.02) else 0
    stream.cancel()
    assert meanwhile > 1
    assert other.result().completion_tokens == 1


def test_closing_ends_a_load(model: Path, make_engine: MakeEngine, endless: Sampling) -> None:
    engine = make_engine()
    request = submit(engine, model, endless, "Once upon a time", 5)
    while request.phase == "queued":
        request.poll(timeout=0.001)
    engine.close()
    with pytest.raises(Cancelled):
        request.result()
    assert engine.snapshot()["used"] == 0
