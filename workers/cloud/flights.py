"""Many calls at once on one thread: an event loop, on which each call is a coroutine."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from dramatiq.threading import Interrupt

from lmx.workers.outcome import left
from lmx.workers.running import Cancelled, Execution, Running
from lmx.workflows.lease import Lease
from lmx.workflows.operations import Operation

log = logging.getLogger("lmx.flights")

#: How long a call that is being stopped may take to clean up.
_LANDING_S: Final = 5.0

#: Makes one call and returns the operations that record its outcome.
Call = Callable[[Execution], Awaitable[list[Operation]]]
#: Commits a lease's outcome; no operations give its slot back and record nothing.
Settle = Callable[[Lease, list[Operation]], None]


@dataclass(slots=True)
class Flights:
    """Runs calls until `stop`. `failed` turns what a call raised into operations.

    `close` closes what the calls have used; it runs on their event loop, after the last.
    """

    call: Call
    running: Running
    settle: Settle
    failed: Callable[[Lease, BaseException], list[Operation]]
    close: Callable[[], Awaitable[None]] | None = None
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="lmx-flights", daemon=True)
        self._thread.start()

    def begin(self, lease: Lease) -> None:
        """Start a call; returns at once. Any thread may call it."""
        self._loop.call_soon_threadsafe(self._take_off, lease)

    def stop(self, grace_s: float) -> None:
        """Let calls finish for so long, then break the others off and end the thread.

        Nothing is recorded of a call that is broken off: the end of its lease says that its
        outcome is unknown.
        """
        if self._thread is None:
            return
        landing = asyncio.run_coroutine_threadsafe(self._land(grace_s), self._loop)
        landing.result(grace_s + 2 * _LANDING_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _take_off(self, lease: Lease) -> None:
        task = self._loop.create_task(self._fly(lease))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fly(self, lease: Lease) -> None:
        me = asyncio.current_task()
        assert me is not None

        def stop(_: type[Interrupt]) -> None:
            self._loop.call_soon_threadsafe(me.cancel)

        execution = self.running.enter(lease, stop)
        try:
            operations = await self.call(execution)
        except asyncio.CancelledError:
            if execution.reason is None:
                return  # the process stops; the lease's end tells the rest
            operations = self._interrupted(lease, execution.reason)
        except Exception as error:
            operations = self.failed(lease, error)
        finally:
            self.running.leave(execution)
        self.settle(lease, operations)

    def _interrupted(self, lease: Lease, reason: type[Interrupt]) -> list[Operation]:
        """A cancelled task has been ended by whoever cancelled it; a late one has failed."""
        return left(lease) if issubclass(reason, Cancelled) else self.failed(lease, reason())

    async def _land(self, grace_s: float) -> None:
        flying = {task for task in self._tasks if task is not asyncio.current_task()}
        if flying:
            _, late = await asyncio.wait(flying, timeout=grace_s)
            for task in late:
                task.cancel()
            if late:
                log.warning("%d calls were broken off", len(late))
                await asyncio.wait(late, timeout=_LANDING_S)
        if self.close is not None:
            with contextlib.suppress(TimeoutError, OSError):
                await asyncio.wait_for(self.close(), _LANDING_S)
