"""One cloud call from its lease to the operations that record its end."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from time import monotonic
from typing import Any

import psycopg

from lmx.workers.cloud import outcome
from lmx.workers.cloud.answer import Answer, Question
from lmx.workers.cloud.errors import Failure, ProviderError
from lmx.workers.cloud.guarded import Guarded
from lmx.workers.cloud.intake import Place
from lmx.workers.cloud.provider import Piece
from lmx.workers.cloud.transport import Gate, gate
from lmx.workers.running import Execution
from lmx.workflows.attachments.parts import sources_of
from lmx.workflows.errors import DatabaseUnavailable, LmxError
from lmx.workflows.lease import Lease
from lmx.workflows.operations import Operation
from lmx.workflows.partial import Partial
from lmx.workflows.providers.keys import Key
from lmx.workflows.providers.pricing import Prices

log = logging.getLogger("lmx.cloud")


class _Ear:
    """Hears of a call as it goes on: shows its progress, and knows when it first heard anything.

    What it hears is kept as the lease's partial answer, without the key.
    """

    def __init__(self, execution: Execution, place: Place, key: Key) -> None:
        self._task, self._model, self._charged = execution.task, place.model, place.charged
        self._heard_s: float | None = None
        self._pieces = 0
        self._partial = Partial(self._task.attempt, key.redact_growing)
        self._task.lease.partial = self._partial
        self._task.report(phase="asked", model=self._model)

    def hears(self, piece: Piece | None) -> None:
        """The next piece of the answer has come; None: its head has."""
        if self._heard_s is None:
            self._heard_s = self.heard_after_s()
        if piece is not None:
            self._pieces += 1
            self._partial.add(*piece)
        phase = "answering" if self._pieces else "asked"
        self._task.report(
            phase=phase, tokens=self._pieces, model=self._model, heard_s=self._heard_s
        )

    def heard_after_s(self) -> float:
        """Seconds from the charge to the first that was heard, at the latest until now.

        Rounded up: by then the provider has counted the call.
        """
        if self._heard_s is not None:
            return self._heard_s
        return ceil(max(0.0, monotonic() - self._charged) * 1e4) / 1e4


@dataclass(slots=True)
class Calls:
    """Makes calls with the providers of each account.

    `place` says where a claimed call goes, `load` gives the bytes of files by their hashes.
    `divert` records that a call has failed, and for which reason, by putting it elsewhere; false if
    it has nowhere to go, and then nothing is recorded. Both raise psycopg.Error or
    DatabaseUnavailable.
    """

    providers: Mapping[str, Guarded]
    prices: Prices
    place: Callable[[int], Place]
    load: Callable[[Sequence[str]], Mapping[str, bytes]]
    divert: Callable[[Operation, str], bool]

    async def __call__(self, execution: Execution) -> list[Operation]:
        """Make the call; what the provider refuses becomes part of the outcome."""
        lease = execution.task.lease
        place = self.place(lease.task_id)
        provider = self.providers[_account_of(place)]
        ear, door = _Ear(execution, place, provider.key), Gate(place.starts)
        if execution.until is not None:  # being held back takes none of its time
            execution.until += max(0.0, place.starts - lease.taken)
        gate.set(door)
        try:
            if place.never is not None:
                raise ProviderError(Failure.TOO_LONG, place.never)
            question = await self._question({**lease.input, "model": place.model})
            answer = await provider.ask(question, ear.hears)
        except asyncio.CancelledError:
            if door.passed or execution.stopped:
                raise
            return outcome.postponed(lease)  # the process stops before it was sent
        except (psycopg.Error, DatabaseUnavailable) as error:
            log.warning("task %s: its files cannot be read yet: %s", lease.task_id, error)
            return outcome.postponed(lease)
        except ProviderError as error:
            log.info("task %s: %s: %s", lease.task_id, error.failure.value, error)
            heard_after_s = ear.heard_after_s()
            if error.meaning.elsewhere and await self._diverted(lease, error, heard_after_s):
                return []
            return outcome.failed(lease, error, heard_after_s)
        return outcome.answered(lease, answer, self._cost(place, answer), ear.heard_after_s())

    async def _question(self, call: Mapping[str, Any]) -> Question:
        """The call with the files that it refers to. Nothing has been sent if this raises."""
        hashes = hashes_of(call)
        files = await asyncio.to_thread(self.load, hashes) if hashes else {}
        return Question.read(call, files)

    async def _diverted(self, lease: Lease, error: ProviderError, heard_after_s: float) -> bool:
        """Whether the call goes elsewhere. If nobody knows, its failure is fenced by its lease."""
        back = outcome.elsewhere(lease, error, heard_after_s)
        try:
            return await asyncio.to_thread(self.divert, back, str(error))
        except (psycopg.Error, LmxError) as trouble:
            log.warning("task %s cannot go elsewhere: %s", lease.task_id, trouble)
            return False

    def _cost(self, place: Place, answer: Answer) -> int:
        price = self.prices.find(place.model, answer.tokens.prompt, datetime.now(UTC))
        return price.cost(answer.tokens)


def hashes_of(call: Mapping[str, Any]) -> list[str]:
    """The files that a task's input refers to, by their hashes."""
    return [part["sha256"] for part in sources_of(call.get("messages") or ()) if "sha256" in part]


def _account_of(place: Place) -> str:
    """The account of a pool: `default` of `anthropic/default/haiku`."""
    return place.pool.split("/", 2)[1]
