"""A consumer hands out what it may hold, and waits no longer than it was told."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from dramatiq.broker import Consumer, MessageProxy

from tests.broker_conformance.subject import PATIENCE_MS, Subject


@contextmanager
def consuming(subject: Subject, prefetch: int, timeout: int) -> Iterator[Consumer]:
    consumer = subject.broker.consume("default", prefetch=prefetch, timeout=timeout)
    try:
        yield consumer
    finally:
        consumer.close()


def take(consumer: Consumer) -> MessageProxy:
    """The next message, which must come."""
    for _ in range(100):
        if (message := next(consumer)) is not None:
            return message
    raise AssertionError("no message came")


def test_an_idle_consumer_returns_nothing_after_its_timeout(subject: Subject) -> None:
    subject.broker.declare_queue("default")
    with consuming(subject, prefetch=1, timeout=10) as consumer:
        assert next(consumer) is None


def test_a_consumer_holds_no_more_than_its_prefetch(subject: Subject) -> None:
    # Given three messages and a consumer that may hold two
    actor = subject.actor(lambda number: None, actor_name="nothing")
    for number in range(3):
        actor.send(number)
    with consuming(subject, prefetch=2, timeout=200) as consumer:
        # When it has handed out two that nobody has acknowledged
        first, second = take(consumer), take(consumer)

        # Then it hands out no third
        assert next(consumer) is None

        # Until one of them is acknowledged
        consumer.ack(first)
        third = take(consumer)
        assert [first.args, second.args, third.args] == [(0,), (1,), (2,)]
        consumer.ack(second)
        consumer.ack(third)


def test_a_rejected_message_makes_room_too(subject: Subject) -> None:
    actor = subject.actor(lambda number: None, actor_name="nothing")
    actor.send(0)
    actor.send(1)
    with consuming(subject, prefetch=1, timeout=200) as consumer:
        first = take(consumer)
        assert next(consumer) is None
        first.fail()
        consumer.nack(first)
        second = take(consumer)
        assert second.args == (1,)
        consumer.ack(second)
    assert [letter.args for letter in subject.dead_letters()] == [(0,)]


def test_an_acknowledged_message_never_comes_back(subject: Subject) -> None:
    # Given a message that was acknowledged
    actor = subject.actor(lambda: None, actor_name="nothing")
    actor.send()
    with consuming(subject, prefetch=1, timeout=PATIENCE_MS) as consumer:
        consumer.ack(take(consumer))

    # When another consumer comes, I expect it to find nothing
    with consuming(subject, prefetch=1, timeout=50) as consumer:
        assert next(consumer) is None


@pytest.mark.usefixtures("keeps_unacked")
def test_a_requeued_message_is_handed_out_again(subject: Subject) -> None:
    # Given a message that a consumer has handed out
    actor = subject.actor(lambda: None, actor_name="nothing")
    sent = actor.send()
    with consuming(subject, prefetch=1, timeout=PATIENCE_MS) as consumer:
        # When it is given back unprocessed
        consumer.requeue([take(consumer)])

        # Then it comes again, the same
        again = take(consumer)
        assert again.message_id == sent.message_id
        consumer.ack(again)


@pytest.mark.usefixtures("keeps_unacked")
def test_closing_a_consumer_gives_back_what_it_had_fetched(subject: Subject) -> None:
    # Given a consumer that has fetched more than it has handed out
    actor = subject.actor(lambda number: None, actor_name="nothing")
    for number in range(3):
        actor.send(number)
    with consuming(subject, prefetch=3, timeout=PATIENCE_MS) as consumer:
        consumer.ack(take(consumer))

    # When it was closed, then another consumer finds the rest
    left: list[Any] = []
    with consuming(subject, prefetch=3, timeout=PATIENCE_MS) as consumer:
        for _ in range(2):
            left.append(take(consumer))
            consumer.ack(left[-1])
    assert sorted(message.args for message in left) == [(1,), (2,)]
