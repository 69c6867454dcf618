"""What a coordinator has done so far, loaded from its rows for a replay."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
import psycopg

from lmx.workflows.sql import statement


@dataclass(slots=True)
class ChildRecord:
    """A spawned child as its row tells it."""

    id: int
    state: str
    output: Any = None
    error: dict[str, Any] | None = None

    @property
    def finished(self) -> bool:
        """Whether the child has reached a final state."""
        return self.state in ("succeeded", "failed", "cancelled")


@dataclass(slots=True)
class History:
    """Recorded steps by name, children by key, signals by name and number (`approved#1`)."""

    steps: dict[str, Any] = field(default_factory=dict)
    children: dict[str, ChildRecord] = field(default_factory=dict)
    signals: dict[str, Any] = field(default_factory=dict)
    _names: Counter[tuple[str, str]] = field(default_factory=Counter)

    def numbered(self, kind: str, name: str) -> str:
        """The record name of the next use of `name`: first `name`, then `name#2`, `name#3`, ..."""
        self._names[kind, name] += 1
        count = self._names[kind, name]
        return name if count == 1 else f"{name}#{count}"


def load(conn: psycopg.Connection[Any], ids: Iterable[int]) -> dict[int, History]:
    """Load the histories of several coordinators in one statement."""
    histories = {task_id: History() for task_id in ids}
    rows = conn.execute(statement("history"), {"ids": list(histories)}, prepare=True)
    for kind, task_id, name, child, state, output, error in rows:
        history = histories[task_id]
        value = None if output is None else orjson.loads(output)
        if kind == "step":
            history.steps[name] = value
        elif kind == "signal":
            history.signals[name] = value
        else:
            failure = None if error is None else orjson.loads(error)
            history.children[name] = ChildRecord(child, state, value, failure)
    return histories
