"""Anthropic over its real SDK against a real server: answers, and every way to fail."""

import asyncio
import socket
from typing import Any

import pytest

from lmx.workers.anthropic import connect
from lmx.workers.cloud.answer import Answer, Question
from lmx.workers.cloud.errors import Failure, ProviderError
from lmx.workflows.providers.catalog import Account
from lmx.workflows.providers.keys import Key
from tests.support.rehearsed import HAIKU, KEY, Rehearsed


def ask(
    url: str, key: str = KEY, model: str = HAIKU, text: str = "Count.", **options: Any
) -> Answer:
    question = Question(model, [{"role": "user", "content": text}], 64, options)

    async def call() -> Answer:
        provider = connect(Account("anthropic", "default", base_url=url), Key(key))
        try:
            return await provider.ask(question, lambda _: None)
        finally:
            await provider.close()

    return asyncio.run(call())


def failure(url: str, **how: Any) -> ProviderError:
    with pytest.raises(ProviderError) as raised:
        ask(url, **how)
    assert KEY not in str(raised.value)
    assert "\n" not in str(raised.value)
    return raised.value


def test_an_answer_has_its_text_its_usage_and_what_headers_tell(rehearsed: Rehearsed) -> None:
    answer = ask(rehearsed.url)
    assert len(answer.text) == 4 * answer.tokens.output
    assert answer.tokens.input > 0
    assert (answer.finish_reason, answer.stop_reason) == ("stop", "end_turn")
    assert answer.model == HAIKU
    assert answer.request_id == "req_rehearsal"
    told = answer.told["requests/min"]
    assert told["limit"] == 100_000
    assert 0 < told["remaining"] < 100_000


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("overloaded", Failure.OVERLOADED),
        ("server_error", Failure.SERVER),
        ("rate_limited", Failure.RATE_LIMITED),
        ("spend_cap", Failure.SPEND_CAP),
        ("billing", Failure.BILLING),
        ("midstream", Failure.OVERLOADED),
        ("lost", Failure.LOST),
        ("malformed", Failure.MALFORMED),
    ],
)
def test_every_fault_is_told_apart(rehearsed: Rehearsed, fault: str, expected: Failure) -> None:
    rehearsed.fail({"kind": fault})
    assert failure(rehearsed.url).failure is expected


def test_a_refusal_for_a_limit_says_for_how_long(rehearsed: Rehearsed) -> None:
    rehearsed.fail({"kind": "rate_limited"})
    assert failure(rehearsed.url).retry_after == 5.0


def test_a_spend_limit_holds_for_the_month(rehearsed: Rehearsed) -> None:
    rehearsed.fail({"kind": "spend_cap"})
    assert failure(rehearsed.url).month


def test_a_wrong_key_is_told_without_repeating_it(rehearsed: Rehearsed) -> None:
    wrong = "sk-wrong-0123456789"
    error = failure(rehearsed.url, key=wrong)
    assert error.failure is Failure.CREDENTIALS
    assert wrong not in str(error)


def test_an_unknown_model_and_a_prompt_that_is_too_long(rehearsed: Rehearsed) -> None:
    assert failure(rehearsed.url, model="claude-nobody").failure is Failure.UNKNOWN_MODEL
    assert failure(rehearsed.url, text="x" * 900_000).failure is Failure.TOO_LONG


def test_what_the_model_declines_is_an_answer(rehearsed: Rehearsed) -> None:
    rehearsed.fail({"kind": "refused"})
    answer = ask(rehearsed.url)
    assert (answer.finish_reason, answer.stop_reason) == ("refusal", "refusal")


def test_a_server_that_is_not_there_has_cost_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = failure(f"http://127.0.0.1:{port}")
    assert error.failure is Failure.UNREACHABLE
    assert not error.meaning.billed


def test_a_name_that_does_not_resolve_has_cost_nothing() -> None:
    assert failure("http://nowhere.invalid").failure is Failure.UNREACHABLE


def test_a_server_without_tls_has_cost_nothing(rehearsed: Rehearsed) -> None:
    url = rehearsed.url.replace("http://", "https://")
    assert failure(url).failure is Failure.UNREACHABLE


def test_a_cancelled_call_closes_its_connection(rehearsed: Rehearsed) -> None:
    rehearsed.fail({"kind": "hang"})

    async def cancelled() -> None:
        account = Account("anthropic", "default", base_url=rehearsed.url)
        provider = connect(account, Key(KEY))
        question = Question(HAIKU, [{"role": "user", "content": "Hang."}], 8)
        call = asyncio.create_task(provider.ask(question, lambda _: None))
        while not rehearsed.counts("haiku").get("fault: hang"):
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await provider.close()

    asyncio.run(asyncio.wait_for(cancelled(), 20))
