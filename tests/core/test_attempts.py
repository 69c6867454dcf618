"""What becomes of worker functions that fail, take too long, are cancelled or tell of progress."""

import itertools
import sys
import time
from typing import Any

import pytest

from lmx.workflows.client import Client
from lmx.workflows.control import cancel
from lmx.workflows.coordinators import Context
from lmx.workflows.current import current_task
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import InvalidInput, Refused, TaskFailed
from lmx.workflows.registry import coordinator, worker
from lmx.workflows.views import get_task, get_tree, run_events
from tests.support.eventually import eventually
from tests.support.exact import assert_nothing_left
from tests.support.flows import note, wait_for_gate
from tests.support.workers import Workers


@worker(max_attempts=3, backoff=0.05, max_backoff=0.06)
def unlucky(failures: int) -> int:
    """Fail some times, then return the attempt."""
    attempt = current_task().attempt
    note("unlucky", task=current_task().task_id, at=time.monotonic())
    if attempt <= failures:
        raise ConnectionError(f"attempt {attempt}")
    return attempt


def test_a_failed_attempt_is_repeated_after_a_pause(served: Workers, client: Client) -> None:
    task = client.enqueue("unlucky", args=[2])
    assert client.result(task, 20) == 3
    times = [one["at"] for one in served.notes("unlucky")]
    assert all(later - sooner >= 0.025 for sooner, later in itertools.pairwise(times))
    retries = [event for event in run_events(served.database, task) if event.kind == "retry"]
    assert [event.data["message"] for event in retries if event.data] == ["attempt 1", "attempt 2"]


def test_the_last_failure_is_kept_with_the_dead_letter(served: Workers, client: Client) -> None:
    task = client.enqueue("unlucky", args=[9])
    with pytest.raises(TaskFailed, match="attempt 3"):
        client.result(task, 20)
    view = get_task(served.database, task)
    assert view.attempts == 3
    assert view.error is not None
    assert (view.error["kind"], view.error["type"]) == ("exception", "ConnectionError")
    assert "unlucky" in view.error["traceback"]


@worker(backoff=0.01)
def hopeless(kind: str) -> None:
    """Raise what another attempt would meet again."""
    note("hopeless")
    raise InvalidInput("bad") if kind == "input" else Refused("not allowed")


@pytest.mark.parametrize(("kind", "code"), [("input", "invalid_input"), ("rule", "refused")])
def test_bad_input_and_refusals_are_final(
    served: Workers, client: Client, kind: str, code: str
) -> None:
    view = client.wait(client.enqueue("hopeless", args=[kind]), 20)
    assert view.error is not None and view.error["kind"] == code
    assert len(served.notes("hopeless")) == 1


UNSTORABLE = {"set": {1, 2}, "infinity": {"loss": float("inf")}}


@worker
def unstorable(kind: str) -> Any:
    """Return what JSON cannot hold."""
    return UNSTORABLE[kind]


@pytest.mark.parametrize(
    ("kind", "told"), [("set", "not a JSON value"), ("infinity", "the result contains inf at loss")]
)
def test_a_result_that_cannot_be_stored_fails_the_task(
    served: Workers, client: Client, kind: str, told: str
) -> None:
    with pytest.raises(TaskFailed, match=told):
        client.result(client.enqueue("unstorable", args=[kind]), 20)


@worker(max_attempts=1)
def leaving(how: str) -> None:
    """End in a way whose own words tell little."""
    if how == "exit":
        sys.exit(2)
    raise KeyError("colour") if how == "key" else ValueError("half a \ud800 pair")


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("exit", "SystemExit: 2"),
        ("key", "KeyError: 'colour'"),
        ("surrogate", "half a \\ud800 pair"),
    ],
)
def test_a_failure_tells_what_it_was(served: Workers, client: Client, how: str, told: str) -> None:
    view = client.wait(client.enqueue("leaving", args=[how]), 20)
    assert view.state == "failed"
    assert view.error is not None and view.error["message"] == told


@worker(max_attempts=2, backoff=0.01, time_limit=0.2)
def endless(attempts: int) -> str:
    """Run until stopped, in the first `attempts` attempts."""
    note("endless")
    if current_task().attempt > attempts:
        return "done"
    while True:
        time.sleep(0.01)


