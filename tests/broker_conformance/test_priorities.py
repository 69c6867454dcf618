"""Of the messages that wait, the more urgent one is processed first: smaller numbers first."""

import threading

from tests.broker_conformance.subject import PATIENCE_MS, Subject
from tests.support.eventually import eventually


def test_more_urgent_actors_overtake_others_that_wait(subject: Subject) -> None:
    # Given a worker whose only thread is busy
    seen: list[str] = []
    gate, busy = threading.Event(), threading.Event()

    def block() -> None:
        busy.set()
        gate.wait(PATIENCE_MS / 1000)

    blocker = subject.actor(block)
    casual = subject.actor(lambda: seen.append("casual"), actor_name="casual", priority=10)
    urgent = subject.actor(lambda: seen.append("urgent"), actor_name="urgent", priority=0)
    with subject.worker(threads=1, prefetch=10) as worker:
        blocker.send()
        busy.wait(PATIENCE_MS / 1000)

        # When messages of two priorities come in, the less urgent ones first
        for _ in range(3):
            casual.send()
        for _ in range(3):
            urgent.send()
        eventually(lambda: worker.work_queue.qsize() == 6, "all six messages were fetched")
        gate.set()
        subject.join()

    # Then the urgent ones were processed first
    assert seen == ["urgent"] * 3 + ["casual"] * 3
