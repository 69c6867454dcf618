"""How soon tasks run again: at once on the same host, after the lease when the host is gone."""

import socket

import pytest

from lmx.workflows.client import Client
from lmx.workflows.views import get_task
from tests.support.exact import assert_nothing_left, finish_all
from tests.support.hands import Hands
from tests.support.workers import Workers

SLOTS = 16


def test_the_tasks_of_a_killed_process_run_again_before_its_lease_has_expired(
    workers: Workers, client: Client
) -> None:
    """A restart on the same host finds the dead process's tasks by its pid, not by a timeout."""
    long = {"LMX_LEASE_S": "3600", "LMX_HEARTBEAT_S": "600"}
    worker = workers.start("default", slots=SLOTS, **long)
    tasks = [client.enqueue("gated", args=["one"]) for _ in range(SLOTS)]
    workers.noted("gated", SLOTS)
    worker.kill()
    again = workers.start("default", slots=SLOTS, **long)
    notes = workers.noted("gated", 2 * SLOTS)
    workers.open_gate("one")
    finish_all(workers.database, tasks)
    assert {note["pid"] for note in notes[SLOTS:]} == {again.pid}
    assert_nothing_left(workers.database)


def test_a_neighbour_notices_a_killed_process_with_its_next_heartbeat(
    workers: Workers, client: Client
) -> None:
    worker = workers.start("default", LMX_LEASE_S="3600", LMX_HEARTBEAT_S="600")
    task = client.enqueue("gated", args=["one"])
    workers.noted("gated")
    workers.serving(workers.start("default"))
    worker.kill()
    workers.noted("gated", 2)
    workers.open_gate("one")
    finish_all(workers.database, [task])


@pytest.mark.parametrize("host", ["elsewhere", socket.gethostname()])
def test_the_silent_worker_of_another_machine_keeps_its_tasks_until_its_lease_ends(
    workers: Workers, client: Client, host: str
) -> None:
    """Another machine may have the same host name; its boot id differs."""
    hands = Hands(workers.database)
    hands.conn.execute("UPDATE lmx.workers SET host = %s", [host])
    task = hands.submit(role="worker")
    lease = hands.take()
    workers.serving(workers.start("default"))
    finish_all(workers.database, [client.enqueue("leaf", args=[1])])
    assert get_task(workers.database, task).state == "leased"
    assert hands.finish(lease, "in time")
    hands.close()


def test_a_worker_last_seen_before_this_host_booted_is_dead_at_once(workers: Workers) -> None:
    hands = Hands(workers.database)
    task = hands.submit(role="worker")
    hands.take()
    hands.conn.execute(
        "UPDATE lmx.workers SET host = %s, boot_id = 'an earlier boot',"
        " seen_at = now() - interval '100 years'",
        [socket.gethostname()],
    )
    workers.serving(workers.start("default"))
    assert hands.state(task) == "ready"
    hands.close()
