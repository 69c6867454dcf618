"""Steps are recorded once and by name; every replay returns what was recorded."""

import os
from pathlib import Path
from typing import Any

import pytest

from lmx.workflows.client import Client
from lmx.workflows.control import fork, signal
from lmx.workflows.coordinators import Context
from lmx.workflows.database.connect import Database
from lmx.workflows.registry import coordinator, worker
from lmx.workflows.views import get_task
from tests.support.eventually import eventually
from tests.support.flows import note
from tests.support.workers import Workers


@worker
def wake() -> None:
    """Make whoever waits for it replay."""


@coordinator
def replayed(ctx: Context, times: int) -> list[Any]:
    """Run a step before each of some waits."""
    tokens = []
    for _ in range(times):
        tokens.append(ctx.step("count", note, "count"))
        ctx.gather(ctx.spawn(wake))
    return tokens


def test_a_recorded_step_is_not_run_again_however_often_its_coordinator_is_replayed(
    served: Workers, client: Client
) -> None:
    tokens = client.result(client.submit("replayed", 5), 20)
    assert [one["token"] for one in served.notes("count")] == tokens
    assert len(set(tokens)) == 5, "repeated names are numbered"


@coordinator
def shapes(ctx: Context) -> dict[str, Any]:
    """Return what a step gives before and after a replay."""
    told = {
        "tuple": ctx.step("tuple", lambda: (1, 2)),
        "keys": ctx.step("keys", lambda: {1: "one"}),
        "none": ctx.step("none", lambda: note("none") and None),
        "text": ctx.step("text", lambda: 'Grüße\n"\\u0000" is escaped'),
    }
    seen = ctx.step("first pass", dict, told)
    ctx.gather(ctx.spawn(wake))
    return {"now": told, "then": seen}


def test_a_step_returns_at_once_what_a_replay_will_return(served: Workers, client: Client) -> None:
    told = client.result(client.submit("shapes"), 20)
    assert told["now"] == told["then"]
    assert told["now"]["tuple"] == [1, 2]
    assert told["now"]["keys"] == {"1": "one"}
    assert len(served.notes("none")) == 1, "a result of None is a record, too"


@coordinator
def in_order(ctx: Context) -> list[list[str]]:
    """Iterate over an object before and after a replay."""
    plan = ctx.step("plan", lambda: {"zebra": 1, "ox": {"bb": 2, "aa": 3}, "ant": 4})
    order = [*plan, *plan["ox"]]
    seen = ctx.step("order", list, order)
    ctx.gather(ctx.spawn(wake))
    return [seen, order]


def test_an_object_has_the_same_order_in_every_replay(served: Workers, client: Client) -> None:
    """A coordinator may spawn a child for each of its keys."""
    then, now = client.result(client.submit("in_order"), 20)
    assert then == now


@coordinator(backoff=0.01)
def flaky_step(ctx: Context) -> list[str]:
    """Fail in the second step, the first time."""
    first = ctx.step("first", note, "first")
    return [first, ctx.step("second", _fail_once)]


def _fail_once() -> str:
    token = note("second")
    marker = Path(os.environ["LMX_TEST_NOTES"] + ".failed")
    if not marker.exists():
        marker.touch()
        raise RuntimeError("the first time it fails")
    return token


def test_a_step_that_raised_is_run_again_but_not_those_before_it(
    served: Workers, client: Client
) -> None:
    run = client.submit("flaky_step")
    first, second = client.result(run, 20)
    assert [one["token"] for one in served.notes("first")] == [first]
    assert [one["token"] for one in served.notes("second")][1:] == [second]
    assert get_task(served.database, run).attempts == 1


@coordinator
def bad_steps(ctx: Context, kind: str) -> Any:
    """Use a step wrongly."""
    if kind == "name":
        return ctx.step("with:colon", note, "never")
    if kind == "set":
        return ctx.step("set", lambda: {1, 2})
    if kind == "nan":
        return ctx.step("nan", lambda: {"scores": [1.0, float("nan")]})
    return ctx.step("nul", lambda: "a\x00b")


def test_what_cannot_be_recorded_fails_the_run_at_once_with_a_reason(
    served: Workers, client: Client
) -> None:
    expected = {
        "name": "cannot name a step",
        "set": "not a JSON value",
        "nan": "the result of 'nan' contains nan at scores[1]",
        "nul": "NUL",
    }
    for kind, message in expected.items():
        view = client.wait(client.submit("bad_steps", kind), 20)
        assert view.state == "failed"
        assert view.error is not None and message in view.error["message"]
        assert view.attempts == 1, "another attempt would meet the same"
    assert served.notes("never") == []


