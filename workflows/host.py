"""Who this process is (host, boot, pid), and whether another one can still be alive."""

import socket
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


def _boot_id() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = "pid"
    return f"{boot} {namespace}"
