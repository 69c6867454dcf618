"""Who this process is (host, boot, pid), and whether another one can still be alive."""

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Identity:
    """One process. `boot_id` names the boot and the pid namespace that `pid` belongs to."""

    host: str
    boot_id: str
    pid: int
    pid_started: float


def identity() -> Identity:
    """The identity of this process."""
    process = psutil.Process()
    return Identity(socket.gethostname(), _boot_id(), process.pid, process.create_time())


def uptime_s() -> float:
    """Seconds since this host booted."""
    return float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])


def alive(pid: int, pid_started: float) -> bool:
    """Whether the process with this pid and start time still runs (a reused pid does not count)."""
    try:
        process = psutil.Process(pid)
        return (
            abs(process.create_time() - pid_started) < 1
            and process.status() != psutil.STATUS_ZOMBIE
        )
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def gone(seen: Iterable[tuple[int, str, int, float, float]]) -> list[int]:
    """Which of these rows about processes of this host stand for processes that have ended.

    A row is (id, boot_id, pid, pid_started, seconds since it was last seen); ids come back.
    """
    here = _boot_id()
    return [
        row
        for row, boot_id, pid, pid_started, silent_s in seen
        if (boot_id == here and not alive(pid, pid_started))
        or _before_boot(boot_id, here, silent_s)
    ]


def _before_boot(boot_id: str, here: str, silent_s: float) -> bool:
    """Whether a process was last seen before this host booted.

    Another machine may have the same host name, so another boot id alone proves nothing.
    """
    other_boot = boot_id.split(" ")[0] != here.split(" ")[0]
    return other_boot and silent_s > uptime_s()


def _boot_id() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = "pid"
    return f"{boot} {namespace}"
