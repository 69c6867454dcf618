"""One faithful provider for the tests that need no limits of their own."""

from collections.abc import Iterator
from typing import Any

import pytest

from lmx.workflows.database.connect import Database
from tests.support.batches import Batching, StartLane
from tests.support.command import lmx as lmx
from tests.support.pools import Pools
from tests.support.rehearsed import Rehearsed, profile


@pytest.fixture(scope="session")
def generous() -> Iterator[Rehearsed]:
    with Rehearsed(profile()) as server:
        yield server


@pytest.fixture
def rehearsed(generous: Rehearsed) -> Iterator[Rehearsed]:
    """The generous provider, without faults.

    It knows no batches of other tests: they would be waited for, as they might be this test's.
    """
    generous.fail()
    generous.forget_batches()
    yield generous
    generous.fail()


@pytest.fixture
def pools(database: Database) -> Iterator[Pools]:
    pools = Pools(database)
    yield pools
    pools.hands.close()


@pytest.fixture
def start(database: Database, rehearsed: Rehearsed) -> Iterator[StartLane]:
    """Starts lanes; the provider ends batches at once unless it is told otherwise."""
    rehearsed.pace_batches(seconds=0)
    started: list[Batching] = []

    def start(provider: str = "anthropic", **terms: Any) -> Batching:
        started.append(Batching(database, provider, rehearsed.url, **terms))
        return started[-1]

    yield start
    for one in started:
        one.close()
    rehearsed.pace_batches(seconds=0)
