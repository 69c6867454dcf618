"""The private Postgres that lmx starts for itself when no LMX_DATABASE_URL is set.

One server per home folder, shared by every process that uses that home. Whoever needs it first
starts it (`ensure_running`), later processes join it, and it goes on running when they leave or
die: only `stop` ends it. It listens on a Unix socket in a private folder and on no network port.
"""

from lmx.workflows.database.embedded.lifecycle import (
    EmbeddedStatus,
    ensure_running,
    status,
    stop,
)

__all__ = ["EmbeddedStatus", "ensure_running", "status", "stop"]
