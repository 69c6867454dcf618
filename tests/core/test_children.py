"""Coordinators and their children: spawn, gather, first, nesting, failure."""

from typing import Any

import pytest

from lmx.workflows.client import Client
from lmx.workflows.coordinators import ChildFailed, Context
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import InvalidInput, NotFound, TaskFailed
from lmx.workflows.registry import coordinator, worker
from lmx.workflows.views import get_task, get_tree
from tests.support.eventually import eventually
from tests.support.exact import assert_nothing_left
from tests.support.flows import note, wait_for_gate
from tests.support.workers import Workers


@worker(backoff=0.01)
def double(number: int) -> int:
    """Return twice a number."""
    return 2 * number


@worker(max_attempts=1)
def broken(message: str) -> None:
    """Raise."""
    raise ValueError(message)


@worker
def held(gate: str) -> str:
    """Wait for the test."""
    note("held", gate=gate)
    wait_for_gate(gate)
    return gate


@coordinator
def ordered(ctx: Context, count: int) -> list[int]:
    """Gather in another order than the children were spawned in, some twice."""
    children = [ctx.spawn(double, n) for n in range(count)]
    return ctx.gather(*reversed(children), children[0])


def test_results_come_in_the_order_in_which_they_are_asked_for(
    served: Workers, client: Client, database: Database
) -> None:
    run = client.submit("ordered", 4)
    assert client.result(run, 20) == [6, 4, 2, 0, 0]
    assert [view.key for view in get_tree(database, run)[1:]] == [
        "double",
        "double#2",
        "double#3",
        "double#4",
    ]


@coordinator
def empty(ctx: Context) -> list[Any]:
    """Gather nothing."""
    return ctx.gather()


def test_gathering_nothing_waits_for_nothing(served: Workers, client: Client) -> None:
    assert client.result(client.submit("empty"), 20) == []


@coordinator
def tolerant(ctx: Context) -> list[Any]:
    """Take failures as results."""
    found = ctx.gather(ctx.spawn(double, 1), ctx.spawn(broken, "no"), return_exceptions=True)
    failure = found[1]
    assert isinstance(failure, ChildFailed)
    return [found[0], failure.state, failure.error and failure.error["message"]]


def test_failures_may_be_taken_as_results(served: Workers, client: Client) -> None:
    assert client.result(client.submit("tolerant"), 20) == [2, "failed", "no"]


@coordinator
def thrice_broken(ctx: Context) -> list[Any]:
    """Gather more than one failure."""
    names = ("one", "two", "three")
    return ctx.gather(ctx.spawn(double, 1), *[ctx.spawn(broken, f"no {n}", key=n) for n in names])


def test_several_failures_are_all_named(served: Workers, client: Client) -> None:
    error = client.wait(client.submit("thrice_broken"), 20).error
    assert error is not None
    assert "child 'one'" in error["message"]
    assert error["message"].endswith(
        "failed: no one (nor did 2 of its siblings succeed: 'two', 'three')"
    )


@coordinator
def early(ctx: Context, number: int) -> None:
    """Fail with a child while others run and wait."""
    ctx.spawn(held, "never", key="running")
    ctx.spawn(double, number, key="delayed", delay=3600)
    ctx.gather(ctx.spawn(broken, "no good", key="bad"))


def test_a_failed_child_fails_its_coordinator_at_once(served: Workers, client: Client) -> None:
    run = client.submit("early", 1)
    with pytest.raises(TaskFailed, match=r"child 'bad' .* failed: no good"):
        client.result(run, 20)
    assert get_task(served.database, run).attempts == 1, "another attempt would meet the same"


def test_a_failing_coordinator_cancels_what_it_leaves_open(
    served: Workers, client: Client, database: Database
) -> None:
    run = client.submit("early", 1)
    assert client.wait(run, 20).state == "failed"
    states = {view.key: view.state for view in get_tree(database, run)[1:]}
    assert states == {"running": "cancelled", "delayed": "cancelled", "bad": "failed"}
    assert_nothing_left(database)


@coordinator
def race(ctx: Context, gate: str) -> list[Any]:
    """Take whichever is first, then the other."""
    slow, quick = ctx.spawn(held, gate), ctx.spawn(double, 5)
    first = ctx.first(slow, quick)
    ctx.step("chosen", note, "chosen", key=first.key)
    rest = ctx.gather(slow, quick)
    again = ctx.first(slow, quick)
    return [first.key, rest, again.key]


