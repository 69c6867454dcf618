"""Children that may wait a day: their coordinator parks for them as for any other."""

from collections.abc import Iterator

import pytest

from lmx.workflows.client import Client
from lmx.workflows.coordinators import Context
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import TaskFailed
from lmx.workflows.registry import coordinator
from lmx.workflows.views import get_tree
from tests.support.batches import Batching
from tests.support.eventually import eventually
from tests.support.exact import assert_nothing_left
from tests.support.rehearsed import HAIKU, Rehearsed, profile
from tests.support.workers import Workers


@coordinator
def waits_for_batches(ctx: Context, count: int) -> int:
    """Let calls wait for half the price; return how many have answered."""
    asked = {"model": HAIKU, "prompt": "Count.", "max_tokens": 50, "when": "cheap"}
    return len(ctx.gather(*[ctx.generate(**asked) for _ in range(count)]))


@coordinator
def above(ctx: Context, count: int) -> int:
    """Leave it to another coordinator."""
    (counted,) = ctx.gather(ctx.spawn(waits_for_batches, count))
    return int(counted)


@pytest.fixture
def lane(database: Database) -> Iterator[Batching]:
    """A lane that sends when both calls wait."""
    with Rehearsed(profile()) as server:
        server.pace_batches(seconds=0)
        lane = Batching(database, "anthropic", server.url, enough=2)
        yield lane
        lane.close()


def test_a_coordinator_waits_for_batches_and_for_less_than_a_day_does_not_begin_to(
    served: Workers, client: Client, database: Database, lane: Batching
) -> None:
    run = client.submit("above", 2, nesting=1, budget={"usd": 10_000_000})
    hurried = client.submit("above", 2, nesting=1, timeout=3600)

    def parked() -> bool:
        return [task.state for task in get_tree(database, run)].count("ready") == 2

    eventually(parked, "two calls that wait for a batch")
    lane.round(2)
    assert client.result(run, 20) == 2
    assert_nothing_left(database)
    with pytest.raises(TaskFailed, match="a batch may take 24 h"):
        client.result(hurried, 20)
