"""Sleeping, and waiting for signals, on the database's clock and without a slot."""

from typing import Any

from lmx.workflows.client import Client
from lmx.workflows.control import signal
from lmx.workflows.coordinators import Context
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import TimedOut
from lmx.workflows.registry import coordinator, worker
from lmx.workflows.views import get_task
from tests.support.eventually import eventually
from tests.support.exact import assert_nothing_left
from tests.support.flows import note
from tests.support.workers import Workers


@coordinator
def sleeper(ctx: Context, *seconds: float) -> list[float]:
    """Sleep some times and tell the time after each."""
    times = [ctx.now()]
    for pause in seconds:
        ctx.sleep(pause)
        times.append(ctx.now())
    return times


def test_a_sleep_lasts_at_least_its_time(served: Workers, client: Client) -> None:
    start, first, second = client.result(client.submit("sleeper", 0.2, 0.3), 20)
    assert first - start >= 0.2
    assert second - first >= 0.3


def test_a_sleep_of_no_time_goes_straight_on(served: Workers, client: Client) -> None:
    run = client.submit("sleeper", 0)
    start, end = client.result(run, 20)
    assert end >= start


def test_an_impossible_sleep_is_refused(served: Workers, client: Client) -> None:
    view = client.wait(client.submit("sleeper", -1), 20)
    assert view.error is not None
    assert view.error["message"] == "a sleep of -1 s; it must be from 0 to ten years"


@coordinator
def listener(ctx: Context, count: int, timeout: float | None = None) -> list[Any]:
    """Wait for signals called `news`."""
    heard: list[Any] = []
    for _ in range(count):
        try:
            heard.append(ctx.wait_for("news", timeout))
        except TimedOut:
            heard.append("nothing")
            ctx.step("told", note, "timed out")
    return heard


def parked(database: Database, run: int) -> None:
    eventually(lambda: get_task(database, run).state == "parked", "a parked coordinator")


def test_a_waiting_coordinator_is_woken_by_its_signal(
    served: Workers, client: Client, database: Database
) -> None:
    run = client.submit("listener", 1)
    parked(database, run)
    assert get_task(database, run).waiting_for == "news"
    signal(database, run, "news", {"good": True})
    assert client.result(run, 20) == [{"good": True}]
    assert_nothing_left(database)


def test_signals_that_come_before_the_wait_are_kept_in_order(
    workers: Workers, client: Client, database: Database
) -> None:
    workers.serving(workers.start("coordinator", LMX_WORKFLOWS="tests.core.test_waits"))
    workers.started[0].kill()
    run = client.submit("listener", 3)
    for number in range(3):
        signal(database, run, "news", number)
    workers.start("coordinator", LMX_WORKFLOWS="tests.core.test_waits")
    assert client.result(run, 20) == [0, 1, 2]


def test_a_signal_of_another_name_wakes_nobody(
    served: Workers, client: Client, database: Database
) -> None:
    run = client.submit("listener", 1)
    parked(database, run)
    signal(database, run, "other", 1)
    assert get_task(database, run).state == "parked"
    signal(database, run, "news", 2)
    assert client.result(run, 20) == [2]


def test_a_wait_that_times_out_does_so_in_every_replay(
    served: Workers, client: Client, database: Database
) -> None:
    run = client.submit("listener", 2, 0.2)
    served.noted("timed out", 1)
    assert client.result(run, 20) == ["nothing", "nothing"]
    assert_nothing_left(database)


def test_a_signal_after_a_timeout_belongs_to_the_next_wait(
    served: Workers, client: Client, database: Database
) -> None:
    run = client.submit("patient_after_timeout")
    served.noted("timed out")
    parked(database, run)
    signal(database, run, "news", "late")
    assert client.result(run, 20) == ["nothing", "late"]


@coordinator
def patient_after_timeout(ctx: Context) -> list[Any]:
    """Wait briefly, then for as long as it takes."""
    heard: list[Any] = []
    try:
        heard.append(ctx.wait_for("news", 0.1))
    except TimedOut:
        heard.append("nothing")
        ctx.step("told", note, "timed out")
    heard.append(ctx.wait_for("news"))
    return heard


@worker
def quick() -> str:
    """A child that ends while its parent waits for something else."""
    return "quick"


@coordinator
def busy_listener(ctx: Context) -> list[Any]:
    """Wait for a signal while a child runs, then gather it."""
    child = ctx.spawn(quick)
    heard = ctx.wait_for("news")
    return [heard, *ctx.gather(child)]


def test_a_child_that_ends_does_not_end_a_wait_for_a_signal(
    served: Workers, client: Client, database: Database
) -> None:
    run = client.submit("busy_listener")
    with database.connect() as conn:
        query = "SELECT state::text FROM lmx.tasks WHERE parent_id = %s"
        done = [("succeeded",)]
        eventually(lambda: conn.execute(query, [run]).fetchall() == done, "the child's end")
    parked(database, run)
    signal(database, run, "news", "heard")
    assert client.result(run, 20) == ["heard", "quick"]
    assert_nothing_left(database)


@coordinator
def notebook(ctx: Context) -> dict[str, Any]:
    """Use the run's memory before and after a replay."""
    seen: dict[str, Any] = {"missing": ctx.memory.get("plan", "none")}
    ctx.memory.set("plan", {"steps": [1, 2]})
    seen["plan"] = ctx.memory.get("plan")
    ctx.memory.set("plan", "changed")
    ctx.memory.set("scratch", 1)
    seen["keys"] = ctx.memory.keys()
    ctx.gather(ctx.spawn(quick))
    ctx.memory.delete("scratch")
    seen["later"] = ctx.memory.keys()
    seen["null"] = ctx.memory.get("scratch", "gone")
    return seen


def test_the_runs_memory_is_read_in_a_replay_as_it_was_read_at_first(
    served: Workers, client: Client, database: Database
) -> None:
    run = client.submit("notebook")
    assert client.result(run, 20) == {
        "missing": "none",
        "plan": {"steps": [1, 2]},
        "keys": ["plan", "scratch"],
        "later": ["plan"],
        "null": "gone",
    }
    with database.connect() as conn:
        rows = conn.execute("SELECT key, value, version FROM lmx.memory").fetchall()
    assert rows == [("plan", "changed", 2)]
