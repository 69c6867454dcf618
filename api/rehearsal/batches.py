"""Batches at the faithful provider: worked off one call after another, billed at half price."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lmx.api.rehearsal.faults import IN_BATCHES
from lmx.api.rehearsal.provider import Answering, Asked, FaithfulProvider, Rejected

#: Of what a batch as a whole meets; `lost` is taken, and its answer never arrives.
_FAULTS: Final = (
    *("overloaded", "server_error", "rate_limited", "spend_cap", "billing"),
    *("malformed", "lost", "hang"),
)
_HALF: Final = 2

#: A call's end: its answer, or the kind and message of what became of it instead.
Outcome = tuple[Answering, str] | tuple[str, str]


@dataclass(slots=True)
class Call:
    """One call of a batch: its custom id and what it asks; `refused` if that cannot be read."""

    custom_id: str
    asked: Asked | None
    refused: str = ""
    outcome: Outcome | None = None


@dataclass(slots=True)
class ServedBatch:
    """A batch; times are on the provider's clock."""

    id: str
    name: str
    model: str
    key: str
    calls: list[Call]
    created_at: float
    cancelled_at: float | None = None
    ended_at: float | None = None


@dataclass(slots=True)
class Batches:
    """All batches. One takes `seconds` to be worked off, and expires after `expires_s`."""

    provider: FaithfulProvider
    seconds: float = 60.0
    expires_s: float = 86_400.0
    batches: dict[str, ServedBatch] = field(default_factory=dict)
    _random: random.Random = field(default_factory=lambda: random.Random(3))  # noqa: S311

    def create(
        self, key: str, name: str, model: str, calls: Sequence[Call], prefix: str
    ) -> tuple[ServedBatch, str | None]:
        """Take a batch; also tells which fault strikes its answer. Raises Rejected."""
        self.provider.check_key(key)
        fault = self.provider.faults.next(model, _FAULTS)
        if fault not in (None, "malformed", "lost", "hang"):
            raise Rejected(fault, self.provider.faults.words(fault, key))
        if not calls:
            raise Rejected("invalid", "a batch must have at least one request")
        if len({call.custom_id for call in calls}) < len(calls):
            raise Rejected("invalid", "custom ids must be unique within a batch")
        number = len(self.batches) + 1
        now = self.provider.clock.now()
        batch = ServedBatch(f"{prefix}{number:06d}", name, model, key, list(calls), now)
        self._random.shuffle(batch.calls)
        if served := self.provider.models.get(model):
            self.provider.pools[served.pool].counts["batches"] += 1
        self.batches[batch.id] = batch
        return batch, fault

    def find(self, key: str, batch_id: str) -> ServedBatch:
        """A batch as it is now. Raises Rejected."""
        self.provider.check_key(key)
        batch = self.batches.get(batch_id)
        if batch is None or batch.key != key:
            raise Rejected("not_found", f"there is no batch {batch_id}")
        self._work(batch)
        return batch

    def recent(self, key: str, prefix: str) -> list[ServedBatch]:
        """All batches of a customer as they are now, the latest first."""
        self.provider.check_key(key)
        mine = [b for b in self.batches.values() if b.key == key and b.id.startswith(prefix)]
        for batch in mine:
            self._work(batch)
        return list(reversed(mine))

    def cancel(self, key: str, batch_id: str) -> ServedBatch:
        """Begin no more of a batch's calls. Raises Rejected."""
        batch = self.find(key, batch_id)
        if batch.ended_at is None and batch.cancelled_at is None:
            batch.cancelled_at = self.provider.clock.now()
            self._work(batch)
        return batch

    def delete(self, key: str, batch_id: str) -> None:
        """Forget a batch that has ended. Raises Rejected."""
        if self.find(key, batch_id).ended_at is None:
            raise Rejected("invalid", "the batch has not ended")
        del self.batches[batch_id]

    def _work(self, batch: ServedBatch) -> None:
        """Work off what is due by now; the calls end one after another."""
        if batch.ended_at is not None:
            return
        now, n = self.provider.clock.now(), len(batch.calls)
        expires_at = batch.created_at + self.expires_s
        stop = min(expires_at, batch.cancelled_at or expires_at)
        for place, call in enumerate(batch.calls, start=1):
            due = batch.created_at + self.seconds * place / n
            if call.outcome is None and due <= min(now, stop):
                call.outcome = self._outcome(call)
        open_ = [call for call in batch.calls if call.outcome is None]
        if open_ and now < stop:
            return
        why = ("cancelled", "") if batch.cancelled_at is not None else ("expired", "")
        for call in open_:
            call.outcome = why
        batch.ended_at = min(now, stop) if open_ else now

    def _outcome(self, call: Call) -> Outcome:
        if call.asked is None:
            return "invalid", call.refused
        match self.provider.faults.next(call.asked.model, IN_BATCHES):
            case "batch_errored":
                return "server_error", "server_error (on demand)"
            case "batch_invalid":
                return "invalid", "invalid (on demand)"
            case "batch_expired":
                return "expired", ""
        try:
            answering, text = self.provider.answer(call.asked)
        except Rejected as rejected:
            return rejected.kind, rejected.message
        self._bill(answering)
        return answering, text

    def _bill(self, answering: Answering) -> None:
        model = answering.model
        tokens = (
            (answering.input_tokens, model.input_nano),
            (answering.output_tokens, model.output_nano),
        )
        full = sum(-(-count * nano // 1_000_000) for count, nano in tokens)
        counts = self.provider.pools[model.pool].counts
        counts["batch_calls"] += 1
        counts["batch_nano"] += -(-full // _HALF)


def call_of(custom_id: str, read: Callable[[], Asked]) -> Call:
    """A call of a batch; what cannot be read fails when it is its turn."""
    try:
        return Call(custom_id, read())
    except (KeyError, ValueError, TypeError) as error:
        return Call(custom_id, None, f"the request cannot be read: {error!r}")


def told(batch: ServedBatch) -> dict[str, Any]:
    """How many of a batch's calls ended how: succeeded, errored, cancelled, expired, open."""
    counts = dict.fromkeys(("succeeded", "errored", "cancelled", "expired", "open"), 0)
    for call in batch.calls:
        match call.outcome:
            case None:
                counts["open"] += 1
            case (str() as kind, _):
                counts[kind if kind in counts else "errored"] += 1
            case _:
                counts["succeeded"] += 1
    return counts
