"""Sessions of models that remember otherwise: by a sliding window, by a state, by both."""

import random
from pathlib import Path

import pytest

from lmx.engine import Engine, Request, Result, Sampling, estimate
from tests.engine.conftest import MakeEngine
from tests.support.tiny import tiny_model

MIB = 2**20
KINDS = ("gemma3", "mamba", "jamba")
CHUNK = 128


def words(seed: int, n: int) -> str:
    return " ".join(random.Random(seed).choices(("sea", "fog", "ship", "lamp", "rope"), k=n))


STORY = words(1, 100)  # about 300 tokens, more than two windows


@pytest.fixture(params=KINDS)
def path(request: pytest.FixtureRequest, tiny_models: Path) -> Path:
    return tiny_model(tiny_models, request.param)


@pytest.fixture
def windowed(tiny_models: Path) -> Path:
    return tiny_model(tiny_models, "gemma3")


def submit(engine: Engine, model: Path, prompt: str, **options: object) -> Request:
    given: dict[str, object] = {
        "max_tokens": 6,
        "n_ctx": 1024,
        "n_ubatch": CHUNK,
        "sampling": Sampling(temperature=0.8, seed=4),
        "logprobs": 5,
    }
    return engine.submit(model=model, prompt=prompt, **(given | options))  # type: ignore[arg-type]


def ask(engine: Engine, model: Path, prompt: str, **options: object) -> Result:
    return submit(engine, model, prompt, **options).result()


def same_bits(one: Result, other: Result) -> bool:
    return (one.text, one.logprobs) == (other.text, other.logprobs)


def first_choice(result: Result) -> dict[int, float]:
    assert result.logprobs
    return {top.token: top.logprob for top in result.logprobs[0].top}


def near(one: Result, other: Result) -> bool:
    """Whether the first choice was made among the same: bits may differ with the bites."""
    return first_choice(one) == pytest.approx(first_choice(other), abs=0.02)


def test_a_conversation_goes_on_where_it_lies(path: Path, make_engine: MakeEngine) -> None:
    engine = make_engine()
    first = ask(engine, path, STORY, session="a")
    turn = STORY + first.text + " and then"
    second = ask(engine, path, turn, session="a")
    assert second.cached_tokens >= first.prompt_tokens
    assert near(second, ask(make_engine(), path, turn))


def test_a_conversation_comes_back_from_the_host_and_from_a_file(
    path: Path, make_engine: MakeEngine, tmp_path: Path
) -> None:
    with make_engine(max_slots=1, host_bytes=64 * MIB, spill_dir=tmp_path) as engine:
        first = ask(engine, path, STORY, session="a")
        ask(engine, path, words(2, 60), session="b")
        second = STORY + first.text + " and then"
        swapped = ask(engine, path, second, session="a")
        assert engine.snapshot()["totals"]["swaps"]["into"] == 1
    assert swapped.cached_tokens >= first.prompt_tokens
    third = second + swapped.text + " at last"
    with make_engine(max_slots=1, host_bytes=64 * MIB, spill_dir=tmp_path) as engine:
        restarted = ask(engine, path, third, session="a")
        assert engine.snapshot()["host"]["restores"] == 1
    assert restarted.cached_tokens >= swapped.prompt_tokens
    assert near(swapped, ask(make_engine(), path, second))
    assert near(restarted, ask(make_engine(), path, third))


def test_a_state_cannot_be_cut_back_so_another_ending_is_computed_anew(
    tiny_models: Path, make_engine: MakeEngine
) -> None:
    for kind in ("mamba", "jamba"):
        path = tiny_model(tiny_models, kind)
        engine = make_engine()
        ask(engine, path, STORY, session="a")
        other = ask(engine, path, STORY[:-20] + " the end", session="a")
        assert other.cached_tokens == 0
        assert near(other, ask(make_engine(), path, STORY[:-20] + " the end"))


def test_a_running_window_is_not_taken_for_more_than_a_copy_of_it_holds(
    windowed: Path, make_engine: MakeEngine
) -> None:
    """Its beginning is still in its cells, but a copy has what its last token looks back on."""
    engine = make_engine()
    running = submit(engine, windowed, STORY, max_tokens=400, session="a", max_unread=8)
    assert running.poll(timeout=60)
    branch = STORY[: len(STORY) // 3] + " the end"
    other = ask(engine, windowed, branch, session="b")
    running.cancel()
    assert other.cached_tokens == 0
    assert near(other, ask(make_engine(), windowed, branch))


def test_a_deterministic_answer_is_the_same_beside_its_like_and_after_swaps(
    path: Path, make_engine: MakeEngine, tmp_path: Path
) -> None:
    alone = ask(make_engine(), path, STORY, mode="deterministic")
    engine = make_engine(max_slots=3, host_bytes=64 * MIB, spill_dir=tmp_path)
    beside = [
        submit(engine, path, STORY, mode="deterministic", session=name, max_tokens=n)
        for name, n in (("a", 6), ("b", 60), ("c", 6))
    ]
    answers = [request.result() for request in beside]
    assert same_bits(answers[0], alone)
    assert same_bits(answers[2], alone)
    for name in "dea":  # "a" has left its slot by then
        answer = ask(engine, path, STORY, mode="deterministic", session=name)
        assert same_bits(answer, alone), name


def test_a_deterministic_turn_that_cuts_back_a_longer_one(
    path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine()
    long = STORY + " " + words(3, 160)
    ask(engine, path, long, mode="deterministic", session="a")
    shorter = ask(engine, path, STORY, mode="deterministic", session="a")
    assert same_bits(shorter, ask(make_engine(), path, STORY, mode="deterministic"))
    longer = ask(engine, path, long, mode="deterministic", session="a")
    assert same_bits(longer, ask(make_engine(), path, long, mode="deterministic"))


def test_a_suspended_deterministic_request_goes_on_with_the_same_bits(
    path: Path, make_engine: MakeEngine
) -> None:
    alone = ask(make_engine(), path, STORY, mode="deterministic", max_tokens=40)
    engine = make_engine(
        max_slots=1,
        patience_s=0.02,
        host_bytes=64 * MIB,
        cap_bytes=estimate(path, n_ctx=1024, n_ubatch=CHUNK).total_bytes + MIB,
    )
    request = submit(
        engine, path, STORY, mode="deterministic", max_tokens=40, max_unread=8, session="a"
    )
    text = request.poll(timeout=60) or ""
    ask(engine, path, words(5, 50), session="b")
    text += "".join(request)
    assert engine.snapshot()["totals"]["suspensions"] >= 1
    assert text == alone.text
    assert same_bits(request.result(), alone)
