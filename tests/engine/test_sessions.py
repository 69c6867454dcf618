"""A conversation goes on from what was computed for it before, and says the same as from anew."""

from pathlib import Path

import pytest

from lmx.engine import Cancelled, Engine, Result, Sampling
from tests.engine.conftest import N_CTX, MakeEngine

STORY = "The old lighthouse keeper counted the ships that passed by every night. " * 8
OTHER = "Seven small engines were waiting in the shed for the morning train to come. " * 8


def ask(
    engine: Engine,
    model: Path,
    sampling: Sampling,
    prompt: str,
    session: str | None = None,
    max_tokens: int = 12,
) -> Result:
    return engine.submit(
        model=model,
        prompt=prompt,
        session=session,
        max_tokens=max_tokens,
        n_ctx=N_CTX,
        sampling=sampling,
    ).result()


def test_the_next_turn_of_a_session_prefills_only_what_is_new(
    model: Path, make_engine: MakeEngine, endless: Sampling
) -> None:
    engine = make_engine()
    first = ask(engine, model, endless, STORY, "keeper")
    assert first.cached_tokens == 0
    turn = STORY + first.text + " Then one night"
    second = ask(engine, model, endless, turn, "keeper")
    assert second.cached_tokens >= first.prompt_tokens
    assert second.text == ask(make_engine(), model, endless, turn).text


def test_a_session_that_takes_another_turn_keeps_the_common_beginning(
    model: Path, make_engine: MakeEngine, endless: Sampling
) -> None:
    engine = make_engine()
    first = ask(engine, model, endless, STORY + "He was tired.", "keeper")
    branch = STORY + "She was awake."
    second = ask(engine, model, endless, branch, "keeper")
    assert first.prompt_tokens - 8 < second.cached_tokens < first.prompt_tokens
    assert second.text == ask(make_engine(), model, endless, branch).text


def test_the_same_prompt_again_decodes_only_its_last_token(
    model: Path, make_engine: MakeEngine, endless: Sampling
) -> None:
    engine = make_engine()
    first = ask(engine, model, endless, STORY)
    second = ask(engine, model, endless, STORY)
    assert second.cached_tokens == first.prompt_tokens - 1
    assert second.text == first.text
    prefilled = engine.snapshot()["totals"]["prefill_tokens"]
    assert prefilled == first.prompt_tokens + 1


def test_sessions_do_not_lose_each_others_slots(
    model: Path, make_engine: MakeEngine, endless: Sampling
) -> None:
    engine = make_engine()
    for name in ("one", "two", "three"):
        ask(engine, model, endless, f"{name}: {STORY}", name)
    again = [ask(engine, model, endless, f"{name}: {STORY}", name) for name in ("one", "three")]
    assert all(result.cached_tokens == result.prompt_tokens - 1 for result in again)
    assert engine.snapshot()["contexts"][0]["parked"] == 3


def test_a_cancelled_request_leaves_its_prompt_to_the_next(
    model: Path, make_engine: MakeEngine, endless: Sampling
) -> None:
    engine = make_engine()
    doomed = engine.submit(
        model=model, prompt=OTHER, max_tokens=300, n_ctx=N_CTX, sampling=endless, session="shed"
    )
    next(iter(doomed))
    doomed.cancel()
    with pytest.raises(Cancelled):
        doomed.result()
    again = ask(engine, model, endless, OTHER, "shed")
    assert again.cached_tokens == again.prompt_tokens - 1
    assert again.text == ask(make_engine(), model, endless, OTHER).text
