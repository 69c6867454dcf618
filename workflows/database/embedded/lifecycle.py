"""Starts, joins, describes and stops the embedded server."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from lmx.workflows.database.embedded.binaries import find_programs
from lmx.workflows.database.embedded.diagnosis import (
    log_since_start,
    log_sizes,
    start_failure,
    still_busy,
)
from lmx.workflows.database.embedded.initialise import check_version, initialise
from lmx.workflows.database.embedded.layout import (
    Layout,
    create_root,
    exclusive,
    socket_file,
    url_of,
)
from lmx.workflows.database.embedded.postmaster import (
    Postmaster,
    any_process_of,
    is_server_of,
    pid_file,
    read_postmaster,
)
from lmx.workflows.database.embedded.server_config import write_config
from lmx.workflows.database.embedded.server_user import ServerUser, server_user
from lmx.workflows.errors import DatabaseUnavailable

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
_POLL_S = 0.01

# The shell leaves the server to init and ends, so that no caller is ever its parent.
_DETACH = 'exec 3>&1; "$1" -D "$2" </dev/null >"$3" 2>&1 3>&- & echo $! >&3'


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
    if url := _running_url(layout):
        return url
    create_root(layout)
    with exclusive(layout):
        return _running_url(layout) or _start(layout, overrides or {})


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
        server = _alive(layout)
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
        return True


def status(home: Path) -> EmbeddedStatus:
    """Describe the home's server without starting it or waiting for it."""
    layout = Layout(home.absolute())
    server = _alive(layout)
    if server is None:
        state = "stopped" if layout.data.exists() else "absent"
        return EmbeddedStatus(state, None, None, layout.data, layout.logs)
    ready = server.accepts_connections and server.socket_dir is not None
    url = url_of(server.socket_dir) if ready and server.socket_dir else None
    state = "running" if url else "starting"
    return EmbeddedStatus(state, server.pid, url, layout.data, layout.logs)


def _running_url(layout: Layout) -> str | None:
    server = read_postmaster(layout.data)
    if server is not None and server.socket_dir is not None and server.accepts_connections:
        return url_of(server.socket_dir)
    return None


def _alive(layout: Layout) -> Postmaster | None:
    server = read_postmaster(layout.data)
    return server if server is not None and is_server_of(server.pid, layout.data) else None


def _start(layout: Layout, overrides: Mapping[str, str]) -> str:
    user = server_user(layout.data)
    if not user.can("x", layout.root):
        raise DatabaseUnavailable(
            f"Postgres runs as the user {user.name}, who may not enter {layout.root}",
            hint="set LMX_HOME to a folder that every user can reach, such as /var/lib/lmx",
        )
    programs = find_programs(layout, user)
    if layout.data.exists():
        check_version(layout)
    else:
        initialise(layout, programs, user)
    layout.stopped.unlink(missing_ok=True)
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if url := _running_url(layout):
            return url
        # One that is alive is starting, recovering or stopping: let it finish that first.
        if _alive(layout) is None:
            _remove_stale_pid_file(layout)
            _launch(layout, programs, user, overrides, deadline)
        time.sleep(_POLL_S)
    raise DatabaseUnavailable(
        f"the embedded Postgres is not ready after {START_TIMEOUT_S:g} s (it may be recovering)",
        hint=f"try again; its log is in {layout.logs}",
    )


def _launch(
    layout: Layout,
    programs: Path,
    user: ServerUser,
    overrides: Mapping[str, str],
    deadline: float,
) -> None:
    """Start a server and wait until it is ready or gone; return early if it must be retried."""
    socket_dir = layout.socket_dir
    logged: dict[str, int] = {}
    try:
        for folder in (layout.logs, socket_dir):
            folder.mkdir(mode=0o700, exist_ok=True)
            _check_private(folder, user)
            user.own(folder, 0o700)
        write_config(layout, socket_dir, overrides)
        user.own(layout.data / "lmx.conf", 0o600)
        logged = log_sizes(layout)
        launched = _spawn(user, programs / "postgres", layout)
    except OSError as error:
        raise start_failure(layout, str(error)) from None
    while time.monotonic() < deadline:
        if _running_url(layout):
            return
        if not _lives(launched):
            output = log_since_start(layout, logged)
            if still_busy(output):
                return
            raise start_failure(layout, output)
        time.sleep(_POLL_S)


def _spawn(user: ServerUser, postgres: Path, layout: Layout) -> int:
    """Start `postgres` as `user` in a session of its own; return its pid."""
    command = ["/bin/sh", "-c", _DETACH, "sh", postgres, layout.data, layout.start_log]
    done = subprocess.run(
        [str(part) for part in command],
        check=True,
        stdout=subprocess.PIPE,
        start_new_session=True,
        **user.options(),
    )
    return int(done.stdout)


def _check_private(folder: Path, user: ServerUser) -> None:
    """Refuse a folder in /tmp that somebody else made in advance to listen in our place."""
    found = folder.lstat()
    if found.st_uid not in (user.uid, os.geteuid()) or folder.is_symlink():
        raise DatabaseUnavailable(
            f"{folder} belongs to another user, so the database's socket would not be private",
            hint="remove it, or set LMX_HOME to a shorter path",
        )


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _remove_stale_pid_file(layout: Layout) -> None:
    """Remove the lock files of a server that is gone, if their pid now belongs to another process.

    Postgres does this by itself unless some process has the pid, which it then takes for a server.
    While any Postgres process still uses the data the files stay: they protect it.
    """
    if not pid_file(layout.data).exists() or any_process_of(layout.data):
        return
    server = read_postmaster(layout.data)
    if server is not None and not psutil.pid_exists(server.pid):
        return
    socket_path = socket_file(layout.socket_dir)
    for path in (pid_file(layout.data), socket_path, Path(f"{socket_path}.lock")):
        path.unlink(missing_ok=True)
