"""The device's row in the database: its cap, its bookings, what its engine says of itself."""

import socket
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import psycopg

from lmx.engine import Engine
from lmx.workflows.operations import encode
from lmx.workflows.sql import statement


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
        """Find or create the row of the engine's device, with no booking on it."""
        snapshot = engine.snapshot()
        row = conn.execute(
            "INSERT INTO lmx.devices (host, name, cap_bytes) VALUES (%s, %s, %s)"
            " ON CONFLICT (host, name) DO UPDATE SET cap_bytes = excluded.cap_bytes,"
            " seen_at = clock_timestamp() RETURNING id",
            [socket.gethostname(), snapshot["device"], snapshot["cap"]],
        ).fetchone()
        assert row is not None
        return cls(row[0])

    def sync(
        self,
        conn: psycopg.Connection[Any],
        engine: Engine,
        worker_id: int,
        pending: Collection[int],
        sessions: Collection[str] = (),
    ) -> None:
        """Write down what the device holds, and look at the other devices.

        `pending` are tasks that are claimed and that the engine does not know of yet; `sessions`
        are those that the device holds.
        """
        snapshot = engine.snapshot()
        shown = {**snapshot, "sessions": list(sessions)}
        conn.execute(
            statement("sync_vram"),
            {
                "device": self.id,
                "worker": worker_id,
                "pending": list(pending),
                "ledger": encode(snapshot["ledger"]),
                "snapshot": encode(shown),
            },
            prepare=True,
        )
        row = conn.execute(
            "SELECT coalesce(max(d.cap_bytes), 0) FROM lmx.devices d"
            " JOIN lmx.workers w ON w.id = d.worker_id WHERE d.id <> %s"
            " AND w.stopped_at IS NULL AND w.expires_at > clock_timestamp()",
            [self.id],
        ).fetchone()
        self.larger_elsewhere = row[0] if row else 0
        self.alone = not self.larger_elsewhere
