"""Keeps the database fit for the children: schema current, leases of dead processes given back."""

import asyncio

import psycopg

from lmx.api.supervisor.output import SUPERVISOR, Output
from lmx.workflows.config import Settings
from lmx.workflows.database import migrate
from lmx.workflows.database.connect import Database, resolve_database
from lmx.workflows.errors import LmxError
from lmx.workflows.sweep import sweep

_RETRY_S = 1.0


class Guardian:
    """Prepares the database, and sweeps whenever a child has died.

    Every worker sweeps too, at its heartbeats: this one only spares the dead child's tasks that
    wait. A server that was killed comes back by the connection that the sweep opens.
    """

    def __init__(self, settings: Settings, output: Output) -> None:
        self._settings = settings
        self._output = output
        self._database: Database | None = None
        self._death = asyncio.Event()
        self._trouble = ""

    def prepare(self) -> None:
        """Make the database ready and sweep once. Raises as `resolve_database` and `prepare`."""
        self._database = resolve_database(self._settings)
        migrate.prepare(self._database)
        self._output.line(SUPERVISOR, f"the database is ready: {self._database.place}")
        self._sweep()

    def wake(self) -> None:
        """A child has died: give its leases back soon."""
        self._death.set()

    async def watch(self) -> None:
        """Sweep after deaths until cancelled; trouble is logged once, never raised."""
        while True:
            await self._death.wait()
            self._death.clear()
            try:
                await asyncio.to_thread(self._sweep)
                self._trouble = ""
            except (LmxError, psycopg.Error) as error:
                self._report(" ".join(str(error).split()))
                self._death.set()
                await asyncio.sleep(_RETRY_S)

    def _sweep(self) -> None:
        assert self._database is not None, "prepare() comes first"
        with self._database.connect_hot(application_name="lmx supervisor") as connection:
            swept = sweep(connection)
        if swept.requeued or swept.poisoned:
            self._output.line(
                SUPERVISOR,
                f"tasks of dead processes: {swept.requeued} given back,"
                f" {swept.poisoned} made dead letters",
            )

    def _report(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._output.line(SUPERVISOR, trouble)
        self._trouble = trouble