VERSION_1 = """
from lmx.workflows import Context, coordinator
from tests.support.flows import note

@coordinator
def deployed(ctx):
    one = ctx.step("one", note, "one")
    two = ctx.step("two", note, "two")
    ctx.wait_for("go on")
    return [one, two]
"""
VERSION_2 = """
from lmx.workflows import Context, coordinator
from tests.support.flows import note

@coordinator
def deployed(ctx):
    two = ctx.step("two", note, "two")
    new = ctx.step("new", note, "new")
    one = ctx.step("one", note, "one")
    ctx.wait_for("go on")
    return [one, two, new]
"""


def test_new_code_may_be_deployed_between_two_wake_ups(
    workers: Workers, client: Client, database: Database, tmp_path: Path
) -> None:
    """Steps are found by their names, wherever they stand now."""
    module = tmp_path / "deployed.py"
    workers.settings["LMX_WORKFLOWS"] = str(module)
    module.write_text(VERSION_1)
    old = workers.start("coordinator")
    workers.serving(old)
    run = client.submit("deployed")
    eventually(lambda: get_task(database, run).state == "parked", "the wait")
    old.kill()
    module.write_text(VERSION_2)
    workers.start("coordinator")
    signal(database, run, "go on")
    one, two, new = client.result(run, 20)
    assert {what: [n["token"] for n in workers.notes(what)] for what in ("one", "two", "new")} == {
        "one": [one],
        "two": [two],
        "new": [new],
    }


@coordinator
def forkable(ctx: Context) -> list[Any]:
    """Three steps and a child."""
    one = ctx.step("one", note, "one")
    child = ctx.gather(ctx.spawn(token, key="child"))[0]
    return [one, child, ctx.step("two", note, "two"), ctx.step("three", note, "three")]


@worker
def token() -> str:
    """Return a token."""
    return note("child")


def test_a_fork_repeats_nothing_from_before_its_step(
    served: Workers, client: Client, database: Database
) -> None:
    run = client.submit("forkable")
    original = client.result(run, 20)
    forked = client.result(fork(database, run, "two"), 20)
    assert forked[:2] == original[:2]
    assert not set(forked[2:]) & set(original[2:])
    assert len(served.notes("one")) == len(served.notes("child")) == 1
    assert len(served.notes("two")) == len(served.notes("three")) == 2


NAMES = {"none": "", "NUL": "a\0b", "number": "a#2", "colon": "a:b", "long": "a" * 100_000}


@coordinator(max_attempts=1)
def misnaming(ctx: Context, what: str, which: str) -> None:
    """Use a name that cannot be recorded."""
    uses = {
        "step": lambda: ctx.step(NAMES[which], int),
        "child": lambda: ctx.spawn(wake, key=NAMES[which] or "#"),
        "signal": lambda: ctx.wait_for(NAMES[which], timeout=1),
    }
    uses[what]()


@pytest.mark.parametrize("what", ["step", "child", "signal"])
def test_a_name_that_cannot_be_recorded_is_refused_in_one_short_line(
    served: Workers, client: Client, what: str
) -> None:
    for which in NAMES:
        error = client.wait(client.submit("misnaming", what, which), 20).error
        assert error is not None
        assert "cannot name a" in error["message"]
        assert len(error["message"]) < 300


@coordinator(max_attempts=1)
def misusing(ctx: Context, what: str) -> None:
    """Give something that makes no sense."""
    uses = {
        "no child": lambda: ctx.gather([ctx.spawn(wake)]),  # type: ignore[arg-type]
        "timeout": lambda: ctx.wait_for("never", timeout=float("nan")),
        "budget": lambda: ctx.spawn(wake, budget={"usd": 0.5}),  # type: ignore[dict-item]
        "result": lambda: ctx.step("large", lambda: "x" * (33 << 20)),
    }
    uses[what]()


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("no child", "a list is no child"),
        ("timeout", "a timeout of nan s"),
        ("budget", "the budget in usd is 0.5"),
        ("result", "the result of 'large' is 33 MiB"),
    ],
)
def test_what_makes_no_sense_is_refused_and_named(
    served: Workers, client: Client, what: str, text: str
) -> None:
    error = client.wait(client.submit("misusing", what), 20).error
    assert error is not None
    assert text in error["message"]
