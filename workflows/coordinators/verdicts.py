"""What a coordinator says of the answers that its calls of models gave it."""

from dataclasses import dataclass, field
from typing import Any, Final

from lmx.workflows.control.judging import MAX_REASON, judge_on
from lmx.workflows.coordinators.handles import Child, ChildFailed
from lmx.workflows.coordinators.history import ChildRecord
from lmx.workflows.coordinators.journal import Journal
from lmx.workflows.errors import Conflict, InvalidInput
from lmx.workflows.names import GENERATE

_SAID_NO: Final = "its validator said no"


@dataclass(slots=True)
class Verdicts:
    """Records verdicts, each once in all replays."""

    journal: Journal
    _known: dict[str, ChildFailed | None] = field(default_factory=dict)

    def of(self, child: Child[Any], record: ChildRecord) -> ChildFailed | None:
        """Let a child's validator judge its result, once; the failure that a bad one is."""
        if child.key not in self._known:
            reason = self._judged(child, record)
            error = {"kind": "rejected", "message": reason}
            failed = ChildFailed(child.key, record.id, "was rejected", error)
            self._known[child.key] = None if reason is None else failed
        return self._known[child.key]

    def _judged(self, child: Child[Any], record: ChildRecord) -> str | None:
        name = self.journal.name("step", "validate")
        if name not in self.journal.history.steps:
            assert child.validate is not None
            said = child.validate(record.output)
            reason = None if said is None or said is True else str(said or _SAID_NO)
            self._post(record.id, accepted=reason is None, reason=reason or "")
            self.journal.record(name, reason)
        reason_of: str | None = self.journal.history.steps[name]
        return reason_of

    def record(self, child: Child[Any], *, accepted: bool, reason: str = "") -> None:
        """Record a verdict on a call that has been gathered. Raises InvalidInput for another."""
        known = self.journal.history.children.get(child.key)
        if child.name != GENERATE or known is None or known.state != "succeeded":
            raise InvalidInput(
                f"{child.key!r} is no call of a model that has answered", hint="gather it first"
            )
        name = self.journal.name("step", "verdict")
        if name not in self.journal.history.steps:
            self._post(known.id, accepted=accepted, reason=reason)
            self.journal.record(name, accepted)

    def _post(self, task_id: int, *, accepted: bool, reason: str) -> None:
        """Tell the call's pool. A crash before the record posts again, which changes nothing."""
        self.journal.flush()
        text = reason.replace("\x00", "")[:MAX_REASON]
        with self.journal.port.borrow() as conn, conn.transaction():
            try:
                judge_on(conn, task_id, accepted, text)
            except Conflict:
                return  # somebody else has said so before: theirs stands
