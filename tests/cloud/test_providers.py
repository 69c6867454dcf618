"""Every provider over its real SDK against a real server: answers, and every way to fail."""

import asyncio
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import Any

import pytest

from lmx.workers import anthropic, gemini, openai_compatible
from lmx.workers.cloud.answer import Answer, Question
from lmx.workers.cloud.calls import Calls
from lmx.workers.cloud.errors import Failure, ProviderError
from lmx.workers.cloud.guarded import Guarded
from lmx.workers.cloud.intake import Place
from lmx.workers.cloud.provider import Piece, Progress
from lmx.workers.running import Running
from lmx.workflows.lease import Lease
from lmx.workflows.operations import Operation
from lmx.workflows.providers.catalog import Account
from lmx.workflows.providers.keys import Key
from lmx.workflows.providers.pricing import load_prices
from tests.support.leases import lease_of
from tests.support.rehearsed import FLASH, HAIKU, KEY, Rehearsed, profile

MODULES: dict[str, Any] = {
    "anthropic": anthropic,
    "gemini": gemini,
    "openai": openai_compatible,
}
MODELS = {"anthropic": HAIKU, "gemini": FLASH, "openai": "qwen3:8b"}
POOLS = {"anthropic": "haiku", "gemini": "flash", "openai": "qwen"}


@dataclass(frozen=True)
class Peer:
    """A provider at an address."""

    provider: str
    url: str

    def connect(self, key: str = KEY) -> Guarded:
        url = f"{self.url}/v1" if self.provider == "openai" else self.url
        account = Account(self.provider, "default", base_url=url)
        return Guarded(MODULES[self.provider].connect(account, Key(key)), Key(key))

    def at(self, url: str) -> "Peer":
        return replace(self, url=url)

    @property
    def model(self) -> str:
        return MODELS[self.provider]

    @property
    def pool(self) -> str:
        return POOLS[self.provider]


@pytest.fixture(params=MODULES)
def peer(request: pytest.FixtureRequest, rehearsed: Rehearsed) -> Peer:
    """Each provider in turn, played by the faithful one."""
    return Peer(request.param, rehearsed.url)


def ask(
    peer: Peer,
    key: str = KEY,
    model: str | None = None,
    text: str = "Count.",
    hears: Progress = lambda _: None,
    **options: Any,
) -> Answer:
    messages = [{"role": "user", "content": text}]
    question = Question(model or peer.model, messages, 64, options)

    async def call() -> Answer:
        provider = peer.connect(key)
        try:
            return await provider.ask(question, hears)
        finally:
            await provider.close()

    return asyncio.run(call())


def calls_of(peer: Peer, provider: Guarded, starts: Callable[[], float]) -> Calls:
    """A worker's calls, which may be sent at the time `starts`."""
    shipped = load_prices()
    prices = replace(shipped, rows=[replace(shipped.rows[0], model=peer.model)])
    place = partial(Place, f"{peer.provider}/default/{peer.pool}", peer.model)
    return Calls(
        {"default": provider},
        prices,
        lambda _: place(starts(), starts()),
        lambda _: {},
        lambda *_: False,
    )


def asked(**limits: Any) -> Lease:
    messages = [{"role": "user", "content": "Count."}]
    told = json.dumps({"messages": messages, "max_tokens": 9})
    return lease_of(1, raw_input=told, **limits)


def made(peer: Peer, early_s: float) -> tuple[list[Operation], float]:
    """What a worker records of a call that was claimed so early, and when that might be sent."""

    async def call() -> tuple[list[Operation], float]:
        provider, starts = peer.connect(), monotonic()
        calls = calls_of(peer, provider, lambda: starts)
        try:
            await calls(Running().enter(asked()))  # the SDK takes its time with the first one
            starts = monotonic() + early_s
            return await calls(Running().enter(asked())), starts
        finally:
            await provider.close()

    return asyncio.run(call())


def failure(peer: Peer, **how: Any) -> ProviderError:
    with pytest.raises(ProviderError) as raised:
        ask(peer, **how)
    assert KEY not in str(raised.value)
    assert "\n" not in str(raised.value)
    return raised.value


def test_an_answer_has_its_text_its_usage_and_its_end(peer: Peer) -> None:
    answer = ask(peer)
    assert len(answer.text) == 4 * answer.tokens.output
    assert answer.tokens.input > 0
    assert answer.finish_reason == "stop"
    assert answer.model == peer.model
    assert answer.request_id


def test_the_pieces_of_an_answer_make_up_all_of_it(rehearsed: Rehearsed, peer: Peer) -> None:
    tool = {"name": "put", "parameters": {"type": "object", "properties": {"n": {"const": 7}}}}
    tools = [{"type": "function", "function": tool}]
    heard: list[Piece | None] = []
    answer = ask(peer, hears=heard.append)
    assert heard[0] is None
    assert "".join(piece.text for piece in heard if piece) == answer.text
    heard.clear()
    answer = ask(peer, hears=heard.append, tools=tools, tool_choice="required")
    (call,) = answer.tool_calls
    wished = "".join(piece.tool_calls for piece in heard if piece)
    assert wished == f"\n{call.name} {call.arguments}"


