"""Queues and workers at a glance."""

from lmx.workflows.control import pause_run
from lmx.workflows.database.connect import Database
from lmx.workflows.views import QueueView, list_queues, list_workers
from tests.support.hands import COORDINATORS, QUEUE, Hands


def test_queues_tell_how_much_waits_and_how_much_runs(database: Database, hands: Hands) -> None:
    run, _ = hands.run_to_parked("a", "b")
    pause_run(database, run)
    for _ in range(3):
        hands.submit(role="worker")
    hands.submit(role="worker", delay=60)
    hands.claim(slots=2)

    assert list_queues(database) == [
        QueueView(COORDINATORS, paused=False, ready=0, leased=0, scheduled=0, shelved=0),
        QueueView(QUEUE, paused=False, ready=1, leased=2, scheduled=1, shelved=2),
    ]


def test_workers_tell_what_they_hold_and_whether_they_live(
    database: Database, hands: Hands
) -> None:
    expired = Hands(database, "expired")
    gone = Hands(database, "gone")
    hands.submit(role="worker")
    hands.take()
    hands.conn.execute(
        "UPDATE lmx.workers SET expires_at = now() - interval '1 s' WHERE id = %s",
        [expired.worker],
    )
    hands.conn.execute("UPDATE lmx.workers SET stopped_at = now() WHERE id = %s", [gone.worker])
    expired.close()
    gone.close()

    seen = [(worker.name, worker.alive, worker.leased) for worker in list_workers(database)]
    assert seen == [("hands", True, 1), ("expired", False, 0)]
    assert [worker.name for worker in list_workers(database, stopped=True)][-1] == "gone"
