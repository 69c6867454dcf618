"""Removes the lock files that a server which is gone left behind, where Postgres would not."""

from pathlib import Path

import psutil

from lmx.workflows.database.embedded.layout import Layout, socket_file
from lmx.workflows.database.embedded.postmaster import any_process_of, pid_file, recorded_pid


def remove_stale_locks(layout: Layout) -> None:
    """Remove each lock file that would keep a new server down without protecting an old one.

    Postgres removes those whose process does not exist. It stops at a file without a number, and at
    one whose process exists: some other program with the pid, or the old server itself while its
    parent has not reaped it, which may be never. While any Postgres process still uses the data
    the files stay: they protect it. The caller holds the lock of the layout.
    """
    socket_path = socket_file(layout.socket_dir)
    locks = (pid_file(layout.data), Path(f"{socket_path}.lock"))
    stale = [lock for lock in locks if _stops_postgres(lock)]
    if stale and not any_process_of(layout.data):
        # Without its lock the socket is just a name; Postgres replaces it.
        for path in (*stale, socket_path):
            path.unlink(missing_ok=True)


def _stops_postgres(lock: Path) -> bool:
    if not lock.exists():
        return False
    pid = recorded_pid(lock)
    return pid is None or psutil.pid_exists(pid)
