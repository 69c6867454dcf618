"""The devices that GPU workers serve, and the bytes booked on them, as the database knows them."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg


@dataclass(frozen=True, slots=True)
class Booking:
    """Bytes of a device that somebody holds; `kind` is weights, kv, compute, foreign, ..."""

    holder: str
    kind: str
    bytes: int
    task_id: int | None


@dataclass(frozen=True, slots=True)
class Device:
    """A device. `cap` is what may be booked of it, in bytes; `alive`: a worker serves it now."""

    id: int
    host: str
    name: str
    cap: int
    alive: bool
    seen_at: datetime
    bookings: tuple[Booking, ...]
    snapshot: dict[str, Any] | None

    @property
    def used(self) -> int:
        """Bytes booked."""
        return sum(booking.bytes for booking in self.bookings)

    @property
    def free(self) -> int:
        """Bytes that may still be booked."""
        return max(0, self.cap - self.used)


def list_devices(conn: psycopg.Connection[Any]) -> list[Device]:
    """All devices, those that are served first."""
    bookings: dict[int, list[Booking]] = defaultdict(list)
    held = conn.execute(
        "SELECT device_id, holder, kind, bytes, task_id FROM lmx.vram_leases ORDER BY holder, kind"
    )
    for device_id, *booking in held:
        bookings[device_id].append(Booking(*booking))
    rows = conn.execute(
        "SELECT d.id, d.host, d.name, d.cap_bytes,"
        " w.id IS NOT NULL AND w.stopped_at IS NULL AND w.expires_at > clock_timestamp() AS alive,"
        " d.seen_at, d.snapshot"
        " FROM lmx.devices d LEFT JOIN lmx.workers w ON w.id = d.worker_id"
        " ORDER BY alive DESC, d.host, d.name"
    )
    return [
        Device(id_, host, name, cap, alive, seen_at, tuple(bookings[id_]), snapshot)
        for id_, host, name, cap, alive, seen_at, snapshot in rows
    ]