def test_the_first_to_finish_is_chosen_once_and_remembered(served: Workers, client: Client) -> None:
    run = client.submit("race", "slow")
    assert served.noted("chosen")[0]["key"] == "double"
    served.open_gate("slow")
    assert client.result(run, 20) == ["double", ["slow", 10], "held"]


@coordinator
def no_candidates(ctx: Context) -> None:
    """Ask for the first of none."""
    ctx.first()


def test_the_first_of_none_is_an_error(served: Workers, client: Client) -> None:
    with pytest.raises(TaskFailed, match="needs at least one child"):
        client.result(client.submit("no_candidates"), 20)


@coordinator
def forgetful(ctx: Context) -> str:
    """Return without gathering."""
    ctx.spawn(held, "late")
    ctx.spawn(double, 1)
    return "done"


def test_a_run_ends_only_when_all_its_children_have(
    served: Workers, client: Client, database: Database
) -> None:
    run = client.submit("forgetful")
    served.noted("held")
    assert get_task(database, run).state != "succeeded"
    served.open_gate("late")
    assert client.result(run, 20) == "done"
    assert {view.state for view in get_tree(database, run)} == {"succeeded"}


@coordinator
def nested(ctx: Context, depth: int, inner: int) -> list[Any]:
    """Spawn a coordinator beneath a coordinator, `depth` times."""
    if depth == 0:
        return ctx.gather(ctx.spawn(double, 1))
    return ctx.gather(ctx.spawn(nested, depth - 1, inner, nesting=inner))


@pytest.mark.parametrize("nesting", [1, 2])
def test_coordinators_nest_as_deep_as_the_run_allows(
    served: Workers, client: Client, nesting: int
) -> None:
    run = client.submit("nested", nesting, nesting, nesting=nesting)
    expected: Any = [2]
    for _ in range(nesting):
        expected = [expected]
    assert client.result(run, 20) == expected


@pytest.mark.parametrize("nesting", [0, 1])
def test_one_level_deeper_is_refused(
    served: Workers, client: Client, database: Database, nesting: int
) -> None:
    run = client.submit("nested", nesting + 1, 100, nesting=nesting)
    view = client.wait(run, 20)
    assert view.state == "failed"
    tree = get_tree(database, run)
    assert tree[-1].error is not None
    assert "may not nest coordinators any deeper" in tree[-1].error["message"]
    assert len(tree) == nesting + 1


@coordinator
def stranger(ctx: Context) -> None:
    """Spawn what no worker has."""
    ctx.gather(ctx.spawn("nobody has this", max_attempts=1))


def test_a_child_that_no_worker_knows_fails_with_its_name(served: Workers, client: Client) -> None:
    with pytest.raises(TaskFailed, match="no function is called 'nobody has this'"):
        client.result(client.submit("stranger"), 20)


@coordinator
def unregistered(ctx: Context) -> None:
    """Spawn a function that is no worker."""
    ctx.spawn(print, "x")


def test_only_registered_functions_can_be_spawned(served: Workers, client: Client) -> None:
    with pytest.raises(TaskFailed, match="neither a @worker nor a @coordinator"):
        client.result(client.submit("unregistered"), 20)


@coordinator
def patient(ctx: Context, number: int) -> int:
    """Wait for a child."""
    return int(ctx.gather(ctx.spawn(double, number))[0])


@coordinator
def crowd(ctx: Context, count: int) -> int:
    """Many coordinators, all waiting at once."""
    return sum(ctx.gather(*[ctx.spawn(patient, n) for n in range(count)]))


def test_parked_coordinators_hold_no_slot(
    workers: Workers, client: Client, database: Database
) -> None:
    """One slot serves a coordinator, the twenty beneath it and, in the end, their children."""
    workers.settings["LMX_WORKFLOWS"] = "tests.core.test_children"
    workers.start("coordinator", slots=1)
    run = client.submit("crowd", 20, nesting=1)
    with database.connect() as conn:
        query = "SELECT count(*) FROM lmx.tasks WHERE state = 'parked'"
        eventually(lambda: (conn.execute(query).fetchone() or [0])[0] == 21, "all of them parked")
    workers.start("default", slots=1)
    assert client.result(run, 20) == sum(2 * n for n in range(20))
    assert_nothing_left(database)


def test_a_submission_of_what_nobody_has_is_refused(served: Workers, client: Client) -> None:
    with pytest.raises(NotFound, match="no workflow or worker function is called 'nothing'"):
        client.submit("nothing")
    with pytest.raises(InvalidInput):
        client.submit("patient", 1, nesting=-1)
