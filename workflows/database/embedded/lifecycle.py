"""Starts, joins, describes, revives and stops the embedded server."""

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lmx.workflows.database.embedded.layout import Layout, create_root, exclusive, url_of
from lmx.workflows.database.embedded.postmaster import is_server_of
from lmx.workflows.database.embedded.start import alive, running_url, start
from lmx.workflows.errors import DatabaseUnavailable

STOP_TIMEOUT_S = 60.0
_POLL_S = 0.01


@dataclass(frozen=True)
class EmbeddedStatus:
    """The embedded server of a home: `state` is absent, stopped, starting or running."""

    state: str
    pid: int | None
    url: str | None
    data: Path
    logs: Path


def ensure_running(home: Path, overrides: Mapping[str, str] | None = None) -> str:
    """Start the home's server or join the one that runs; return its libpq URL.

    Creates the data on the first call. Safe in any number of processes at once. `overrides` are
    Postgres settings for a server that this call starts. Raises DatabaseUnavailable or DiskFull.
    """
    layout = Layout(home.absolute())
    if url := running_url(layout):
        return url
    create_root(layout)
    with exclusive(layout):
        return running_url(layout) or start(layout, overrides or {})


def revive(home: Path) -> bool:
    """Bring back a server that crashed, or wait for one that is starting; True when it is ready.

    A server that `stop` ended stays down: that returns False.
    """
    layout = Layout(home.absolute())
    if layout.stopped.exists() or not layout.data.exists():
        return False
    ensure_running(home)
    return True


def stop(home: Path) -> bool:
    """Stop the home's server in good order, ending its sessions; False if none was running.

    Other processes that use it lose their connections.
    """
    layout = Layout(home.absolute())
    if not layout.lock.exists():
        return False
    with exclusive(layout):
        server = alive(layout)
        if server is None:
            return False
        layout.stopped.touch()
        os.kill(server.pid, signal.SIGINT)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while is_server_of(server.pid, layout.data):
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(
                    f"the embedded Postgres (pid {server.pid}) did not stop within"
                    f" {STOP_TIMEOUT_S:g} s",
                    hint=f"its log is in {layout.logs}",
                )
            time.sleep(_POLL_S)
        if layout.socket_dir.parent != layout.root:
            with contextlib.suppress(OSError):
                layout.socket_dir.rmdir()
        return True


def status(home: Path) -> EmbeddedStatus:
    """Describe the home's server without starting it or waiting for it."""
    layout = Layout(home.absolute())
    server = alive(layout)
    if server is None:
        state = "stopped" if layout.data.exists() else "absent"
        return EmbeddedStatus(state, None, None, layout.data, layout.logs)
    ready = server.accepts_connections and server.socket_dir is not None
    url = url_of(server.socket_dir) if ready and server.socket_dir else None
    state = "running" if url else "starting"
    return EmbeddedStatus(state, server.pid, url, layout.data, layout.logs)
