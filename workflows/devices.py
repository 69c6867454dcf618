"""The devices that GPU workers serve, and the bytes booked on them, as the database knows them."""

from collections import defaultdict
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import psycopg

from lmx.workflows.holds import Hold, holds_on


@dataclass(frozen=True, slots=True)
class Booking:
    """Bytes of a device that somebody holds; `kind` is weights, kv, compute, foreign, ..."""

    holder: str
    kind: str
    bytes: int
    task_id: int | None


@dataclass(frozen=True, slots=True)
class Device:
    """A device. `cap` is what may be booked of it, in bytes; `alive`: a worker serves it now.

    What a worker had booked ended with it; holds are booked with or without one. `snapshot` is
    what the worker said of its engine at `seen_at`, with `memory`, `gpu` and `gpu_problem`: what
    others than the ledger count, what NVML tells, and why it does not.
    """

    id: int
    host: str
    name: str
    cap: int
    alive: bool
    seen_at: datetime
    bookings: tuple[Booking, ...]
    holds: tuple[Hold, ...]
    snapshot: dict[str, Any] | None

    @property
    def used(self) -> int:
        """Bytes booked."""
        return sum(booking.bytes for booking in self.bookings)

    @property
    def free(self) -> int:
        """Bytes that may still be booked."""
        return max(0, self.cap - self.used)

    @property
    def by_kind(self) -> dict[str, int]:
        """Bytes booked of each kind that is there."""
        kinds: dict[str, int] = defaultdict(int)
        for booking in self.bookings:
            kinds[booking.kind] += booking.bytes
        return dict(kinds)

    def as_json(self) -> dict[str, Any]:
        """All that is known of it, for a program."""
        return {**asdict(self), "used": self.used, "free": self.free, "by_kind": self.by_kind}


def list_devices(conn: psycopg.Connection[Any]) -> list[Device]:
    """All devices, those that are served first."""
    rows = conn.execute(
        "SELECT d.id, d.host, d.name, d.cap_bytes,"
        " w.id IS NOT NULL AND w.stopped_at IS NULL AND w.expires_at > clock_timestamp() AS alive,"
        " d.seen_at, d.snapshot, coalesce("
        "  (SELECT jsonb_agg(jsonb_build_array(v.holder, v.kind, v.bytes, v.task_id)"
        "          ORDER BY v.holder, v.kind)"
        "   FROM lmx.vram_leases v WHERE v.device_id = d.id), '[]')"
        " FROM lmx.devices d LEFT JOIN lmx.workers w ON w.id = d.worker_id"
        " ORDER BY alive DESC, d.host, d.name"
    ).fetchall()
    devices = []
    for id_, host, name, cap, alive, seen_at, snapshot, booked in rows:
        holds = tuple(holds_on(conn, id_))
        bookings = _served(booked) if alive else _unserved(holds)
        devices.append(Device(id_, host, name, cap, alive, seen_at, bookings, holds, snapshot))
    return devices


def _served(booked: list[list[Any]]) -> tuple[Booking, ...]:
    return tuple(Booking(*one) for one in booked)


def _unserved(holds: tuple[Hold, ...]) -> tuple[Booking, ...]:
    return tuple(
        Booking(f"hold: {hold.holder}", "foreign", hold.bytes, None)
        for hold in holds
        if hold.granted
    )
