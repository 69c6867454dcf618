"""Many calls at once on one thread: how each begins, ends, is stopped or broken off."""

import asyncio
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from lmx.workers.cloud.flights import Flights
from lmx.workers.running import Execution, Running, TimeLimitExceeded
from lmx.workflows.lease import Lease
from lmx.workflows.operations import Operation
from tests.support.leases import lease_of

SOON_S = 10.0


@dataclass
class Airport:
    """Flights whose calls wait at a gate, and what was settled of them."""

    running: Running = field(default_factory=Running)
    settled: "queue.SimpleQueue[tuple[int, list[Operation]]]" = field(
        default_factory=queue.SimpleQueue
    )
    threads: set[int] = field(default_factory=set)
    waiting: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.flights = Flights(self.call, self.running, self.settle, self.failed)
        self.flights.start()

    async def call(self, execution: Execution) -> list[Operation]:
        self.threads.add(threading.get_ident())
        self.waiting.release()
        await self.gate.wait()
        if execution.task.task_id == 13:
            raise RuntimeError("unlucky")
        return [Operation("finish", execution.task.task_id, 1, {"state": "succeeded"})]

    def settle(self, lease: Lease, operations: list[Operation]) -> None:
        self.settled.put((lease.task_id, operations))

    def failed(self, lease: Lease, error: BaseException) -> list[Operation]:
        return [Operation("finish", lease.task_id, 1, {"error": type(error).__name__})]

    def begin(self, *task_ids: int) -> None:
        for task_id in task_ids:
            self.flights.begin(lease_of(task_id))
        for _ in task_ids:
            assert self.waiting.acquire(timeout=SOON_S)

    def open_the_gate(self) -> None:
        self.flights._loop.call_soon_threadsafe(self.gate.set)

    def outcomes(self, count: int) -> dict[int, Any]:
        found = dict(self.settled.get(timeout=SOON_S) for _ in range(count))
        return {
            task: operations[0].fields if operations else None for task, operations in found.items()
        }


@pytest.fixture
def airport() -> Iterator[Airport]:
    airport = Airport()
    yield airport
    if not airport.flights._loop.is_closed():
        airport.open_the_gate()
        airport.flights.stop(grace_s=SOON_S)


def test_64_calls_are_in_flight_on_one_thread(airport: Airport) -> None:
    airport.begin(*range(100, 164))
    assert len(airport.threads) == 1
    airport.open_the_gate()
    assert airport.outcomes(64) == {n: {"state": "succeeded"} for n in range(100, 164)}


def test_a_call_that_raises_is_settled_as_failed(airport: Airport) -> None:
    airport.begin(13)
    airport.open_the_gate()
    assert airport.outcomes(1) == {13: {"error": "RuntimeError"}}


def test_a_cancelled_call_ends_at_once_and_records_nothing(airport: Airport) -> None:
    airport.begin(1, 2)
    assert airport.running.cancel([1, 99]) == [99]
    assert airport.outcomes(1) == {1: None}
    airport.open_the_gate()
    assert airport.outcomes(1) == {2: {"state": "succeeded"}}


def test_a_call_whose_time_is_up_fails(airport: Airport) -> None:
    airport.flights.begin(lease_of(1, time_limit_ms=1))
    assert airport.waiting.acquire(timeout=SOON_S)
    while airport.running.next_limit() is not None:
        airport.running.enforce_limits()
    assert airport.outcomes(1) == {1: {"error": TimeLimitExceeded.__name__}}


def test_a_stop_lets_calls_finish_within_the_grace_period(airport: Airport) -> None:
    airport.begin(1)
    airport.open_the_gate()
    airport.flights.stop(grace_s=SOON_S)
    assert airport.outcomes(1) == {1: {"state": "succeeded"}}


def test_a_call_that_is_broken_off_by_a_stop_records_nothing(airport: Airport) -> None:
    airport.begin(1)
    airport.flights.stop(grace_s=0.0)
    assert airport.settled.empty()
