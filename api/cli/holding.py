"""Bytes of a device for a command outside of lmx: chosen, waited for, kept alive, given back."""

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import psycopg

from lmx.api.cli.output import note
from lmx.api.inspection import describe_device
from lmx.workflows import holds
from lmx.workflows.alarm import Alarm
from lmx.workflows.devices import Device, list_devices
from lmx.workflows.errors import ConfigError, InvalidInput, LmxError, NeverFitsError, TimedOut
from lmx.workflows.host import identity
from lmx.workflows.units import format_bytes

if TYPE_CHECKING:
    from lmx.workflows.config import Settings
    from lmx.workflows.database.connect import Database

_LOOK_S: Final = 1.0


@dataclass(slots=True)
class Holding:
    """A hold of `size` bytes of `device` for `command`, kept alive by heartbeats.

    `taken` says how many bytes a driver sees in use, for the time when no worker serves the device.
    """

    settings: "Settings"
    database: "Database"
    device: Device
    size: int
    command: str
    taken: Callable[[], int]
    _id: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def acquire(self, timeout: float | None) -> None:
        """Wait until the bytes are held, telling what is missing. Raises TimedOut."""
        deadline = None if timeout is None else time.monotonic() + timeout
        progress = _Progress()
        alarm = Alarm()
        try:
            with self._connect() as conn:
                conn.execute(f'LISTEN "{holds.CHANNEL}"')
                self._ask(conn)
                while not self._granted(conn):
                    left = _LOOK_S if deadline is None else deadline - time.monotonic()
                    if left <= 0:
                        raise self._timed_out(timeout)
                    progress.show(self._missing(conn))
                    alarm.sleep(conn, min(left, _LOOK_S))
                    for _ in conn.notifies(timeout=0):
                        pass
        except BaseException:
            self.release()
            raise
        finally:
            alarm.close()
            progress.end()

    def keep(self) -> None:
        """Begin to prolong the lease."""
        self._thread = threading.Thread(target=self._beat, name="lmx-hold", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Give the bytes back. Without a database they come back when the lease runs out."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        if self._id:
            with contextlib.suppress(psycopg.Error, LmxError), self._connect() as conn:
                holds.end(conn, self._id)

    def _connect(self) -> psycopg.Connection[Any]:
        return self.database.connect_hot(application_name="lmx vram hold")

    def _ask(self, conn: psycopg.Connection[Any]) -> None:
        lease_s = self.settings.lease_s
        self._id = holds.ask(conn, self.device.id, self.command, self.size, identity(), lease_s)

    def _granted(self, conn: psycopg.Connection[Any]) -> bool:
        granted = holds.beat(conn, self._id, self.settings.lease_s)
        if granted is None:  # this process was stopped for longer than its lease
            self._ask(conn)
            return False
        return granted or holds.grant_unserved(conn, self.device.id, self._id, self.taken())

    def _missing(self, conn: psycopg.Connection[Any]) -> str:
        device = next(one for one in list_devices(conn) if one.id == self.device.id)
        # What is promised to this hold already is not missing.
        mine = f"hold: {self._id} {self.command}"
        others = sum(one.bytes for one in device.bookings if one.holder != mine)
        wanted, left = f"{format_bytes(self.size)} of {device.name}", max(0, device.cap - others)
        if left >= self.size:
            return f"waiting for {wanted}, which idle models and contexts leave"
        return f"waiting for {wanted}: {format_bytes(left)} of {format_bytes(device.cap)} are free"

    def _timed_out(self, timeout: float | None) -> TimedOut:
        return TimedOut(
            f"{format_bytes(self.size)} of {self.device.name} did not become free within"
            f" {timeout:g} s, so {self.command} was not started",
            hint="see who holds them: lmx vram",
        )

    def _beat(self) -> None:
        while not self._ended.wait(self.settings.heartbeat_s):
            try:
                with self._connect() as conn:
                    while self._prolong(conn) and not self._ended.wait(self.settings.heartbeat_s):
                        pass
            except (psycopg.Error, LmxError):
                continue

    def _prolong(self, conn: psycopg.Connection[Any]) -> bool:
        if holds.beat(conn, self._id, self.settings.lease_s) is None and not self._ended.is_set():
            note(f"the lease on {format_bytes(self.size)} ran out; asking for them again")
            self._ask(conn)
            holds.grant_unserved(conn, self.device.id, self._id, self.taken())
        return not self._ended.is_set()


class _Progress:
    """One line on standard error: rewritten on a terminal, told again elsewhere if it changes."""

    def __init__(self) -> None:
        self._shown = ""
        self._terminal = sys.stderr.isatty()

    def show(self, text: str) -> None:
        if text == self._shown:
            return
        self._shown = text
        if self._terminal:
            sys.stderr.write(f"\r\x1b[Klmx: {text}")
            sys.stderr.flush()
        else:
            note(text)

    def end(self) -> None:
        if self._terminal and self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def device_to_hold(
    conn: psycopg.Connection[Any], settings: "Settings", name: str | None
) -> tuple[Device, Callable[[], int]]:
    """The device of this host to hold bytes of, and how many its driver counts as in use.

    A device that is served goes before others; one that no worker has served yet is registered.
    Raises InvalidInput if there are several, or if `name` is none of them.
    """
    here = [one for one in list_devices(conn) if one.host == socket.gethostname()]
    named = [one for one in here if name in (None, one.name)]
    found = [one for one in named if one.alive] or named
    if len(found) > 1:
        names = ", ".join(one.name for one in found)
        raise InvalidInput(f"this host has several devices: {names}", hint="choose one: --device")
    device = found[0] if found else _register(conn, settings, name)
    if device.name == "cpu":
        return device, lambda: 0
    return device, lambda: describe_device(device.name).in_use or 0


def _register(conn: psycopg.Connection[Any], settings: "Settings", name: str | None) -> Device:
    try:
        described = describe_device(name or settings.device)
    except ConfigError as error:
        raise InvalidInput(f"the device cannot be used: {error.message}", hint=error.hint) from None
    conn.execute(
        "INSERT INTO lmx.devices (host, name, cap_bytes) VALUES (%s, %s, %s)"
        " ON CONFLICT (host, name) DO NOTHING",
        [socket.gethostname(), described.name, settings.vram_cap or described.cap],
    )
    here = [one for one in list_devices(conn) if one.host == socket.gethostname()]
    return next(one for one in here if one.name == described.name)


def require_fit(device: Device, size: int) -> None:
    """Raise NeverFitsError for more bytes than may ever be booked on a device."""
    if size > device.cap:
        hint = "hold less, or raise LMX_VRAM_CAP"
        raise NeverFitsError(size, device.cap, device.free, hint=hint)
