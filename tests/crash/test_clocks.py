"""The only clock is the database's: a worker whose own is an hour off does the same as others."""

import time

import pytest

from lmx.workflows.client import Client
from lmx.workflows.views import get_task
from tests.support.eventually import eventually
from tests.support.exact import assert_nothing_left, finish_all
from tests.support.shifted_clock import SHIFT
from tests.support.workers import Workers

PROGRAM = "tests.support.shifted_clock:main"


@pytest.fixture(params=[3600, -3600], ids=["fast", "slow"])
def shifted(workers: Workers, request: pytest.FixtureRequest) -> Workers:
    """Two workers whose clocks are an hour off."""
    for queue in ("coordinator", "default"):
        worker = workers.start(queue, program=PROGRAM, **{SHIFT: str(request.param)})
        workers.serving(worker)
    return workers


def test_a_sleep_takes_as_long_as_it_should(shifted: Workers, client: Client) -> None:
    run = client.submit("nap", 0.4)
    told = finish_all(shifted.database, [run])[run]
    assert 0.4 <= told["after"] - told["before"] < 20
    assert told["before"] == pytest.approx(time.time(), abs=60), "the database's time"


def test_delays_and_retries_take_as_long_as_they_should(shifted: Workers, client: Client) -> None:
    task = client.enqueue("leaf", args=[0, 2], delay=0.3)
    assert client.result(task, 20)
    view = get_task(shifted.database, task)
    assert view.attempts == 2
    assert view.started_at is not None and view.finished_at is not None
    assert 0.3 <= (view.started_at - view.created_at).total_seconds() < 20
    assert abs(view.finished_at.timestamp() - time.time()) < 60


def test_the_lease_of_a_shifted_worker_stands_while_it_works(
    shifted: Workers, client: Client
) -> None:
    """Beside it works one whose clock is right; neither takes the other for dead."""
    task = client.enqueue("gated", args=["one"])
    [note] = shifted.noted("gated")
    right = shifted.start("default")
    shifted.serving(right)
    beats = "SELECT count(*) FROM lmx.workers WHERE stopped_at IS NULL AND seen_at > %s"
    with shifted.database.connect() as conn:
        later = conn.execute("SELECT clock_timestamp() + interval '1.6 s'").fetchone()
        eventually(lambda: (conn.execute(beats, later).fetchone() or [0])[0] == 3, "heartbeats")
    shifted.open_gate("one")
    assert client.result(task, 20) == note["token"]
    assert_nothing_left(shifted.database)


def test_a_dead_shifted_worker_is_noticed_as_soon_as_any(shifted: Workers, client: Client) -> None:
    [doomed] = [worker for worker in shifted.started if worker.queue == "default"]
    task = client.enqueue("gated", args=["one"])
    shifted.noted("gated")
    doomed.kill()
    shifted.open_gate("one")
    shifted.start("default")
    assert client.result(task, 20)
    assert get_task(shifted.database, task).deliveries == 2


def test_a_deadline_passes_on_the_databases_clock(shifted: Workers, client: Client) -> None:
    late = client.enqueue("gated", args=["never"], timeout=0.3)
    in_time = client.enqueue("leaf", args=[0], timeout=600)
    assert client.result(in_time, 20)
    view = client.wait(late, 20)
    assert view.state == "failed"
    assert view.error is not None and view.error["kind"] == "deadline"
    assert_nothing_left(shifted.database)
