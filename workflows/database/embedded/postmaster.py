"""Reads postmaster.pid, the file by which a running server makes itself known."""

import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

from lmx.workflows.database.embedded.layout import socket_file


@dataclass(frozen=True)
class Postmaster:
    """What a server's postmaster.pid says; fields are None while the server has not got there."""

    pid: int
    socket_dir: Path | None
    state: str | None

    @property
    def accepts_connections(self) -> bool:
        """Whether the server calls itself ready and its socket answers."""
        if self.state != "ready" or self.socket_dir is None:
            return False
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(socket_file(self.socket_dir)))
            except OSError:
                return False
        return True


def pid_file(data: Path) -> Path:
    """Return the postmaster.pid of the data folder."""
    return data / "postmaster.pid"


def recorded_pid(lock: Path) -> int | None:
    """Return the pid in the first line of a lock file, or None if there is none to read."""
    try:
        return _pid_in(lock.read_text(errors="replace"))
    except OSError:
        return None


def _pid_in(text: str) -> int | None:
    first = text.partition("\n")[0].strip()
    return int(first) if first.isascii() and first.isdigit() else None


def read_postmaster(data: Path) -> Postmaster | None:
    """Return what the data folder's postmaster.pid says, or None without a readable one."""
    try:
        text = pid_file(data).read_text(errors="replace")
    except OSError:
        return None
    pid = _pid_in(text)
    if pid is None:
        return None
    lines = text.splitlines()
    # Lines: pid, data folder, start time, port, socket folder, address, shared memory, state.
    socket_dir = Path(lines[4]) if len(lines) > 4 and lines[4] else None
    state = lines[7].strip() if len(lines) > 7 else None
    return Postmaster(pid, socket_dir, state)


def is_server_of(pid: int, data: Path) -> bool:
    """Return whether the living process `pid` is a Postgres process of this data folder.

    A pid alone proves nothing: after a reboot or in a new container another process may have it.
    """
    try:
        process = psutil.Process(pid)
        # A zombie has no working folder; a server's is its data folder.
        return "postgres" in process.name() and Path(process.cwd()) == data.resolve()
    except (psutil.Error, OSError):
        return False


def any_process_of(data: Path) -> bool:
    """Return whether any Postgres process, an orphaned backend too, uses this data folder."""
    return any(is_server_of(pid, data) for pid in psutil.pids())
