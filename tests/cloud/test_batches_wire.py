"""Batches of both providers over their real SDKs against a real server."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from lmx.workers.cloud.answer import Answer, Question
from lmx.workers.cloud.batches.wire import BatchProvider, Entry, Status
from lmx.workers.cloud.errors import Failure, ProviderError
from tests.support.batches import MODELS, POOLS, connect
from tests.support.rehearsed import KEY, Rehearsed

T = TypeVar("T")
Do = Callable[[Callable[[BatchProvider], Awaitable[Any]]], Any]


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    """Each provider in turn."""
    return str(request.param)


@pytest.fixture
def do(name: str, rehearsed: Rehearsed) -> Iterator[Do]:
    """Runs something with a connection to the provider."""
    with asyncio.Runner() as runner:
        connected: dict[str, BatchProvider] = {}

        def do(use: Callable[[BatchProvider], Awaitable[T]], key: str = KEY) -> T:
            async def run() -> T:
                if key not in connected:
                    connected[key] = connect(name, rehearsed.url, key)
                return await use(connected[key])

            return runner.run(run())

        yield do
        for provider in connected.values():
            runner.run(provider.close())
    rehearsed.pace_batches(seconds=0.0)


def requests(provider: BatchProvider, model: str, *ids: str) -> list[Any]:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Count."}]
    question = Question(model, messages, 40, {"temperature": 0.5, "stop": "x"})
    return [provider.encode(one, question) for one in ids]


def create(do: Do, name: str, *ids: str, called: str = "lmx-t") -> Status:
    model = MODELS[name]
    status: Status = do(lambda p: p.create(called, model, requests(p, model, *ids)))
    return status


async def entries(provider: BatchProvider, batch: str) -> list[Entry]:
    return [entry async for entry in provider.results(batch)]


def test_a_batch_goes_on_then_ends_and_tells_of_each_call_by_its_custom_id(
    do: Do, name: str, rehearsed: Rehearsed
) -> None:
    rehearsed.pace_batches(seconds=3600)
    sent = create(do, name, "a", "b", "c")
    assert not do(lambda p: p.look(sent.id)).ended
    rehearsed.pace_batches(seconds=0)
    before = rehearsed.counts(POOLS[name]).get("batch_calls", 0)
    assert do(lambda p: p.look(sent.id)).ended
    found = do(lambda p: entries(p, sent.id))
    assert {entry.custom_id for entry in found} == {"a", "b", "c"}
    assert rehearsed.counts(POOLS[name])["batch_calls"] == before + 3
    for entry in found:
        assert isinstance(entry.result, Answer)
        assert len(entry.result.text) == 4 * entry.result.tokens.output
        assert entry.result.model == MODELS[name]


def test_calls_that_fail_in_a_batch_say_why_one_by_one(
    do: Do, name: str, rehearsed: Rehearsed
) -> None:
    rehearsed.pace_batches(seconds=0)
    rehearsed.fail({"kind": "batch_errored"}, {"kind": "batch_invalid"}, {"kind": "batch_expired"})
    sent = create(do, name, "a", "b", "c", "d")
    results = [entry.result for entry in do(lambda p: entries(p, sent.id))]
    failures = [one.failure for one in results if isinstance(one, ProviderError)]
    assert sorted(one.value for one in failures) == sorted(
        one.value for one in (Failure.SERVER, Failure.INVALID, Failure.EXPIRED)
    )
    assert sum(isinstance(one, Answer) for one in results) == 1


def test_a_cancelled_batch_ends_at_once(do: Do, name: str, rehearsed: Rehearsed) -> None:
    rehearsed.pace_batches(seconds=3600)
    sent = create(do, name, "a", "b")
    do(lambda p: p.cancel(sent.id))
    assert do(lambda p: p.look(sent.id)).ended
    for entry in do(lambda p: entries(p, sent.id)):
        assert isinstance(entry.result, ProviderError)
        assert entry.result.failure is Failure.CANCELLED


def test_an_expired_batch_has_made_nothing(do: Do, name: str, rehearsed: Rehearsed) -> None:
    rehearsed.pace_batches(seconds=3600, expires_s=0.001)
    sent = create(do, name, "a", "b")
    status = do(lambda p: p.look(sent.id))
    assert status.ended
    if status.error is None:
        for entry in do(lambda p: entries(p, sent.id)):
            assert isinstance(entry.result, ProviderError)
            assert entry.result.failure is Failure.EXPIRED
    else:
        assert "expired" in status.error


def test_recent_batches_are_listed_over_several_pages(
    do: Do, name: str, rehearsed: Rehearsed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"lmx.workers.{name}_batches._PAGE", 2)
    rehearsed.pace_batches(seconds=3600)
    sent = [create(do, name, "a", called=f"lmx-{n}") for n in range(5)]
    since = datetime.now(UTC) - timedelta(hours=1)
    listed = do(lambda p: p.recent(since))
    assert [one.id for one in listed][:5] == [one.id for one in reversed(sent)]
    assert do(lambda p: p.recent(datetime.now(UTC) + timedelta(hours=1))) == []
    if name == "gemini":
        assert listed[0].name == "lmx-4"
    else:
        assert listed[0].calls == 1


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        ("overloaded", Failure.OVERLOADED),
        ("rate_limited", Failure.RATE_LIMITED),
        ("malformed", Failure.MALFORMED),
        ("lost", Failure.LOST),
    ],
)
def test_a_batch_that_is_not_taken_says_why(
    do: Do, name: str, rehearsed: Rehearsed, fault: str, failure: Failure
) -> None:
    rehearsed.fail({"kind": fault})
    with pytest.raises(ProviderError) as caught:
        create(do, name, "a")
    assert caught.value.failure is failure


def test_a_wrong_key_is_told_without_the_key(do: Any, name: str) -> None:
    with pytest.raises(ProviderError, match=r"\[key\]") as caught:
        do(lambda p: p.recent(datetime.now(UTC)), key="sk-wrong-77aa")
    assert caught.value.failure is Failure.CREDENTIALS


def test_a_batch_that_is_not_there_is_told(do: Do, name: str) -> None:
    with pytest.raises(ProviderError) as caught:
        do(lambda p: p.look("batches/0" if name == "gemini" else "msgbatch_0"))
    assert caught.value.failure is Failure.UNKNOWN_MODEL
