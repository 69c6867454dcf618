"""A worker that is stopped finishes what it has begun, and loses nothing that it has not."""

import threading

import pytest

from tests.broker_conformance.subject import PATIENCE_MS, Subject
from tests.support.eventually import eventually

PATIENCE_S = PATIENCE_MS / 1000


def test_stopping_waits_for_what_is_running(subject: Subject) -> None:
    # Given an actor at work
    running, gate, done = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        running.set()
        gate.wait(PATIENCE_S)
        done.set()

    actor = subject.actor(work)
    actor.send()
    with subject.worker(threads=1):
        running.wait(PATIENCE_S)

        # When the worker is told to stop before the actor has ended
        threading.Timer(0.05, gate.set).start()

    # Then the actor was allowed to end, and its message is done
    assert done.is_set()
    subject.process()
    assert subject.dead_letters() == []


@pytest.mark.usefixtures("keeps_unacked")
def test_messages_that_were_fetched_and_not_begun_are_not_lost(subject: Subject) -> None:
    # Given a worker with one busy thread that has fetched further messages
    seen: list[int] = []
    running, gate = threading.Event(), threading.Event()

    def work(number: int) -> None:
        running.set()
        gate.wait(PATIENCE_S)
        seen.append(number)

    actor = subject.actor(work)
    for number in range(5):
        actor.send(number)
    with subject.worker(threads=1, prefetch=5) as worker:
        running.wait(PATIENCE_S)
        eventually(lambda: worker.work_queue.qsize() == 4, "the others were fetched")

        # When it is stopped
        stopping = threading.Thread(target=worker.stop)
        stopping.start()
        eventually(lambda: not worker.workers[0].running, "the worker is stopping")
        gate.set()
        stopping.join()
    assert seen == [0]

    # Then another worker processes the rest, in their order
    subject.process(threads=1)
    assert seen == [0, 1, 2, 3, 4]


def test_a_second_worker_takes_over(subject: Subject) -> None:
    seen: list[int] = []
    actor = subject.actor(seen.append, actor_name="append")
    for number in range(3):
        actor.send(number)
        subject.process()
    assert seen == [0, 1, 2]


def test_a_paused_worker_processes_nothing(subject: Subject) -> None:
    # Given a paused worker
    seen: list[int] = []
    actor = subject.actor(seen.append, actor_name="append")
    with subject.worker() as worker:
        worker.pause()

        # When a message comes in
        actor.send(1)

        # Then it is processed only after the worker resumes
        assert seen == []
        worker.resume()
        subject.join()
    assert seen == [1]
