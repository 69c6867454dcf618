"""A message whose actor raises is processed again later, as often as its options allow."""

import logging
from time import monotonic
from typing import Any

import pytest
from dramatiq import Message
from dramatiq.errors import Retry
from dramatiq.middleware import CurrentMessage

from tests.broker_conformance.subject import Subject

SOON = {"min_backoff": 1, "max_backoff": 5}


class ExpectedError(Exception):
    """What the actors here raise."""


def test_a_failed_message_is_processed_again(subject: Subject) -> None:
    # Given an actor that fails twice
    seen: list[int] = []

    def flaky() -> None:
        seen.append(len(seen))
        if len(seen) < 3:
            raise ExpectedError

    actor = subject.actor(flaky, max_retries=5, **SOON)

    # When I send it a message
    actor.send()
    subject.process()

    # Then its third attempt succeeds
    assert seen == [0, 1, 2]
    assert subject.dead_letters() == []


def test_each_attempt_knows_how_many_went_before(subject: Subject) -> None:
    # Given an actor that looks at its message's options
    seen: list[int] = []

    def flaky() -> None:
        message = CurrentMessage.get_current_message()
        assert message is not None
        seen.append(message.options.get("retries", 0))
        raise ExpectedError

    actor = subject.actor(flaky, max_retries=3, **SOON)
    actor.send()
    subject.process()
    assert seen == [0, 1, 2, 3]


def test_the_message_keeps_its_id_and_arguments(subject: Subject) -> None:
    seen: list[tuple[str, str]] = []

    def flaky(text: str) -> None:
        message = CurrentMessage.get_current_message()
        assert message is not None
        seen.append((message.message_id, text))
        if len(seen) == 1:
            raise ExpectedError

    actor = subject.actor(flaky, **SOON)
    sent = actor.send("hello")
    subject.process()
    assert seen == [(sent.message_id, "hello")] * 2


def test_a_message_that_always_fails_becomes_a_dead_letter(subject: Subject) -> None:
    # Given an actor that may be tried three times
    seen: list[int] = []

    def hopeless() -> None:
        seen.append(1)
        raise ExpectedError("hopeless")

    actor = subject.actor(hopeless, max_retries=2, **SOON)

    # When it fails three times
    sent = actor.send()
    subject.process()

    # Then its message is a dead letter
    assert len(seen) == 3
    assert [letter.message_id for letter in subject.dead_letters()] == [sent.message_id]


def test_no_retries_means_one_attempt(subject: Subject) -> None:
    seen: list[int] = []

    def hopeless() -> None:
        seen.append(1)
        raise ExpectedError

    actor = subject.actor(hopeless, max_retries=0)
    actor.send()
    subject.process()
    assert (len(seen), len(subject.dead_letters())) == (1, 1)


def test_the_number_of_retries_can_be_set_per_message(subject: Subject) -> None:
    seen: list[int] = []

    def hopeless() -> None:
        seen.append(1)
        raise ExpectedError

    actor = subject.actor(hopeless, max_retries=20, **SOON)
    actor.send_with_options(max_retries=1)
    subject.process()
    assert len(seen) == 2


def test_expected_exceptions_are_not_retried(subject: Subject) -> None:
    # Given an actor that declares what it throws
    seen: list[int] = []

    def throwing() -> None:
        seen.append(1)
        raise ExpectedError

    actor = subject.actor(throwing, max_retries=5, throws=ExpectedError, **SOON)

    # When it throws that
    actor.send()
    subject.process()

    # Then it is not tried again
    assert (len(seen), len(subject.dead_letters())) == (1, 1)


def test_retry_when_decides(subject: Subject) -> None:
    seen: list[int] = []

    def hopeless() -> None:
        seen.append(1)
        raise ExpectedError

    def twice(retries: int, exception: BaseException) -> bool:
        return retries < 2 and isinstance(exception, ExpectedError)

    actor = subject.actor(hopeless, retry_when=twice, **SOON)
    actor.send()
    subject.process()
    assert len(seen) == 3


def test_an_actor_may_say_when_to_retry(subject: Subject) -> None:
    # Given an actor that asks to be retried after 200 ms
    ran: list[float] = []

    def later() -> None:
        ran.append(monotonic())
        if len(ran) == 1:
            raise Retry(delay=200)

    actor = subject.actor(later)

    # When it runs
    actor.send()
    subject.process()

    # Then its second attempt comes no earlier
    assert ran[1] - ran[0] >= 0.199


def test_a_retry_keeps_the_queue_and_other_messages_going(subject: Subject) -> None:
    # Given a message that will be retried late, ahead of others, and one thread
    seen: list[str] = []

    def work(name: str) -> None:
        if name == "flaky" and "flaky failed" not in seen:
            seen.append("flaky failed")
            raise Retry(delay=500)
        seen.append(name)

    actor = subject.actor(work)
    for name in ("flaky", "a", "b"):
        actor.send(name)
    subject.process(threads=1)
    assert seen == ["flaky failed", "a", "b", "flaky"]


def test_exhausted_retries_are_reported_to_an_actor(subject: Subject) -> None:
    # Given an actor that is to hear of exhausted retries
    heard: list[tuple[Any, Any]] = []
    subject.actor(lambda message, info: heard.append((message, info)), actor_name="undertaker")

    def hopeless() -> None:
        raise ExpectedError

    actor = subject.actor(hopeless, max_retries=1, on_retry_exhausted="undertaker", **SOON)

    # When retries are exhausted
    sent = actor.send()
    subject.process()

    # Then it gets the message and the numbers
    ((message, info),) = heard
    assert message["message_id"] == sent.message_id
    assert info == {"retries": 1, "max_retries": 1}


def test_a_message_may_be_enqueued_again_by_its_own_actor(subject: Subject) -> None:
    # Given an actor that puts its own message back once
    seen: list[str] = []

    def again() -> None:
        message = CurrentMessage.get_current_message()
        assert message is not None
        seen.append(message.message_id)
        if len(seen) == 1:
            copy: Message[Any] = message.copy(options={"again": True})
            subject.broker.enqueue(copy)

    actor = subject.actor(again)

    # When it runs
    sent = actor.send()
    subject.process()

    # Then the same message is processed twice
    assert seen == [sent.message_id] * 2


@pytest.mark.parametrize(
    "text",
    ["", "NUL \x00", "lone surrogate \ud800", "x" * 100_000],
    ids=["empty", "nul", "surrogate", "long"],
)
def test_any_error_text_can_be_recorded(
    subject: Subject, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="dramatiq")  # the log could not be passed on

    def hopeless() -> None:
        raise ExpectedError(text)

    actor = subject.actor(hopeless, max_retries=1, **SOON)
    actor.send()
    subject.process()
    assert len(subject.dead_letters()) == 1
