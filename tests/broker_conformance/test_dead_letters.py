"""Messages that cannot be processed are set aside, and never stand in the way of others."""

from typing import Any

import pytest
from dramatiq import Broker, Message, Middleware
from dramatiq.middleware import SkipMessage

from tests.broker_conformance.subject import Subject


class Bouncer(Middleware):
    """Skips messages that say so; fails those that say that."""

    def before_process_message(self, broker: Broker, message: Any) -> None:
        if message.options.get("reject"):
            message.fail()
        if message.options.get("skip"):
            raise SkipMessage("not today")


@pytest.fixture
def middleware() -> list[Middleware]:
    return [Bouncer()]


def test_a_message_for_an_unknown_actor_becomes_a_dead_letter(subject: Subject) -> None:
    # Given a message for an actor that this worker does not have, ahead of another
    seen: list[str] = []
    actor = subject.actor(seen.append, actor_name="append")
    unknown: Message[None] = Message("default", "from_the_future", (), {}, {})
    subject.broker.enqueue(unknown)
    actor.send("known")

    # When they are processed
    subject.process(threads=1)

    # Then the unknown one is set aside and the other one is done
    assert seen == ["known"]
    assert [letter.actor_name for letter in subject.dead_letters()] == ["from_the_future"]


def test_a_dead_letter_keeps_its_whole_message(subject: Subject) -> None:
    def hopeless(text: str) -> None:
        raise ValueError(text)

    actor = subject.actor(hopeless, max_retries=0)
    sent = actor.send_with_options(args=("why",), trace_id="t-1")
    subject.process()
    (letter,) = subject.dead_letters()
    assert letter.message_id == sent.message_id
    assert letter.args == ("why",)
    assert letter.options["trace_id"] == "t-1"


def test_middleware_may_reject_a_message(subject: Subject) -> None:
    # Given middleware that marks a message as failed
    seen: list[str] = []
    actor = subject.actor(seen.append, actor_name="append")
    actor.send_with_options(args=("bad",), reject=True)
    actor.send("good")

    # When it is processed
    subject.process()

    # Then the actor never sees it and it is a dead letter
    assert seen == ["good"]
    assert [letter.args for letter in subject.dead_letters()] == [("bad",)]


def test_middleware_may_skip_a_message(subject: Subject) -> None:
    # Given middleware that skips a message
    seen: list[str] = []
    actor = subject.actor(seen.append, actor_name="append")
    actor.send_with_options(args=("bad",), skip=True)
    actor.send("good")

    # When it is processed
    subject.process()

    # Then the actor never sees it, and it counts as done
    assert seen == ["good"]
    assert subject.dead_letters() == []


def test_dead_letters_of_one_queue_are_not_those_of_another(subject: Subject) -> None:
    def hopeless() -> None:
        raise ValueError

    here = subject.actor(hopeless, actor_name="here", queue_name="here", max_retries=0)
    subject.actor(hopeless, actor_name="there", queue_name="there", max_retries=0)
    here.send()
    subject.process("here")
    assert len(subject.dead_letters("here")) == 1
    assert subject.dead_letters("there") == []
