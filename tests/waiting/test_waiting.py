"""Waiting for tasks to finish."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from lmx.workflows.database.connect import Database
from lmx.workflows.errors import NotFound, TimedOut
from lmx.workflows.views import TaskView
from lmx.workflows.waiting import Waiter, wait_for_task
from tests.support.eventually import eventually
from tests.support.hands import Hands
from tests.support.leaks import Holdings, left_behind


def test_a_task_that_has_finished_is_answered_at_once(database: Database, hands: Hands) -> None:
    task = hands.submit(role="worker")
    hands.finish(hands.take(), 42)

    assert wait_for_task(database, task, timeout=5).output == 42


def test_a_waiter_hears_of_the_finish_without_polling(database: Database, hands: Hands) -> None:
    waiter = Waiter(database, poll_s=60)
    task = hands.submit(role="worker")
    watched = waiter.watch(task)
    eventually(lambda: hands.connections_of_others() == 1, "the waiter's connection")

    hands.finish(hands.take(), "done")

    assert watched.result(timeout=10).output == "done"


def test_a_lost_notification_costs_one_poll(database: Database, hands: Hands) -> None:
    waiter = Waiter(database, poll_s=0.05)
    task = hands.submit(role="worker")
    watched = waiter.watch(task)
    hands.conn.execute(
        "UPDATE lmx.tasks SET state = 'succeeded', finished_at = now() WHERE id = %s", [task]
    )

    assert watched.result(timeout=10).state == "succeeded"


def test_a_wait_ends_when_its_time_is_up(database: Database, hands: Hands) -> None:
    task = hands.submit(role="worker")

    with pytest.raises(TimedOut, match=f"task {task} has not finished within 0.01 s"):
        wait_for_task(database, task, timeout=0.01)


def test_an_unknown_task_is_not_waited_for(database: Database) -> None:
    with pytest.raises(NotFound, match="there is no task 77"):
        wait_for_task(database, 77, timeout=5)


def test_a_thousand_threads_wait_on_one_connection(database: Database, hands: Hands) -> None:
    ids = [hands.submit(role="worker") for _ in range(1000)]
    waiter = Waiter(database)
    started = threading.Barrier(1001)

    def wait(task_id: int) -> TaskView:
        started.wait()
        return waiter.wait(task_id, timeout=60)

    threading.stack_size(256 * 1024)
    with ThreadPoolExecutor(1000) as pool:
        answers = [pool.submit(wait, task_id) for task_id in ids]
        started.wait()
        while leases := hands.claim(slots=100):
            for lease in leases:
                hands.finish(lease, lease.task_id)
            assert hands.connections_of_others() <= 1
        assert [answer.result().output for answer in answers] == ids
    threading.stack_size(0)


def test_waiters_outlive_the_loss_of_their_connection(database: Database, hands: Hands) -> None:
    waiter = Waiter(database, poll_s=60)
    task = hands.submit(role="worker")
    watched = waiter.watch(task)
    eventually(lambda: hands.connections_of_others() == 1, "the waiter's connection")
    hands.conn.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    hands.finish(hands.take(), "still here")

    assert watched.result(timeout=10).output == "still here"


def test_a_coroutine_can_wait(database: Database, hands: Hands) -> None:
    task = hands.submit(role="worker")
    waiter = Waiter(database)

    async def wait() -> TaskView:
        watched = asyncio.wrap_future(waiter.watch(task))
        await asyncio.to_thread(lambda: hands.finish(hands.take(), "async"))
        return await asyncio.wait_for(watched, 10)

    assert asyncio.run(wait()).output == "async"


def test_the_connection_is_given_up_when_nobody_waits(database: Database, hands: Hands) -> None:
    waiter = Waiter(database, poll_s=0.01, linger_s=0.0)
    task = hands.submit(role="worker")
    with pytest.raises(TimedOut):
        waiter.wait(task, timeout=0.2)

    eventually(lambda: hands.connections_of_others() == 0, "the end of the waiter's connection")


def test_a_waiter_that_nobody_needs_holds_no_descriptor(database: Database, hands: Hands) -> None:
    before = Holdings.now()
    waiter = Waiter(database, linger_s=0.0)
    task = hands.submit(role="worker")
    hands.finish(hands.take())
    for _ in range(2):
        assert waiter.wait(task, timeout=10).state == "succeeded"
        assert left_behind(before) == []
