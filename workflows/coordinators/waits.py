"""The ways in which a coordinator waits. Each parks the row unless the wait is over already."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lmx.workflows.coordinators.journal import Journal
from lmx.workflows.errors import InvalidInput, TimedOut

_LONGEST_S: Final = 10 * 365 * 86_400


@dataclass(slots=True)
class Waits:
    """Waits of one coordinator."""

    journal: Journal
    _received: dict[str, int] = field(default_factory=dict)

    def children(self, keys: Sequence[str]) -> None:
        """Wait until all children with these keys have finished."""
        journal = self.journal
        while waiting := [key for key in keys if not self._finished(key)]:
            rest = set(journal.expected()) - set(waiting)
            journal.park(children=True, keys=waiting if rest else None)
            journal.reload()
            self._check_known(keys)

    def everything(self) -> None:
        """Wait until all children have finished, and spawn those still buffered."""
        self.children(self.journal.expected())

    def first(self, keys: Sequence[str]) -> str:
        """Wait until one of the children has finished; which one is recorded."""
        if not keys:
            raise InvalidInput("first() needs at least one child")
        journal = self.journal
        record = journal.history.numbered("first", "first:")
        if record in journal.history.steps:
            return str(journal.history.steps[record])
        while True:
            for key in keys:
                if self._finished(key):
                    return str(journal.record(record, key))
            journal.park(children=True, keys=list(keys), need=1)
            journal.reload()
            self._check_known(keys)

    def sleep(self, seconds: float) -> None:
        """Wait for a time, counted from the first call on the database's clock."""
        if not 0 <= seconds <= _LONGEST_S:
            raise InvalidInput(f"a sleep of {seconds} s", hint="it must be from 0 to ten years")
        journal = self.journal
        record = journal.history.numbered("sleep", "sleep:")
        wake_at = journal.history.steps.get(record)
        if wake_at is None:
            wake_at = journal.lease.now() + seconds
            journal.history.steps[record] = wake_at
            journal.park(
                journal.operation("checkpoint", name=record, output=wake_at), wake_at=wake_at
            )
        elif wake_at > journal.lease.now():
            journal.park(wake_at=wake_at)

    def signal(self, name: str, timeout: float | None) -> Any:
        """Wait for the next signal of a name."""
        journal = self.journal
        steps = journal.history.steps
        record = journal.name("signal", name)
        number = self._received.get(name, 0) + 1
        if f"timeout:{record}" in steps:
            raise TimedOut(f"no signal {name!r} came in time")
        deadline = self._deadline(record, timeout)
        while f"{name}#{number}" not in journal.history.signals:
            if deadline is not None and deadline <= journal.lease.now():
                journal.record(f"timeout:{record}", True)
                raise TimedOut(f"no signal {name!r} came in time")
            journal.park(signal=name, signal_seq=number, wake_at=deadline)
            journal.reload()
        self._received[name] = number
        return journal.history.signals[f"{name}#{number}"]

    def _deadline(self, record: str, timeout: float | None) -> float | None:
        if timeout is None:
            return None
        if not 0 <= timeout <= _LONGEST_S:
            raise InvalidInput(f"a timeout of {timeout} s", hint="it must be from 0 to ten years")
        name = f"deadline:{record}"
        known = self.journal.history.steps.get(name)
        if known is None:
            known = self.journal.record(name, self.journal.lease.now() + timeout)
        return float(known)

    def _check_known(self, keys: Sequence[str]) -> None:
        for key in keys:
            if key not in self.journal.history.children and self.journal.refusal(key) is None:
                raise InvalidInput(f"{key!r} is no child of this coordinator")

    def _finished(self, key: str) -> bool:
        if self.journal.refusal(key) is not None:
            return True
        record = self.journal.history.children.get(key)
        return record is not None and record.finished
