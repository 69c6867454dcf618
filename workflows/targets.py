"""Where tasks of a name go: their queue, their role, how often and how long they are tried."""

from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, Final

import psycopg

from lmx.workflows import registry
from lmx.workflows.errors import NotFound
from lmx.workflows.names import EMBED, GENERATE, GPU

#: How long an answer is remembered, in seconds: a deployment may change it.
_REMEMBER_S: Final = 5.0
_MAX_ATTEMPTS: Final = 4


@dataclass(frozen=True, slots=True)
class Target:
    """How tasks of one name are queued and run; `time_limit_ms` bounds one attempt."""

    name: str
    role: str
    queue: str
    max_attempts: int = _MAX_ATTEMPTS
    time_limit_ms: int | None = None


@dataclass(slots=True)
class Targets:
    """Looks names up: model calls, then this process's functions, then those of any worker."""

    _known: dict[str, tuple[float, Target]] = field(default_factory=dict)

    def find(self, conn: psycopg.Connection[Any], name: str, queue: str | None) -> Target:
        """The target called `name`, in another queue if one is given.

        A name that nobody knows is a worker function's if its queue is given. Raises NotFound.
        """
        found_at, target = self._known.get(name) or (0.0, None)
        if target is None or monotonic() - found_at > _REMEMBER_S:
            target = _look_up(conn, name, queue)
            self._known[name] = (monotonic(), target)
        return target if queue is None or queue == target.queue else replace(target, queue=queue)


def _look_up(conn: psycopg.Connection[Any], name: str, queue: str | None) -> Target:
    if name in (GENERATE, EMBED):
        return Target(name, "worker", GPU, max_attempts=3)
    if function := registry.find(name):
        return Target(
            name, function.role, function.queue, function.max_attempts, function.time_limit_ms
        )
    query = "SELECT name, role::text, queue, max_attempts, time_limit_ms FROM lmx.catalog"
    if row := conn.execute(f"{query} WHERE name = %s", [name]).fetchone():
        return Target(*row)
    if queue is not None:
        return Target(name, "worker", queue)
    known = conn.execute("SELECT name FROM lmx.catalog ORDER BY name LIMIT 20").fetchall()
    names = ", ".join(row[0] for row in known) or "none"
    raise NotFound(
        f"no workflow or worker function is called {name!r}; known: {names}",
        hint="a function is known once `lmx up` has run with LMX_WORKFLOWS naming its module",
    )
