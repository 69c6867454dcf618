"""Middleware is told of everything, in Dramatiq's order."""

from typing import Any

import pytest
from dramatiq import Broker, Middleware

from tests.broker_conformance.subject import Subject


class Diary(Middleware):
    """Writes down the hooks that ran for each message."""

    def __init__(self, name: str, pages: list[tuple[str, str]]) -> None:
        self.name = name
        self.pages = pages

    def note(self, hook: str) -> None:
        self.pages.append((self.name, hook))

    def before_enqueue(self, broker: Broker, message: Any, delay: Any) -> None:
        self.note("before enqueue")

    def after_enqueue(self, broker: Broker, message: Any, delay: Any) -> None:
        self.note("after enqueue")

    def before_process_message(self, broker: Broker, message: Any) -> None:
        self.note("before process")

    def after_process_message(
        self, broker: Broker, message: Any, *, result: Any = None, exception: Any = None
    ) -> None:
        self.note(f"after process: {exception or result}")

    def before_ack(self, broker: Broker, message: Any) -> None:
        self.note("before ack")

    def after_ack(self, broker: Broker, message: Any) -> None:
        self.note("after ack")

    def before_nack(self, broker: Broker, message: Any) -> None:
        self.note("before nack")

    def after_nack(self, broker: Broker, message: Any) -> None:
        self.note("after nack")


class Failing(Middleware):
    """Raises in hooks where it must not matter."""

    def after_process_message(
        self, broker: Broker, message: Any, *, result: Any = None, exception: Any = None
    ) -> None:
        raise RuntimeError("a defect in a hook")

    def before_ack(self, broker: Broker, message: Any) -> None:
        raise RuntimeError("a defect in a hook")


@pytest.fixture
def pages() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def middleware(pages: list[tuple[str, str]]) -> list[Middleware]:
    return [Diary("outer", pages), Diary("inner", pages), Failing()]


def test_hooks_of_a_successful_message_run_in_order(
    subject: Subject, pages: list[tuple[str, str]]
) -> None:
    # Given two diaries, one inside the other
    actor = subject.actor(lambda: "fine", actor_name="fine", store_results=True)

    # When a message succeeds
    actor.send()
    subject.process()

    # Then every "before" runs from outside in, every "after" from inside out
    hooks = [hook for name, hook in pages if name == "outer"]
    assert hooks == [
        "before enqueue",
        "after enqueue",
        "before process",
        "after process: fine",
        "before ack",
        "after ack",
    ]
    nested = {hook: [name for name, seen in pages if seen == hook] for hook in hooks}
    for hook, names in nested.items():
        expected = ["outer", "inner"] if hook.startswith("before") else ["inner", "outer"]
        assert names == expected, hook


def test_hooks_of_a_failed_message_end_with_nack(
    subject: Subject, pages: list[tuple[str, str]]
) -> None:
    def fail() -> None:
        raise ValueError("broken")

    actor = subject.actor(fail, max_retries=0)
    actor.send()
    subject.process()
    hooks = [hook for name, hook in pages if name == "inner"]
    assert hooks[2:] == ["before process", "after process: broken", "before nack", "after nack"]


def test_a_defect_in_a_hook_loses_no_message(subject: Subject) -> None:
    # Given middleware whose hooks raise
    seen: list[int] = []
    actor = subject.actor(seen.append, actor_name="append")

    # When messages are processed
    for number in range(3):
        actor.send(number)
    subject.process(threads=1)

    # Then each is processed once and done
    assert seen == [0, 1, 2]
    assert subject.dead_letters() == []
