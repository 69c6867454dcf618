"""Bytes of a device held for commands outside of lmx: a row with a heartbeat, granted by whoever
knows the device.

A live GPU worker's engine grants, because it alone knows what it is about to allocate; it evicts
idle models for a hold. Without one the books decide. The row goes when the command ends, when its
process is found dead, or when its lease runs out.
"""

import socket
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from lmx.workflows.host import Identity, gone
from lmx.workflows.sql import statement

#: The notification that a hold was asked for, granted or ended.
CHANNEL: Final = "lmx:holds"


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold. `command` is a program's name, `pid` that of the `lmx vram hold` that runs it."""

    id: int
    command: str
    bytes: int
    granted: bool
    host: str
    pid: int
    age_s: float

    @property
    def holder(self) -> str:
        """Its name in an engine's ledger."""
        return f"{self.id} {self.command}"


def ask(
    conn: psycopg.Connection[Any],
    device: int,
    command: str,
    size: int,
    who: Identity,
    lease_s: float,
) -> int:
    """Ask for `size` bytes of a device on behalf of the process `who`; returns the hold's id."""
    row = conn.execute(
        statement("ask_hold"),
        {
            "device": device,
            "command": command,
            "bytes": size,
            "host": who.host,
            "boot": who.boot_id,
            "pid": who.pid,
            "started": who.pid_started,
            "lease": lease_s,
        },
    ).fetchone()
    assert row is not None
    return int(row[0])


def beat(conn: psycopg.Connection[Any], hold: int, lease_s: float) -> bool | None:
    """Prolong a hold; returns whether it is granted, None if others have ended it."""
    row = conn.execute(statement("beat_hold"), {"hold": hold, "lease": lease_s}).fetchone()
    return None if row is None else bool(row[0])


def end(conn: psycopg.Connection[Any], hold: int) -> None:
    """Give a hold's bytes back, or its place among those who wait."""
    conn.execute(statement("end_hold"), {"hold": hold})


def lock_device(conn: psycopg.Connection[Any], device: int) -> None:
    """Let nobody else change what is booked on a device until this transaction ends."""
    conn.execute(statement("lock_device"), {"device": device}, prepare=True)


def holds_on(conn: psycopg.Connection[Any], device: int) -> list[Hold]:
    """The holds on a device, oldest first."""
    rows = conn.execute(statement("holds"), {"device": device}, prepare=True).fetchall()
    return [Hold(*row) for row in rows]


def grant(conn: psycopg.Connection[Any], holds: list[int]) -> None:
    """Grant holds whose bytes an engine has booked."""
    conn.execute(statement("grant_holds"), {"holds": holds})


def grant_unserved(conn: psycopg.Connection[Any], device: int, hold: int, taken: int) -> bool:
    """Grant a hold if no worker serves the device and there is room; returns whether it did.

    `taken` is how many bytes the driver says are in use, 0 where none can tell.
    """
    with conn.transaction():
        lock_device(conn, device)
        sweep_holds(conn)
        row = conn.execute(statement("grant_unserved"), {"hold": hold, "taken": taken}).fetchone()
    return row is not None


def sweep_holds(conn: psycopg.Connection[Any]) -> bool:
    """End the holds of dead commands; returns whether there were any."""
    rows = conn.execute(
        "SELECT id, boot_id, pid, pid_started,"
        " extract(epoch FROM clock_timestamp() - seen_at)::float8 FROM lmx.vram_holds"
        " WHERE host = %s",
        [socket.gethostname()],
    ).fetchall()
    ended = conn.execute(statement("dead_holds"), {"gone": gone(rows)}, prepare=True).fetchall()
    if ended:
        conn.execute("SELECT pg_notify(%s, '')", [CHANNEL])
    return bool(ended)
