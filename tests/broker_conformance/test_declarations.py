"""Actors and queues are declared once and can be asked for."""

from typing import Any

import pytest
from dramatiq import Broker, Middleware
from dramatiq.errors import ActorNotFound, QueueNotFound

from tests.broker_conformance.subject import Subject


class Declarations(Middleware):
    """Writes down what is declared."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def after_declare_actor(self, broker: Broker, actor: Any) -> None:
        self.seen.append(("actor", actor.actor_name))

    def before_declare_queue(self, broker: Broker, queue_name: str) -> None:
        self.seen.append(("before queue", queue_name))

    def after_declare_queue(self, broker: Broker, queue_name: str) -> None:
        self.seen.append(("queue", queue_name))


@pytest.fixture
def middleware() -> list[Middleware]:
    return [Declarations()]


def test_declared_actors_and_queues_are_known(subject: Subject) -> None:
    # When I declare an actor on a queue
    actor = subject.actor(lambda: None, actor_name="nothing", queue_name="void")

    # Then the broker knows both
    assert subject.broker.get_actor("nothing") is actor
    assert "nothing" in subject.broker.get_declared_actors()
    assert "void" in subject.broker.get_declared_queues()


def test_declaring_a_queue_again_changes_nothing(
    subject: Subject, middleware: list[Middleware]
) -> None:
    # Given a declared queue
    subject.broker.declare_queue("void")

    # When I declare it again
    subject.broker.declare_queue("void")

    # Then middleware has heard of it once
    (declarations,) = middleware
    assert isinstance(declarations, Declarations)
    assert declarations.seen == [("before queue", "void"), ("queue", "void")]


def test_middleware_added_late_hears_of_earlier_declarations(subject: Subject) -> None:
    # Given an actor
    subject.actor(lambda: None, actor_name="early", queue_name="void")

    # When middleware is added afterwards
    late = Declarations()
    subject.broker.add_middleware(late)

    # Then it is told of the actor and of its queue
    assert ("actor", "early") in late.seen
    assert ("queue", "void") in late.seen


def test_an_unknown_actor_is_an_error(subject: Subject) -> None:
    with pytest.raises(ActorNotFound):
        subject.broker.get_actor("nobody")


def test_consuming_an_undeclared_queue_is_an_error(subject: Subject) -> None:
    with pytest.raises(QueueNotFound):
        subject.broker.consume("nowhere")


def test_joining_an_undeclared_queue_is_an_error(subject: Subject) -> None:
    with pytest.raises(QueueNotFound):
        subject.join("nowhere")
