"""Long polls and event streams: any number of them, none of which occupies a thread."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from fastapi import Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from lmx.api.http.responses import Partial, RunningPartial, event_of
from lmx.workflows import views
from lmx.workflows.database.connect import Database
from lmx.workflows.views import EventView, TaskView
from lmx.workflows.waiting import waiter_for

_POLL_S = 1.0
_KEEP_ALIVE_S = 15.0


class Following:
    """Waits for tasks on behalf of requests until `end` is called."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiter = waiter_for(database)
        self._ended = asyncio.Event()

    def end(self) -> None:
        """Let every wait and every stream end now; call it in the event loop."""
        self._ended.set()

    async def task(self, task_id: int, wait_s: float) -> TaskView:
        """Return the task when it has finished, or as it is after `wait_s`. Raises NotFound."""
        view = await run_in_threadpool(views.get_task, self._database, task_id)
        if view.finished or not wait_s:
            return view
        await self._until_finished(task_id, wait_s)
        return await run_in_threadpool(views.get_task, self._database, task_id)

    async def stream(self, run_id: int, after: int, *, partial: bool = False) -> Response:
        """Return the run's events as server-sent events; 204 if there will be no more of them.

        With `partial` also what running calls have written so far, whenever that has changed.
        A browser connects again whenever a stream ends: 204 is what stops it. Raises NotFound.
        """
        finished, first = await self._read(run_id, after)
        if finished and not first:
            return Response(status_code=204)
        return StreamingResponse(
            self._events(run_id, after, partial),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )

    async def _events(self, run_id: int, after: int, partial: bool) -> AsyncIterator[str]:
        silent_s = 0.0
        written: dict[int, dict[str, Any]] = {}
        while not self._ended.is_set():
            finished, page = await self._read(run_id, after)
            for text in _format(page):
                yield text
            if finished and not page:
                return
            if partial:
                before, written = written, await self._written(run_id)
                for text in _changes(before, written):
                    yield text
            if page:
                after = page[-1].cursor
            else:
                await self._until_finished(run_id, _POLL_S)
            silent_s = 0.0 if page else silent_s + _POLL_S
            if silent_s >= _KEEP_ALIVE_S:
                silent_s = 0.0
                yield ": nothing new\n\n"

    async def _read(self, run_id: int, after: int) -> tuple[bool, list[EventView]]:
        """Whether the run had finished, and then its next events: so an empty page is the end."""
        return await run_in_threadpool(_read_page, self._database, run_id, after)

    async def _written(self, run_id: int) -> dict[int, dict[str, Any]]:
        return await run_in_threadpool(views.running_partials, self._database, run_id)

    async def _until_finished(self, task_id: int, wait_s: float) -> None:
        """Wait until the task has finished, time is up, or the server ends."""
        finish: asyncio.Future[Any] = asyncio.wrap_future(self._waiter.watch(task_id))
        end: asyncio.Future[Any] = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait({finish, end}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Cancelling the one stops the watch; an outcome that nobody reads is no complaint.
            finish.cancel()
            end.cancel()
            if finish.done() and not finish.cancelled():
                finish.exception()


def _read_page(database: Database, run_id: int, after: int) -> tuple[bool, list[EventView]]:
    finished = views.get_task(database, run_id).finished
    return finished, views.run_events(database, run_id, after)


def _changes(
    before: Mapping[int, dict[str, Any]], now: Mapping[int, dict[str, Any]]
) -> Iterator[str]:
    """Answers that have grown, or begun again; not events, so without a cursor."""
    for task_id, partial in now.items():
        if partial != before.get(task_id):
            told = RunningPartial(task_id=task_id, partial=Partial(**partial))
            yield f"event: partial\ndata: {told.model_dump_json()}\n\n"


def _format(page: Sequence[EventView]) -> Iterator[str]:
    for place, event in enumerate(page):
        # Events of one instant share a cursor: only the last of them may be gone on after.
        last = place + 1 == len(page) or page[place + 1].cursor != event.cursor
        cursor = f"id: {event.cursor}\n" if last else ""
        yield f"{cursor}event: {event.kind}\ndata: {event_of(event).model_dump_json()}\n\n"
