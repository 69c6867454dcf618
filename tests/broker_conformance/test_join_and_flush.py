"""A queue can be waited for, and emptied."""

import threading

import pytest
from dramatiq.errors import QueueJoinTimeout

from tests.broker_conformance.subject import PATIENCE_MS, Subject


def test_joining_an_empty_queue_returns_at_once(subject: Subject) -> None:
    subject.broker.declare_queue("default")
    subject.join()


def test_join_waits_for_what_is_being_processed(subject: Subject) -> None:
    # Given an actor at work
    gate = threading.Event()
    done: list[bool] = []

    def work() -> None:
        gate.wait(PATIENCE_MS / 1000)
        done.append(True)

    actor = subject.actor(work)
    actor.send()
    with subject.worker():
        # When I join while it works
        threading.Timer(0.05, gate.set).start()
        subject.join()

        # Then it has ended when join returns
        assert done == [True]


@pytest.mark.leaves_open("StubBroker's thread goes on waiting")
def test_join_times_out(subject: Subject) -> None:
    actor = subject.actor(lambda: None, actor_name="nothing")
    actor.send()
    with pytest.raises(QueueJoinTimeout):
        subject.broker.join("default", timeout=50)


def test_flushed_messages_are_never_processed(subject: Subject) -> None:
    # Given messages that wait
    seen: list[int] = []
    actor = subject.actor(seen.append, actor_name="append")
    for number in range(3):
        actor.send(number)

    # When the queue is flushed, and one more comes
    subject.broker.flush("default")
    actor.send(3)
    subject.process()

    # Then only that one is processed
    assert seen == [3]


def test_flush_leaves_other_queues_alone(subject: Subject) -> None:
    seen: list[str] = []
    here = subject.actor(lambda: seen.append("here"), actor_name="here", queue_name="here")
    there = subject.actor(lambda: seen.append("there"), actor_name="there", queue_name="there")
    here.send()
    there.send()
    subject.broker.flush("here")
    with subject.worker():
        subject.join("here")
        subject.join("there")
    assert seen == ["there"]


def test_flush_all_empties_every_queue_delayed_messages_included(subject: Subject) -> None:
    # Given messages on two queues, one of them delayed
    seen: list[str] = []
    here = subject.actor(lambda: seen.append("here"), actor_name="here", queue_name="here")
    there = subject.actor(lambda: seen.append("there"), actor_name="there", queue_name="there")
    here.send_with_options(delay=20)
    there.send()

    # When all queues are flushed
    subject.broker.flush_all()

    # Then nothing is left to do
    with subject.worker():
        subject.join("here")
        subject.join("there")
    assert seen == []
