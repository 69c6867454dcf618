"""Launches the embedded server and waits until it is ready, whatever the last one left behind."""

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from lmx.workflows.database.embedded.binaries import find_programs
from lmx.workflows.database.embedded.diagnosis import (
    complained,
    log_since_start,
    log_sizes,
    start_failure,
    still_busy,
)
from lmx.workflows.database.embedded.initialise import check_version, initialise
from lmx.workflows.database.embedded.layout import Layout, url_of
from lmx.workflows.database.embedded.leftovers import remove_stale_locks
from lmx.workflows.database.embedded.postmaster import (
    Postmaster,
    any_process_of,
    is_server_of,
    read_postmaster,
)
from lmx.workflows.database.embedded.server_config import CONFIG_FILE, write_config
from lmx.workflows.database.embedded.server_user import ServerUser, server_user
from lmx.workflows.errors import DatabaseUnavailable

START_TIMEOUT_S = 60.0
_POLL_S = 0.01

# How long the log collector of a server that died may take to write down the server's last words.
_LAST_WORDS_S = 2.0

# A server that dies without a word was killed from outside: worth trying again, but not for ever.
_SILENT_DEATHS = 5

# The shell leaves the server to init and ends, so that no caller is ever its parent.
_DETACH = 'exec 3>&1; "$1" -D "$2" </dev/null >"$3" 2>&1 3>&- & echo $! >&3'


def running_url(layout: Layout) -> str | None:
    """Return the URL of the layout's server if it accepts connections."""
    server = read_postmaster(layout.data)
    if server is not None and server.socket_dir is not None and server.accepts_connections:
        return url_of(server.socket_dir)
    return None


def alive(layout: Layout) -> Postmaster | None:
    """Return the layout's server if its process lives, ready or not."""
    server = read_postmaster(layout.data)
    return server if server is not None and is_server_of(server.pid, layout.data) else None


def start(layout: Layout, overrides: Mapping[str, str]) -> str:
    """Start the server, creating its data if need be; return its URL. The caller holds the lock."""
    user = server_user(layout.data)
    user.require_entry(layout.root)
    programs = find_programs(layout, user)
    if layout.data.exists():
        check_version(layout)
    else:
        initialise(layout, programs, user)
    layout.stopped.unlink(missing_ok=True)
    silent_deaths = 0
    died: str | None = None
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if url := running_url(layout):
            return url
        # One that is alive is starting, recovering or stopping: let it finish that first.
        if alive(layout) is None:
            remove_stale_locks(layout)
            died = _launch(layout, programs, user, overrides, deadline)
            if died is not None and not still_busy(died):
                silent_deaths += not complained(died)
                if complained(died) or silent_deaths == _SILENT_DEATHS:
                    raise start_failure(layout, died)
        time.sleep(_POLL_S)
    if died is not None:
        raise start_failure(layout, died)
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
) -> str | None:
    """Start a server and wait until it is ready; return what it logged if it died instead."""
    socket_dir = layout.socket_dir
    logged: dict[str, int] = {}
    try:
        for folder in (layout.logs, socket_dir):
            folder.mkdir(mode=0o700, exist_ok=True)
            _check_private(folder, user)
            user.own(folder, 0o700)
        write_config(layout, socket_dir, overrides)
        user.own(layout.data / CONFIG_FILE, 0o600)
        logged = log_sizes(layout)
        launched = _spawn(user, programs / "postgres", layout)
    except OSError as error:
        raise start_failure(layout, str(error)) from None
    while time.monotonic() < deadline:
        if running_url(layout):
            return None
        if not _lives(launched):
            _await_last_words(layout)
            return log_since_start(layout, logged)
        time.sleep(_POLL_S)
    return None


def _await_last_words(layout: Layout) -> None:
    """Wait until the dead server's log collector, the last of its processes, has ended."""
    deadline = time.monotonic() + _LAST_WORDS_S
    while any_process_of(layout.data) and time.monotonic() < deadline:
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
