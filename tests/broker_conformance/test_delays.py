"""A delayed message is processed when it is due: not before, and not blocking others."""

from datetime import timedelta
from time import monotonic

from tests.broker_conformance.subject import Subject
from tests.support.eventually import eventually


def test_a_delayed_message_is_not_processed_before_it_is_due(subject: Subject) -> None:
    # Given an actor that notes when it ran
    ran: list[float] = []
    actor = subject.actor(lambda: ran.append(monotonic()), actor_name="note")

    # When I send it a message with a delay
    sent = monotonic()
    actor.send_with_options(delay=250)
    subject.process()

    # Then it ran no earlier (a millisecond is lost to rounding)
    assert ran[0] - sent >= 0.249


def test_a_delay_may_be_a_timedelta(subject: Subject) -> None:
    ran: list[float] = []
    actor = subject.actor(lambda: ran.append(monotonic()), actor_name="note")
    sent = monotonic()
    actor.send_with_options(delay=timedelta(milliseconds=100))
    subject.process()
    assert ran[0] - sent >= 0.099


def test_a_delayed_message_blocks_no_other(subject: Subject) -> None:
    # Given a message that is due in an hour, ahead of one without delay
    seen: list[str] = []
    actor = subject.actor(seen.append, actor_name="append")
    actor.send_with_options(args=("late",), delay=3_600_000)
    actor.send("now")

    # When one thread works, then the other one is processed
    with subject.worker(threads=1):
        eventually(lambda: seen == ["now"], "the message without delay was processed")


def test_a_delayed_message_sent_while_the_worker_runs_is_processed(subject: Subject) -> None:
    # Given a running, idle worker
    seen: list[str] = []
    actor = subject.actor(seen.append, actor_name="append")
    with subject.worker():
        subject.join()

        # When I send a delayed message
        actor.send_with_options(args=("late",), delay=50)

        # Then join waits for it too
        subject.join()
    assert seen == ["late"]


def test_a_delay_of_zero_is_no_delay(subject: Subject) -> None:
    seen: list[str] = []
    actor = subject.actor(seen.append, actor_name="append")
    actor.send_with_options(args=("now",), delay=0)
    subject.process()
    assert seen == ["now"]