def test_an_attempt_over_its_time_limit_is_stopped_and_repeated(
    served: Workers, client: Client
) -> None:
    task = client.enqueue("endless", args=[1])
    assert client.result(task, 20) == "done"
    assert get_task(served.database, task).attempts == 1


def test_a_task_whose_attempts_all_took_too_long_fails(served: Workers, client: Client) -> None:
    task = client.enqueue("endless", args=[9])
    view = client.wait(task, 20)
    assert view.state == "failed"
    assert view.error is not None and view.error["type"] == "TimeLimitExceeded"
    assert len(served.notes("endless")) == 2


@worker
def busy() -> str:
    """Work until stopped; tell if that happens."""
    note("busy", task=current_task().task_id)
    try:
        while True:
            time.sleep(0.01)
    finally:
        note("stopped", task=current_task().task_id)


@worker
def small() -> str:
    """End at once."""
    return note("small")


def test_a_cancelled_task_is_stopped_where_it_runs(
    served: Workers, client: Client, database: Database
) -> None:
    task = client.enqueue("busy")
    served.noted("busy")
    assert cancel(database, task) == 1
    served.noted("stopped")
    assert client.wait(task, 20).state == "cancelled"
    assert client.result(client.enqueue("small"), 20), "the slot is free again"
    assert get_task(database, task).state == "cancelled"


@coordinator
def boss(ctx: Context, count: int) -> None:
    """Have work done that does not end."""
    ctx.gather(*[ctx.spawn(busy) for _ in range(count)])


def test_cancelling_a_run_stops_everything_beneath_it(
    served: Workers, client: Client, database: Database
) -> None:
    run = client.submit("boss", 3)
    served.noted("busy", 3)
    assert cancel(database, run) == 4
    served.noted("stopped", 3)
    assert {view.state for view in get_tree(database, run)} == {"cancelled"}
    assert_nothing_left(database)


@pytest.mark.parametrize("state", ["scheduled", "ready", "leased"])
def test_a_deadline_ends_a_task_in_any_state(served: Workers, client: Client, state: str) -> None:
    options: dict[str, Any] = {
        "scheduled": {"delay": 3600},
        "ready": {"queue": "nobody serves this"},
        "leased": {},
    }[state]
    task = client.enqueue("gated", args=["never"], timeout=0.3, **options)
    view = client.wait(task, 20)
    assert view.state == "failed"
    assert view.error is not None and view.error["kind"] == "deadline"
    assert_nothing_left(served.database)


def test_a_task_whose_deadline_passed_while_it_waited_is_not_begun(
    workers: Workers, client: Client
) -> None:
    workers.settings["LMX_WORKFLOWS"] = "tests.core.test_attempts"
    task = client.enqueue("unlucky", args=[0], queue="default", timeout=0.001)
    with workers.database.connect() as conn:
        late = "SELECT deadline < clock_timestamp() FROM lmx.tasks WHERE id = %s"
        eventually(lambda: conn.execute(late, [task]).fetchone() == (True,), "a passed deadline")
    workers.start("default")
    view = client.wait(task, 20)
    assert view.error is not None and view.error["kind"] == "deadline"
    assert workers.notes("unlucky") == []


@worker
def talker(gate: str) -> str:
    """Report progress while it works."""
    current_task().report(done=3, of=10)
    note("talker")
    wait_for_gate(gate)
    return "done"


def test_progress_shows_while_a_task_runs(
    served: Workers, client: Client, database: Database
) -> None:
    task = client.enqueue("talker", args=["end"])
    expected = {"done": 3, "of": 10}
    eventually(lambda: get_task(database, task).progress == expected, "its progress")
    served.open_gate("end")
    assert client.result(task, 20) == "done"


@coordinator(max_attempts=2, backoff=0.01)
def raising(ctx: Context) -> None:
    """Fail after a child has done its work."""
    ctx.gather(ctx.spawn(small))
    note("raising")
    raise LookupError("lost")


def test_a_coordinator_that_raises_is_tried_again_from_its_records(
    served: Workers, client: Client
) -> None:
    run = client.submit("raising")
    with pytest.raises(TaskFailed, match="lost"):
        client.result(run, 20)
    assert len(served.notes("small")) == 1
    assert len(served.notes("raising")) == 2