def test_a_call_that_was_claimed_early_is_sent_at_its_moment(peer: Peer) -> None:
    done, starts = made(peer, 0.4)
    used = next(one["data"] for one in done[-1].news or () if one["kind"] == "used")
    assert 0.0 < used["heard_after_s"] < monotonic() - starts


def test_gemini_s_sdk_takes_no_other_client_where_there_is_one(
    rehearsed: Rehearsed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where aiohttp is installed, it would send calls early and repeat those that break."""
    monkeypatch.setattr("google.genai._api_client.has_aiohttp", True)
    test_a_call_that_was_claimed_early_is_sent_at_its_moment(Peer("gemini", rehearsed.url))


def test_a_call_that_is_broken_off_before_its_moment_is_given_back(rehearsed: Rehearsed) -> None:
    """Until then it has taken none of its time, and afterwards it counts in no limit."""
    peer, starts = Peer("anthropic", rehearsed.url), monotonic() + 3600

    async def call() -> tuple[list[Operation], float | None]:
        provider = peer.connect()
        execution = Running().enter(asked(time_limit_ms=1000))
        task = asyncio.ensure_future(calls_of(peer, provider, lambda: starts)(execution))
        await asyncio.sleep(0)
        task.cancel()
        try:
            return await task, execution.until
        finally:
            await provider.close()

    (back,), until = asyncio.run(call())
    assert (back.kind, back.fields) == ("requeue", {"lost": False})
    assert [one["data"]["real"] for one in back.news or ()] == [{}]
    assert until == pytest.approx(starts + 1.0)


def test_anthropic_s_headers_tell_of_its_limits(rehearsed: Rehearsed) -> None:
    told = ask(Peer("anthropic", rehearsed.url)).told["requests/min"]
    assert told["limit"] == 100_000
    assert 0 < told["remaining"] < 100_000


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("overloaded", Failure.OVERLOADED),
        ("server_error", Failure.SERVER),
        ("rate_limited", Failure.RATE_LIMITED),
        ("midstream", Failure.OVERLOADED),
        ("lost", Failure.LOST),
        ("malformed", Failure.MALFORMED),
    ],
)
def test_every_fault_is_told_apart(
    rehearsed: Rehearsed, peer: Peer, fault: str, expected: Failure
) -> None:
    rehearsed.fail({"kind": fault})
    assert failure(peer).failure is expected


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_what_is_owed_is_no_rate_limit(rehearsed: Rehearsed, provider: str) -> None:
    rehearsed.fail({"kind": "spend_cap"}, {"kind": "billing"})
    peer = Peer(provider, rehearsed.url)
    assert [failure(peer).failure for _ in range(2)] == [Failure.SPEND_CAP, Failure.BILLING]


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_a_refusal_for_a_limit_says_for_how_long(rehearsed: Rehearsed, provider: str) -> None:
    rehearsed.fail({"kind": "rate_limited"})
    assert failure(Peer(provider, rehearsed.url)).retry_after == 5.0


def test_gemini_s_refusal_names_the_quota() -> None:
    rpm = [{"name": "requests/min", "of": "requests", "kind": "window", "limit": 1}]
    with Rehearsed(profile(limits={"flash": rpm})) as server:
        peer = Peer("gemini", server.url)
        ask(peer)
        error = failure(peer)
    assert (error.failure, error.limit, error.granted) == (
        Failure.RATE_LIMITED,
        "requests/min",
        1,
    )
    assert error.retry_after == pytest.approx(60, abs=5)


def test_a_wrong_key_is_told_without_repeating_it(peer: Peer) -> None:
    wrong = "sk-wrong-0123456789"
    error = failure(peer, key=wrong)
    assert error.failure is Failure.CREDENTIALS
    assert wrong not in str(error)


def test_an_unknown_model_and_a_prompt_that_is_too_long(peer: Peer) -> None:
    assert failure(peer, model="nobody").failure is Failure.UNKNOWN_MODEL
    assert failure(peer, text="x" * 900_000).failure is Failure.TOO_LONG


def test_what_the_model_declines_is_an_answer(rehearsed: Rehearsed, peer: Peer) -> None:
    rehearsed.fail({"kind": "refused"})
    assert ask(peer).finish_reason == "refusal"


def test_a_server_that_is_not_there_has_cost_nothing(peer: Peer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = failure(peer.at(f"http://127.0.0.1:{port}"))
    assert error.failure is Failure.UNREACHABLE
    assert not error.meaning.billed


@pytest.mark.parametrize("url", ["http://nowhere.invalid", "https://127.0.0.1:{port}"])
def test_no_name_and_no_tls_have_cost_nothing(peer: Peer, url: str) -> None:
    port = peer.url.rpartition(":")[2]
    assert failure(peer.at(url.format(port=port))).failure is Failure.UNREACHABLE


def test_a_cancelled_call_ends_at_once(rehearsed: Rehearsed, peer: Peer) -> None:
    rehearsed.fail({"kind": "hang"})
    before = rehearsed.counts(peer.pool).get("fault: hang", 0)

    async def cancelled() -> None:
        provider = peer.connect()
        question = Question(peer.model, [{"role": "user", "content": "Hang."}], 8)
        call = asyncio.create_task(provider.ask(question, lambda _: None))
        while rehearsed.counts(peer.pool).get("fault: hang", 0) == before:
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await provider.close()

    asyncio.run(asyncio.wait_for(cancelled(), 20))
