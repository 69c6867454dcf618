"""Messages travel whole from whoever enqueues them to the actor."""

import threading
from collections import Counter
from typing import Any

import pytest
from dramatiq import Message
from dramatiq.encoder import PickleEncoder
from dramatiq.errors import QueueNotFound
from dramatiq.message import get_encoder, set_encoder
from dramatiq.middleware import CurrentMessage

from tests.broker_conformance.subject import Subject


def test_an_actor_receives_the_arguments_it_was_sent(subject: Subject) -> None:
    # Given an actor
    seen: list[Any] = []
    actor = subject.actor(lambda *args, **kwargs: seen.append((args, kwargs)), actor_name="see")

    # When I send it a message with all kinds of JSON in it
    actor.send(1, "zwei – 二", [3.5, None], flag=True, nested={"a": {"b": []}})
    subject.process()

    # Then it gets exactly that
    assert seen == [((1, "zwei – 二", [3.5, None]), {"flag": True, "nested": {"a": {"b": []}}})]


def test_options_id_and_timestamp_of_a_message_survive(subject: Subject) -> None:
    # Given an actor that looks at the message it is processing
    seen: list[Message[Any]] = []

    def look() -> None:
        message = CurrentMessage.get_current_message()
        assert message is not None
        seen.append(message)

    actor = subject.actor(look)

    # When I send a message with options of my own
    sent = actor.send_with_options(trace_id="t-1", labels=["x", "y"])
    subject.process()

    # Then the actor sees the same message
    assert seen[0].options["trace_id"] == "t-1"
    assert seen[0].options["labels"] == ["x", "y"]
    assert seen[0].message_id == sent.message_id
    assert seen[0].message_timestamp == sent.message_timestamp
    assert seen[0].queue_name == "default"


def test_messages_wait_until_a_worker_comes(subject: Subject) -> None:
    # Given messages sent while nobody works
    seen: list[int] = []
    actor = subject.actor(seen.append, actor_name="append")
    for number in range(5):
        actor.send(number)
    assert seen == []

    # When a worker with one thread comes
    subject.process(threads=1)

    # Then it processes them in the order of sending
    assert seen == [0, 1, 2, 3, 4]


def test_each_message_is_processed_once_by_many_threads(subject: Subject) -> None:
    # Given more messages than threads
    seen: Counter[int] = Counter()
    lock = threading.Lock()

    def count(number: int) -> None:
        with lock:
            seen[number] += 1

    actor = subject.actor(count)
    for number in range(200):
        actor.send(number)

    # When eight threads share them
    subject.process(threads=8)

    # Then none is lost and none is processed twice
    assert seen == Counter(range(200))


def test_an_actor_may_send_further_messages(subject: Subject) -> None:
    # Given an actor that sends itself on
    seen: list[int] = []

    def countdown(number: int) -> None:
        seen.append(number)
        if number:
            actor.send(number - 1)

    actor = subject.actor(countdown)

    # When I start it
    actor.send(3)
    subject.process()

    # Then every message is processed
    assert seen == [3, 2, 1, 0]


def test_queues_are_apart(subject: Subject) -> None:
    # Given two actors on two queues
    seen: list[str] = []
    fast = subject.actor(lambda: seen.append("fast"), actor_name="fast", queue_name="fast")
    slow = subject.actor(lambda: seen.append("slow"), actor_name="slow", queue_name="slow")

    # When both are sent to and both queues are worked off
    fast.send()
    slow.send()
    with subject.worker():
        subject.join("fast")
        subject.join("slow")

    # Then both have run
    assert sorted(seen) == ["fast", "slow"]


def test_an_undeclared_queue_is_refused(subject: Subject) -> None:
    # Given a message for a queue that nobody declared
    message: Message[None] = Message("nowhere", "actor", (), {}, {})

    # When I enqueue it, I expect to be told
    with pytest.raises(QueueNotFound):
        subject.broker.enqueue(message)


def test_other_encoders_work(subject: Subject) -> None:
    # Given an encoder whose output is not text
    before = get_encoder()
    set_encoder(PickleEncoder())
    try:
        seen: list[Any] = []
        actor = subject.actor(seen.append, actor_name="append")

        # When I send what only it can encode
        actor.send({1, 2, b"\x00\xff"})
        subject.process()
    finally:
        set_encoder(before)

    # Then the actor receives it
    assert seen == [{1, 2, b"\x00\xff"}]
