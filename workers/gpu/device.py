"""The device's row in the database: its cap, its bookings, what its engine says of itself.

Bookings are written in the transaction that claims and by the watch, each time for the whole
device and from one projection of the engine, while the device's row is locked. So at every commit
they are what the engine holds and has promised, and never add up to more than it may book.
"""

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from lmx.engine import Engine, NeverFits, Wanted
from lmx.workflows.holds import Hold
from lmx.workflows.operations import encode
from lmx.workflows.sql import statement

_TASK: Final = "task:"


@dataclass(slots=True)
class DeviceRow:
    """One device of this host.

    `larger_elsewhere` is the cap of the largest other live device; `alone`: there is none.
    """

    id: int
    larger_elsewhere: int = 0
    alone: bool = False

    @classmethod
    def register(cls, conn: psycopg.Connection[Any], engine: Engine) -> "DeviceRow":
        """Find or create the row of the engine's device."""
        snapshot = engine.snapshot()
        row = conn.execute(
            "INSERT INTO lmx.devices (host, name, cap_bytes) VALUES (%s, %s, %s)"
            " ON CONFLICT (host, name) DO UPDATE SET cap_bytes = excluded.cap_bytes,"
            " seen_at = clock_timestamp() RETURNING id",
            [socket.gethostname(), snapshot["device"], snapshot["cap"]],
        ).fetchone()
        assert row is not None
        return cls(row[0])

    def honour(self, engine: Engine, holds: Iterable[Hold]) -> list[int]:
        """Make the engine's holds those of the database; returns those that it has granted anew.

        The device's row must be locked.
        """
        told = {hold.holder: hold for hold in holds}
        known = {view["holder"]: view["granted"] for view in engine.snapshot()["holds"]}
        for holder in known.keys() - told.keys():
            engine.release(holder)
        for holder, hold in told.items():
            if holder in known:
                continue
            try:
                engine.hold(holder, hold.bytes, "fact" if hold.granted else "wait")
            except NeverFits:  # it was told so when it asked; the cap may have been lowered since
                continue
        return [hold.id for holder, hold in told.items() if known.get(holder) and not hold.granted]

    def book(
        self,
        conn: psycopg.Connection[Any],
        engine: Engine,
        pending: Mapping[int, Wanted],
        worker_id: int,
    ) -> list[dict[str, Any]]:
        """Book what the engine holds, and what its queue and the claimed calls will take.

        `pending` is what those calls want, by task. The row must be locked.
        """
        jobs = [wanted._replace(id=f"{_TASK}{task}") for task, wanted in pending.items()]
        rows = [_booking(entry) for entry in engine.project(jobs).booked()]
        conn.execute(
            statement("book_vram"),
            {"device": self.id, "worker": worker_id, "bookings": encode(rows)},
            prepare=True,
        )
        return rows

    def report(
        self, conn: psycopg.Connection[Any], snapshot: Mapping[str, Any], worker_id: int
    ) -> None:
        """Write down what the device's worker says of it, and look at the other devices."""
        told = {"device": self.id, "worker": worker_id, "snapshot": encode(dict(snapshot))}
        conn.execute(statement("report_device"), told, prepare=True)
        row = conn.execute(
            "SELECT coalesce(max(d.cap_bytes), 0) FROM lmx.devices d"
            " JOIN lmx.workers w ON w.id = d.worker_id WHERE d.id <> %s"
            " AND w.stopped_at IS NULL AND w.expires_at > clock_timestamp()",
            [self.id],
        ).fetchone()
        self.larger_elsewhere = row[0] if row else 0
        self.alone = not self.larger_elsewhere

    def clear(self, conn: psycopg.Connection[Any]) -> None:
        """Forget all bookings: the engine has closed."""
        conn.execute("DELETE FROM lmx.vram_leases WHERE device_id = %s", [self.id])


def _booking(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A line of a projection as a row: tasks by their number, the engine's own queue as such."""
    row = dict(entry)
    if entry["kind"] == "claimed":
        if entry["holder"].startswith(_TASK):
            row["task_id"] = int(entry["holder"].removeprefix(_TASK))
        elif entry["holder"].isdigit():
            row["holder"] = f"request {entry['holder']}"
    return row
