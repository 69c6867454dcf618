"""Puts a provider's worker together: pools, limited intake, calls on one event loop."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import psycopg

from lmx.workers.cloud.batches.lane import Lane, LaneSpec
from lmx.workers.cloud.calls import Calls
from lmx.workers.cloud.flights import Flights
from lmx.workers.cloud.guarded import Guarded
from lmx.workers.cloud.intake import CloudIntake
from lmx.workers.intake import Intake
from lmx.workers.outcome import LOST
from lmx.workers.process import WorkerProcess
from lmx.workers.settlement import settle
from lmx.workflows.accounts import even_out
from lmx.workflows.attachments.store import load_files
from lmx.workflows.config import Settings
from lmx.workflows.database.connect import Database
from lmx.workflows.database.hotpool import HotPool
from lmx.workflows.lease import Lease
from lmx.workflows.names import GENERATE
from lmx.workflows.operations import Operation
from lmx.workflows.providers.pricing import load_prices
from lmx.workflows.routing.diverting import divert

#: Calls that one process has in flight.
IN_FLIGHT: Final = 64
#: Threads that hand calls over to the event loop.
_THREADS: Final = 2


class CloudWorker:
    """The parts of a provider's worker that its intake and its calls share.

    `providers` are those of its accounts, by name. `accounts` are their full names, by which others
    see whom the worker serves.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        queue: str,
        providers: Mapping[str, Guarded],
        in_flight: int = IN_FLIGHT,
        lanes: Sequence[LaneSpec] = (),
        accounts: Sequence[str] = (),
    ) -> None:
        self._intake: CloudIntake | None = None
        self._providers = providers
        pool = HotPool(database)

        def load(hashes: Sequence[str]) -> Mapping[str, bytes]:
            with pool.borrow() as conn:
                return load_files(conn, hashes)

        def elsewhere(back: Operation, because: str) -> bool:
            with pool.borrow() as conn:
                return divert(conn, back, because)

        self.process = WorkerProcess(
            settings,
            database,
            queue,
            in_flight,
            detached={GENERATE: lambda lease: self._flights.begin(lease)},
            threads=_THREADS,
            beside=[*accounts, *(spec.queue for spec in lanes)],
            intake=self._make_intake,
            on_beat=self._beat,
            on_drain=lambda: self._land(settings.shutdown_grace_s),
            on_stop=pool.close,
        )
        prices = load_prices(settings.home)
        self._lanes = [
            Lane(database, spec, prices, lambda: self.process.worker_id) for spec in lanes
        ]
        for lane in self._lanes:
            lane.start()
        calls = Calls(providers, prices, lambda task: self._claims.place(task), load, elsewhere)

        async def close() -> None:
            for provider in providers.values():
                await provider.close()

        running = self.process.running
        self._flights = Flights(calls, running, self._settle, self._failed, close)
        self._flights.start()

    def _beat(self, conn: psycopg.Connection[Any]) -> None:
        even_out(conn)

    def _land(self, grace_s: float) -> None:
        for lane in self._lanes:
            lane.stop()
        self._flights.stop(grace_s)

    @property
    def _claims(self) -> CloudIntake:
        assert self._intake is not None
        return self._intake

    def _make_intake(self, queue: str, prefetch: int, worker_id: Callable[[], int]) -> Intake:
        intake = CloudIntake(queue, prefetch, worker_id, list(self._providers))
        intake.due_in = lambda seconds: self.process.committer.due_in(queue, seconds)
        self._intake = intake
        return intake

    def _settle(self, lease: Lease, operations: list[Operation]) -> None:
        settle(self.process.committer, self._claims, lease, operations)

    def _failed(self, lease: Lease, error: BaseException) -> list[Operation]:
        self.process.executor.fail(lease, error)
        ends = lease.outcome or []
        for end in ends[-1:]:
            end.news = [*LOST]
        return ends
