"""SIGTERM: what was begun is finished, what was not goes back at once, as if never claimed."""

import signal

from lmx.workflows.client import Client
from lmx.workflows.views import get_task
from tests.support.eventually import eventually
from tests.support.exact import assert_nothing_left, finish_all
from tests.support.workers import Workers


def leaves(client: Client, count: int) -> list[int]:
    return client.enqueue_many("leaf", [{"args": [n], "kwargs": {}} for n in range(count)])


def test_what_was_begun_is_finished_by_the_process_that_stops(
    workers: Workers, client: Client
) -> None:
    worker = workers.start("default", slots=2)
    begun = [client.enqueue("gated", args=["one"]) for _ in range(2)]
    workers.noted("gated", 2)
    worker.send(signal.SIGTERM)
    said_so(workers, "stopping")
    workers.open_gate("one")
    outputs = finish_all(workers.database, begun)
    worker.wait_gone()
    assert set(outputs.values()) == {note["token"] for note in workers.notes("gated")}
    assert [get_task(workers.database, task).deliveries for task in begun] == [1, 1]


def test_others_take_what_was_not_begun_while_the_process_still_finishes(
    workers: Workers, client: Client
) -> None:
    """Nothing waits for the grace period of a process that will not begin it any more."""
    worker = workers.start("default", slots=2)
    begun = client.enqueue("gated", args=["one"])
    workers.noted("gated")
    worker.send(signal.SIGTERM)
    said_so(workers, "stopping")
    waiting = leaves(client, 5)
    workers.start("default")
    finish_all(workers.database, waiting)
    assert worker.alive, "it still finishes what it began"
    assert {get_task(workers.database, task).deliveries for task in waiting} == {1}
    workers.open_gate("one")
    finish_all(workers.database, [begun])
    worker.wait_gone()
    assert_nothing_left(workers.database)


def test_what_was_claimed_and_not_begun_does_not_count_as_delivered(
    workers: Workers, client: Client
) -> None:
    worker = workers.start("default", slots=4)
    workers.serving(worker)
    tasks = leaves(client, 400)
    workers.noted("leaf", 20)
    worker.send(signal.SIGTERM)
    worker.wait_gone()
    with workers.database.connect() as conn:
        query = "SELECT count(*) FROM lmx.tasks WHERE state <> 'succeeded' AND deliveries <> 0"
        assert conn.execute(query).fetchone() == (0,)
    workers.start("default")
    finish_all(workers.database, tasks)
    assert set(workers.executions("leaf").values()) == {1}, "none was run twice"
    assert_nothing_left(workers.database)


def test_a_coordinator_goes_on_in_another_process(workers: Workers, client: Client) -> None:
    worker = workers.start("coordinator")
    run = client.submit("slow_branches", "held")
    workers.noted("held")
    worker.send(signal.SIGTERM)
    said_so(workers, "stopping")
    workers.open_gate("held")
    worker.wait_gone()
    workers.start("coordinator")
    workers.start("default")
    finish_all(workers.database, [run])
    assert len(workers.notes("held")) == len(workers.notes("before")) == 1
    assert_nothing_left(workers.database)


def test_what_outlasts_the_grace_period_is_taken_over(workers: Workers, client: Client) -> None:
    worker = workers.start("default", LMX_SHUTDOWN_GRACE_S="0.2")
    task = client.enqueue("gated", args=["one"])
    [first] = workers.noted("gated")
    worker.send(signal.SIGTERM)
    worker.wait_gone()
    workers.open_gate("one")
    workers.start("default")
    assert client.result(task, 20) != first["token"]
    assert_nothing_left(workers.database)


def said_so(workers: Workers, text: str) -> None:
    """Wait until a process has printed a text."""
    eventually(lambda: text in workers.log.read_text(), f"{text!r} in the log")
